//! What a verified token says about its bearer.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::openstack::access_rule::AccessRule;

/// The id of a Keystone project: what a token is scoped to and what owns an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId(Arc<str>);

/// The id of a Keystone user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

/// What a token may be used on (Keystone: project, domain, system or unscoped tokens).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Acts for one project, the only scope Glance's member policies accept.
    Project(ProjectId),
    /// Acts for the domain of this id.
    Domain(Arc<str>),
    /// Acts for the whole deployment.
    System,
    /// Names a user and nothing else.
    Unscoped,
}

/// The roles of a token, lower-cased as Glance's `ContextMiddleware` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roles {
    /// Keystone listed them (implied roles included).
    Known(Arc<[Box<str>]>),
    /// A signed token was checked offline: Keystone's JWS tokens carry no roles.
    Unknown,
}

/// Everything a verified token proves.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who holds the token.
    pub user: UserId,
    /// What the token is scoped to.
    pub scope: Scope,
    /// What the bearer may do there.
    pub roles: Roles,
    /// When the token ends.
    pub expires_at: SystemTime,
    /// The access rules of an application credential; empty means unrestricted.
    pub access_rules: Arc<[AccessRule]>,
    /// What Keystone's own audit events call the token: its audit id and that of the one it was made from, if there was
    /// one. Neither is a secret: nobody can make a token of it.
    pub audit_ids: Arc<[Box<str>]>,
}

impl Scope {
    /// Returns the word used in documents.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Project(_) => "project",
            Self::Domain(_) => "domain",
            Self::System => "system",
            Self::Unscoped => "unscoped",
        }
    }
}

impl ProjectId {
    /// Takes over an id that Keystone or Glance gave.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl UserId {
    /// Takes over an id that Keystone gave.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Roles {
    /// Takes over role names; their order does not matter and their case is dropped.
    pub fn known<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut roles: Vec<Box<str>> = names.into_iter().map(|name| name.to_lowercase().into_boxed_str()).collect();
        roles.sort_unstable();
        roles.dedup();
        Self::Known(roles.into())
    }

    /// Tells whether the role is known to be there.
    pub fn has(&self, role: &str) -> bool {
        match self {
            Self::Known(roles) => roles.iter().any(|held| &**held == role),
            Self::Unknown => false,
        }
    }
}

impl Identity {
    /// Returns the project the token is scoped to, if it is scoped to one.
    pub fn project(&self) -> Option<&ProjectId> {
        match &self.scope {
            Scope::Project(project) => Some(project),
            Scope::Domain(_) | Scope::System | Scope::Unscoped => None,
        }
    }

    /// Tells whether the token has ended at `now`.
    pub fn is_expired_at(&self, now: SystemTime) -> bool {
        self.expires_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::Roles;

    #[test]
    fn roles_are_compared_without_case() {
        let roles = Roles::known(["Member", "READER", "member"]);
        assert!(roles.has("member") && roles.has("reader"));
        assert!(!roles.has("admin"));
    }

    #[test]
    fn unknown_roles_prove_nothing() {
        assert!(!Roles::Unknown.has("member"));
    }
}
