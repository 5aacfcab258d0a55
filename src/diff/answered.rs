//! What one side answered, as far as it was kept.

use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;

/// An answer that is compared.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What is known of its body.
    pub body: Content,
}

/// A body, as far as it was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// It was not looked at: images, and whatever else is not small JSON or text.
    #[default]
    Unread,
    /// All of it, perhaps no bytes.
    Whole(Bytes),
    /// It is longer than what is kept.
    TooLong,
}
