//! A token is taken as it came or not at all, and nothing but a signed token is believed.

use glance_gate::keystone::jws;
use glance_gate::openstack::token::MAX_TOKEN_BYTES;
use glance_gate::openstack::token::UnverifiedToken;
use glance_gate::openstack::token::X_AUTH_TOKEN;
use glance_gate::openstack::token::X_STORAGE_TOKEN;
use http::HeaderMap;
use http::HeaderValue;
use jsonwebtoken::Algorithm;
use jsonwebtoken::DecodingKey;

/// A key whose private half nobody has kept.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEy+/X90jfLdKG4nbmXEMPoplUVx5h
T2DGtQSLFMsQAmDwbzqdQZREGNmwFZ03dOTZ4BtmpKJxAx/cLHd7dtlYKQ==
-----END PUBLIC KEY-----
";

/// The one token that key has signed; good until 2100.
pub const SIGNED: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiaWF0IjoxLCJleHAiOjQxMDI0NDQ4MDAsIm9wZW5zdGFja19wcm9qZWN0X2lk",
    "IjoicCIsIm9wZW5zdGFja19tZXRob2RzIjpbInBhc3N3b3JkIl0sIm9wZW5zdGFja19hdWRpdF9pZHMiOlsiYSJdfQ.VLWhNxDZZJJy-7-Sdnyv6",
    "49RUN7tk_RmwPZI3HmhVGei-PSTmAhgGIKU6Ddi3ykj__EzX7VrapMDaQ8XaL90yQ",
);

/// Checks the property on header values, one a line; a line that starts with `!` stands under the alias.
pub fn holds(lines: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n').take(8) {
        let (name, value) = match line.strip_prefix(b"!") {
            Some(value) => (X_STORAGE_TOKEN, value),
            None => (X_AUTH_TOKEN, line),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let Ok(token) = UnverifiedToken::from_headers(&headers) else { return };
    let text = token.expose_str();
    assert_eq!(headers.len(), 1, "one token, under one name");
    assert_eq!(headers.get(X_AUTH_TOKEN).map(HeaderValue::as_bytes), Some(text.as_bytes()), "as it came");
    assert!((1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(token.looks_signed(), text.split('.').count() == 3);
    assert_eq!(format!("{token:?}"), "UnverifiedToken(***)", "never printed");

    let key = DecodingKey::from_ec_pem(PUBLIC_KEY.as_bytes()).expect("a key");
    let claims = jws::verify(text, &key, Algorithm::ES256);
    assert_eq!(claims.is_ok(), text == SIGNED, "only the signed bytes are believed, and those are: {text}");
    for other in [Algorithm::ES384, Algorithm::EdDSA, Algorithm::HS256] {
        assert!(jws::verify(text, &key, other).is_err(), "a key speaks one algorithm");
    }
}
