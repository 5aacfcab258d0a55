//! What the stand-in knows about each token it issued.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::demo::keystone::base64;

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One project.
    Project {
        /// The project's id.
        id: String,
        /// The project's name.
        name: String,
    },
    /// One domain.
    Domain {
        /// The domain's id.
        id: String,
    },
    /// The whole system.
    System,
    /// Nothing but asking for another token.
    Unscoped,
}

/// How a token is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Like Fernet: means nothing to anybody but Keystone.
    #[default]
    Opaque,
    /// Signed claims.
    Jws,
}

/// A request that an application credential may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// The service's type, `image` for Glance.
    pub service: String,
    /// The method.
    pub method: String,
    /// The path; `*` and `{name}` stand for a segment, `**` for any.
    pub path: String,
}

impl AccessRule {
    /// Returns a rule for the image service.
    #[must_use]
    pub fn image(method: &str, path: &str) -> Self {
        Self { service: "image".to_owned(), method: method.to_owned(), path: path.to_owned() }
    }
}

/// The application credential a token came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationCredential {
    /// The credential's id.
    pub id: String,
    /// What it is restricted to; empty is not restricted.
    pub access_rules: Vec<AccessRule>,
}

/// The trust a token came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The trust's id.
    pub id: String,
    /// Who trusts.
    pub trustor_user_id: String,
}

/// What the stand-in knows about a token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// What it is good for.
    pub scope: Scope,
    /// The roles' names.
    pub roles: Vec<String>,
    /// When it was issued.
    pub issued_at: OffsetDateTime,
    /// When it expires.
    pub expires_at: OffsetDateTime,
    /// Its audit id.
    pub audit_id: String,
    /// The application credential it came from.
    pub credential: Option<ApplicationCredential>,
    /// The trust it came from.
    pub trust: Option<Trust>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether it was asked for over HTTP, as the gate asks for its own.
    pub for_service: bool,
}

impl Token {
    /// Returns whether its time is over.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expires_at <= OffsetDateTime::now_utc()
    }

    /// Returns whether it is neither expired nor revoked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.revoked && !self.is_expired()
    }

    /// Returns whether it carries this role.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case(name))
    }

    /// Returns the project, if it is scoped to one.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        match &self.scope {
            Scope::Project { id, .. } => Some(id),
            Scope::Domain { .. } | Scope::System | Scope::Unscoped => None,
        }
    }

    /// Returns the rules that restrict it; none are no restriction.
    #[must_use]
    pub fn access_rules(&self) -> &[AccessRule] {
        self.credential.as_ref().map_or(&[], |credential| &credential.access_rules)
    }

    /// Returns how its user authenticated.
    #[must_use]
    pub fn method(&self) -> &'static str {
        if self.credential.is_some() { "application_credential" } else { "password" }
    }
}

/// Returns a new id of 32 hexadecimal digits.
pub fn random_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Returns an id of 32 hexadecimal digits that is always the same for a name.
#[must_use]
pub fn stable_id(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let mut id = String::with_capacity(32);
    for byte in hash.as_ref().iter().take(16) {
        // writing to a string cannot fail
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Returns a string that looks like a Fernet token.
pub(super) fn opaque(token: &Token) -> String {
    let mut bytes = vec![0x80];
    bytes.extend_from_slice(&token.issued_at.unix_timestamp().to_be_bytes());
    for _ in 0..8 {
        bytes.extend_from_slice(Uuid::new_v4().as_bytes());
    }
    base64::url(&bytes)
}
