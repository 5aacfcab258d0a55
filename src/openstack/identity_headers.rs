//! The headers by which keystonemiddleware tells Glance who asks (`auth_token`, `_request.py`).
//!
//! They are the gate's word alone: whatever a client sends under these names is removed before.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;

use crate::openstack::identity::Identity;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;

/// Says in the headers who asks; returns false if a part of it can not be said, and says nothing then.
///
/// Unknown roles can not be said: a Glance that trusts these headers would take them for none.
pub fn confirm(headers: &mut HeaderMap, identity: &Identity) -> bool {
    let Roles::Known(roles) = &identity.roles else { return false };
    let mut said = vec![
        ("x-identity-status", Some(HeaderValue::from_static("Confirmed"))),
        ("x-user-id", HeaderValue::try_from(identity.user.as_str()).ok()),
        ("x-roles", HeaderValue::try_from(roles.join(",")).ok()),
    ];
    match &identity.scope {
        Scope::Project(project) => said.push(("x-project-id", HeaderValue::try_from(project.as_str()).ok())),
        Scope::Domain(domain) => said.push(("x-domain-id", HeaderValue::try_from(&**domain).ok())),
        Scope::System => said.push(("openstack-system-scope", Some(HeaderValue::from_static("all")))),
        Scope::Unscoped => {}
    }
    if said.iter().any(|(_, value)| value.is_none()) {
        return false;
    }
    for (name, value) in said {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::HeaderMap;

    use super::confirm;
    use crate::openstack::identity::Identity;
    use crate::openstack::identity::ProjectId;
    use crate::openstack::identity::Roles;
    use crate::openstack::identity::Scope;
    use crate::openstack::identity::UserId;

    fn said(scope: Scope, roles: Roles, user: &str) -> Option<Vec<String>> {
        let identity = Identity {
            user: UserId::new(user),
            scope,
            roles,
            expires_at: SystemTime::UNIX_EPOCH,
            access_rules: [].into(),
            audit_ids: [].into(),
        };
        let mut headers = HeaderMap::new();
        let is_said = confirm(&mut headers, &identity);
        assert_eq!(is_said, !headers.is_empty());
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        lines.sort();
        is_said.then_some(lines)
    }

    #[test]
    fn the_scope_is_always_said() {
        let roles = || Roles::known(["member", "reader"]);
        let common = ["x-identity-status: Confirmed", "x-roles: member,reader", "x-user-id: u"];
        for (scope, line) in [
            (Scope::Project(ProjectId::new("p")), Some("x-project-id: p")),
            (Scope::Domain("d".into()), Some("x-domain-id: d")),
            (Scope::System, Some("openstack-system-scope: all")),
            (Scope::Unscoped, None),
        ] {
            let mut expected: Vec<String> = common.iter().copied().chain(line).map(str::to_owned).collect();
            expected.sort();
            assert_eq!(said(scope, roles(), "u"), Some(expected));
        }
    }

    #[test]
    fn what_can_not_be_said_is_not_said_at_all() {
        assert_eq!(said(Scope::Unscoped, Roles::Unknown, "u"), None);
        assert_eq!(said(Scope::Unscoped, Roles::known([]), "u\n"), None);
    }
}
