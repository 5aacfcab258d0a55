//! What Glance's rules may know: of the image that is acted on, and of who acts.

use std::borrow::Cow;

use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;
use crate::openstack::image::Visibility;
use crate::oslo_policy::template::Attributes;
use crate::oslo_policy::value::Value;

/// What rules may know of an image (`glance.api.policy.ImageTarget`).
#[derive(Clone, Debug)]
pub struct ImageTarget {
    /// The project that owns it, or `None`.
    pub owner: Value,
    /// Who may see it.
    pub visibility: Value,
    /// The caller's project, if the caller sees it as a member.
    pub member: Value,
}

/// What rules may know of a caller (`oslo_context`, `to_policy_values`).
#[derive(Clone, Debug)]
pub struct Caller {
    user: Value,
    /// The project, or `None`.
    pub project: Value,
    domain: Value,
    system: Value,
    roles: Value,
}

/// What the rule `context_is_admin` is asked about: the caller itself (`to_dict`).
#[derive(Clone, Copy, Debug)]
pub struct AdminTarget<'a>(pub &'a Caller);

/// What Glance learns of a caller and the gate does not; the last four are names of older releases.
pub const UNKNOWN_OF_CALLER: [&str; 12] = [
    "user_domain_id",
    "project_domain_id",
    "is_admin_project",
    "service_user_id",
    "service_user_domain_id",
    "service_project_id",
    "service_project_domain_id",
    "service_roles",
    "tenant",
    "user",
    "user_domain",
    "project_domain",
];

/// Tells whether the gate knows an attribute of images.
pub fn is_known_of_image(name: &str) -> bool {
    matches!(name, "owner" | "project_id" | "visibility" | "member" | "member_id")
}

impl Caller {
    /// Takes what a token proves. What the gate does not learn of it stays unknown.
    pub fn of(identity: &Identity) -> Self {
        let user = identity.user.as_str();
        let (project, domain, system) = match &identity.scope {
            Scope::Project(project) => (project.as_str().into(), Value::None, Value::None),
            Scope::Domain(domain) => (Value::None, Value::from(&**domain), Value::None),
            Scope::System => (Value::None, Value::None, "all".into()),
            Scope::Unscoped => (Value::None, Value::None, Value::None),
        };
        let roles = match &identity.roles {
            Roles::Known(roles) => Value::List(roles.iter().map(|role| Value::from(&**role)).collect()),
            Roles::Unknown => Value::Unknown,
        };
        // a decision that is looked at again may lack it
        let user = if user.is_empty() { Value::Unknown } else { user.into() };
        Self { user, project, domain, system, roles }
    }
}

impl ImageTarget {
    /// Takes what is known of an image. `member` is the caller's project where it sees the image as a member.
    pub fn new(owner: Option<&ProjectId>, visibility: Visibility, member: Option<&ProjectId>) -> Self {
        Self {
            owner: owner.map(ProjectId::as_str).into(),
            visibility: Value::Str(visibility.to_string().into()),
            member: member.map(ProjectId::as_str).into(),
        }
    }
}

impl Attributes for Caller {
    fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "user_id" => Some(Cow::Borrowed(&self.user)),
            "project_id" => Some(Cow::Borrowed(&self.project)),
            "domain_id" => Some(Cow::Borrowed(&self.domain)),
            "system_scope" => Some(Cow::Borrowed(&self.system)),
            "system" => (self.system != Value::None).then_some(Cow::Borrowed(&self.system)),
            "roles" => Some(Cow::Borrowed(&self.roles)),
            name => UNKNOWN_OF_CALLER.contains(&name).then_some(Cow::Owned(Value::Unknown)),
        }
    }
}

impl Attributes for ImageTarget {
    fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "owner" | "project_id" => Some(Cow::Borrowed(&self.owner)),
            "visibility" => Some(Cow::Borrowed(&self.visibility)),
            "member" | "member_id" => Some(Cow::Borrowed(&self.member)),
            // an attribute, or a property of the image, or none
            _ => Some(Cow::Owned(Value::Unknown)),
        }
    }
}

impl Attributes for AdminTarget<'_> {
    fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "user" => Some(Cow::Borrowed(&self.0.user)),
            "project_id" | "project" => Some(Cow::Borrowed(&self.0.project)),
            "domain" => Some(Cow::Borrowed(&self.0.domain)),
            "system_scope" => Some(Cow::Borrowed(&self.0.system)),
            _ => Some(Cow::Owned(Value::Unknown)),
        }
    }
}
