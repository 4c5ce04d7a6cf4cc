//! One question to one DNS server, over UDP: the IPv4 and IPv6 addresses of a name.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

/// Why there is no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or is silent.
    #[error("no answer of the DNS server: {0}")]
    Io(#[from] io::Error),
    /// The name cannot be asked for.
    #[error("not a DNS name: {0}")]
    Name(#[from] simple_dns::SimpleDnsError),
    /// Another server may know more.
    #[error("the DNS server answered {0:?}")]
    Refused(RCODE),
}

/// Asks for both kinds of addresses; an empty list means that there are none.
pub fn query(server: SocketAddr, name: &str, limit: Duration) -> Result<Vec<IpAddr>, Error> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    // Random ids, so that nobody who does not see the question can answer it.
    let id = RandomState::new().hash_one(name) as u16;
    let kinds = [(id, TYPE::A), (id.wrapping_add(1), TYPE::AAAA)];
    for (id, kind) in kinds {
        socket.send(&question(id, name, kind)?)?;
    }
    let deadline = Instant::now() + limit;
    let mut answers: [Option<Result<Vec<IpAddr>, Error>>; 2] = [None, None];
    while answers.iter().any(Option::is_none) {
        match receive(&socket, deadline) {
            Ok((got, answer)) => {
                if let Some(n) = kinds.iter().position(|(id, _)| *id == got) {
                    answers[n] = Some(answer);
                }
            }
            // Some servers never answer the question for IPv6.
            Err(_) if matches!(answers[0], Some(Ok(ref found)) if !found.is_empty()) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut found = Vec::new();
    for answer in answers.into_iter().flatten() {
        match answer {
            Ok(addresses) => found.extend(addresses),
            Err(error) if found.is_empty() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(found)
}

fn question(id: u16, name: &str, kind: TYPE) -> Result<Vec<u8>, Error> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name)?, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    Ok(packet.build_bytes_vec()?)
}

/// The next answer of any id; what is no answer at all is passed over.
fn receive(socket: &UdpSocket, deadline: Instant) -> io::Result<(u16, Result<Vec<IpAddr>, Error>)> {
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        if let Ok(packet) = Packet::parse(&buffer[..length])
            && packet.has_flags(PacketFlag::RESPONSE)
        {
            return Ok((packet.id(), addresses(&packet)));
        }
    }
}

/// The server has followed aliases for us: whatever addresses it gives are those of the name.
fn addresses(packet: &Packet) -> Result<Vec<IpAddr>, Error> {
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Vec::new()),
        code => return Err(Error::Refused(code)),
    }
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.address.into())),
        RData::AAAA(a) => Some(IpAddr::V6(a.address.into())),
        _ => None,
    };
    Ok(packet.answers.iter().filter_map(|record| address(&record.rdata)).collect())
}
