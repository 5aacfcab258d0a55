//! Keystone's public keys: PEM files in a directory that is watched.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use jsonwebtoken::DecodingKey;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use crate::keystone::VerifyError;
use crate::keystone::jws;
use crate::keystone::jws::Claims;
use crate::openstack::token::UnverifiedToken;

/// The keys of one directory, as last read without a mistake.
#[derive(Clone)]
pub struct KeyRing {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    keys: ArcSwap<Vec<Key>>,
    withdrawn: ArcSwapOption<Instant>,
}

/// One key speaks one algorithm, and no header can talk it into another.
struct Key {
    file: PathBuf,
    pem: Vec<u8>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// What a fresh look at the directory found.
#[derive(Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The same files.
    Unchanged,
    /// Other files; so many keys are in use now.
    Changed(usize),
}

/// The object identifiers of the keys that Keystone can sign with, as they stand in DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

impl KeyRing {
    /// Reads the directory, as Keystone's `[jwt_tokens] jws_public_key_repository` names it.
    ///
    /// # Errors
    /// Fails if it can not be read, holds no key, or holds a file that is no usable key.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let keys = read(directory)?;
        let keys = ArcSwap::from_pointee(keys);
        let withdrawn = ArcSwapOption::empty();
        Ok(Self { shared: Arc::new(Shared { directory: directory.into(), keys, withdrawn }) })
    }

    /// Reads the directory again; on a mistake the keys in use stay.
    ///
    /// # Errors
    /// Fails as [`KeyRing::open`] does.
    pub fn refresh(&self) -> io::Result<Refreshed> {
        let keys = read(&self.shared.directory)?;
        if are_same(&self.shared.keys.load(), &keys) {
            return Ok(Refreshed::Unchanged);
        }
        let count = keys.len();
        let old = self.shared.keys.swap(Arc::new(keys));
        let new = self.shared.keys.load();
        if old.iter().any(|old| new.iter().all(|new| new.pem != old.pem)) {
            self.shared.withdrawn.store(Some(Arc::new(Instant::now())));
        }
        Ok(Refreshed::Changed(count))
    }

    /// Tells whether a verdict that was asked for then may rest on these keys: not if one was taken away since.
    pub fn vouched_for(&self, since: Instant) -> bool {
        self.shared.withdrawn.load().as_ref().is_none_or(|withdrawn| **withdrawn < since)
    }

    /// Tells whether the other ring holds the very same keys.
    pub fn holds_those_of(&self, other: &Self) -> bool {
        are_same(&self.shared.keys.load(), &other.shared.keys.load())
    }

    /// Checks a signed token against every key: Keystone's tokens do not name theirs.
    ///
    /// # Errors
    /// `Expired` or `Forged`.
    pub fn verify(&self, token: &UnverifiedToken) -> Result<Claims, VerifyError> {
        let mut found = VerifyError::Forged;
        for key in self.shared.keys.load().iter() {
            match jws::verify(token.expose_str(), &key.decoding, key.algorithm) {
                Ok(claims) => return Ok(claims),
                Err(VerifyError::Expired) => found = VerifyError::Expired,
                Err(_) => {}
            }
        }
        Err(found)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyRing").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

fn are_same(old: &[Key], new: &[Key]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.file == new.file && old.pem == new.pem)
}

/// Reads all `*.pem` files, in the order of their names.
fn read(directory: &Path) -> io::Result<Vec<Key>> {
    let mut files = fs::read_dir(directory)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pem"));
    files.sort();
    if files.is_empty() {
        return Err(io::Error::other(format!("{}: no *.pem file", directory.display())));
    }
    files
        .into_iter()
        .map(|file| parse(&file).map_err(|error| io::Error::other(format!("{}: {error}", file.display()))))
        .collect()
}

fn parse(file: &Path) -> io::Result<Key> {
    let pem = fs::read(file)?;
    let der = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|_| io::Error::other("no PEM public key"))?;
    let has = |oid: &[u8]| der.windows(oid.len()).any(|window| window == oid);
    let (algorithm, decoding) = if has(P256) {
        (Algorithm::ES256, DecodingKey::from_ec_pem(&pem))
    } else if has(P384) {
        (Algorithm::ES384, DecodingKey::from_ec_pem(&pem))
    } else if has(ED25519) {
        (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem))
    } else {
        return Err(io::Error::other("not a P-256, P-384 or Ed25519 key"));
    };
    let decoding = decoding.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Key { file: file.into(), pem, algorithm, decoding })
}
