//! How the upstreams are spoken to: what is the same for all of them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustls::ClientConfig;

use crate::client::tls;
use crate::client::tls::Identity;

/// A part of the section `[upstream]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What is spoken to the upstreams.
    pub protocol: Protocol,
    /// The certificates to be trusted, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// The gate's own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: an exchange has a connection for itself.
    #[default]
    Http1,
    /// HTTP/2: many exchanges share one. Over TLS the upstream may choose HTTP/1.1 instead; without TLS it must know.
    Http2,
}

/// The settings, made ready; cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    config: Arc<Config>,
    tls: Arc<Mutex<Option<Arc<ClientConfig>>>>,
}

impl Transport {
    /// Makes the settings ready. Certificates are read when the first upstream needs them.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), tls: Arc::default() }
    }

    /// Returns what is to be spoken.
    pub fn protocol(&self) -> Protocol {
        self.config.protocol
    }

    /// Returns the settings of TLS.
    ///
    /// # Errors
    /// Fails if a certificate or the key can not be read or used.
    pub fn tls(&self) -> io::Result<Arc<ClientConfig>> {
        let mut made = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let identity = self.config.identity.as_ref().map(|(certfile, keyfile)| Identity { certfile, keyfile });
        let mut settings = tls::settings(self.config.cafile.as_deref(), identity)?;
        settings.alpn_protocols = match self.config.protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Ok(made.insert(Arc::new(settings)).clone())
    }
}
