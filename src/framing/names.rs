//! The names of fields, read cheaply.

use http::HeaderName;
use http::header::InvalidHeaderName;

/// Names that `http` has no constant for, and that most messages of an image store carry.
static OFTEN_SEEN: [HeaderName; 4] = [
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-openstack-request-id"),
    HeaderName::from_static("x-service-token"),
    HeaderName::from_static("x-forwarded-for"),
];

/// Reads a name in any case. One that `http` does not know is memory of its own, unless it is seen often.
///
/// # Errors
/// Fails if the bytes are no name (RFC 9110 section 5.1), or one that `http` does not hold.
pub fn read(name: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let known = match name.len() {
        12 | 15 | 22 => OFTEN_SEEN.iter().find(|known| name.eq_ignore_ascii_case(known.as_str().as_bytes())),
        _ => None,
    };
    known.map_or_else(|| HeaderName::from_bytes(name), |known| Ok(known.clone()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::OFTEN_SEEN;
    use super::read;

    #[test]
    fn a_name_is_read_as_http_reads_it() {
        let names = ["X-Auth-Token", "x-openstack-request-ID", "host", "X-Auth-Tokem", "x-service-tokens", "a b", ""];
        for name in
            names.into_iter().map(str::to_owned).chain(OFTEN_SEEN.iter().map(|name| name.as_str().to_uppercase()))
        {
            assert_eq!(read(name.as_bytes()).ok(), HeaderName::from_bytes(name.as_bytes()).ok(), "{name}");
        }
    }

    #[test]
    fn all_that_are_seen_often_are_looked_for() {
        assert!(OFTEN_SEEN.iter().all(|name| matches!(name.as_str().len(), 12 | 15 | 22)));
    }
}
