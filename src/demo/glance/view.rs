//! How images and schemas are shown.

use serde::Serialize;
use time::OffsetDateTime;

use crate::demo::glance::images::Image;
use crate::demo::glance::images::ImageStatus;
use crate::demo::glance::images::Visibility;

/// The schema of a member, as Glance writes it.
pub const MEMBER_SCHEMA: &str = r#"{"name": "member", "properties": {"member_id": {"type": "string", "description": "An identifier for the image member (tenantId)"}, "image_id": {"type": "string", "description": "An identifier for the image", "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"}, "created_at": {"type": "string", "description": "Date and time of image member creation"}, "updated_at": {"type": "string", "description": "Date and time of last modification of image member"}, "status": {"type": "string", "description": "The status of this image member", "enum": ["pending", "accepted", "rejected"]}, "schema": {"readOnly": true, "type": "string"}}}"#;

/// Returns the schema of a list of members.
#[must_use]
pub fn members_schema() -> String {
    format!(
        r#"{{"name": "members", "properties": {{"members": {{"type": "array", "items": {MEMBER_SCHEMA}}}, "schema": {{"type": "string"}}}}, "links": [{{"rel": "describedby", "href": "{{schema}}"}}]}}"#
    )
}

/// Returns the time as Glance writes it.
#[must_use]
pub fn stamp(time: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// An image as it is shown.
#[derive(Serialize)]
pub struct ImageView<'a> {
    name: Option<&'a str>,
    disk_format: Option<&'a str>,
    container_format: Option<&'a str>,
    visibility: Visibility,
    size: Option<u64>,
    virtual_size: Option<u64>,
    status: ImageStatus,
    checksum: Option<&'a str>,
    protected: bool,
    min_ram: u64,
    min_disk: u64,
    owner: &'a str,
    os_hidden: bool,
    os_hash_algo: Option<&'a str>,
    os_hash_value: Option<&'a str>,
    id: &'a str,
    created_at: String,
    updated_at: String,
    tags: [&'a str; 0],
    #[serde(rename = "self")]
    own_path: String,
    file: String,
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stores: Option<&'static str>,
}

impl<'a> ImageView<'a> {
    /// Returns the image as it is shown.
    #[must_use]
    pub fn new(image: &'a Image) -> Self {
        Self {
            name: image.name.as_deref(),
            disk_format: image.disk_format.as_deref(),
            container_format: image.container_format.as_deref(),
            visibility: image.visibility,
            size: image.size(),
            virtual_size: image.size(),
            status: image.status,
            checksum: None,
            protected: image.protected,
            min_ram: 0,
            min_disk: 0,
            owner: &image.owner,
            os_hidden: false,
            os_hash_algo: None,
            os_hash_value: None,
            id: &image.id,
            created_at: stamp(image.created_at),
            updated_at: stamp(image.updated_at),
            tags: [],
            own_path: format!("/v2/images/{}", image.id),
            file: format!("/v2/images/{}/file", image.id),
            schema: "/v2/schemas/image",
            stores: (image.status == ImageStatus::Active).then_some("demo"),
        }
    }
}

/// A list of images as it is shown.
#[derive(Serialize)]
pub struct ImagesView<'a> {
    /// The images of this page.
    pub images: Vec<ImageView<'a>>,
    /// The path of the first page.
    pub first: String,
    /// Always the same.
    pub schema: &'static str,
    /// The path of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
