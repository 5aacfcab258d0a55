//! Who is counted together.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;

use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::UserId;

/// Those whose requests are one count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All callers with tokens of a project.
    Project(ProjectId),
    /// All tokens of a user.
    User(UserId),
    /// All callers with a role.
    Role(Box<str>),
    /// All that comes from an address; of IPv6 from a network of 64 bits, which is what one client has.
    Address(IpAddr),
    /// Everybody.
    All,
}

/// Who asks, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// What the token proves, if it was verified.
    pub identity: Option<&'a Identity>,
    /// Where the request came from.
    pub address: IpAddr,
}

impl Subject {
    /// Counts by the address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(id) => write!(out, "project {}", id.as_str()),
            Self::User(id) => write!(out, "user {}", id.as_str()),
            Self::Role(name) => write!(out, "role {name}"),
            Self::Address(address) => write!(out, "address {address}"),
            Self::All => out.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Subject;

    #[test]
    fn a_client_of_ipv6_is_its_network() {
        let of = |text: &str| Subject::of_address(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
