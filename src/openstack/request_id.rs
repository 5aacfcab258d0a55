//! The request id that `OpenStack` services hand along: `req-<uuid>`.

use std::fmt;

use http::HeaderName;
use http::HeaderValue;
use uuid::Uuid;

/// The header that carries it.
pub const X_OPENSTACK_REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// An id of the form `req-<uuid>` (`oslo_middleware.request_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(Uuid);

/// Which of an id's draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Whether something is done.
    First,
    /// Whether more is done where the first said yes.
    Second,
}

impl RequestId {
    /// Makes a new id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Takes over a client's id if it is exactly `req-<uuid>`; Glance answers 500 to long ones.
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?.strip_prefix("req-")?;
        // `try_parse` also takes the braced and the undashed form.
        if text.len() != 36 {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self)
    }

    /// Draws one of a hundred, always the same one for the same id. Two draws of one id have nothing to do with each other.
    pub fn draw(self, draw: Draw) -> u8 {
        // the bits of a random id (RFC 9562 section 5.4) that are neither its version nor its variant
        let shift = match draw {
            Draw::First => 0,
            Draw::Second => 80,
        };
        let bits = (self.0.as_u128() >> shift) & 0xffff_ffff;
        u8::try_from(bits % 100).unwrap_or_default()
    }

    /// Writes the id as a header value.
    pub fn to_header(self) -> HeaderValue {
        let mut text = [0; 40];
        self.write(&mut text);
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("req-"))
    }

    /// Writes the id as text, without an allocation: it is written three times for each request.
    pub fn encode(self, text: &mut [u8; 40]) -> &str {
        self.write(text);
        std::str::from_utf8(text).unwrap_or_default()
    }

    fn write(self, text: &mut [u8; 40]) {
        let (prefix, uuid) = text.split_at_mut(4);
        prefix.copy_from_slice(b"req-");
        self.0.hyphenated().encode_lower(uuid);
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "req-{}", self.0.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::RequestId;

    #[test]
    fn only_the_exact_form_is_taken_over() {
        let good = "req-11111111-2222-4333-8444-555555555555";
        let id = RequestId::parse(&HeaderValue::from_static(good)).expect("the exact form");
        assert_eq!(id.to_header(), good);
        assert_eq!(id.to_string(), good);
        for bad in [
            "",
            "req-",
            "hello world",
            "req-{11111111-2222-4333-8444-555555555555}",
            "11111111-2222-4333-8444-555555555555",
        ] {
            assert!(RequestId::parse(&HeaderValue::from_str(bad).expect("a header")).is_none(), "{bad}");
        }
    }
}
