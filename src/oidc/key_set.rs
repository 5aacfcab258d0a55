//! All keys of one issuer at one time (RFC 7517 section 5), and the choice of the one that checks a token.

use serde_json::Value;

use crate::oidc::algorithm::Algorithm;
use crate::oidc::jwk::Key;
use crate::oidc::jws::UnverifiedJws;
use crate::openstack::strict_json;

/// The keys that can be used, and why the others can not.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    ignored: Vec<Ignored>,
}

/// A published key that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Where it stands, from zero.
    pub position: usize,
    /// Why it is not used.
    pub reason: &'static str,
}

/// A payload that the issuer has signed: only a key set can make one.
pub struct VerifiedPayload<'a>(&'a [u8]);

/// Why no key vouches for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// The token names a key that is not in the set: perhaps the set is old.
    UnknownKeyId,
    /// No key fits, more than one fits, or the signature is wrong.
    Forged,
}

impl KeySet {
    /// Reads a key set, to be used with the allowed algorithms only.
    ///
    /// # Errors
    /// Tells why it can not be used as a whole: no key set, too many keys, or none of use.
    pub fn read(body: &[u8], allowed: &[Algorithm], max_keys: usize) -> Result<Self, &'static str> {
        let document = strict_json::object(body).ok_or("what was found is no JSON object, or an ambiguous one")?;
        let Some(Value::Array(published)) = document.get("keys") else {
            return Err("what was found is no key set");
        };
        if published.len() > max_keys {
            return Err("there are more keys than max_keys");
        }
        let (mut keys, mut ignored) = (Vec::new(), Vec::new());
        for (position, jwk) in published.iter().enumerate() {
            match jwk.as_object().ok_or("it is no key").and_then(|jwk| Key::read(jwk, allowed)) {
                Ok(key) => keys.push(key),
                Err(reason) => ignored.push(Ignored { position, reason }),
            }
        }
        if keys.is_empty() {
            return Err("there is no key of use");
        }
        Ok(Self { keys, ignored })
    }

    /// Returns how many keys are used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells whether no key is used; never so for a set that was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys that are not used.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Checks the signature with the one key that fits the token's header.
    ///
    /// # Errors
    /// Tells whether the named key is not in the set; everything else is `Forged`.
    pub fn verify<'a>(&self, jws: &'a UnverifiedJws<'_>) -> Result<VerifiedPayload<'a>, KeyFault> {
        let header = jws.header();
        let is_named = |key: &&Key| header.key_id.as_deref().is_none_or(|id| key.has_id(id));
        if !self.keys.iter().any(|key| is_named(&key)) {
            return Err(KeyFault::UnknownKeyId);
        }
        let mut fitting = self.keys.iter().filter(is_named).filter_map(|key| key.verifier(header.algorithm));
        // two keys under one name, or none named where there are two: trying them all would be guessing
        let (Some(verifier), None) = (fitting.next(), fitting.next()) else {
            return Err(KeyFault::Forged);
        };
        verifier.verify_sig(jws.signed(), jws.signature()).map_err(|_| KeyFault::Forged)?;
        Ok(VerifiedPayload(jws.unverified_payload()))
    }
}

impl<'a> VerifiedPayload<'a> {
    /// Returns what was signed.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::KeySet;
    use crate::oidc::algorithm::Algorithm;

    /// The P-256 key of RFC 7515 appendix A.3, and the Ed25519 key of RFC 8037 appendix A.2.
    const P256: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const ED25519: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn read(keys: &[String], max_keys: usize) -> Result<KeySet, &'static str> {
        KeySet::read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes(), &Algorithm::ALL, max_keys)
    }

    #[test]
    fn keys_that_can_not_be_used_are_left_out() {
        let good = format!("{{{P256}}}");
        let rsa = |bits: usize, e: &str| format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, "_".repeat(bits / 6));
        assert!(read(&[rsa(2064, "AQAB")], 9).is_ok());
        for bad in [
            format!(r#"{{{P256},"use":"enc"}}"#),
            format!(r#"{{{P256},"use":["sig"]}}"#),
            format!(r#"{{{P256},"key_ops":["sign"]}}"#),
            format!(r#"{{{P256},"key_ops":"verify"}}"#),
            format!(r#"{{{P256},"alg":"ES384"}}"#),
            format!(r#"{{{P256},"alg":"RS256"}}"#),
            format!(r#"{{{P256},"alg":"HS256"}}"#),
            format!(r#"{{{P256},"alg":"none"}}"#),
            format!(r#"{{{P256},"kid":7}}"#),
            format!(r#"{{{P256},"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}}"#),
            format!("{{{}}}", P256.replace("P-256", "P-384")),
            format!("{{{}}}", P256.replace("P-256", "secp256k1")),
            format!("{{{}}}", P256.replace("\"EC\"", "\"RSA\"")),
            format!("{{{}}}", P256.replace("\"y\":\"x", "\"y\":\"y")),
            format!("{{{}}}", P256.replace("\"y\"", "\"z\"")),
            format!("{{{}}}", ED25519.replace("Ed25519", "X25519")),
            format!("{{{}}}", ED25519.replace("11qY", "")),
            r#"{"kty":"oct","k":"c2VjcmV0"}"#.into(),
            r#"{"kty":"oct"}"#.into(),
            r#"{"k":"c2VjcmV0"}"#.into(),
            rsa(2040, "AQAB"),
            rsa(1026, "AQAB"),
            rsa(9000, "AQAB"),
            rsa(2064, "AQ"),
            rsa(2064, "AA"),
            rsa(2064, "Ag"),
            rsa(2064, "AQAAAAE"),
            "7".into(),
            "{}".into(),
        ] {
            let set = read(&[bad.clone(), good.clone()], 9).expect("one good key");
            assert_eq!((set.len(), set.ignored().len()), (1, 1), "{bad}");
            assert_eq!(set.ignored()[0].position, 0);
            assert!(read(&[bad], 9).is_err(), "a set without a key of use");
        }
    }

    #[test]
    fn algorithms_are_those_of_the_issuer() {
        let keys = format!(r#"{{"keys":[{{{P256}}},{{{ED25519}}}]}}"#);
        let set = KeySet::read(keys.as_bytes(), &[Algorithm::EdDsa, Algorithm::Rs256], 9).expect("a key set");
        assert_eq!((set.len(), set.ignored().len(), set.is_empty()), (1, 1, false));
        assert!(KeySet::read(keys.as_bytes(), &[Algorithm::Rs256], 9).is_err());
    }

    #[test]
    fn what_is_no_key_set_is_refused_as_a_whole() {
        for body in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
            assert!(KeySet::read(body.as_bytes(), &Algorithm::ALL, 9).is_err(), "{body}");
        }
        let keys = vec![format!("{{{P256}}}"); 3];
        assert!(read(&keys, 3).is_ok());
        assert!(read(&keys, 2).is_err());
    }
}
