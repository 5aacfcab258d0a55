//! Who is at the other end of a client's connection, and how it is spoken to.

use std::fmt;
use std::io::Write;
use std::iter;
use std::net::IpAddr;

/// What is known of a connection before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who connected: the socket's address or, behind a trusted load balancer, the one it told by the PROXY protocol.
    pub address: IpAddr,
    /// How the gate is spoken to.
    pub scheme: Scheme,
    /// Which certificate the client showed, if it was asked for one and it was verified. It is for the log alone.
    pub certificate: Option<Fingerprint>,
}

/// How a listener is spoken to (RFC 9110 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Through TLS that ends here.
    Https,
}

/// The SHA-256 of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Peer {
    /// Returns what is known of a connection in the clear.
    pub fn plain(address: IpAddr) -> Self {
        Self { address, scheme: Scheme::Http, certificate: None }
    }
}

/// Writes an address as text, without an allocation: it is written twice for each request.
pub fn address_text(address: IpAddr, text: &mut [u8; 45]) -> &str {
    let length = match address {
        IpAddr::V4(address) => {
            let mut length = 0;
            for octet in address.octets() {
                let mut digits = itoa::Buffer::new();
                for digit in digits.format(octet).bytes().chain(iter::once(b'.')) {
                    if let Some(place) = text.get_mut(length) {
                        *place = digit;
                        length += 1;
                    }
                }
            }
            // without the last dot
            length - 1
        }
        IpAddr::V6(address) => {
            let mut rest = &mut text[..];
            // the longest address has 45 characters
            let _ = write!(rest, "{address}");
            45 - rest.len()
        }
    };
    text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

impl Scheme {
    /// Returns the scheme as a URL starts with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;
    use super::address_text;

    #[test]
    fn a_fingerprint_is_written_in_hexadecimal() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        assert_eq!(Fingerprint(bytes).to_string(), format!("ab{}", "00".repeat(31)));
    }

    #[test]
    fn an_address_is_written_as_it_displays() {
        for address in ["0.0.0.0", "127.0.0.1", "192.0.2.255", "::1", "2001:db8:1111:2222:3333:4444:5555:6666"] {
            let address: std::net::IpAddr = address.parse().expect("an address");
            assert_eq!(address_text(address, &mut [0; 45]), address.to_string());
        }
    }
}
