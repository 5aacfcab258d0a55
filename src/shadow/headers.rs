//! Which headers of a request may leave for staging. What is not named here stays.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::ACCEPT;
use http::header::ACCEPT_CHARSET;
use http::header::ACCEPT_LANGUAGE;
use http::header::AUTHORIZATION;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::COOKIE;
use http::header::PROXY_AUTHORIZATION;
use http::header::SET_COOKIE;
use http::header::USER_AGENT;
use memchr::memmem;
use percent_encoding::percent_decode;

use crate::openstack::token::X_AUTH_TOKEN;
use crate::openstack::token::X_SERVICE_TOKEN;
use crate::openstack::token::X_STORAGE_TOKEN;
use crate::shadow::config::Config;

/// Tells staging that the request is a copy, and of which request.
pub const X_GLANCE_GATE_SHADOW: HeaderName = HeaderName::from_static("x-glance-gate-shadow");
/// Names a write, so that whoever gets it twice can tell (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What always goes. `Accept-Encoding` does not: compressed answers could not be compared.
const PLAIN: [HeaderName; 6] = [ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE, CONTENT_TYPE, CONTENT_ENCODING, USER_AGENT];

/// Where clients put what nobody else may have.
const CREDENTIALS: [HeaderName; 6] =
    [X_AUTH_TOKEN, X_SERVICE_TOKEN, X_STORAGE_TOKEN, AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];

/// What no configuration lets through, besides the credentials: who somebody is, and what belongs to the connection.
const NEVER: [&str; 26] = [
    "set-cookie",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "range",
    "forwarded",
    "idempotency-key",
    "accept-encoding",
    "x-openstack-request-id",
    "x-glance-gate-shadow",
    "x-identity-status",
    "x-roles",
    "x-role",
    "x-user",
    "x-tenant",
    "x-storage-token",
    "x-catalog",
    "x-service-catalog",
    "openstack-system-scope",
    "x-is-admin-project",
];

/// The beginnings of names that are no better.
const NEVER_BEGINS: [&str; 10] = [
    "x-user-",
    "x-project-",
    "x-tenant-",
    "x-domain-",
    "x-service-",
    "x-trust-",
    "x-forwarded-",
    "x-auth-",
    "x-real-",
    "proxy-",
];

/// What within a name tells of a secret.
const NEVER_HOLDS: [&str; 7] = ["token", "cookie", "authoriz", "password", "secret", "credential", "api-key"];

/// A credential shorter than this is not looked for in other places: it would be found by chance.
const MIN_SECRET: usize = 8;

/// Tells whether no configuration may let a header of this name go. `_` counts as `-`: a WSGI server takes both for one.
pub fn is_never_sent(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    NEVER.contains(&name.as_str())
        || NEVER_BEGINS.iter().any(|begin| name.starts_with(begin))
        || NEVER_HOLDS.iter().any(|part| name.contains(part))
}

/// Copies the headers that may go, and counts their bytes. The values are memory of their own: one that is only shared
/// would keep all that was read with it.
pub fn outgoing(headers: &HeaderMap, config: &Config) -> (HeaderMap, usize) {
    let goes = |name: &HeaderName| {
        let is_named = PLAIN.contains(name) || config.keep_headers.contains(name);
        is_named && !config.drop_headers.contains(name)
    };
    detached(headers, goes)
}

