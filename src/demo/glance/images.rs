//! The images a Glance stand-in holds, and their members.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// Who may see an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Everybody who knows its id.
    Community,
    /// The owner and the members.
    #[default]
    Shared,
    /// The owner.
    Private,
}

impl Visibility {
    /// Returns the visibility of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "public" => Some(Self::Public),
            "community" => Some(Self::Community),
            "shared" => Some(Self::Shared),
            "private" => Some(Self::Private),
            _ => None,
        }
    }
}

/// Whether an image can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStatus {
    /// It has no data yet.
    Queued,
    /// It has data.
    Active,
}

/// Describes an image to be there from the start.
#[derive(Clone, Debug, Default)]
pub struct ImageSpec {
    /// The id; a new one when there is none.
    pub id: Option<String>,
    /// The name.
    pub name: String,
    /// The project that owns it.
    pub owner: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The projects it is shared with, and the status of each.
    pub members: Vec<(String, String)>,
    /// How much generated data it has; without any it is queued.
    pub size: Option<u64>,
    /// Whether it may not be deleted.
    pub protected: bool,
}

impl ImageSpec {
    /// Describes a shared image of this project, without members, with 16 bytes of data.
    #[must_use]
    pub fn owned_by(project: &str) -> Self {
        Self { name: "image".to_owned(), owner: project.to_owned(), size: Some(16), ..Self::default() }
    }

    /// Shares it with this project, the status still pending.
    #[must_use]
    pub fn member(self, project: &str) -> Self {
        self.member_with(project, "pending")
    }

    /// Shares it with this project, with this status.
    #[must_use]
    pub fn member_with(mut self, project: &str, status: &str) -> Self {
        self.members.push((project.to_owned(), status.to_owned()));
        self
    }

    /// Sets who may see it.
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }
}

/// What an upload brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256_hex: String,
}

/// An image's data.
#[derive(Clone, Debug)]
pub enum Content {
    /// There is none yet.
    None,
    /// These very bytes.
    Kept(Bytes),
    /// So many bytes, generated when asked for.
    Generated(u64),
}

/// A project an image is shared with.
#[derive(Clone, Debug)]
pub struct Member {
    /// The project, or whatever else was given as one.
    pub id: String,
    /// pending, accepted or rejected.
    pub status: String,
    /// When it was added.
    pub created_at: OffsetDateTime,
    /// When its status last changed.
    pub updated_at: OffsetDateTime,
}

impl Member {
    /// Returns a member added now.
    #[must_use]
    pub fn new(id: &str, status: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        Self { id: id.to_owned(), status: status.to_owned(), created_at: now, updated_at: now }
    }
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The project that owns it.
    pub owner: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The projects it is shared with.
    pub members: Vec<Member>,
    /// Whether it can be used.
    pub status: ImageStatus,
    /// Its data.
    pub content: Content,
    /// What was uploaded, if it was.
    pub upload: Option<Upload>,
    /// Whether it may not be deleted.
    pub protected: bool,
    /// The disk format.
    pub disk_format: Option<String>,
    /// The container format.
    pub container_format: Option<String>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
    /// Its place in the order of creation.
    pub number: u64,
}

impl Image {
    /// Returns the size of its data.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match &self.content {
            Content::None => None,
            Content::Kept(bytes) => Some(bytes.len() as u64),
            Content::Generated(bytes) => Some(*bytes),
        }
    }

    /// Returns this member.
    #[must_use]
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Gives it data.
    pub fn fill(&mut self, content: Content) {
        self.content = content;
        self.status = ImageStatus::Active;
        self.updated_at = OffsetDateTime::now_utc();
    }
}

/// All images of a stand-in.
#[derive(Debug, Default)]
pub struct Images {
    /// By id.
    pub by_id: HashMap<String, Image>,
    next: u64,
}

impl Images {
    /// Adds an image and returns its id.
    pub fn add(&mut self, spec: ImageSpec) -> String {
        let id = spec.id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let now = OffsetDateTime::now_utc();
        let mut image = Image {
            id: id.clone(),
            name: Some(spec.name),
            owner: spec.owner,
            visibility: spec.visibility,
            members: spec.members.iter().map(|(project, status)| Member::new(project, status)).collect(),
            status: ImageStatus::Queued,
            content: Content::None,
            upload: None,
            protected: spec.protected,
            disk_format: Some("raw".to_owned()),
            container_format: Some("bare".to_owned()),
            created_at: now,
            updated_at: now,
            number: self.next,
        };
        if let Some(bytes) = spec.size {
            image.fill(Content::Generated(bytes));
        }
        self.insert(image);
        id
    }

    /// Puts an image in, as the newest.
    pub fn insert(&mut self, mut image: Image) {
        image.number = self.next;
        self.next += 1;
        self.by_id.insert(image.id.clone(), image);
    }
}
