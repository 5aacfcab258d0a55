//! Who owns an image and who may see it.

use std::fmt;

use crate::openstack::identity::ProjectId;

/// Who may see an image (Glance: `visibility`). Only *shared* images have members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everybody sees it and lists it.
    Public,
    /// Everybody sees it.
    Community,
    /// The owner and the members see it.
    Shared,
    /// Only the owner sees it.
    Private,
}

/// What an ownership lookup tells of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOwnership {
    /// The owning project; Glance allows an image without one.
    pub owner: Option<ProjectId>,
    /// Who may see the image.
    pub visibility: Visibility,
}

/// What an ownership lookup showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No image can have this id.
    Impossible,
    /// Glance shows no such image to the viewer.
    Absent,
    /// This image.
    Image(ImageOwnership),
}

impl Visibility {
    /// Parses Glance's word; an unknown word is no visibility, never a weaker one.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "public" => Some(Self::Public),
            "community" => Some(Self::Community),
            "shared" => Some(Self::Shared),
            "private" => Some(Self::Private),
            _ => None,
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
        })
    }
}
