//! Where an upstream is, what it is called, and how it is spoken to.

use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;
use std::io;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;
use prometheus_client::metrics::gauge::Gauge;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use crate::body::lease::Lease;
use crate::client::stream::Stream;
use crate::client::transport::Protocol;
use crate::client::transport::Transport;

/// One address of one upstream; cloning shares it.
///
/// Two are equal if they have the same name and the same address.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    authority: String,
    address: Address,
    security: Security,
    protocol: Protocol,
    connections: OnceLock<Gauge>,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Whether a connection counts among those of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It does, and there may be so many in all workers; zero is no bound.
    UpTo(usize),
    /// It does not, because it is the gate's own.
    Uncounted,
}

/// Whether the connection is encrypted.
enum Security {
    Plain,
    /// It is, and the other side must show a certificate for this name.
    Tls(TlsConnector, ServerName<'static>),
}

/// What an operator writes for an upstream, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// `http://host:port`; the host and the port.
    Http(String),
    /// `https://host:port`; the host and the port.
    Https(String),
    /// `unix:/path` or `http+unix://path`; the path, which is absolute.
    Unix(PathBuf),
}

/// A connection, and what was agreed on to be spoken on it.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// What is spoken.
    pub protocol: Protocol,
    /// Its place among the endpoint's connections, to be held as long as it lives.
    pub place: Option<Lease>,
}

impl Server {
    /// Takes the name of an upstream apart; nothing if it is none.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(path) = name.strip_prefix("unix:").or_else(|| name.strip_prefix("http+unix://")) {
            let path = PathBuf::from(percent_decode_str(path).decode_utf8().ok()?.into_owned());
            return Some(Self::Unix(path)).filter(|_| name.len() < 256 && !name.contains(['?', '#', '\0'])).filter(
                |server| matches!(server, Self::Unix(path) if path.is_absolute() && path.file_name().is_some()),
            );
        }
        let uri: http::Uri = name.parse().ok()?;
        let authority = uri.authority().filter(|authority| authority.port().is_some())?.as_str().to_owned();
        let is_bare =
            name.ends_with(&authority) || name.strip_suffix('/').is_some_and(|name| name.ends_with(&authority));
        match uri.scheme_str() {
            Some("http") if is_bare && !authority.contains('@') => Some(Self::Http(authority)),
            Some("https") if is_bare && !authority.contains('@') => Some(Self::Https(authority)),
            Some(_) | None => None,
        }
    }
}

impl Endpoint {
    /// Resolves what the configuration calls an upstream: one endpoint for each of its addresses.
    ///
    /// # Errors
    /// Fails if the name is none, can not be resolved, or the certificates can not be read.
    pub fn resolve(name: &str, transport: &Transport) -> io::Result<Vec<Self>> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("upstream {name}: {error}"));
        let server = Server::parse(name).ok_or_else(|| told(io::ErrorKind::InvalidInput.into()))?;
        let new = |authority: &str, address, security| Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                authority: authority.to_owned(),
                address,
                security,
                protocol: transport.protocol(),
                connections: OnceLock::new(),
            }),
        };
        match server {
            Server::Unix(path) => Ok(vec![new("localhost", Address::Unix(path), Security::Plain)]),
            Server::Http(authority) => {
                let addresses = authority.to_socket_addrs().map_err(told)?;
                Ok(addresses.map(|address| new(&authority, Address::Tcp(address), Security::Plain)).collect())
            }
            Server::Https(authority) => {
                let tls = TlsConnector::from(transport.tls()?);
                let name = server_name(&authority).map_err(told)?;
                let addresses = authority.to_socket_addrs().map_err(told)?;
                let secured =
                    |address| new(&authority, Address::Tcp(address), Security::Tls(tls.clone(), name.clone()));
                Ok(addresses.map(secured).collect())
            }
        }
    }

    /// Counts its connections in this gauge. The first one stays.
    pub fn counts_in(&self, connections: Gauge) {
        let _ = self.shared.connections.set(connections);
    }

    /// Returns the count of its connections, in all workers.
    pub fn connections(&self) -> &Gauge {
        self.shared.connections.get_or_init(Gauge::default)
    }

    /// Connects, and secures the connection.
    ///
    /// # Errors
    /// Fails if nobody is there, or somebody who can not be trusted; with `QuotaExceeded` if there are enough.
    pub async fn connect(&self, room: Room) -> io::Result<Connected> {
        let place = match room {
            Room::Uncounted => None,
            Room::UpTo(max) => Some(Lease::take(self.connections(), max).ok_or(io::ErrorKind::QuotaExceeded)?),
        };
        let protocol = self.shared.protocol;
        let stream = match &self.shared.address {
            Address::Tcp(address) => TcpStream::connect(address).await?,
            Address::Unix(path) => {
                return Ok(Connected { stream: Stream::Unix(UnixStream::connect(path).await?), protocol, place });
            }
        };
        stream.set_nodelay(true)?;
        let Security::Tls(connector, name) = &self.shared.security else {
            return Ok(Connected { stream: Stream::Tcp(stream), protocol, place });
        };
        let stream = connector.connect(name.clone(), stream).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            Some(_) | None => Protocol::Http1,
        };
        Ok(Connected { stream: Stream::Tls(Box::new(stream)), protocol, place })
    }

    /// Returns what the operator calls the upstream.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns what `Host` says where a client has not said it (RFC 9110 section 7.2).
    pub fn authority(&self) -> &str {
        &self.shared.authority
    }

    /// Returns where to connect to.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Returns what is to be spoken, if the other side agrees.
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// Returns the scheme of a request's URI (RFC 9110 section 4.2).
    pub fn scheme(&self) -> &'static str {
        match self.shared.security {
            Security::Plain => "http",
            Security::Tls(..) => "https",
        }
    }
}

/// Returns the name that a certificate must have: the host of `host:port` without its port and brackets.
///
/// # Errors
/// Fails if no certificate can have such a name.
pub fn server_name(authority: &str) -> io::Result<ServerName<'static>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).map_err(io::Error::other)
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
            || (self.shared.address == other.shared.address && self.shared.name == other.shared.name)
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shared.address.hash(state);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {:?}", self.shared.name, self.shared.address)
    }
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn an_upstream_is_a_host_with_a_port_or_a_socket() {
        for (name, server) in [
            ("http://127.0.0.1:9293", Some(Server::Http("127.0.0.1:9293".into()))),
            ("http://glance:9293/", Some(Server::Http("glance:9293".into()))),
            ("https://[::1]:9293", Some(Server::Https("[::1]:9293".into()))),
            ("unix:/run/glance.sock", Some(Server::Unix("/run/glance.sock".into()))),
            ("http+unix://%2Frun%2Fglance.sock", Some(Server::Unix("/run/glance.sock".into()))),
            ("http+unix:///run/glance.sock", Some(Server::Unix("/run/glance.sock".into()))),
            ("http://glance", None),
            ("http://glance:9293/v2", None),
            ("http://glance:9293?x", None),
            ("http://user@glance:9293", None),
            ("https://", None),
            ("ftp://glance:21", None),
            ("glance:9293", None),
            ("unix:glance.sock", None),
            ("unix:/", None),
            ("unix:", None),
        ] {
            assert_eq!(Server::parse(name), server, "{name}");
        }
    }
}
