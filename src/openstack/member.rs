//! The status of an image member, as the body of a member update names it.

use std::fmt;

use bytes::Bytes;

/// The three statuses Glance knows (`glance/domain/__init__.py`, `ImageMembership`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// As created: not in the member's list.
    Pending,
    /// In the member's list.
    Accepted,
    /// Not in the member's list, by the member's own wish.
    Rejected,
}

/// The status a client asked for: one of the three, or something only Glance may judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedStatus {
    /// One of the three, exactly.
    Known(MemberStatus),
    /// Any other JSON value, kept as canonical JSON: Glance refuses it, but only after its own checks.
    Unknown(Bytes),
}

/// What the headers of a member update say of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// JSON, or nothing.
    Json,
    /// Another type, or two.
    Other,
    /// It is compressed.
    Encoded,
}

impl Media {
    /// Returns the word used in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Other => "other",
            Self::Encoded => "encoded",
        }
    }
}

impl MemberStatus {
    /// All statuses.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Accepted, Self::Rejected];

    /// Parses the exact word: Glance compares case and blanks.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Returns Glance's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl RequestedStatus {
    /// Returns the body that is forwarded: this and nothing else that the client wrote.
    pub fn canonical_body(&self) -> Bytes {
        match self {
            Self::Known(MemberStatus::Pending) => Bytes::from_static(br#"{"status":"pending"}"#),
            Self::Known(MemberStatus::Accepted) => Bytes::from_static(br#"{"status":"accepted"}"#),
            Self::Known(MemberStatus::Rejected) => Bytes::from_static(br#"{"status":"rejected"}"#),
            Self::Unknown(value) => {
                let mut body = Vec::with_capacity(value.len() + 12);
                body.extend_from_slice(br#"{"status":"#);
                body.extend_from_slice(value);
                body.push(b'}');
                body.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MemberStatus;
    use super::RequestedStatus;

    #[test]
    fn the_canonical_body_names_the_status() {
        for status in MemberStatus::ALL {
            assert_eq!(RequestedStatus::Known(status).canonical_body(), format!(r#"{{"status":"{status}"}}"#));
            assert_eq!(MemberStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(RequestedStatus::Unknown("null".into()).canonical_body(), r#"{"status":null}"#);
        assert_eq!(MemberStatus::parse("Accepted"), None);
    }
}
