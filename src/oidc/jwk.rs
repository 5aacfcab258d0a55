//! One public key of an issuer (RFC 7517, RFC 7518 section 6) and the algorithms it may speak.

use std::fmt;

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED;
use aws_lc_rs::signature::ED25519;
use aws_lc_rs::signature::ParsedPublicKey;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA384;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA512;
use aws_lc_rs::signature::RSA_PSS_2048_8192_SHA256;
use aws_lc_rs::signature::RSA_PSS_2048_8192_SHA384;
use aws_lc_rs::signature::RSA_PSS_2048_8192_SHA512;
use aws_lc_rs::signature::RsaParameters;
use aws_lc_rs::signature::RsaPublicKeyComponents;
use aws_lc_rs::signature::VerificationAlgorithm;
use serde_json::Map;
use serde_json::Value;

use crate::oidc::algorithm::Algorithm;
use crate::oidc::algorithm::Family;
use crate::openstack::base64url;

/// The members that only a private or a shared key has.
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// How many bits the modulus of an RSA key has.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that can check signatures.
pub struct Key {
    id: Option<String>,
    // an RSA key without `alg` speaks all RSA algorithms of its issuer, every other key exactly one
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Key {
    /// Reads a key, to be used with the allowed algorithms only.
    ///
    /// # Errors
    /// Tells why the key is not for checking signatures.
    pub fn read(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Self, &'static str> {
        if SECRET_MEMBERS.iter().any(|name| jwk.contains_key(*name)) || text(jwk, "kty")? == Some("oct") {
            return Err("it is a private or shared key, which must not be published");
        }
        if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("it is not for signatures");
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
            Some(_) => return Err("it is not for checking signatures"),
        }
        let family = family(jwk)?;
        let named = match text(jwk, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::from_name(name).ok_or("its algorithm is not known")?),
        };
        if named.is_some_and(|algorithm| algorithm.family() != family) {
            return Err("its algorithm is for another kind of key");
        }
        let verifiers = allowed
            .iter()
            .filter(|algorithm| algorithm.family() == family && named.is_none_or(|named| named == **algorithm))
            .map(|algorithm| Ok((*algorithm, verifier(jwk, *algorithm)?)))
            .collect::<Result<Vec<_>, &'static str>>()?;
        if verifiers.is_empty() {
            return Err("its algorithm is not allowed for this issuer");
        }
        Ok(Self { id: text(jwk, "kid")?.map(str::to_owned), verifiers })
    }

    /// Tells whether the key has this id.
    pub fn has_id(&self, id: &str) -> bool {
        self.id.as_deref() == Some(id)
    }

    /// Returns what checks signatures of this algorithm, if the key speaks it.
    pub fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(spoken, _)| *spoken == algorithm).map(|(_, verifier)| verifier)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.verifiers.iter().map(|(algorithm, _)| algorithm).collect();
        out.debug_struct("Key").field("id", &self.id).field("algorithms", &algorithms).finish()
    }
}

/// Returns a text member, if it is there.
fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, &'static str> {
    jwk.get(name).map(|value| value.as_str().ok_or("a member that must be text is not")).transpose()
}

fn family(jwk: &Map<String, Value>) -> Result<Family, &'static str> {
    match (text(jwk, "kty")?, text(jwk, "crv")?) {
        (Some("RSA"), None) => Ok(Family::Rsa),
        (Some("EC"), Some("P-256")) => Ok(Family::P256),
        (Some("EC"), Some("P-384")) => Ok(Family::P384),
        (Some("OKP"), Some("Ed25519")) => Ok(Family::Ed25519),
        _ => Err("it is of a kind that the gate does not know"),
    }
}

fn verifier(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<ParsedPublicKey, &'static str> {
    match algorithm {
        Algorithm::Rs256 => rsa(jwk, &RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => rsa(jwk, &RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => rsa(jwk, &RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => rsa(jwk, &RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => rsa(jwk, &RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => rsa(jwk, &RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 => point(jwk, 32, &ECDSA_P256_SHA256_FIXED),
        Algorithm::Es384 => point(jwk, 48, &ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDsa => {
            let x = sized(jwk, "x", 32)?;
            ParsedPublicKey::new(&ED25519, x).map_err(|_| "it is no point on its curve")
        }
    }
}

fn rsa(jwk: &Map<String, Value>, parameters: &'static RsaParameters) -> Result<ParsedPublicKey, &'static str> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    // RFC 7518 section 6.3.1.1: some write a leading zero
    let (n, e) = (trimmed(&n), trimmed(&e));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("its modulus has fewer than 2048 or more than 8192 bits");
    }
    // 1 signs everything, and even exponents nothing; beyond 32 bits checking gets slow
    if e.len() > 4 || matches!(e, [] | [1]) || e.last().is_some_and(|last| last % 2 == 0) {
        return Err("its exponent is unsafe");
    }
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).map_err(|_| "it is no RSA key")
}

fn point(
    jwk: &Map<String, Value>,
    size: usize,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Result<ParsedPublicKey, &'static str> {
    let mut uncompressed = vec![4];
    uncompressed.extend(sized(jwk, "x", size)?);
    uncompressed.extend(sized(jwk, "y", size)?);
    ParsedPublicKey::new(algorithm, uncompressed).map_err(|_| "it is no point on its curve")
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    text(jwk, name)?.and_then(base64url::decode).ok_or("a number is missing or not base64url")
}

fn sized(jwk: &Map<String, Value>, name: &str, size: usize) -> Result<Vec<u8>, &'static str> {
    Some(bytes(jwk, name)?).filter(|bytes| bytes.len() == size).ok_or("a coordinate has the wrong size")
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
