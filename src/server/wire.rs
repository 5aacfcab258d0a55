//! What stands between a socket and HTTP: TLS, and which version of HTTP a client speaks.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;

use crate::peer::Peer;
use crate::peer::Scheme;
use crate::server::Settings;
use crate::server::tls;
use crate::server::tls::Offer;
use crate::server::tls::Tls;
use crate::telemetry::metrics::Metrics;

/// The keys of the section `[server]` that say how clients speak to the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `tls_…`: TLS that ends here, if any does.
    pub tls: Option<tls::Config>,
}

/// How a listener is spoken to. The default is HTTP/1.1 in the clear, as operators speak to theirs.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// TLS that ends here, if any does.
    pub tls: Option<Tls>,
}

/// A connection of which is known who speaks what.
#[derive(Debug)]
pub enum Opened {
    /// HTTP/1.1 in the clear.
    Plain(TcpStream, Peer),
    /// HTTP/1.1 through TLS.
    Secured(Box<TlsStream<Socket>>, Peer),
}

/// A socket whose client may refuse bytes only so long.
pub type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// Both directions of a connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How much of what a client still sends is read after the gate's last word, and for how long: closing a socket that
/// holds unread bytes resets the connection, and can destroy that word on its way.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

impl Wire {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn new(config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let tls = config.tls.as_ref().map(|tls| Tls::open(tls, Offer::Http1, metrics.clone()));
        Ok(Self { tls: tls.transpose()? })
    }

    /// Keeps up with what changes in files, forever.
    pub async fn watch(self, metrics: Metrics) {
        let Some(tls) = self.tls else {
            metrics.certificate_expiry.clear();
            return pending().await;
        };
        tls.watch().await;
    }

    /// Finds out how a new connection is spoken to; nothing is left of it if that fails.
    pub async fn open(&self, stream: TcpStream, peer: Peer, settings: &Settings) -> Option<Opened> {
        let Some(tls) = &self.tls else {
            return Some(Opened::Plain(stream, peer));
        };
        let secured = tls.accept(patient(stream, settings.write_timeout), settings.head_timeout).await?;
        let peer = Peer { scheme: Scheme::Https, certificate: secured.certificate, ..peer };
        Some(Opened::Secured(Box::new(secured.stream), peer))
    }
}

/// Bounds how long a client may refuse to take a byte.
pub fn patient(stream: TcpStream, write_timeout: Duration) -> Socket {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write_timeout));
    Box::pin(stream)
}

/// Says the last word on a connection and lets it arrive.
pub async fn linger(mut stream: impl Io) {
    let until = Instant::now() + LINGER_TIME;
    let ended = async {
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES;
        while let Some(less) = left.checked_sub(stream.read(&mut buffer).await?).filter(|less| *less < left) {
            left = less;
        }
        Ok::<_, io::Error>(())
    };
    // whoever does not listen to the last word misses it
    let _ = tokio::time::timeout_at(until, ended).await;
}
