//! Headers that belong to one connection and end with it (RFC 9110 section 7.6.1).

use http::HeaderMap;
use http::HeaderName;
use http::header;

/// The headers that are rebuilt for each connection.
pub const NAMES: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Removes the hop-by-hop headers, and those that `Connection` names.
pub fn strip(headers: &mut HeaderMap) {
    if let Some(named) = headers.get(header::CONNECTION) {
        let named: Vec<HeaderName> = named
            .to_str()
            .unwrap_or_default()
            .split(',')
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in NAMES {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::HeaderValue;

    use super::strip;

    #[test]
    fn only_end_to_end_headers_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-of-this-hop"),
            ("x-of-this-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-type", "application/json"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
    }
}
