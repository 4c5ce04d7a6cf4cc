//! Host names are resolved without the C library, by a real server on loopback.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use htc_sender::resolve::Names;
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// Knows `known.test` (one IPv4, one IPv6 address) and refuses what is not below `test`.
fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            // Noise first: a client must wait for the answer to its own question.
            socket.send_to(b"noise", from).unwrap();
            socket.send_to(&answer(&buffer[..length]), from).unwrap();
        }
    });
    address
}

fn answer(question: &[u8]) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap();
    packet.set_flags(PacketFlag::RESPONSE);
    let (name, kind) = (packet.questions[0].qname.to_string(), packet.questions[0].qtype);
    let data = match kind {
        QTYPE::TYPE(TYPE::A) => RData::A(A { address: 0x0a00_0007 }),
        _ => RData::AAAA(AAAA { address: 1 }),
    };
    match name.as_str() {
        "known.test" => {
            packet.answers.push(ResourceRecord::new(Name::new_unchecked("known.test"), CLASS::IN, 60, data))
        }
        name if name.ends_with(".test") => *packet.rcode_mut() = RCODE::NameError,
        _ => *packet.rcode_mut() = RCODE::Refused,
    }
    packet.build_bytes_vec_compressed().unwrap()
}

fn look_up(resolv_conf: &str, host: &str) -> Vec<IpAddr> {
    // The first server is silent: nobody reads this socket.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = vec![silent.local_addr().unwrap(), server()];
    let names = Names::parse("", &format!("{resolv_conf}\noptions timeout:1 attempts:1"));
    names.with_servers(servers).look_up(host, Duration::from_secs(20))
}

#[test]
fn a_name_has_its_addresses_though_the_first_server_is_silent() {
    let expected: Vec<IpAddr> = vec!["10.0.0.7".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(look_up("", "known.test"), expected);
    assert_eq!(look_up("search nowhere.test test", "known"), expected);
}

#[test]
fn a_name_that_nobody_knows_has_none() {
    assert_eq!(look_up("", "unknown.test"), Vec::<IpAddr>::new());
    assert_eq!(look_up("", "refused.example"), Vec::<IpAddr>::new());
}
