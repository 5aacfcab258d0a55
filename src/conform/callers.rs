//! Who asks: each role's token, and the project that Keystone says it is of.

use std::collections::BTreeMap;

use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http_body_util::Full;
use serde::Deserialize;
use serde::Serialize;

use crate::client::json::JsonClient;
use crate::conform::identities::Credential;
use crate::conform::identities::Identities;
use crate::keystone::answer::TokenAnswer;
use crate::keystone::config::Credentials;
use crate::keystone::service_token::ServiceToken;
use crate::openstack::identity::Identity;
use crate::secret::Secret;

/// A token that nobody has issued.
const GARBAGE: &str = "gAAAAABnothing-that-any-keystone-has-ever-issued-0000000000000000000000";

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whose images they are.
    Owner,
    /// A project that they are shared with.
    Member,
    /// A third project, a member of one image only.
    Stranger,
    /// The member's project, with the role reader alone.
    Reader,
    /// An administrator of some project.
    Admin,
    /// A token without a scope.
    Unscoped,
    /// A token that has ended.
    Ended,
    /// A token that was revoked before its first use.
    Revoked,
    /// Something that is no token.
    Garbage,
    /// No token.
    Nobody,
}

/// The tokens of those who are there.
#[derive(Debug)]
pub struct Callers {
    tokens: BTreeMap<Role, Secret<HeaderValue>>,
    projects: BTreeMap<Role, String>,
    /// Why somebody is not there although there could be.
    pub notes: Vec<String>,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Owner,
        Self::Member,
        Self::Stranger,
        Self::Reader,
        Self::Admin,
        Self::Unscoped,
        Self::Ended,
        Self::Revoked,
        Self::Garbage,
        Self::Nobody,
    ];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
            Self::Stranger => "stranger",
            Self::Reader => "reader",
            Self::Admin => "admin",
            Self::Unscoped => "unscoped",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
            Self::Garbage => "garbage",
            Self::Nobody => "nobody",
        }
    }

    /// Returns the role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Tells whether it needs a credential of its own.
    pub fn has_credential(self) -> bool {
        !matches!(self, Self::Revoked | Self::Garbage | Self::Nobody)
    }

    /// Tells whether its token is for a project that is looked at.
    fn has_project(self) -> bool {
        matches!(self, Self::Owner | Self::Member | Self::Stranger | Self::Reader | Self::Admin)
    }
}

impl Callers {
    /// Logs everybody in, and asks Keystone which projects they are of.
    ///
    /// # Errors
    /// Tells all that can not be logged in, and all who are not who they should be.
    pub async fn log_in(identities: &Identities, keystone: &JsonClient) -> Result<Self, String> {
        let mut callers = Self { tokens: BTreeMap::new(), projects: BTreeMap::new(), notes: Vec::new() };
        let mut wrong = Vec::new();
        let mut known = BTreeMap::new();
        for (role, credential) in &identities.roles {
            let token = match token(identities, credential, keystone).await {
                Ok(token) => token,
                Err(why) => {
                    wrong.push(format!("[{}]: {why}", role.as_str()));
                    continue;
                }
            };
            if role.has_project() {
                match identity(identities, &token, keystone).await {
                    Ok(identity) => drop(known.insert(*role, identity)),
                    Err(why) => wrong.push(format!("[{}]: {why}", role.as_str())),
                }
            }
            callers.tokens.insert(*role, token);
        }
        wrong.extend(strangers(&known));
        if !wrong.is_empty() {
            return Err(wrong.join("\n    "));
        }
        let project = |identity: &Identity| identity.project().map(|project| project.as_str().to_owned());
        callers.projects = known.iter().filter_map(|(role, identity)| Some((*role, project(identity)?))).collect();
        callers.tokens.insert(Role::Garbage, Secret::new(HeaderValue::from_static(GARBAGE)));
        match revoked(identities, keystone).await {
            Ok(token) => drop(callers.tokens.insert(Role::Revoked, token)),
            Err(why) => callers.notes.push(format!("there is no revoked token to try: {why}")),
        }
        Ok(callers)
    }

    /// Returns somebody's token; nothing if they are not there, or have none.
    pub fn token(&self, role: Role) -> Option<&Secret<HeaderValue>> {
        self.tokens.get(&role)
    }

    /// Returns somebody's project.
    pub fn project(&self, role: Role) -> Option<&str> {
        self.projects.get(&role).map(String::as_str)
    }

