//! The files of the listener's TLS: read, checked against each other, and made into what a handshake needs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs as crypto;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::peer::Fingerprint;
use crate::server::tls::ClientVerify;
use crate::server::tls::Config;
use crate::server::tls::Offer;

/// How long a file may be.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What the files hold.
pub struct Files {
    certificate: Vec<u8>,
    key: Option<Vec<u8>>,
    client_ca: Vec<u8>,
}

/// What is made of the files.
pub struct Loaded {
    /// What a handshake needs.
    pub server: ServerConfig,
    /// When the certificate ends, in seconds since 1970.
    pub not_after: u64,
}

impl Files {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// Fails if a file can not be read, or is over 1 MiB.
    pub fn read(config: &Config) -> io::Result<Self> {
        let has_key = !config.key.as_os_str().is_empty();
        Ok(Self {
            certificate: read(&config.certificate)?,
            key: if has_key { Some(read(&config.key)?) } else { None },
            client_ca: match config.client_verify {
                ClientVerify::Off => Vec::new(),
                ClientVerify::Optional | ClientVerify::Required => read(&config.client_ca)?,
            },
        })
    }

    /// Returns a sum by which other contents are known.
    pub fn digest(&self) -> [u8; 32] {
        let key = self.key.as_deref().unwrap_or_default();
        // two files whose border moved are not the same files
        sha256([&sha256([&self.certificate])[..], &sha256([key])[..], &sha256([&self.client_ca])[..]])
    }

    /// Checks what was read.
    ///
    /// # Errors
    /// Fails if a file is no PEM, lacks what it is for, or if certificate and key do not belong together.
    pub fn load(&self, config: &Config, offer: Offer) -> io::Result<Loaded> {
        let chain = certificates(&config.certificate, &self.certificate)?;
        let not_after =
            chain.first().and_then(not_after).ok_or_else(|| mistake(&config.certificate, "no certificate"))?;
        let (key_path, key) = match &self.key {
            Some(key) => (&config.key, key),
            None => (&config.certificate, &self.certificate),
        };
        // the error is not told: it might hold a part of the file
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| mistake(key_path, "no private key in PEM"))?;
        let provider = Arc::new(crypto::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(config.min_version.versions())
            .map_err(io::Error::other)?;
        let builder = match self.verifier(config, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|error| mistake(key_path, &error.to_string()))?;
        server.alpn_protocols = offer.protocols();
        // sessions live in tickets alone, whose key goes with these files: who is no longer let in can not resume
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.ticketer = crypto::Ticketer::new().map_err(io::Error::other)?;
        // 0-RTT stays off: what it carries can be replayed
        server.max_early_data_size = 0;
        Ok(Loaded { server, not_after })
    }

    fn verifier(
        &self,
        config: &Config,
        provider: Arc<CryptoProvider>,
    ) -> io::Result<Option<Arc<dyn ClientCertVerifier>>> {
        if config.client_verify == ClientVerify::Off {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&config.client_ca, &self.client_ca)? {
            roots.add(certificate).map_err(|error| mistake(&config.client_ca, &error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match config.client_verify {
            ClientVerify::Off | ClientVerify::Required => builder,
            ClientVerify::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map(Some).map_err(|error| mistake(&config.client_ca, &error.to_string()))
    }
}

impl Loaded {
    /// Tells whether the certificate's time is over.
    pub fn has_ended(&self) -> bool {
        SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| now.as_secs() > self.not_after)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(told)?.len() > MAX_FILE_BYTES {
        return Err(mistake(path, "it is over 1 MiB"));
    }
    fs::read(path).map_err(told)
}

fn certificates(path: &Path, pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|_| mistake(path, "it is no PEM"))?;
    if read.is_empty() { Err(mistake(path, "no certificate in PEM")) } else { Ok(read) }
}

/// Returns when a certificate ends, in seconds since 1970.
fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}

/// Says what is wrong with a file.
pub fn mistake(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

/// Returns the sum that a certificate is known by.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint(sha256([certificate.as_ref()]))
}

fn sha256<'a>(parts: impl IntoIterator<Item = &'a (impl AsRef<[u8]> + ?Sized + 'a)>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_ref());
    }
    let mut sum = [0; 32];
    sum.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    sum
}
