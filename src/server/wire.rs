//! What stands between a socket and HTTP: the PROXY protocol, TLS, and which version of HTTP a client speaks.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::peer::Peer;
use crate::peer::Scheme;
use crate::server::Settings;
use crate::server::http2;
use crate::server::proxy_protocol;
use crate::server::proxy_protocol::Mode;
use crate::server::proxy_protocol::ProxyProtocol;
use crate::server::tls;
use crate::server::tls::Offer;
use crate::server::tls::Tls;
use crate::telemetry::metrics::Metrics;

/// The keys of the section `[server]` that say how clients speak to the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `tls_…`: TLS that ends here, if any does.
    pub tls: Option<tls::Config>,
    /// `http2…`: HTTP/2, if it is spoken.
    pub http2: Option<http2::Limits>,
    /// `proxy_protocol`.
    pub proxy_protocol: proxy_protocol::Mode,
}

/// How a listener is spoken to. The default is HTTP/1.1 in the clear, as operators speak to theirs.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// Who says whose connections they hand on, if anybody has to.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TLS that ends here, if any does.
    pub tls: Option<Tls>,
    /// HTTP/2, if it is spoken: agreed on in the TLS handshake, or begun with its preface.
    pub http2: Option<http2::Limits>,
}

/// A connection of which is known who speaks what.
pub enum Opened {
    /// HTTP/1.1 in the clear.
    Plain(TcpStream, Peer),
    /// HTTP/1.1 through TLS.
    Secured(Box<TlsStream<Socket>>, Peer),
    /// HTTP/2.
    Http2(Box<dyn Io>, Peer, http2::Limits),
}

/// A socket whose client may refuse bytes only so long.
pub type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// Both directions of a connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How a client begins.
enum Begun {
    Http1,
    Http2,
}

/// What HTTP/2 begins with, where no handshake agreed on it (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of what a client still sends is read after the gate's last word, and for how long: closing a socket that
/// holds unread bytes resets the connection, and can destroy that word on its way.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

impl Wire {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn new(config: &Config, trusted_proxies: &[IpNet], metrics: &Metrics) -> io::Result<Self> {
        let offer = if config.http2.is_some() { Offer::Http2AndHttp1 } else { Offer::Http1 };
        let tls = config.tls.as_ref().map(|tls| Tls::open(tls, offer, metrics.clone()));
        let proxy_protocol = match config.proxy_protocol {
            Mode::Off => None,
            Mode::On => Some(ProxyProtocol::new(trusted_proxies, metrics.clone())),
        };
        Ok(Self { proxy_protocol, tls: tls.transpose()?, http2: config.http2 })
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
    pub async fn open(
        &self,
        stream: TcpStream,
        peer: Peer,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> Option<Opened> {
        let Some(tls) = &self.tls else {
            let Some(limits) = self.http2 else { return Some(Opened::Plain(stream, peer)) };
            let begun = tokio::select! {
                biased;
                begun = first_word(&stream, settings) => begun?,
                // a request may be on its way to here
                () = async {
                    stop.cancelled().await;
                    tokio::time::sleep(settings.drain_grace).await;
                } => return None,
            };
            return Some(match begun {
                Begun::Http1 => Opened::Plain(stream, peer),
                Begun::Http2 => Opened::Http2(Box::new(patient(stream, settings.write_timeout)), peer, limits),
            });
        };
        // boxed: what a handshake needs is not to be held for each connection in the clear
        let accepting = Box::pin(tls.accept(patient(stream, settings.write_timeout), settings.head_timeout));
        let secured = accepting.await?;
        let peer = Peer { scheme: Scheme::Https, certificate: secured.certificate, ..peer };
        Some(match self.http2.filter(|_| secured.is_http2()) {
            Some(limits) => Opened::Http2(Box::new(secured.stream), peer, limits),
            None => Opened::Secured(Box::new(secured.stream), peer),
        })
    }
}

/// Looks at the first bytes of a client without taking them; nothing if there are none.
async fn first_word(stream: &TcpStream, settings: &Settings) -> Option<Begun> {
    let mut buffer = [0; PREFACE.len()];
    let idle = settings.keepalive_timeout + settings.head_timeout;
    let mut seen = tokio::time::timeout(idle, stream.peek(&mut buffer)).await.ok()?.ok()?;
    let (mut waited, mut pause) = (Duration::ZERO, Duration::from_millis(1));
    loop {
        let begun = buffer.get(..seen).filter(|begun| !begun.is_empty())?;
        if begun == PREFACE {
            return Some(Begun::Http2);
        }
        if !PREFACE.starts_with(begun) || waited >= settings.head_timeout {
            return Some(Begun::Http1);
        }
        // what was seen once would be seen again at once, so each look waits for longer than the one before
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(settings.head_timeout);
        seen = stream.peek(&mut buffer).await.ok()?;
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { tls: None, http2: Some(http2::Limits::default()), proxy_protocol: Mode::Off }
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