/// Copies one value, so that it is memory of its own.
pub fn own(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// Copies the headers of an answer, and counts their bytes.
pub fn answered(headers: &HeaderMap) -> (HeaderMap, usize) {
    detached(headers, |name| *name != SET_COOKIE && !name.as_str().contains("token"))
}

/// Copies the headers that carry credentials.
pub fn credentials(headers: &HeaderMap) -> HeaderMap {
    let mut own = detached(headers, |name| CREDENTIALS.contains(name)).0;
    own.values_mut().for_each(|value| value.set_sensitive(true));
    own
}

fn detached(headers: &HeaderMap, keeps: impl Fn(&HeaderName) -> bool) -> (HeaderMap, usize) {
    let mut copied = HeaderMap::new();
    let mut bytes = 0;
    for (name, value) in headers.iter().filter(|(name, _)| keeps(name)) {
        let Ok(mut own) = HeaderValue::from_bytes(value.as_bytes()) else { continue };
        own.set_sensitive(value.is_sensitive());
        bytes += name.as_str().len() + value.len() + 64;
        copied.append(name.clone(), own);
    }
    (copied, bytes)
}

/// Tells whether one of the credentials stands in the bytes, as it is or percent-encoded (RFC 3986 section 2.1).
pub fn holds_a_credential(credentials: &HeaderMap, bytes: &[u8]) -> bool {
    if credentials.is_empty() || bytes.is_empty() {
        return false;
    }
    let decoded: Vec<u8> = percent_decode(bytes).collect();
    let mut values = credentials.values().flat_map(|value| value.as_bytes().split(|byte| b" ;=,".contains(byte)));
    let whole = credentials.values().map(HeaderValue::as_bytes);
    let is_there = |secret: &[u8]| {
        secret.len() >= MIN_SECRET
            && (memmem::find(bytes, secret).is_some() || memmem::find(&decoded, secret).is_some())
    };
    values.any(is_there) || whole.into_iter().any(is_there)
}

/// Tells whether a query names a parameter by which tokens and passwords are handed over.
pub fn query_names_a_secret(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name: Vec<u8> = percent_decode(name.as_bytes()).collect();
        let name = String::from_utf8_lossy(&name).to_ascii_lowercase().replace('_', "-");
        NEVER_HOLDS.iter().any(|part| name.contains(part)) || name.contains("signature")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::HeaderName;
    use http::HeaderValue;

    use super::holds_a_credential;
    use super::is_never_sent;
    use super::outgoing;
    use super::query_names_a_secret;
    use crate::shadow::config::Config;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::try_from(*value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn no_name_of_a_credential_or_an_identity_may_be_kept() {
        for name in [
            "X-Auth-Token",
            "x_auth_token",
            "X-Service-Token",
            "X-Subject-Token",
            "X-Storage-Token",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie2",
            "X-User-Id",
            "X_User_Id",
            "X-Roles",
            "X-Project-Id",
            "X_Project_Name",
            "X-Tenant",
            "X-Domain-Id",
            "X-Service-Roles",
            "X-Identity-Status",
            "OpenStack-System-Scope",
            "X-Is-Admin-Project",
            "X-Forwarded-For",
            "Forwarded",
            "Host",
            "Range",
            "X-My-Password",
            "X-Api-Key",
            "Idempotency-Key",
        ] {
            assert!(is_never_sent(name), "{name}");
        }
        for name in ["Accept", "X-Image-Meta-Name", "X-Glance-Version", "X-Trace", "If-None-Match"] {
            assert!(!is_never_sent(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let sent = headers(&[
            ("x-auth-token", "t"),
            ("accept", "*/*"),
            ("accept-encoding", "gzip"),
            ("user-agent", "cli"),
            ("x-image-meta-name", "n"),
            ("x-strange", "s"),
            ("host", "h"),
        ]);
        let mut config = Config::default();
        assert_eq!(outgoing(&sent, &config).0, headers(&[("accept", "*/*"), ("user-agent", "cli")]));
        config.keep_headers = vec![HeaderName::from_static("x-image-meta-name")];
        config.drop_headers = vec![HeaderName::from_static("user-agent")];
        assert_eq!(outgoing(&sent, &config).0, headers(&[("accept", "*/*"), ("x-image-meta-name", "n")]));
    }

    #[test]
    fn a_credential_is_found_wherever_it_is_put() {
        let secrets = headers(&[("x-auth-token", "gAAAA-token=="), ("authorization", "Bearer eyJhbGciOi.x.y")]);
        for text in
            ["/v2/images?x=gAAAA-token==", "/v2?x=gAAAA-token%3D%3D", "/eyJhbGciOi.x.y/", "{\"a\":\"gAAAA-token==\"}"]
        {
            assert!(holds_a_credential(&secrets, text.as_bytes()), "{text}");
        }
        for text in ["/v2/images?limit=2", "", "/v2/images/Bearer"] {
            assert!(!holds_a_credential(&secrets, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_hands_a_secret_over_is_known_by_its_name() {
        for query in ["token=x", "limit=2&access_token=x", "X-Auth-Token=", "auth%5Ftoken=1", "temp_url_signature=1"] {
            assert!(query_names_a_secret(query), "{query}");
        }
        for query in ["", "limit=2&marker=x", "name=token", "sort_key=name"] {
            assert!(!query_names_a_secret(query), "{query}");
        }
    }
}
