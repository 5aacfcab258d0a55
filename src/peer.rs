//! Who is at the other end of a client's connection, and how it is spoken to.

use std::fmt;
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

    #[test]
    fn a_fingerprint_is_written_in_hexadecimal() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        assert_eq!(Fingerprint(bytes).to_string(), format!("ab{}", "00".repeat(31)));
    }
}
