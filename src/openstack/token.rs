//! The token a client sends: unverified, and never printed.

use std::fmt;
use std::fmt::Write;
use std::sync::OnceLock;

use aws_lc_rs::digest;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::AUTHORIZATION;

use crate::secret::Secret;

/// The header that carries a Keystone token.
pub const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The old alias that keystonemiddleware still reads; the gate refuses it.
pub const X_STORAGE_TOKEN: HeaderName = HeaderName::from_static("x-storage-token");

/// The header that carries a service's own token beside a user's.
pub const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// The longest token the gate looks at, in bytes: Keystone's `max_token_size` is 255 by default, JWS tokens stay below 2 KiB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token as it came, before anybody vouched for it.
#[derive(Clone)]
pub struct UnverifiedToken {
    value: Secret<HeaderValue>,
    digest: OnceLock<TokenDigest>,
}

/// The one credential of a request.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A Keystone token, in `X-Auth-Token`.
    Keystone(UnverifiedToken),
    /// An access token of another issuer, in `Authorization: Bearer` (RFC 6750 section 2.1).
    Bearer(UnverifiedToken),
}

/// The digest a verdict is remembered under: the token itself is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

/// Why a request carries no usable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// No token at all, or an empty one.
    Missing,
    /// More than one token, or one under an alias.
    Ambiguous,
    /// Not a string any token could be.
    Malformed,
}

/// Tells whether all bytes are visible ASCII. Without a branch a byte, so that the compiler looks at many at once.
fn are_graphic(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, byte| good & byte.is_ascii_graphic())
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("UnverifiedToken(***)")
    }
}

impl Credential {
    /// Takes the one credential of a request; `Authorization` only counts where there is an issuer.
    ///
    /// # Errors
    /// Tells whether there is none, more than one, or one that none could be.
    pub fn from_headers(headers: &HeaderMap, has_issuer: bool) -> Result<Self, TokenFault> {
        let keystone = UnverifiedToken::from_headers(headers);
        if !has_issuer {
            return keystone.map(Self::Keystone);
        }
        match (keystone, UnverifiedToken::bearer_from_headers(headers)) {
            (Err(TokenFault::Missing), bearer) => bearer.map(Self::Bearer),
            (keystone, Err(TokenFault::Missing)) => keystone.map(Self::Keystone),
            (_, _) => Err(TokenFault::Ambiguous),
        }
    }

    /// Takes the credential that keystonemiddleware would go by, of a request that is Glance's to judge: the alias counts
    /// where there is no `X-Auth-Token`, and of several the last, as uWSGI reads them.
    pub fn as_glance_reads(headers: &HeaderMap, has_issuer: bool) -> Option<Self> {
        let last = |name: &HeaderName| headers.get_all(name).iter().next_back();
        match last(&X_AUTH_TOKEN).or_else(|| last(&X_STORAGE_TOKEN)) {
            Some(token) => UnverifiedToken::parse(token).ok().map(Self::Keystone),
            None if has_issuer => UnverifiedToken::bearer_from_headers(headers).ok().map(Self::Bearer),
            None => None,
        }
    }

    /// Returns the token of whichever kind.
    pub fn token(&self) -> &UnverifiedToken {
        match self {
            Self::Keystone(token) | Self::Bearer(token) => token,
        }
    }

    /// Returns the header that carries it.
    pub fn to_header(&self) -> (HeaderName, HeaderValue) {
        match self {
            Self::Keystone(token) => (X_AUTH_TOKEN, token.expose().clone()),
            Self::Bearer(token) => {
                // a token is visible ASCII, so the value is one as well
                let value = HeaderValue::try_from(format!("Bearer {}", token.expose_str()));
                let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
                value.set_sensitive(true);
                (AUTHORIZATION, value)
            }
        }
    }
}