    /// Tells whether somebody can ask.
    pub fn has(&self, role: Role) -> bool {
        role == Role::Nobody || self.tokens.contains_key(&role)
    }
}

/// Tells who is not who the questions need.
fn strangers(known: &BTreeMap<Role, Identity>) -> Vec<String> {
    let mut wrong = Vec::new();
    let project = |role: Role| known.get(&role).and_then(Identity::project);
    for (role, identity) in known {
        let name = role.as_str();
        if identity.project().is_none() {
            wrong.push(format!("[{name}]: the token must be for a project"));
        }
        let is_admin = identity.roles.has("admin");
        if *role == Role::Admin && !is_admin {
            wrong.push(format!("[{name}]: the role admin is missing"));
        }
        if *role != Role::Admin && is_admin {
            wrong.push(format!("[{name}]: an administrator may more than it should"));
        }
        if *role == Role::Reader && (identity.roles.has("member") || identity.roles.has("manager")) {
            wrong.push(format!("[{name}]: it must have the role reader and no more"));
        }
    }
    let pairs = [(Role::Owner, Role::Member), (Role::Owner, Role::Stranger), (Role::Member, Role::Stranger)];
    for (one, other) in
        pairs.into_iter().filter(|(one, other)| project(*one).is_some_and(|id| Some(id) == project(*other)))
    {
        wrong.push(format!("[{}] and [{}] must be of different projects", one.as_str(), other.as_str()));
    }
    if known.contains_key(&Role::Reader) && project(Role::Reader) != project(Role::Member) {
        wrong.push("[reader] must be of the member's project".into());
    }
    wrong
}

async fn token(
    identities: &Identities,
    credential: &Credential,
    keystone: &JsonClient,
) -> Result<Secret<HeaderValue>, String> {
    match credential {
        Credential::Token(token) => header(token),
        Credential::Login(credentials) => ServiceToken::new(&identities.auth_url, credentials).value(keystone).await,
    }
}

fn header(token: &Secret<String>) -> Result<Secret<HeaderValue>, String> {
    let mut value = HeaderValue::from_str(token.expose()).map_err(|_| "the token has characters that no token has")?;
    value.set_sensitive(true);
    Ok(Secret::new(value))
}

/// Asks Keystone who a token is, with the token itself.
async fn identity(
    identities: &Identities,
    token: &Secret<HeaderValue>,
    keystone: &JsonClient,
) -> Result<Identity, String> {
    let request = of_itself(identities, Method::GET, token)?;
    let answer = keystone.send(request).await.map_err(|error| format!("keystone: {error}"))?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => return Err("keystone does not know the token".into()),
        status => return Err(format!("keystone answered {status} about the token")),
    }
    let identity = serde_json::from_slice::<TokenAnswer>(&answer.body).ok().and_then(TokenAnswer::into_identity);
    identity.ok_or_else(|| "keystone's answer about the token can not be read".into())
}

/// Logs the member in once more, and revokes that token. The member's other token stays good.
async fn revoked(identities: &Identities, keystone: &JsonClient) -> Result<Secret<HeaderValue>, String> {
    let Some(Credential::Login(credentials @ Credentials::Password { .. })) = identities.roles.get(&Role::Member)
    else {
        return Err("it takes a member that logs in with a password".into());
    };
    let token = ServiceToken::new(&identities.auth_url, credentials).value(keystone).await?;
    let request = of_itself(identities, Method::DELETE, &token)?;
    let answer = keystone.send(request).await.map_err(|error| format!("keystone: {error}"))?;
    if answer.status == StatusCode::NO_CONTENT {
        return Ok(token);
    }
    Err(format!("keystone answered {} to the member that gives its token back", answer.status))
}

/// Writes a call about a token that the token itself makes (Identity API v3, "Validate token", "Revoke token").
fn of_itself(
    identities: &Identities,
    method: Method,
    token: &Secret<HeaderValue>,
) -> Result<Request<Full<bytes::Bytes>>, String> {
    Request::builder()
        .method(method)
        .uri(format!("{}/auth/tokens?nocatalog", identities.auth_url))
        .header("X-Auth-Token", token.expose().clone())
        .header("X-Subject-Token", token.expose().clone())
        .body(Full::default())
        .map_err(|error| error.to_string())
}
