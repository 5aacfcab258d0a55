//! A signed token in its compact form (RFC 7515 section 3.1), read strictly and not yet believed.

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use crate::oidc::OidcError;
use crate::oidc::algorithm::Algorithm;
use crate::openstack::base64url;
use crate::openstack::strict_json;
use crate::openstack::token::MAX_TOKEN_BYTES;

/// How many characters a key id may have.
const MAX_KEY_ID: usize = 256;

/// A token whose signature nobody has checked.
pub struct UnverifiedJws<'t> {
    header: Header,
    payload: Vec<u8>,
    signed: &'t str,
    signature: Vec<u8>,
}

/// All that a header may say; whatever else it holds is refused or without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the token says it was signed with.
    pub algorithm: Algorithm,
    /// Which key it says it was signed with.
    pub key_id: Option<String>,
}

/// The one claim that is read before the signature: it only chooses whose keys are tried.
#[derive(Deserialize)]
struct UnverifiedIssuer {
    iss: Option<String>,
}

impl<'t> UnverifiedJws<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `Malformed` if it is not exactly a signed token, `Forged` if its algorithm is none that the gate knows.
    pub fn parse(token: &'t str) -> Result<Self, OidcError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(OidcError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(OidcError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(OidcError::Malformed)?;
        let decode = |part| base64url::decode(part).ok_or(OidcError::Malformed);
        Ok(Self {
            header: Header::parse(&decode(header)?)?,
            // a fourth part would bring a dot, which is no letter of base64url
            payload: decode(payload)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// Returns what the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns who the token says it is from; nothing if it does not say.
    ///
    /// # Errors
    /// `Malformed` if the payload is no JSON object, or has the claim twice or not as text.
    pub fn unverified_issuer(&self) -> Result<Option<String>, OidcError> {
        // serde would take an array for a struct of one field
        if !self.payload.trim_ascii_start().starts_with(b"{") {
            return Err(OidcError::Malformed);
        }
        serde_json::from_slice::<UnverifiedIssuer>(&self.payload)
            .map(|found| found.iss)
            .map_err(|_| OidcError::Malformed)
    }

    /// Returns the bytes that were signed.
    pub fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// Returns the signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the payload, for the key set that checks the signature.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, OidcError> {
        let mut object = strict_json::object(bytes).ok_or(OidcError::Malformed)?;
        let algorithm = text(&mut object, "alg")?.ok_or(OidcError::Malformed)?;
        let key_id = text(&mut object, "kid")?;
        let kind = text(&mut object, "typ")?;
        // certificate thumbprints name a key once more; the gate goes by the key id alone
        text(&mut object, "x5t")?;
        text(&mut object, "x5t#S256")?;
        // what is left would choose the key (jku, jwk, x5u, x5c), change the reading (crit, b64, zip, enc, cty)
        // or mean something that the gate does not know
        if !object.is_empty() || key_id.as_ref().is_some_and(|id| id.chars().count() > MAX_KEY_ID) {
            return Err(OidcError::Malformed);
        }
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("jwt") && !kind.eq_ignore_ascii_case("at+jwt")) {
            return Err(OidcError::Malformed);
        }
        let algorithm = Algorithm::from_name(&algorithm).ok_or(OidcError::Forged)?;
        Ok(Self { algorithm, key_id })
    }
}

/// Takes a text out of the object, if it is there.
fn text(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, OidcError> {
    match object.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(OidcError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Header;
    use crate::oidc::OidcError;
    use crate::oidc::algorithm::Algorithm;

    #[test]
    fn a_header_names_an_algorithm_and_a_key() {
        for (text, key_id) in [
            (r#"{"alg":"ES256"}"#, None),
            (r#"{"alg":"ES256","typ":"jwt","kid":"a"}"#, Some("a")),
            (r#"{"alg":"ES256","typ":"AT+JWT","x5t":"x","x5t#S256":"y"}"#, None),
        ] {
            let header = Header { algorithm: Algorithm::Es256, key_id: key_id.map(str::to_owned) };
            assert_eq!(Header::parse(text.as_bytes()), Ok(header), "{text}");
        }
    }

    #[test]
    fn algorithms_without_a_public_key_are_forgeries() {
        for name in ["none", "None", "HS256", "HS384", "HS512", "es256", "ES512", ""] {
            let text = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(Header::parse(text.as_bytes()), Err(OidcError::Forged), "{text}");
        }
    }

    #[test]
    fn nothing_else_may_stand_in_a_header() {
        let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257));
        for text in [
            "{}",
            r#"{"alg":null}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"alg":"ES256","kid":null}"#,
            r#"{"alg":"ES256","typ":"JWE"}"#,
            r#"{"alg":"ES256","typ":"application/at+jwt"}"#,
            r#"{"alg":"ES256","alg":"ES256"}"#,
            r#"{"alg":"ES256","jku":"http://evil"}"#,
            r#"{"alg":"ES256","jwk":{}}"#,
            r#"{"alg":"ES256","x5u":"http://evil"}"#,
            r#"{"alg":"ES256","x5c":[]}"#,
            r#"{"alg":"ES256","crit":[]}"#,
            r#"{"alg":"ES256","b64":true}"#,
            r#"{"alg":"ES256","zip":"DEF"}"#,
            r#"{"alg":"ES256","enc":"A128GCM"}"#,
            r#"{"alg":"ES256","cty":"JWT"}"#,
            r#"{"alg":"ES256","ALG":"none"}"#,
            &long,
        ] {
            assert_eq!(Header::parse(text.as_bytes()), Err(OidcError::Malformed), "{text}");
        }
    }
}
