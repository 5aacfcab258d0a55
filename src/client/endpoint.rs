//! Where an upstream is, what it is called, and how it is spoken to.

use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;
use std::io;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::net::UnixStream;

use crate::client::stream::Stream;

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
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// How the upstreams are spoken to, the same for all of them.
#[derive(Clone, Debug, Default)]
pub struct Transport {}

impl Endpoint {
    /// Names an address. `authority` is what `Host` says where a client has not said it (RFC 9110 section 7.2).
    pub fn new(name: impl Into<String>, authority: impl Into<String>, address: Address) -> Self {
        Self { shared: Arc::new(Shared { name: name.into(), authority: authority.into(), address }) }
    }

    /// Resolves what the configuration calls an upstream: one endpoint for each of its addresses.
    ///
    /// # Errors
    /// Fails if the name can not be resolved.
    pub fn resolve(server: &str, _: &Transport) -> io::Result<Vec<Self>> {
        let authority = server.strip_prefix("http://").unwrap_or(server).trim_end_matches('/');
        let addresses = authority
            .to_socket_addrs()
            .map_err(|error| io::Error::new(error.kind(), format!("upstream {server}: {error}")))?;
        Ok(addresses.map(|address| Self::new(server, authority, Address::Tcp(address))).collect())
    }

    /// Connects.
    ///
    /// # Errors
    /// Fails if nobody is there.
    pub async fn connect(&self) -> io::Result<Stream> {
        match &self.shared.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        }
    }

    /// Returns what the operator calls the upstream.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns its host and port.
    pub fn authority(&self) -> &str {
        &self.shared.authority
    }

    /// Returns where to connect to.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }
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
