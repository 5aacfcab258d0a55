//! What a verified access token claims (RFC 7519 section 4.1, RFC 9068), and the identity that it proves.

use std::time::Duration;
use std::time::SystemTime;

use serde_json::Map;
use serde_json::Value;

use crate::oidc::OidcError;
use crate::oidc::config::IssuerConfig;
use crate::oidc::key_set::VerifiedPayload;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;
use crate::openstack::identity::UserId;
use crate::openstack::strict_json;

/// How long an id may be; Keystone's own have 64 characters at most, `OpenID` Connect allows 255.
const MAX_ID: usize = 255;

/// The claims of a token whose signature was good.
pub struct Claims(Map<String, Value>);

/// Where and when a token is shown.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The issuer whose key was used.
    pub issuer: &'a IssuerConfig,
    /// How far the clocks may be apart.
    pub leeway: Duration,
    /// The time here.
    pub now: SystemTime,
}

impl Claims {
    /// Reads the claims.
    ///
    /// # Errors
    /// `Malformed` if the payload is no JSON object, or one with a key twice.
    pub fn read(payload: &VerifiedPayload<'_>) -> Result<Self, OidcError> {
        strict_json::object(payload.bytes()).map(Self).ok_or(OidcError::Malformed)
    }

    /// Returns what the claims prove; it ends with the token, give or take the leeway.
    ///
    /// # Errors
    /// `Expired`, `NotYetValid`, or the claim that is missing or wrong.
    pub fn identity(&self, terms: &Terms<'_>) -> Result<Identity, OidcError> {
        // Keystone's own claims: no issuer may speak for it
        if self.0.keys().any(|name| name.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("openstack_"))) {
            return Err(OidcError::Claims("openstack_*"));
        }
        if self.0.get("iss").and_then(Value::as_str) != Some(&terms.issuer.issuer) {
            return Err(OidcError::Claims("iss"));
        }
        if !self.is_for(&terms.issuer.audience) {
            return Err(OidcError::Claims("aud"));
        }
        let expires_at = self.valid_until(terms)?;
        Ok(Identity {
            user: UserId::new(self.id(&terms.issuer.mapping_user_id, "user_id")?.ok_or(OidcError::Claims("user_id"))?),
            scope: self
                .id(&terms.issuer.mapping_project_id, "project_id")?
                .map_or(Scope::Unscoped, |id| Scope::Project(ProjectId::new(id))),
            roles: self.roles(&terms.issuer.mapping_roles).ok_or(OidcError::Claims("roles"))?,
            expires_at,
            access_rules: [].into(),
            audit_ids: [].into(),
        })
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(only)) => only == audience,
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string) && list.iter().any(|one| one.as_str() == Some(audience))
            }
            None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => false,
        }
    }

    /// Checks the three times of a token and returns its end.
    fn valid_until(&self, terms: &Terms<'_>) -> Result<SystemTime, OidcError> {
        let end = self.time("exp")?.and_then(|end| end.checked_add(terms.leeway)).ok_or(OidcError::Claims("exp"))?;
        if end <= terms.now {
            return Err(OidcError::Expired);
        }
        let latest = terms.now + terms.leeway;
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|start| start > latest) {
                return Err(OidcError::NotYetValid);
            }
        }
        Ok(end)
    }

    /// Returns a time in seconds, perhaps with a fraction, if the claim is there.
    fn time(&self, name: &'static str) -> Result<Option<SystemTime>, OidcError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        value
            .as_u64()
            .map(Duration::from_secs)
            .or_else(|| value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
            .map(Some)
            .ok_or(OidcError::Claims(name))
    }

    /// Returns an id, if it is there; it goes into headers, so it must be plain.
    fn id(&self, path: &str, what: &'static str) -> Result<Option<&str>, OidcError> {
        match self.find(path) {
            Found::Nothing => Ok(None),
            Found::Value(Value::String(id)) if is_plain(id) => Ok(Some(id)),
            Found::Value(_) | Found::Wrong => Err(OidcError::Claims(what)),
        }
    }

    /// Returns the roles; a role with a comma would be two for whoever reads `X-Roles`.
    fn roles(&self, path: &str) -> Option<Roles> {
        let names: Vec<&str> = match self.find(path) {
            Found::Value(Value::String(list)) => list.split(',').map(str::trim).collect(),
            Found::Value(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>()?,
            Found::Value(_) | Found::Nothing | Found::Wrong => return None,
        };
        let is_role = |name: &&str| {
            !name.is_empty()
                && name.len() <= MAX_ID
                && name.trim() == *name
                && !name.contains(|letter: char| letter == ',' || letter.is_control())
        };
        (!names.is_empty() && names.iter().all(is_role)).then(|| Roles::known(names))
    }

    /// Follows a path with dots into the claims.
    fn find(&self, path: &str) -> Found<'_> {
        let mut names = path.split('.');
        let mut value = names.next().and_then(|first| self.0.get(first));
        for name in names {
            value = match value {
                Some(Value::Object(inner)) => inner.get(name),
                None | Some(Value::Null) => None,
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return Found::Wrong,
            };
        }
        match value {
            None | Some(Value::Null) => Found::Nothing,
            Some(value) => Found::Value(value),
        }
    }
}

/// What stands at the end of a path.
enum Found<'a> {
    Nothing,
    Value(&'a Value),
    /// The path goes through something that has no members.
    Wrong,
}

fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use serde_json::Value;
    use serde_json::json;

    use super::Claims;
    use super::Terms;
    use crate::oidc::OidcError;
    use crate::oidc::config::IssuerConfig;
    use crate::openstack::identity::Identity;
    use crate::openstack::identity::Roles;
    use crate::openstack::identity::Scope;

    const NOW: u64 = 1_000_000;

    /// Reads good claims with some changed; null takes one out.
    fn identity(changes: &Value) -> Result<Identity, OidcError> {
        let issuer = IssuerConfig {
            issuer: "https://idp.example".into(),
            audience: "glance".into(),
            mapping_project_id: "project.id".into(),
            ..IssuerConfig::default()
        };
        let mut claims = json!({
            "iss": "https://idp.example", "aud": "glance", "exp": NOW + 60, "client_id": "ann",
            "project": {"id": "p1"}, "roles": ["Member", "reader"],
        });
        let object = claims.as_object_mut().expect("an object");
        for (name, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                object.remove(name);
            } else {
                object.insert(name.clone(), value.clone());
            }
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        Claims(object.clone()).identity(&Terms { issuer: &issuer, leeway: Duration::from_secs(5), now })
    }

    #[test]
    fn good_claims_become_an_identity() {
        let found = identity(&json!({})).expect("an identity");
        assert_eq!(found.user.as_str(), "ann");
        assert_eq!(found.project().map(ToString::to_string).as_deref(), Some("p1"));
        assert_eq!(found.roles, Roles::known(["member", "reader"]));
        assert_eq!(found.expires_at, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 65));
        assert!(found.access_rules.is_empty());
        assert_eq!(
            identity(&json!({"roles": "admin, Member"})).expect("roles").roles,
            Roles::known(["admin", "member"])
        );
        for without in [json!({"project": null}), json!({"project": {}}), json!({"project": {"id": null}})] {
            assert_eq!(identity(&without).expect("an identity").scope, Scope::Unscoped);
        }
    }

    #[test]
    fn times_are_taken_with_the_leeway() {
        for good in [
            json!({"exp": NOW - 4}),
            json!({"exp": 1_000_000.5}),
            json!({"nbf": NOW + 5, "iat": NOW + 5}),
            json!({"nbf": 0, "iat": 0}),
        ] {
            assert!(identity(&good).is_ok(), "{good}");
        }
        for (bad, error) in [
            (json!({"exp": NOW - 5}), OidcError::Expired),
            (json!({"exp": 0}), OidcError::Expired),
            (json!({"nbf": NOW + 6}), OidcError::NotYetValid),
            (json!({"iat": NOW + 6}), OidcError::NotYetValid),
            (json!({"nbf": 1_000_005.5}), OidcError::NotYetValid),
            (json!({"exp": null}), OidcError::Claims("exp")),
            (json!({"exp": "1000060"}), OidcError::Claims("exp")),
            (json!({"exp": -1}), OidcError::Claims("exp")),
            (json!({"exp": 1e300}), OidcError::Claims("exp")),
            (json!({"exp": u64::MAX}), OidcError::Claims("exp")),
            (json!({"exp": i64::MAX}), OidcError::Claims("exp")),
            (json!({"exp": [NOW + 60]}), OidcError::Claims("exp")),
            (json!({"nbf": "0"}), OidcError::Claims("nbf")),
            (json!({"iat": true}), OidcError::Claims("iat")),
        ] {
            assert_eq!(identity(&bad).err(), Some(error), "{bad}");
        }
    }

    #[test]
    fn claims_that_do_not_fit_are_named() {
        for (bad, what) in [
            (json!({"iss": "https://idp.example/"}), "iss"),
            (json!({"iss": ["https://idp.example"]}), "iss"),
            (json!({"aud": null}), "aud"),
            (json!({"aud": "Glance"}), "aud"),
            (json!({"aud": []}), "aud"),
            (json!({"aud": ["nova"]}), "aud"),
            (json!({"aud": ["glance", 1]}), "aud"),
            (json!({"aud": {"glance": 1}}), "aud"),
            (json!({"openstack_project_id": "p1"}), "openstack_*"),
            (json!({"OpenStack_system": "all"}), "openstack_*"),
            (json!({"openstack_": 1}), "openstack_*"),
            (json!({"client_id": null}), "user_id"),
            (json!({"client_id": ""}), "user_id"),
            (json!({"client_id": 7}), "user_id"),
            (json!({"client_id": "a\r\nX-Roles: admin"}), "user_id"),
            (json!({"client_id": "a".repeat(256)}), "user_id"),
            (json!({"project": "p1"}), "project_id"),
            (json!({"project": {"id": 7}}), "project_id"),
            (json!({"project": {"id": ""}}), "project_id"),
            (json!({"project": {"id": "p 1"}}), "project_id"),
            (json!({"project": [{"id": "p1"}]}), "project_id"),
            (json!({"roles": null}), "roles"),
            (json!({"roles": []}), "roles"),
            (json!({"roles": ""}), "roles"),
            (json!({"roles": "member,,reader"}), "roles"),
            (json!({"roles": ["member", 1]}), "roles"),
            (json!({"roles": ["member,admin"]}), "roles"),
            (json!({"roles": [" admin"]}), "roles"),
            (json!({"roles": ["a\nb"]}), "roles"),
            (json!({"roles": {"admin": true}}), "roles"),
        ] {
            assert_eq!(identity(&bad).err(), Some(OidcError::Claims(what)), "{bad}");
        }
        for good in [
            json!({"aud": ["nova", "glance"]}),
            json!({"openstackish": 1}),
            json!({"\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}": 1}),
        ] {
            assert!(identity(&good).is_ok(), "{good}");
        }
    }
}
