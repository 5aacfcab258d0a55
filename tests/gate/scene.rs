//! An image of one project, shared with another, and a token of everybody concerned.

use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::glance::Visibility;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Call;
use crate::harness::Gate;

pub const OWNER: &str = "b5ce1b78ab6e45ee9242cf941d395bde";
pub const MEMBER: &str = "ffd183d9af264ee682d8ed13b3d8aa49";
pub const STRANGER: &str = "2cd362afb58c4661a44d99d95132f7a5";
pub const ACCEPT: &str = r#"{"status": "accepted"}"#;
/// What a permitted body is forwarded as.
pub const CANONICAL: &str = r#"{"status":"accepted"}"#;

/// Who is there.
pub struct Scene {
    pub image: String,
    /// The member's resource.
    pub target: String,
    pub owner: String,
    pub member: String,
    pub stranger: String,
}

impl Scene {
    pub fn new(gate: &Gate) -> Self {
        Self::with(gate, ImageSpec::owned_by(OWNER).member(MEMBER))
    }

    pub fn visible(gate: &Gate, visibility: Visibility) -> Self {
        Self::with(gate, ImageSpec::owned_by(OWNER).member(MEMBER).visibility(visibility))
    }

    pub fn with(gate: &Gate, spec: ImageSpec) -> Self {
        let image = gate.glance.add_image(spec);
        let token = |project| gate.keystone.issue(TokenSpec::member(project));
        Self {
            target: member_target(&image),
            image,
            owner: token(OWNER),
            member: token(MEMBER),
            stranger: token(STRANGER),
        }
    }

    /// Returns a call that accepts the image, without a token yet.
    pub fn accept(&self, gate: &Gate) -> Call {
        gate.call("PUT", &self.target).header("Accept", "application/json").json(ACCEPT)
    }

    /// Returns the target of the image itself, which is where its owner is looked up.
    pub fn image_target(&self) -> String {
        format!("/v2/images/{}", self.image)
    }

    pub fn status(&self, gate: &Gate) -> Option<String> {
        gate.glance.member_status(&self.image, MEMBER)
    }
}

pub fn member_target(image: &str) -> String {
    format!("/v2/images/{image}/members/{MEMBER}")
}
