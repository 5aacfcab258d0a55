//! TLS on the listener: which certificate is shown, whose certificates are asked for, and how both change under way.

pub mod files;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::peer::Fingerprint;
use crate::server::tls::files::Files;
use crate::server::tls::files::fingerprint;
use crate::server::tls::files::mistake;
use crate::server::wire::Io;
use crate::server::wire::linger;
use crate::telemetry::metrics::Metrics;

/// The keys `tls_…` of the section `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The certificate and those that lead from it to its authority, in PEM; perhaps with the key.
    pub certificate: PathBuf,
    /// The private key in PEM; empty if it stands in the certificate's file.
    pub key: PathBuf,
    /// Whose certificates clients may show, in PEM.
    pub client_ca: PathBuf,
    /// Whether clients are asked for a certificate.
    pub client_verify: ClientVerify,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// How often the files are read again.
    pub reload_interval: Duration,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientVerify {
    /// They are not.
    Off,
    /// They are, and may have none; one that is shown must be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is offered in the handshake (RFC 7301), the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// `http/1.1`.
    Http1,
    /// `h2`, then `http/1.1`.
    Http2AndHttp1,
}

/// What became of reading the files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// They are what they were.
    Unchanged,
    /// New connections get what they hold now; those that are open go on.
    Changed,
}

/// The listener's side of TLS; cloning shares it.
#[derive(Clone, Debug)]
pub struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    offer: Offer,
    current: ArcSwap<ServerConfig>,
    read: Mutex<Read>,
    metrics: Metrics,
}

/// What was read of the files that are in use.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// Their SHA-256.
    digest: [u8; 32],
    /// When the certificate ends, in seconds since 1970.
    not_after: u64,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Secured<S> {
    /// What is said in secret.
    pub stream: TlsStream<S>,
    /// The client's certificate, if one was asked for and verified.
    pub certificate: Option<Fingerprint>,
}

/// The name of HTTP/2 in the handshake (RFC 9113 section 3.2).
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

static TLS_1_3_ALONE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Fails if a file can not be read, or if certificate and key do not belong together.
    pub fn open(config: &Config, offer: Offer, metrics: Metrics) -> io::Result<Self> {
        let files = Files::read(config)?;
        let loaded = files.load(config, offer)?;
        if loaded.has_ended() {
            tracing::warn!(file = %config.certificate.display(), "the listener's certificate has ended");
        }
        let read = Mutex::new(Read { digest: files.digest(), not_after: loaded.not_after });
        let current = ArcSwap::from_pointee(loaded.server);
        let shared = Shared { config: config.clone(), offer, current, read, metrics };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads the files again; a mistake in them leaves what is in use as it is.
    ///
    /// # Errors
    /// As [`Tls::open`], and if the new certificate has ended.
    pub fn reload(&self) -> io::Result<Reloaded> {
        let reloaded = self.read_again();
        match &reloaded {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Changed) => self.shared.metrics.certificate_reload("changed"),
            Err(_) => self.shared.metrics.certificate_reload("failed"),
        }
        reloaded
    }

    fn read_again(&self) -> io::Result<Reloaded> {
        let shared = &self.shared;
        let files = Files::read(&shared.config)?;
        let digest = files.digest();
        let mut read = shared.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.digest == digest {
            return Ok(Reloaded::Unchanged);
        }
        let loaded = files.load(&shared.config, shared.offer)?;
        if loaded.has_ended() {
            return Err(mistake(&shared.config.certificate, "the certificate has ended"));
        }
        shared.metrics.certificate_expiry(loaded.not_after);
        shared.current.store(Arc::new(loaded.server));
        *read = Read { digest, not_after: loaded.not_after };
        Ok(Reloaded::Changed)
    }

    /// Tells when the certificate ends, and reads the files again and again.
    pub async fn watch(self) {
        let not_after = self.shared.read.lock().unwrap_or_else(PoisonError::into_inner).not_after;
        self.shared.metrics.certificate_expiry(not_after);
        let mut ticks = tokio::time::interval(self.shared.config.reload_interval);
        let mut told = None;
        loop {
            ticks.tick().await;
            match self.reload() {
                Ok(Reloaded::Unchanged) => told = None,
                Ok(Reloaded::Changed) => {
                    told = None;
                    tracing::info!(file = %self.shared.config.certificate.display(), "the listener's certificate changed");
                }
                // a broken file stays broken for a while: it is told once
                Err(error) if told.as_ref() == Some(&error.to_string()) => {}
                Err(error) => {
                    tracing::warn!(%error, "the listener's new certificate can not be used: the old one stays");
                    told = Some(error.to_string());
                }
            }
        }
    }

    /// Shakes hands within a time; what fails is ended and told to whoever debugs.
    pub async fn accept<S: Io>(&self, stream: S, within: Duration) -> Option<Secured<S>> {
        let accepting = TlsAcceptor::from(self.shared.current.load_full()).accept(stream).into_fallible();
        let outcome = match tokio::time::timeout(within, accepting).await {
            Ok(Ok(stream)) => {
                self.shared.metrics.tls_handshake("ok");
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let certificate = shown.map(fingerprint);
                return Some(Secured { stream, certificate });
            }
            Ok(Err((error, stream))) => {
                tracing::debug!(%error, "no TLS could be agreed on");
                linger(stream).await;
                "failed"
            }
            Err(_) => {
                tracing::debug!("the TLS handshake took longer than server.head_timeout");
                "timed_out"
            }
        };
        self.shared.metrics.tls_handshake(outcome);
        None
    }
}

impl<S> Secured<S> {
    /// Tells whether HTTP/2 was agreed on.
    pub fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(H2)
    }
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![HTTP_1_1.to_vec()],
            Self::Http2AndHttp1 => vec![H2.to_vec(), HTTP_1_1.to_vec()],
        }
    }
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS_1_3_ALONE,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            client_verify: ClientVerify::Off,
            min_version: MinVersion::Tls12,
            reload_interval: Duration::from_secs(10),
        }
    }
}
