//! TLS to a neighbour: whose certificates are believed, and which one the gate shows. `aws-lc-rs` is the one crypto stack.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::ConfigBuilder;
use rustls::RootCertStore;
use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// A certificate of the gate's own and its key, both PEM files.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate, and those between it and the root.
    pub certfile: &'a Path,
    /// Its private key.
    pub keyfile: &'a Path,
}

/// Builds settings that believe the system's certificates, or those of `cafile` alone, and show `identity` if asked.
///
/// # Errors
/// Fails if a file can not be read or used; the error names it.
pub fn settings(cafile: Option<&Path>, identity: Option<Identity<'_>>) -> io::Result<ClientConfig> {
    let builder = trusting(cafile)?;
    let Some(Identity { certfile, keyfile }) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(keyfile).map_err(|error| told(keyfile, &error))?;
    builder.with_client_auth_cert(certificates(certfile)?, key).map_err(|error| told(certfile, &error))
}

fn trusting(cafile: Option<&Path>) -> io::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    match cafile {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| told(path, &error))?;
            }
        }
        // a machine without certificates can still speak HTTP; HTTPS then fails when it is tried
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| told(path, &error))
}

fn told(path: &Path, error: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
