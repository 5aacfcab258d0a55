//! A syslog as a sink: RFC 5424 over a datagram socket, UDP, TCP with octet counting (RFC 6587) or TLS (RFC 5425).
//!
//! The crate `syslog` blocks, has no octet counting and no TLS; what is left of the format is one line.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::path::Path;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::net::UnixDatagram;
use tokio_rustls::TlsConnector;

use crate::audit::courier::Batch;
use crate::audit::courier::Carrier;
use crate::audit::courier::Trouble;
use crate::audit::event::Entry;
use crate::audit::event::Outcome;
use crate::audit::stamp::stamp;
use crate::client::endpoint::server_name;
use crate::client::stream::Stream;
use crate::client::tls;

/// Where events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The socket.
    pub server: Server,
    /// The facility, from 0 to 23 (RFC 5424 section 6.2.1).
    pub facility: u8,
}

/// A syslog's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// `unix:/dev/log`: a datagram socket in the file system.
    Unix(PathBuf),
    /// `udp://host:port`.
    Udp(String),
    /// `tcp://host:port`.
    Tcp(String),
    /// `tls://host:port`.
    Tls(String),
}

/// Sends events to a syslog.
pub struct Syslog {
    config: Config,
    hostname: String,
    tls: Option<TlsConnector>,
    socket: Option<Socket>,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Stream(Stream),
}

/// What may be sent next on a socket.
enum Sent {
    Whole,
    /// It does not fit into a datagram.
    TooLong,
}

/// How long connecting may take, and then each message.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many messages are taken from the queue at once.
const BATCH: usize = 64;
/// The name of the program and of the kind of message (RFC 5424 section 6.2.5 and 6.2.7).
const APP_NAME: &str = "glance-gate";
const MSGID: &str = "audit";

impl Server {
    /// Reads a socket as operators write it; nothing if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(Self::Unix(path.into())).filter(|_| Path::new(path).is_absolute());
        }
        let (scheme, authority) = text.split_once("://")?;
        let uri: http::uri::Authority = authority.parse().ok()?;
        if uri.port_u16().is_none() || uri.host().is_empty() || authority.contains('@') {
            return None;
        }
        match scheme {
            "udp" => Some(Self::Udp(authority.into())),
            "tcp" => Some(Self::Tcp(authority.into())),
            "tls" => Some(Self::Tls(authority.into())),
            _ => None,
        }
    }
}

impl Syslog {
    /// Prepares to send; nothing is connected yet.
    ///
    /// # Errors
    /// Fails if the certificates can not be read.
    pub fn new(config: &Config, hostname: &str, cafile: Option<&Path>) -> io::Result<Self> {
        let tls = match config.server {
            Server::Tls(_) => Some(TlsConnector::from(Arc::new(tls::settings(cafile, None)?))),
            Server::Unix(_) | Server::Udp(_) | Server::Tcp(_) => None,
        };
        Ok(Self { config: config.clone(), hostname: hostname.to_owned(), tls, socket: None })
    }

    async fn connect(&self) -> io::Result<Socket> {
        match &self.config.server {
            Server::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            Server::Udp(authority) => udp(authority).await.map(Socket::Udp),
            Server::Tcp(authority) => Ok(Socket::Stream(Stream::Tcp(tcp(authority).await?))),
            Server::Tls(authority) => {
                let name = server_name(authority)?;
                let connector = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                let stream = connector.connect(name, tcp(authority).await?).await?;
                Ok(Socket::Stream(Stream::Tls(Box::new(stream))))
            }
        }
    }

    /// Puts an event into a message (RFC 5424 section 6).
    fn message(&self, entry: &Entry) -> Vec<u8> {
        // notice, warning, and warning for what nobody knows
        let severity = match entry.outcome {
            Outcome::Success => 5,
            Outcome::Failure | Outcome::Unknown => 4,
        };
        let priority = self.config.facility * 8 + severity;
        let (at, hostname, process) = (stamp(entry.at, 'T', "Z"), &self.hostname, process::id());
        let mut message = format!("<{priority}>1 {at} {hostname} {APP_NAME} {process} {MSGID} - ").into_bytes();
        message.extend_from_slice(&entry.json);
        message
    }
}

impl Carrier for Syslog {
    fn max_batch(&self) -> usize {
        BATCH
    }

    async fn carry(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        while let Some(message) = batch.entries().first().map(|entry| self.message(entry)) {
            let mut socket = match self.socket.take().and_then(Socket::unless_closed) {
                Some(socket) => socket,
                None => within(self.connect()).await?,
            };
            match within(socket.send(&message)).await? {
                Sent::Whole => batch.written(1),
                Sent::TooLong => batch.refused(1, "an event is longer than a datagram".into()),
            }
            self.socket = Some(socket);
        }
        Ok(())
    }
}

impl Socket {
    /// Returns the socket unless the other side has closed it: the next message would vanish.
    fn unless_closed(mut self) -> Option<Self> {
        let is_closed = match &mut self {
            Self::Stream(stream) => stream.is_stirred(),
            Self::Unix(_) | Self::Udp(_) => false,
        };
        (!is_closed).then_some(self)
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<Sent> {
        let sent = match self {
            Self::Unix(socket) => socket.send(message).await.map(drop),
            Self::Udp(socket) => socket.send(message).await.map(drop),
            Self::Stream(stream) => {
                // octet counting: RFC 6587 section 3.4.1
                let mut frame = format!("{} ", message.len()).into_bytes();
                frame.extend_from_slice(message);
                stream.write_all(&frame).await?;
                stream.flush().await
            }
        };
        match sent {
            Ok(()) => Ok(Sent::Whole),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => Ok(Sent::TooLong),
            Err(error) => Err(error),
        }
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(done) => done.map_err(Trouble::new),
        Err(_) => Err(Trouble::new("it takes too long")),
    }
}

async fn tcp(authority: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn udp(authority: &str) -> io::Result<UdpSocket> {
    let address = tokio::net::lookup_host(authority).await?.next().ok_or(io::ErrorKind::NotFound)?;
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn a_syslog_is_a_socket_or_a_host_with_a_port() {
        for (text, server) in [
            ("unix:/dev/log", Some(Server::Unix("/dev/log".into()))),
            ("udp://127.0.0.1:514", Some(Server::Udp("127.0.0.1:514".into()))),
            ("tcp://logs.example.org:601", Some(Server::Tcp("logs.example.org:601".into()))),
            ("tls://[::1]:6514", Some(Server::Tls("[::1]:6514".into()))),
            ("unix:dev/log", None),
            ("udp://127.0.0.1", None),
            ("udp://:514", None),
            ("tcp://user@host:1", None),
            ("http://host:80", None),
            ("/dev/log", None),
        ] {
            assert_eq!(Server::parse(text), server, "{text}");
        }
    }
}
