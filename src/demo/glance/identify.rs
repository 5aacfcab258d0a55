//! Who sends a request: what `auth_token` does before Glance itself is reached.

use http::HeaderMap;

use crate::demo::keystone::AccessRule;
use crate::demo::keystone::Keystone;
use crate::demo::keystone::Token;
use crate::demo::keystone::TokenSpec;

/// Returns the caller, or nothing when nobody was proved.
///
/// The path is the one below the version; access rules are written with `/v2` before it.
#[must_use]
pub fn caller(keystone: &Keystone, headers: &HeaderMap, method: &str, path: &str) -> Option<Token> {
    let written = sent(headers, "x-auth-token").or_else(|| sent(headers, "x-storage-token"))?;
    let token = keystone.look_up(written.trim())?;
    let service = sent(headers, "x-service-token");
    let service_proved = service
        .as_deref()
        .and_then(|service| keystone.look_up(service))
        .is_some_and(|service| service.is_good() && service.has_role("service"));
    if token.revoked || (token.is_expired() && !service_proved) {
        return None;
    }
    // any service token, even garbage, switches the rules off
    let restricted = service.is_none() && !token.access_rules().is_empty();
    let path = format!("/v2{path}");
    let within = |rule: &AccessRule| {
        rule.service == "image" && rule.method == method && fits(path.trim_end_matches('\n'), &rule.path)
    };
    if restricted && !token.access_rules().iter().any(within) {
        return None;
    }
    Some(token)
}

/// Returns the caller that the identity headers name, as a Glance without `auth_token` believes it.
#[must_use]
pub fn believed(keystone: &Keystone, headers: &HeaderMap) -> Option<Token> {
    if sent(headers, "x-identity-status")? != "Confirmed" {
        return None;
    }
    let user = sent(headers, "x-user-id")?;
    let roles = sent(headers, "x-roles").unwrap_or_default();
    let spec = TokenSpec::new(&user).roles(roles.split(','));
    let spec = match sent(headers, "x-project-id") {
        Some(project) => spec.project(&project),
        None => spec,
    };
    // the registry makes what the rest of the stand-in knows a caller as
    keystone.look_up(&keystone.issue(spec))
}

/// Returns the header's value: as the web server hands it on, with underscores for dashes and repetitions joined.
fn sent(headers: &HeaderMap, name: &str) -> Option<String> {
    let same = |sent: &str| sent.replace('_', "-") == name;
    let values = headers.iter().filter(|(sent, _)| same(sent.as_str()));
    let values = values.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let joined = values.collect::<Vec<String>>().join(", ");
    if joined.trim().is_empty() { None } else { Some(joined) }
}

/// Returns whether the path fits the rule's pattern.
fn fits(path: &str, pattern: &str) -> bool {
    let path = path.split('/').collect::<Vec<&str>>();
    let pattern = pattern.split('/').collect::<Vec<&str>>();
    segments_fit(&path, &pattern)
}

fn segments_fit(path: &[&str], pattern: &[&str]) -> bool {
    match (path, pattern) {
        ([], []) | (_, ["**"]) => true,
        ([_, path @ ..], ["**", rest @ ..]) => segments_fit(path, pattern) || segments_fit(path, rest),
        ([segment, path @ ..], [wanted, rest @ ..]) => {
            let any = *wanted == "*" || (wanted.starts_with('{') && wanted.ends_with('}'));
            ((any && !segment.is_empty()) || segment == wanted) && segments_fit(path, rest)
        }
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}
