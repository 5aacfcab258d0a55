//! How Glance learns who asks, `[keystone_authtoken]`, in the gate's words.

use crate::adopt::Sources;
use crate::adopt::draft::Draft;
use crate::adopt::draft::list;
use crate::adopt::options::Found;
use crate::adopt::options::Options;
use crate::secret::Secret;

const SECTION: &str = "keystone_authtoken";

/// Takes over where Keystone is and how Glance speaks to it.
pub fn adopt(sources: &Sources, options: &Options, draft: &mut Draft) {
    // the plug-in's options may stand elsewhere
    let section =
        options.get(SECTION, &["auth_section"]).map_or(SECTION.to_owned(), |found| found.value.to_lowercase());
    keystone(options, &section, draft);
    credentials(sources, options, &section, draft);
    times(options, draft);
    limits(options, draft);
}

fn keystone(options: &Options, section: &str, draft: &mut Draft) {
    match options.get(section, &["auth_url"]) {
        Some(found) => {
            let url = found.value.trim_end_matches('/');
            let versioned = if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") };
            draft.text(SECTION, "auth_url", &versioned, &found.origin);
        }
        None => {
            draft.object("[keystone_authtoken] auth_url", "it is not set: the gate does not know where Keystone is");
        }
    }
    if let Some(found) = options.get(SECTION, &["www_authenticate_uri", "auth_uri"]) {
        draft.take(SECTION, "www_authenticate_uri", &found);
    }
    let cafile = options.get(section, &["cafile"]).or_else(|| options.get(SECTION, &["cafile"]));
    if let Some(found) = cafile {
        draft.take(SECTION, "cafile", &found);
    }
    for section in [section, SECTION] {
        if let Some(found) = options.get(section, &["insecure"]).filter(|found| found.is_on() == Some(true)) {
            draft.object(&found.origin, "the gate always checks Keystone's certificate: set cafile to its authority");
            break;
        }
    }
    if let Some(found) = options.get(section, &["certfile"]).or_else(|| options.get(SECTION, &["certfile"])) {
        draft.object(&found.origin, "the gate shows Keystone no certificate of its own");
    }
}

fn credentials(sources: &Sources, options: &Options, section: &str, draft: &mut Draft) {
    let get = |names: &[&str]| options.get(section, names);
    let kind = get(&["auth_type", "auth_plugin"]);
    let about = kind.as_ref().map_or("[keystone_authtoken] auth_type".to_owned(), |found| found.origin.clone());
    let secret = match kind.as_ref().map_or("password", |found| &found.value) {
        "password" | "v3password" => {
            draft.text(SECTION, "auth_type", "password", &about);
            names(&get, draft);
            ("password_file", get(&["password"]))
        }
        "v3applicationcredential" => {
            draft.text(SECTION, "auth_type", "v3applicationcredential", &about);
            match get(&["application_credential_id"]) {
                Some(found) => draft.take(SECTION, "application_credential_id", &found),
                None => draft.object(&about, "the gate names application credentials by their id only"),
            }
            ("application_credential_secret_file", get(&["application_credential_secret"]))
        }
        other => {
            let what = format!("the gate logs in by password or application credential, not by {other}");
            return draft.object(&about, &what);
        }
    };
    match secret {
        (key, Some(found)) => {
            draft.text(
                SECTION,
                key,
                &sources.password_file.display().to_string(),
                &format!("the secret of {}", found.origin),
            );
            draft.secret = Some(Secret::new(found.value));
        }
        (key, None) => {
            draft.text(
                SECTION,
                key,
                &sources.password_file.display().to_string(),
                "CHANGE: Glance's files have no secret",
            );
            draft.warn(
                &about,
                "there is no secret in Glance's files: write it into the file that the configuration names",
            );
        }
    }
    draft.note(
        &about,
        "the gate logs in as Glance does; a user of its own, with the role service, is better told apart",
    );
}

fn names(get: &dyn Fn(&[&str]) -> Option<Found>, draft: &mut Draft) {
    match get(&["username", "user_name"]) {
        Some(found) => draft.take(SECTION, "username", &found),
        None => draft.object("[keystone_authtoken] username", "the gate logs in by a user's name, not by an id"),
    }
    match get(&["project_name", "tenant_name"]) {
        Some(found) => draft.take(SECTION, "project_name", &found),
        None => draft.object("[keystone_authtoken] project_name", "the gate logs in to a project by its name"),
    }
    for key in ["user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name"] {
        if let Some(found) = get(&[key]) {
            draft.take(SECTION, key, &found);
        }
    }
    for (kind, id, name) in
        [("user", "user_domain_id", "user_domain_name"), ("project", "project_domain_id", "project_domain_name")]
    {
        if get(&[id]).is_none() && get(&[name]).is_none() {
            let about = format!("[keystone_authtoken] {id}");
            draft.warn(
                &about,
                &format!("the domain of the {kind} is not set: the gate takes the one with the id default"),
            );
        }
    }
    for key in ["trust_id", "system_scope", "domain_id", "domain_name"] {
        if let Some(found) = get(&[key]) {
            draft.object(&found.origin, "the gate logs in to a project");
        }
    }
}

fn times(options: &Options, draft: &mut Draft) {
    if let Some(found) = options.get(SECTION, &["token_cache_time"]) {
        // -1 turns Glance's cache off
        match found.value.parse::<i64>() {
            Ok(seconds) => draft.text(SECTION, "token_cache_time", &format!("{}s", seconds.max(0)), &found.origin),
            Err(_) => draft.warn(&found.origin, "it is no number: the gate's own default is used"),
        }
    }
    for (name, key) in [("http_connect_timeout", "http_connect_timeout"), ("http_request_max_retries", "")] {
        let Some(found) = options.get(SECTION, &[name]) else { continue };
        match found.value.parse::<u32>() {
            Ok(seconds) if !key.is_empty() && seconds > 0 => {
                draft.text(SECTION, key, &format!("{seconds}s"), &found.origin);
            }
            Ok(times) if key.is_empty() => {
                draft.put(SECTION, "http_request_max_retries", &times.to_string(), &found.origin);
            }
            Ok(_) | Err(_) => draft.warn(&found.origin, "the gate can not use it: its own default is used"),
        }
    }
}

fn limits(options: &Options, draft: &mut Draft) {
    if let Some(found) = options.get(SECTION, &["service_token_roles"]) {
        draft.put(SECTION, "service_token_roles", &list(&found.list()), &found.origin);
    }
    let required = options.get(SECTION, &["service_token_roles_required"]);
    if let Some(found) = required.filter(|found| found.is_on() == Some(false)) {
        draft.warn(&found.origin, "the gate lets a service token count only if it has one of service_token_roles");
    }
    match options.get(SECTION, &["service_type"]) {
        Some(found) => draft.take(SECTION, "service_type", &found),
        None => draft.note(
            "[keystone_authtoken] service_type",
            "it is not set, so that this Glance looks at no access rules of application credentials; the gate does",
        ),
    }
    for name in ["enforce_token_bind", "token_cache_exclude"] {
        if let Some(found) = options.get(SECTION, &[name]) {
            draft.note(&found.origin, "the gate has nothing like it");
        }
    }
}
