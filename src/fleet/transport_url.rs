//! Where a `RabbitMQ` is, in the words of oslo.messaging's `transport_url`:
//! `rabbit://user:password@host:port[,user:password@host:port]/virtual_host[?ssl=1]`.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::secret::Secret;

/// A `transport_url`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportUrl {
    /// The servers of the cluster, in the order they are written.
    pub hosts: Vec<Host>,
    /// The virtual host; `/` unless one is written.
    pub virtual_host: String,
    /// What is spoken below AMQP.
    pub transport: Transport,
}

/// One server, and who the gate is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Host {
    /// The host's name or IP address.
    pub name: String,
    /// The port; 5672 unless it is written, 5671 with TLS.
    pub port: u16,
    /// The user; `guest` unless one is written here or before.
    pub user: String,
    /// The user's password.
    pub password: Secret<String>,
}

/// What is spoken below AMQP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing: TCP in the clear.
    Plain,
    /// TLS; the certificate must name the host.
    Tls,
}

/// The longest name that AMQP 0-9-1 can carry (section 4.2.5.3, short strings).
pub const MAX_NAME: usize = 255;

impl TransportUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// Says what is wrong with it, and nothing of what stands in it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let rest = ["rabbit://", "kombu://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or("it does not start with rabbit://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = transport(query)?;
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let virtual_host = match decoded(path)?.as_str() {
            "" => "/".to_owned(),
            name => name.to_owned(),
        };
        let mut read: Vec<Host> = Vec::new();
        for host in hosts.split(',') {
            let before = read.last().map(|host| (host.user.clone(), host.password.clone()));
            read.push(Host::parse(host, transport, before)?);
        }
        if virtual_host.len() > MAX_NAME {
            return Err("the name of its virtual host is too long");
        }
        Ok(Self { hosts: read, virtual_host, transport })
    }
}

/// Reads what is set behind the `?`: of oslo.messaging's options only `ssl` is known here.
fn transport(query: &str) -> Result<Transport, &'static str> {
    let mut transport = Transport::Plain;
    for option in query.split('&').filter(|option| !option.is_empty()) {
        transport = match option.to_ascii_lowercase().as_str() {
            "ssl=1" | "ssl=true" => Transport::Tls,
            "ssl=0" | "ssl=false" => Transport::Plain,
            _ => return Err("of its options only ssl=1 is known"),
        };
    }
    Ok(transport)
}

impl Host {
    fn parse(text: &str, transport: Transport, before: Option<(String, Secret<String>)>) -> Result<Self, &'static str> {
        let (login, address) = match text.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, text),
        };
        let (user, password) = match login {
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (decoded(user)?, Secret::new(decoded(password)?))
            }
            None => before.unwrap_or_else(|| ("guest".into(), Secret::new("guest".into()))),
        };
        let default = match transport {
            Transport::Plain => 5672,
            Transport::Tls => 5671,
        };
        // an IPv6 address stands in brackets, and has colons itself
        let (name, port) = match address.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => {
                (name, port.parse().map_err(|_| "what stands behind a host's colon is no port")?)
            }
            Some(_) | None => (address, default),
        };
        let name = name.to_owned();
        if name.trim_matches(['[', ']']).is_empty() {
            return Err("a host has no name");
        }
        if user.len() > MAX_NAME {
            return Err("the name of its user is too long");
        }
        Ok(Self { name, port, user, password })
    }

    /// Returns the name that a certificate must have.
    pub fn certificate_name(&self) -> &str {
        self.name.trim_matches(['[', ']'])
    }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| "it is not all UTF-8")
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.name, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::Transport;
    use super::TransportUrl;

    #[test]
    fn a_cluster_is_read_as_oslo_messaging_reads_it() {
        let url = TransportUrl::parse("rabbit://gate:p%40ss%2Fw@one:5673,other:word@[::1],three/open%2Fstack")
            .expect("a URL");
        let told: Vec<_> = url
            .hosts
            .iter()
            .map(|host| (host.name.as_str(), host.port, host.user.as_str(), host.password.expose().as_str()))
            .collect();
        assert_eq!(
            told,
            [("one", 5673, "gate", "p@ss/w"), ("[::1]", 5672, "other", "word"), ("three", 5672, "other", "word")]
        );
        assert_eq!((url.virtual_host.as_str(), url.transport), ("open/stack", Transport::Plain));
        assert_eq!(url.hosts[1].certificate_name(), "::1");
        assert!(!format!("{url:?}").contains("word"), "a password is never shown");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for (url, virtual_host, port, transport) in [
            ("rabbit://host", "/", 5672, Transport::Plain),
            ("rabbit://host/", "/", 5672, Transport::Plain),
            ("rabbit://host//", "/", 5672, Transport::Plain),
            ("kombu://host/v?ssl=1", "v", 5671, Transport::Tls),
        ] {
            let read = TransportUrl::parse(url).expect(url);
            assert_eq!(
                (read.virtual_host.as_str(), read.hosts[0].port, read.transport),
                (virtual_host, port, transport)
            );
            assert_eq!(read.hosts[0].user, "guest");
        }
    }

    #[test]
    fn what_is_no_transport_url_is_refused() {
        for url in [
            "amqp://host",
            "host:5672",
            "rabbit://",
            "rabbit://a:b@",
            "rabbit://a:b@:5672",
            "rabbit://host:port",
            "rabbit://host/v?heartbeat=1",
            "rabbit://one,,two",
            "rabbit://%ff@host",
        ] {
            assert!(TransportUrl::parse(url).is_err(), "{url}");
        }
    }
}