impl UnverifiedToken {
    fn bearer_from_headers(headers: &HeaderMap) -> Result<Self, TokenFault> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(TokenFault::Missing)?;
        if values.next().is_some() {
            return Err(TokenFault::Ambiguous);
        }
        let text = value.to_str().map_err(|_| TokenFault::Malformed)?;
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Self::parse(&HeaderValue::from_str(token.trim()).map_err(|_| TokenFault::Malformed)?)
            }
            // other schemes are not the gate's to read
            _ => Err(TokenFault::Missing),
        }
    }

    /// Takes the one token of a request.
    ///
    /// # Errors
    /// Tells whether there is none, more than one, or one that no token could be.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, TokenFault> {
        if headers.contains_key(X_STORAGE_TOKEN) {
            return Err(TokenFault::Ambiguous);
        }
        Self::only(headers, &X_AUTH_TOKEN)
    }

    /// Takes the one service token of a request.
    ///
    /// # Errors
    /// As [`UnverifiedToken::from_headers`].
    pub fn service_from_headers(headers: &HeaderMap) -> Result<Self, TokenFault> {
        Self::only(headers, &X_SERVICE_TOKEN)
    }

    fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Self, TokenFault> {
        let mut tokens = headers.get_all(name).iter();
        let token = tokens.next().ok_or(TokenFault::Missing)?;
        if tokens.next().is_some() {
            return Err(TokenFault::Ambiguous);
        }
        Self::parse(token)
    }

    fn parse(token: &HeaderValue) -> Result<Self, TokenFault> {
        let bytes = token.as_bytes();
        if bytes.is_empty() {
            return Err(TokenFault::Missing);
        }
        if bytes.len() > MAX_TOKEN_BYTES || !are_graphic(bytes) {
            return Err(TokenFault::Malformed);
        }
        let mut token = token.clone();
        token.set_sensitive(true);
        Ok(Self { value: Secret::new(token), digest: OnceLock::new() })
    }

    /// Returns the header value, for the services that may see it.
    pub fn expose(&self) -> &HeaderValue {
        self.value.expose()
    }

    /// Returns the token as text; it is ASCII by construction.
    pub fn expose_str(&self) -> &str {
        self.value.expose().to_str().unwrap_or_default()
    }

    /// Tells whether the token has the three parts of a signed token (RFC 7515 section 3.1).
    pub fn looks_signed(&self) -> bool {
        self.expose_str().bytes().filter(|&byte| byte == b'.').count() == 2
    }

    /// Returns the SHA-256 of the whole token: two tokens share a verdict only if they are the same bytes.
    pub fn digest(&self) -> TokenDigest {
        *self.digest.get_or_init(|| {
            let mut key = [0; 32];
            key.copy_from_slice(digest::digest(&digest::SHA256, self.value.expose().as_bytes()).as_ref());
            TokenDigest(key)
        })
    }
}

impl TokenDigest {
    /// Returns the digest as lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // writing to a string can not fail
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Reads what [`TokenDigest::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let is_hex = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())?;
        }
        is_hex.then_some(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::HeaderValue;

    use super::TokenFault;
    use super::UnverifiedToken;
    use super::X_AUTH_TOKEN;
    use super::X_STORAGE_TOKEN;

    fn headers(tokens: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for token in tokens {
            headers.append(X_AUTH_TOKEN, HeaderValue::from_bytes(token.as_bytes()).expect("a header"));
        }
        headers
    }

    #[test]
    fn exactly_one_token_is_taken() {
        assert!(UnverifiedToken::from_headers(&headers(&["gAAAA-x_y"])).is_ok());
        for (tokens, fault) in [
            (&[][..], TokenFault::Missing),
            (&[""], TokenFault::Missing),
            (&["a", "b"], TokenFault::Ambiguous),
            (&["a", "a"], TokenFault::Ambiguous),
            (&["a b"], TokenFault::Malformed),
            (&["\u{e4}"], TokenFault::Malformed),
        ] {
            assert_eq!(UnverifiedToken::from_headers(&headers(tokens)).err(), Some(fault), "{tokens:?}");
        }
    }

    #[test]
    fn an_alias_makes_it_ambiguous() {
        let mut headers = headers(&["a"]);
        headers.insert(X_STORAGE_TOKEN, HeaderValue::from_static("a"));
        assert_eq!(UnverifiedToken::from_headers(&headers).err(), Some(TokenFault::Ambiguous));
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = UnverifiedToken::from_headers(&headers(&["very-secret"])).expect("one token");
        assert!(!format!("{token:?}").contains("very-secret"));
    }
}
