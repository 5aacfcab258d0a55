//! The JSON that Keystone shows: tokens, errors, its version.

use http::StatusCode;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;

use crate::demo::keystone::tokens::Scope;
use crate::demo::keystone::tokens::Token;
use crate::demo::keystone::tokens::stable_id;

/// Whether a token is shown with its catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catalog<'a> {
    /// With these addresses of Keystone and Glance.
    With {
        /// Keystone's.
        identity: &'a str,
        /// Glance's.
        image: &'a str,
    },
    /// Without.
    Without,
}

/// Returns the token as Keystone shows it.
pub fn token(token: &Token, catalog: Catalog<'_>) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("methods", json!([token.method()]));
    put(
        "user",
        json!({
            "domain": default_domain(), "id": token.user_id, "name": token.user_name, "password_expires_at": null
        }),
    );
    put("audit_ids", json!([token.audit_id]));
    put("expires_at", json!(stamp(token.expires_at)));
    put("issued_at", json!(stamp(token.issued_at)));
    match &token.scope {
        Scope::Project { id, name } => {
            put("project", json!({"domain": default_domain(), "id": id, "name": name}));
            if token.trust.is_none() {
                put("is_domain", json!(false));
            }
        }
        Scope::Domain { id } => put("domain", json!({"id": id, "name": domain_name(id)})),
        Scope::System => put("system", json!({"all": true})),
        Scope::Unscoped => {}
    }
    if token.scope != Scope::Unscoped {
        put("roles", roles(token));
        if let Catalog::With { identity, image } = catalog {
            put("catalog", json!([service("identity", "keystone", identity), service("image", "glance", image)]));
        }
    }
    if let Some(trust) = &token.trust {
        put(
            "OS-TRUST:trust",
            json!({
                "id": trust.id, "trustor_user": {"id": trust.trustor_user_id},
                "trustee_user": {"id": token.user_id}, "impersonation": false
            }),
        );
    }
    if let Some(credential) = application_credential(token) {
        put("application_credential", credential);
    }
    json!({"token": body})
}

fn roles(token: &Token) -> Value {
    let shown = token.roles.iter().map(|name| {
        let id = stable_id(&format!("role {name}"));
        if token.trust.is_some() {
            json!({"id": id, "name": name, "domain_id": null, "description": null, "options": {"immutable": true}})
        } else {
            json!({"id": id, "name": name})
        }
    });
    shown.collect()
}

fn application_credential(token: &Token) -> Option<Value> {
    let credential = token.credential.as_ref()?;
    let mut shown = json!({"id": credential.id, "name": "credential", "restricted": true});
    if !credential.access_rules.is_empty() {
        let rules = credential.access_rules.iter().map(|rule| {
            let id = stable_id(&format!("{} {} {}", rule.service, rule.method, rule.path));
            json!({"id": id, "service": rule.service, "path": rule.path, "method": rule.method})
        });
        let rules = rules.collect::<Value>();
        shown.as_object_mut()?.insert("access_rules".to_owned(), rules);
    }
    Some(shown)
}

fn service(kind: &str, name: &str, url: &str) -> Value {
    let endpoints = ["public", "internal", "admin"].into_iter().map(|interface| {
        json!({
            "id": stable_id(&format!("{name} {interface}")), "interface": interface,
            "region_id": "RegionOne", "url": url, "region": "RegionOne"
        })
    });
    json!({"endpoints": endpoints.collect::<Value>(), "id": stable_id(name), "type": kind, "name": name})
}

fn default_domain() -> Value {
    json!({"id": "default", "name": "Default"})
}

fn domain_name(id: &str) -> &str {
    if id == "default" { "Default" } else { id }
}

/// Returns an error as Keystone shows it.
pub fn error(status: StatusCode, message: &str) -> Value {
    let title = status.canonical_reason().unwrap_or_default();
    json!({"error": {"code": status.as_u16(), "message": message, "title": title}})
}

/// Returns the version document.
pub fn version(url: &str) -> Value {
    json!({
        "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{url}/")}],
        "media-types": [{
            "base": "application/json", "type": "application/vnd.openstack.identity-v3+json"
        }]
    })
}

/// Returns the time as Keystone writes it: whole seconds, with six zeros.
fn stamp(time: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000000Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
