//! One thing that is no longer as it was.

use uuid::Uuid;

use crate::openstack::identity::ProjectId;
use crate::openstack::identity::UserId;
use crate::openstack::token::TokenDigest;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// The image's owner, visibility or members may have changed.
    Image(Uuid),
    /// Keystone does not know this token any more.
    Token(TokenDigest),
    /// The user's tokens may have ended, or prove something else now.
    User(UserId),
    /// The tokens for the project may have ended, or prove something else now.
    Project(ProjectId),
    /// Any token may have: what has changed names none of them.
    AllTokens,
    /// Any image may have changed: something was missed.
    AllImages,
}

impl News {
    /// Returns the word used in the metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Token(_) => "token",
            Self::User(_) => "user",
            Self::Project(_) => "project",
            Self::AllTokens => "all_tokens",
            Self::AllImages => "all_images",
        }
    }
}
