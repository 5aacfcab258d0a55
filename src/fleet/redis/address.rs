//! Where a Redis or Valkey is: `redis://[user@]host[:port][/database]`, or `rediss://` for TLS.

use http::Uri;
use percent_encoding::percent_decode_str;

/// An address, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host's name or IP address.
    pub host: String,
    /// The port, 6379 unless it is written.
    pub port: u16,
    /// The number of the database, 0 unless it is written.
    pub database: i64,
    /// The user (Redis 6 ACL); empty for the default one.
    pub user: String,
    /// How the connection is kept from others' eyes.
    pub transport: Transport,
}

/// What is spoken below Redis' own protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing: TCP in the clear.
    Plain,
    /// TLS; the certificate must name the host.
    Tls,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "no URL")?;
        let transport = match uri.scheme_str() {
            Some("redis") => Transport::Plain,
            Some("rediss") => Transport::Tls,
            Some(_) | None => return Err("it starts with neither redis:// nor rediss://"),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        let user = match authority.as_str().rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err("a password stands in it, and URLs are told"),
            Some((user, _)) => percent_decode_str(user).decode_utf8().map_err(|_| "its user is no text")?.into_owned(),
            None => String::new(),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it names no host");
        }
        let database = match uri.path().trim_start_matches('/') {
            "" => 0,
            number => number.parse::<u16>().map_err(|_| "its path is no number of a database")?.into(),
        };
        if uri.query().is_some() {
            return Err("nothing is read from its query");
        }
        Ok(Self { host, port: authority.port_u16().unwrap_or(6379), database, user, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use super::Transport;

    #[test]
    fn addresses_are_read_whole() {
        let address = Address::parse("rediss://gate@cache.example:6380/3").expect("an address");
        assert_eq!(
            address,
            Address {
                host: "cache.example".into(),
                port: 6380,
                database: 3,
                user: "gate".into(),
                transport: Transport::Tls
            }
        );
        let address = Address::parse("redis://[::1]").expect("an address");
        assert_eq!(
            (address.host.as_str(), address.port, address.database, address.user.as_str()),
            ("::1", 6379, 0, "")
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (url, said) in [
            ("127.0.0.1:6379", "neither"),
            ("http://127.0.0.1", "neither"),
            ("redis://:secret@host", "password"),
            ("redis://user:secret@host", "password"),
            ("redis://host/one", "database"),
            ("redis://host/-1", "database"),
            ("redis://host?x=1", "query"),
            ("redis://", "no"),
        ] {
            let told = Address::parse(url).expect_err(url);
            assert!(told.contains(said), "{url}: {told}");
        }
    }
}
