//! Keystone's answer about a token, read by schema: a 200 alone proves nothing.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::openstack::access_rule::AccessRule;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;
use crate::openstack::identity::UserId;

/// The part of `GET` and `POST /v3/auth/tokens` that the gate relies on.
#[derive(Debug, Deserialize)]
pub struct TokenAnswer {
    token: Token,
}

#[derive(Debug, Deserialize)]
struct Token {
    user: Named,
    expires_at: String,
    project: Option<Named>,
    domain: Option<Named>,
    system: Option<serde_json::Value>,
    #[serde(default)]
    roles: Vec<Role>,
    application_credential: Option<ApplicationCredential>,
    #[serde(default)]
    audit_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Role {
    name: String,
}

#[derive(Debug, Deserialize)]
struct ApplicationCredential {
    #[serde(default)]
    access_rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    service: String,
    method: String,
    path: String,
}

/// Keystone's error document, which tells its 404 from any other server's.
#[derive(Debug, Deserialize)]
pub struct ErrorAnswer {
    error: ErrorDetail,
}

#[derive(Debug, Deserialize)]
struct ErrorDetail {
    code: u16,
}

impl TokenAnswer {
    /// Returns what the answer says of the token, or nothing if its end is no time.
    pub fn into_identity(self) -> Option<Identity> {
        let token = self.token;
        let expires_at = OffsetDateTime::parse(&token.expires_at, &Rfc3339).ok()?.into();
        let scope = match (token.project, token.domain, token.system) {
            (Some(project), None, None) => Scope::Project(ProjectId::new(&project.id)),
            (None, Some(domain), None) => Scope::Domain(domain.id.into()),
            (None, None, Some(_)) => Scope::System,
            (None, None, None) => Scope::Unscoped,
            // two scopes at once is nothing Keystone says
            _ => return None,
        };
        let rules = token.application_credential.map(|credential| credential.access_rules).unwrap_or_default();
        Some(Identity {
            user: UserId::new(&token.user.id),
            scope,
            roles: Roles::known(token.roles.iter().map(|role| role.name.as_str())),
            expires_at,
            access_rules: rules.iter().map(|rule| AccessRule::new(&rule.service, &rule.method, &rule.path)).collect(),
            audit_ids: token.audit_ids.into_iter().map(String::into_boxed_str).collect(),
        })
    }
}

impl ErrorAnswer {
    /// Tells whether the document is Keystone's for this code.
    pub fn is(&self, code: u16) -> bool {
        self.error.code == code
    }
}

#[cfg(test)]
mod tests {
    use super::TokenAnswer;
    use crate::openstack::identity::Scope;

    fn parse(json: &str) -> Option<crate::openstack::identity::Identity> {
        serde_json::from_str::<TokenAnswer>(json).ok()?.into_identity()
    }

    #[test]
    fn a_project_token_is_read() {
        let identity = parse(
            r#"{"token": {"user": {"id": "u", "name": "n"}, "expires_at": "2999-01-01T00:00:00.000000Z",
                "project": {"id": "p"}, "audit_ids": ["a", "b"], "roles": [{"id": "r", "name": "Member"}],
                "application_credential": {"access_rules": [{"id": "x", "service": "image", "method": "GET", "path": "/v2/**"}]}}}"#,
        )
        .expect("a token");
        assert!(matches!(&identity.scope, Scope::Project(project) if project.as_str() == "p"));
        assert!(identity.roles.has("member"));
        assert_eq!(*identity.audit_ids, [Box::<str>::from("a"), Box::from("b")]);
        assert!(identity.access_rules[0].allows("image", "GET", "/v2/images"));
    }

    #[test]
    fn what_is_not_a_token_document_proves_nothing() {
        for json in [
            "{}",
            r#"{"token": {}}"#,
            r#"{"token": {"user": {"id": "u"}}}"#,
            r#"{"token": {"user": {"id": "u"}, "expires_at": "soon"}}"#,
            r#"{"token": {"user": {"id": "u"}, "expires_at": "2999-01-01T00:00:00Z", "project": {"id": "p"}, "domain": {"id": "d"}}}"#,
        ] {
            assert!(parse(json).is_none(), "{json}");
        }
    }
}
