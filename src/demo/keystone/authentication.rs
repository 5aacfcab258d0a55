//! `POST /v3/auth/tokens`: a registered user or application credential becomes a token.

use serde_json::Value;
use time::OffsetDateTime;

use crate::demo::keystone::Registered;
use crate::demo::keystone::SERVICE_PROJECT;
use crate::demo::keystone::State;
use crate::demo::keystone::spec::TokenSpec;
use crate::demo::keystone::tokens::ApplicationCredential;
use crate::demo::keystone::tokens::Scope;
use crate::demo::keystone::tokens::Token;
use crate::demo::keystone::tokens::stable_id;

/// Why nobody was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The body is no such request.
    NotARequest,
    /// The secret, the user or the scope is wrong.
    Wrong,
}

/// Returns the token for whom the body proves to be.
pub fn authenticate(state: &State, body: &[u8]) -> Result<Token, Failure> {
    let body = serde_json::from_slice::<Value>(body).map_err(|_| Failure::NotARequest)?;
    let identity = body.pointer("/auth/identity").ok_or(Failure::NotARequest)?;
    let methods = identity.get("methods").and_then(Value::as_array).ok_or(Failure::NotARequest)?;
    let [method] = methods.as_slice() else {
        return Err(Failure::Wrong);
    };
    let (registered, credential) = match method.as_str() {
        Some("password") => (by_password(state, identity)?, None),
        Some("application_credential") => by_credential(state, identity)?,
        Some(_) | None => return Err(Failure::Wrong),
    };
    let scope = match &credential {
        Some(_) if body.pointer("/auth/scope").is_some() => return Err(Failure::Wrong),
        Some(_) => project_of(&registered.project),
        None => scope(body.pointer("/auth/scope"))?,
    };
    let mut token = TokenSpec::new(&registered.user).lifetime(state.book().service_lifetime).build();
    token.issued_at = OffsetDateTime::now_utc();
    if scope != Scope::Unscoped {
        token.roles = registered.roles;
    }
    token.scope = scope;
    token.credential = credential;
    token.for_service = true;
    Ok(token)
}

fn by_password(state: &State, identity: &Value) -> Result<Registered, Failure> {
    let user = identity.pointer("/password/user").ok_or(Failure::NotARequest)?;
    let password = text(user, "/password")?;
    let registered = if let Some(id) = user.get("id").and_then(Value::as_str) {
        state.book().users.values().find(|known| stable_id(&known.user) == id).cloned()
    } else {
        let name = text(user, "/name")?;
        let domain = user.get("domain").ok_or(Failure::NotARequest)?;
        is_default(domain).then(|| state.book().users.get(name).cloned()).flatten()
    };
    registered.filter(|known| known.secret == password).ok_or(Failure::Wrong)
}

fn by_credential(state: &State, identity: &Value) -> Result<(Registered, Option<ApplicationCredential>), Failure> {
    let credential = identity.get("application_credential").ok_or(Failure::NotARequest)?;
    let secret = text(credential, "/secret")?;
    let id = text(credential, "/id")?;
    let registered = state.book().credentials.get(id).cloned();
    let registered = registered.filter(|known| known.secret == secret).ok_or(Failure::Wrong)?;
    Ok((registered, Some(ApplicationCredential { id: id.to_owned(), access_rules: Vec::new() })))
}

/// Returns the scope asked for: the service project, the default domain, the system, or none.
fn scope(asked: Option<&Value>) -> Result<Scope, Failure> {
    let Some(asked) = asked else {
        return Ok(Scope::Unscoped);
    };
    if asked.pointer("/system/all") == Some(&Value::Bool(true)) {
        return Ok(Scope::System);
    }
    if asked.get("domain").is_some_and(is_default) {
        return Ok(Scope::Domain { id: "default".to_owned() });
    }
    let project = asked.get("project").ok_or(Failure::Wrong)?;
    let by_id = project.get("id").and_then(Value::as_str) == Some(SERVICE_PROJECT);
    let by_name = project.get("name").and_then(Value::as_str) == Some(SERVICE_PROJECT)
        && project.get("domain").is_some_and(is_default);
    if by_id || by_name { Ok(project_of(SERVICE_PROJECT)) } else { Err(Failure::Wrong) }
}

fn project_of(id: &str) -> Scope {
    Scope::Project { id: id.to_owned(), name: id.to_owned() }
}

fn is_default(domain: &Value) -> bool {
    let named = |key: &str, value: &str| domain.get(key).and_then(Value::as_str) == Some(value);
    named("id", "default") || named("name", "Default")
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, Failure> {
    value.pointer(pointer).and_then(Value::as_str).ok_or(Failure::NotARequest)
}
