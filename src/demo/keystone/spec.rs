//! How a test describes the token it wants.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::demo::keystone::base64;
use crate::demo::keystone::tokens::AccessRule;
use crate::demo::keystone::tokens::ApplicationCredential;
use crate::demo::keystone::tokens::Kind;
use crate::demo::keystone::tokens::Scope;
use crate::demo::keystone::tokens::Token;
use crate::demo::keystone::tokens::Trust;
use crate::demo::keystone::tokens::random_id;
use crate::demo::keystone::tokens::stable_id;

/// Describes a token to be issued.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    user: String,
    scope: Scope,
    roles: Vec<String>,
    issued_ago: Duration,
    lifetime: Duration,
    credential: Option<ApplicationCredential>,
    trust: Option<Trust>,
    kind: Option<Kind>,
}

impl TokenSpec {
    /// Describes a token of this user: unscoped, without roles, good for an hour.
    #[must_use]
    pub fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            scope: Scope::Unscoped,
            roles: Vec::new(),
            issued_ago: Duration::ZERO,
            lifetime: Duration::from_hours(1),
            credential: None,
            trust: None,
            kind: None,
        }
    }

    /// Describes the token of a plain member of this project (roles member and reader).
    #[must_use]
    pub fn member(project: &str) -> Self {
        Self::new(&format!("{project}-user")).project(project).roles(["member", "reader"])
    }

    /// Describes the token of an administrator in this project (with all implied roles).
    #[must_use]
    pub fn admin(project: &str) -> Self {
        Self::new("admin").project(project).roles(["admin", "manager", "member", "reader"])
    }

    /// Describes the token of a service (role service) in the project `service`.
    #[must_use]
    pub fn service(user: &str) -> Self {
        Self::new(user).project("service").roles(["service"])
    }

    /// Scopes the token to a project, whose name is its id.
    #[must_use]
    pub fn project(self, id: &str) -> Self {
        self.project_named(id, id)
    }

    /// Scopes the token to a project with a name of its own.
    #[must_use]
    pub fn project_named(mut self, id: &str, name: &str) -> Self {
        self.scope = Scope::Project { id: id.to_owned(), name: name.to_owned() };
        self
    }

    /// Scopes the token to a domain.
    #[must_use]
    pub fn domain(mut self, id: &str) -> Self {
        self.scope = Scope::Domain { id: id.to_owned() };
        self
    }

    /// Scopes the token to the system.
    #[must_use]
    pub fn system(mut self) -> Self {
        self.scope = Scope::System;
        self
    }

    /// Leaves the token without a scope and without roles.
    #[must_use]
    pub fn unscoped(mut self) -> Self {
        self.scope = Scope::Unscoped;
        self.roles.clear();
        self
    }

    /// Sets the roles, exactly these: implied ones are not added.
    #[must_use]
    pub fn roles<'r>(mut self, roles: impl IntoIterator<Item = &'r str>) -> Self {
        self.roles = roles.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets how long the token is good from now on.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Makes the token one that expired a minute ago.
    #[must_use]
    pub fn expired(self) -> Self {
        self.expired_since(Duration::from_mins(1))
    }

    /// Makes the token one that expired this long ago.
    #[must_use]
    pub fn expired_since(mut self, ago: Duration) -> Self {
        self.issued_ago = ago + self.lifetime;
        self
    }

    /// Makes the token one of an application credential; no rules is no restriction.
    #[must_use]
    pub fn application_credential(mut self, access_rules: Vec<AccessRule>) -> Self {
        self.credential = Some(ApplicationCredential { id: random_id(), access_rules });
        self
    }

    /// Makes the token one of a trust from this user.
    #[must_use]
    pub fn trust(mut self, trustor: &str) -> Self {
        self.trust = Some(Trust { id: random_id(), trustor_user_id: stable_id(trustor) });
        self
    }

    /// Sets how the token is written, whatever the stand-in's own provider is.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Makes the token a signed one.
    #[must_use]
    pub fn jws(self) -> Self {
        self.kind(Kind::Jws)
    }

    /// Returns the kind asked for, if any was.
    pub(super) fn chosen_kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Returns what is known about the token from now on.
    pub(super) fn build(self) -> Token {
        let issued_at = OffsetDateTime::now_utc() - self.issued_ago;
        Token {
            user_id: stable_id(&self.user),
            user_name: self.user,
            scope: self.scope,
            roles: self.roles,
            issued_at,
            expires_at: issued_at + self.lifetime,
            audit_id: base64::url(Uuid::new_v4().as_bytes()),
            credential: self.credential,
            trust: self.trust,
            revoked: false,
            for_service: false,
        }
    }
}
