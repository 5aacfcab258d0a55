//! A header of the PROXY protocol is read alike by another parser, and alike however it arrives.

use std::net::IpAddr;

use glance_gate::framing::proxy_header::Origin;
use glance_gate::framing::proxy_header::Read;
use glance_gate::framing::proxy_header::read;
use ppp::HeaderResult;
use ppp::v1;
use ppp::v2;

/// Checks the property on the first bytes of a connection.
pub fn holds(bytes: &[u8]) {
    let verdict = read(bytes);
    for end in 0..bytes.len() {
        match (read(&bytes[..end]), verdict) {
            (Read::Incomplete, _) | (Read::Bad, Read::Bad) => {}
            (early @ Read::Header(length, _), _) => {
                assert!(length <= end);
                assert_eq!(early, verdict);
            }
            (Read::Bad, other) => panic!("{end} bytes are bad, and all of them are {other:?}"),
        }
    }
    let Read::Header(length, origin) = verdict else { return };
    // of a LOCAL header everything else is ignored (section 2.2); the other parser refuses some of them
    let is_alike = match (origin, other(&bytes[..length])) {
        (Origin::Balancer, None) => true,
        (origin, other) => other == Some(origin),
    };
    assert!(is_alike, "{origin:?} in {bytes:?}");
}

/// Reads a header with the other parser.
fn other(header: &[u8]) -> Option<Origin> {
    let address = match HeaderResult::parse(header) {
        HeaderResult::V1(header) => match header.ok()?.addresses {
            v1::Addresses::Tcp4(pair) => Some(pair.source_address.into()),
            v1::Addresses::Tcp6(pair) => Some(pair.source_address.into()),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(header) => {
            let header = header.ok()?;
            match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(pair) => Some(pair.source_address.into()),
                v2::Addresses::IPv6(pair) => Some(pair.source_address.into()),
                v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
            }
        }
    };
    Some(address.map_or(Origin::Balancer, |address: IpAddr| Origin::Client(address.to_canonical())))
}
