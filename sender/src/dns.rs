//! One question to one DNS server, over UDP: the IPv4 and IPv6 addresses of a name.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;

/// Why there is no answer that counts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or is silent.
    #[error("no answer of the DNS server: {0}")]
    Io(#[from] io::Error),
    /// The name cannot be asked for.
    #[error("{0:?} is no DNS name")]
    Name(String),
    /// Another server may know more.
    #[error("the DNS server answered with code {0}")]
    Refused(u16),
}

/// Asks for both kinds of addresses; an empty list means that there are none.
pub fn query(server: SocketAddr, name: &str, limit: Duration) -> Result<Vec<IpAddr>, Error> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    // Random ids, so that nobody who does not see the question can answer it.
    let id = RandomState::new().hash_one(name) as u16;
    let kinds = [(id, A), (id.wrapping_add(1), AAAA)];
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

/// A header with one question: the name as labels with their lengths, kind and class.
fn question(id: u16, name: &str, kind: u16) -> Result<Vec<u8>, Error> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let mut packet = Vec::new();
    for number in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        packet.extend(number.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n));
        packet.push(length.ok_or_else(|| Error::Name(name.to_owned()))?);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend(INTERNET.to_be_bytes());
    if name.len() > 253 { Err(Error::Name(name.to_owned())) } else { Ok(packet) }
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
        if let Some(answer) = parse(&buffer[..length]) {
            return Ok(answer);
        }
    }
}

/// The id of an answer and the addresses in it. The server has followed aliases for us: whatever
/// addresses it gives are those of the name.
fn parse(packet: &[u8]) -> Option<(u16, Result<Vec<IpAddr>, Error>)> {
    const IS_ANSWER: u16 = 0x8000;
    const NO_ERROR: u16 = 0;
    const NO_SUCH_NAME: u16 = 3;
    let mut reader = Reader(packet);
    let (id, flags, questions, answers) =
        (reader.number()?, reader.number()?, reader.number()?, reader.number()?);
    reader.take(4)?;
    if flags & IS_ANSWER == 0 {
        return None;
    }
    match flags & 0x000f {
        NO_ERROR => {}
        NO_SUCH_NAME => return Some((id, Ok(Vec::new()))),
        code => return Some((id, Err(Error::Refused(code)))),
    }
    for _ in 0..questions {
        reader.skip_name()?;
        reader.take(4)?;
    }
    // A long answer may be cut: what is whole counts.
    let found = (0..answers).map_while(|_| reader.record()).flatten().collect();
    Some((id, Ok(found)))
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// Labels up to an empty one, or up to a pointer to the rest.
    fn skip_name(&mut self) -> Option<()> {
        loop {
            match *self.take(1)?.first()? {
                0 => return Some(()),
                0xc0.. => return self.take(1).map(drop),
                length => drop(self.take(length.into())?),
            }
        }
    }

    /// The next record: an address, or something else.
    fn record(&mut self) -> Option<Option<IpAddr>> {
        self.skip_name()?;
        let (kind, class) = (self.number()?, self.number()?);
        self.take(4)?;
        let length = self.number()?;
        let data = self.take(length.into())?;
        Some(match (kind, class) {
            (A, INTERNET) => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            (AAAA, INTERNET) => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_question_has_the_bytes_of_the_standard() {
        let expected = b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x1c\0\x01";
        assert_eq!(question(0x0102, "a.test", AAAA).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_a_name_is_not_asked_for() {
        for bad in ["", "a..b", &"x".repeat(64), &"x.".repeat(130)] {
            assert!(matches!(question(1, bad, A), Err(Error::Name(_))), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_is_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&[&[0, 1, 0x80, 0, 0, 1, 0, 9, 0, 0, 0, 0][..], &bytes].concat());
            let _ = parse(&bytes);
        }
    }
}
