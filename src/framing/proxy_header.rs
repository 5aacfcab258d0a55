//! What a load balancer says before the first byte of its client: the PROXY protocol, versions 1 and 2 (`HAProxy`'s
//! `proxy-protocol.txt`), read strictly.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This client's.
    Client(IpAddr),
    /// The load balancer's own, such as a health check, or one whose client has no address.
    Balancer,
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many of them are the header.
    Header(usize, Origin),
    /// All of them are, and it goes on.
    Incomplete,
    /// They are none.
    Bad,
}

/// How long a header may be, with what version 2 may put behind its addresses.
pub const MAX_BYTES: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How long a line of version 1 may be (section 2.1).
const MAX_LINE: usize = 107;

/// Reads the header that a connection starts with.
pub fn read(bytes: &[u8]) -> Read {
    if SIGNATURE.starts_with(bytes.get(..SIGNATURE.len()).unwrap_or(bytes)) {
        return binary(bytes);
    }
    let line = bytes.get(..MAX_LINE).unwrap_or(bytes);
    match memchr::memchr(b'\n', line) {
        Some(end) => line.get(..end).and_then(text).map_or(Read::Bad, |origin| Read::Header(end + 1, origin)),
        None if bytes.len() < MAX_LINE && is_begun(line) => Read::Incomplete,
        None => Read::Bad,
    }
}

fn is_begun(line: &[u8]) -> bool {
    const START: &[u8] = b"PROXY ";
    line.starts_with(START) || START.starts_with(line)
}

/// Reads a line of version 1, without its line feed.
fn text(line: &[u8]) -> Option<Origin> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\r')?.strip_prefix("PROXY ")?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(Origin::Balancer);
    }
    let mut words = line.split(' ');
    let (family, from, to) = (words.next()?, words.next()?, words.next()?);
    let ports = [words.next()?, words.next()?];
    if words.next().is_some() || !ports.into_iter().all(is_port) {
        return None;
    }
    let client = match family {
        "TCP4" => to.parse::<Ipv4Addr>().and_then(|_| from.parse::<Ipv4Addr>()).ok()?.into(),
        "TCP6" => to.parse::<Ipv6Addr>().and_then(|_| from.parse::<Ipv6Addr>()).ok()?.into(),
        _ => return None,
    };
    Some(Origin::Client(IpAddr::to_canonical(&client)))
}

fn is_port(text: &str) -> bool {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    is_plain && text.parse::<u16>().is_ok()
}

/// Reads the header of version 2 (section 2.2). What stands behind the addresses is not looked at.
fn binary(bytes: &[u8]) -> Read {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else { return Read::Incomplete };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BYTES {
        return Read::Bad;
    }
    let Some(addresses) = bytes.get(16..length) else { return Read::Incomplete };
    let origin = match (command, family) {
        // LOCAL, or a family without addresses
        (0x20, _) | (0x21, 0x00 | 0x31) => Some(Origin::Balancer),
        (0x21, 0x11) if addresses.len() >= 12 => first::<4>(addresses).map(|from| Ipv4Addr::from(from).into()),
        (0x21, 0x21) if addresses.len() >= 36 => first::<16>(addresses).map(|from| Ipv6Addr::from(from).into()),
        _ => None,
    };
    origin.map_or(Read::Bad, |origin| Read::Header(length, origin))
}

fn first<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(..N)?.try_into().ok()
}

impl From<Ipv4Addr> for Origin {
    fn from(address: Ipv4Addr) -> Self {
        Self::Client(address.into())
    }
}

impl From<Ipv6Addr> for Origin {
    fn from(address: Ipv6Addr) -> Self {
        Self::Client(IpAddr::from(address).to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use super::Read;
    use super::read;

    fn client(address: &str) -> Origin {
        Origin::Client(address.parse().expect("an address"))
    }

    fn binary(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, origin) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 9292\r\n", client("192.0.2.1")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n", client("2001:db8::1")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", client("192.0.2.1")),
            ("PROXY UNKNOWN\r\n", Origin::Balancer),
            ("PROXY UNKNOWN ffff::1 whatever 1\r\n", Origin::Balancer),
        ] {
            assert_eq!(read(line.as_bytes()), Read::Header(line.len(), origin), "{line:?}");
            assert_eq!(read(format!("{line}GET /").as_bytes()), Read::Header(line.len(), origin), "{line:?}");
            for end in 0..line.len() {
                assert_eq!(read(&line.as_bytes()[..end]), Read::Incomplete, "{:?}", &line[..end]);
            }
        }
    }

    #[test]
    fn what_is_no_line_is_told_at_once() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXYTCP4",
            "proxy TCP4",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY TCP4 192.0.2.1 nowhere 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Read::Bad, "{line:?}");
        }
        assert_eq!(read(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()), Read::Bad, "over 107 bytes");
    }

    #[test]
    fn a_header_of_version_2_names_the_client() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 7, 0, 1, 0, 2];
        let more = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        v6[15] = 1;
        for (bytes, origin) in [
            (binary(0x21, 0x11, 12, &v4), client("192.0.2.1")),
            (binary(0x21, 0x11, 19, &more), client("192.0.2.1")),
            (binary(0x21, 0x21, 36, &v6), client("2001:db8::1")),
            (binary(0x20, 0x00, 0, &[]), Origin::Balancer),
            (binary(0x20, 0x11, 12, &v4), Origin::Balancer),
            (binary(0x21, 0x00, 0, &[]), Origin::Balancer),
        ] {
            assert_eq!(read(&bytes), Read::Header(bytes.len(), origin), "{bytes:?}");
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Read::Incomplete, "{:?}", &bytes[..end]);
            }
        }
        for bytes in [
            binary(0x11, 0x11, 12, &v4),
            binary(0x22, 0x11, 12, &v4),
            binary(0x21, 0x12, 12, &v4),
            binary(0x21, 0x41, 12, &v4),
            binary(0x21, 0x11, 11, &v4),
            binary(0x21, 0x21, 12, &v4),
            binary(0x21, 0x11, 5000, &v4),
            b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(),
        ] {
            assert_eq!(read(&bytes), Read::Bad, "{bytes:?}");
        }
    }
}
