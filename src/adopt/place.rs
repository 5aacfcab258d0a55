//! Where Glance listens and what it does there, in the gate's words.

use std::io;
use std::path::PathBuf;

use crate::adopt::Sources;
use crate::adopt::beside;
use crate::adopt::draft::Draft;
use crate::adopt::draft::list;
use crate::adopt::ini;
use crate::adopt::options::Options;
use crate::adopt::pipeline;
use crate::adopt::pipeline::Pipeline;

const DEFAULT_PORT: u16 = 9292;

/// What the filters that come with Glance are made by; they change nothing of a member update.
const KNOWN_FILTERS: [&str; 12] = [
    "oslo_middleware.cors:filter_factory",
    "oslo_middleware:CORS.factory",
    "oslo_middleware:HTTPProxyToWSGI.factory",
    "oslo_middleware.healthcheck:Healthcheck.factory",
    "oslo_middleware:Healthcheck.factory",
    "glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory",
    "osprofiler.web:WsgiMiddleware.factory",
    "keystonemiddleware.auth_token:filter_factory",
    "glance.api.middleware.context:ContextMiddleware.factory",
    "glance.api.middleware.cache:CacheFilter.factory",
    "glance.api.middleware.cache_manage:CacheManageFilter.factory",
    "glance.api.middleware.gzip:GzipMiddleware.factory",
];

/// Takes over which default policies count, and that nothing is enforced.
pub fn profile(options: &Options, draft: &mut Draft) {
    let found = options.get("oslo_policy", &["enforce_new_defaults"]);
    let (defaults, origin) = match found.as_ref().map(|found| (found, found.is_on())) {
        Some((found, Some(true))) => ("new", found.origin.clone()),
        Some((found, Some(false))) => ("legacy", found.origin.clone()),
        Some((found, None)) => {
            draft.warn(&found.origin, "it is neither true nor false: new default policies are assumed");
            ("new", found.origin.clone())
        }
        None => {
            let about = "[oslo_policy] enforce_new_defaults";
            draft.warn(
                about,
                "it is not set: true is assumed, the default since oslo.policy 4.2; older releases have false",
            );
            ("new", format!("{about} is not set"))
        }
    };
    draft.text("", "policy_defaults", defaults, &origin);
    draft.text("", "enforcement", "observe", "nothing is enforced yet");
}

/// Takes over where clients connect to.
pub fn server(sources: &Sources, options: &Options, draft: &mut Draft) {
    let host = options.get("DEFAULT", &["bind_host"]);
    let port = options.get("DEFAULT", &["bind_port"]);
    let origin = [&host, &port].into_iter().flatten().map(|found| found.origin.clone()).collect::<Vec<_>>().join("; ");
    let host = host.map_or("0.0.0.0".to_owned(), |found| found.value);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let address = format!("{host}:{}", bind_port(options));
    let (listen, origin) = match &sources.listen {
        Some(listen) => (listen.clone(), "as it was named".to_owned()),
        None if origin.is_empty() => (address, "where Glance listens unless it is told otherwise".to_owned()),
        None => (address, format!("where Glance listens now: {origin}")),
    };
    draft.text("server", "listen", &listen, &origin);
    for (name, key) in [("cert_file", "tls_certificate"), ("key_file", "tls_key")] {
        if let Some(found) = options.get("DEFAULT", &[name]) {
            draft.take("server", key, &found);
        }
    }
    if let Some(found) = options.get("DEFAULT", &["ca_file"]) {
        draft.text("server", "tls_client_verify", "required", &found.origin);
        draft.take("server", "tls_client_ca", &found);
    }
    let proxied = options.get("oslo_middleware", &["enable_proxy_headers_parsing"]);
    if let Some(found) = proxied.filter(|found| found.is_on() == Some(true)) {
        draft.put(
            "server",
            "trusted_proxies",
            "[]",
            "CHANGE to the proxies before the gate: Glance believes their headers",
        );
        draft.warn(&found.origin, "there are proxies before Glance: list them in [server] trusted_proxies");
    }
    if let Some(found) = options.get("DEFAULT", &["public_endpoint"]) {
        let path =
            found.value.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        if !path.trim_matches('/').is_empty() {
            let what = "clients see a path before the API: if it reaches the gate, set [server] mount to it";
            draft.warn(&found.origin, what);
        }
    }
}

fn bind_port(options: &Options) -> u16 {
    options.get("DEFAULT", &["bind_port"]).and_then(|found| found.value.parse().ok()).unwrap_or(DEFAULT_PORT)
}

/// Reads the pipeline, and takes over the prefix of the API.
///
/// # Errors
/// Fails if its file can not be read.
pub fn pipeline(sources: &Sources, options: &Options, draft: &mut Draft) -> io::Result<Option<Pipeline>> {
    let named = options.get("paste_deploy", &["config_file"]).map(|found| PathBuf::from(found.value));
    let file = match (&sources.paste, named) {
        (Some(file), _) => file.clone(),
        (None, Some(file)) => beside(sources, &file.display().to_string()),
        (None, None) => beside(sources, "glance-api-paste.ini"),
    };
    let entries = ini::read(&file).map_err(|error| io::Error::other(error.to_string()))?;
    let flavor = options.get("paste_deploy", &["flavor"]);
    let about = flavor.as_ref().map_or("[paste_deploy] flavor".to_owned(), |found| found.origin.clone());
    let Some(found) = pipeline::find(&entries, flavor.as_ref().map_or("", |found| &found.value)) else {
        draft.object(&about, &format!("{} has no pipeline for it", file.display()));
        return Ok(None);
    };
    if !found.mount.is_empty() {
        draft.text("server", "mount", &found.mount, &format!("the prefix of the API in {}", file.display()));
    }
    filters(&found, &about, draft);
    Ok(Some(found))
}

fn filters(pipeline: &Pipeline, about: &str, draft: &mut Draft) {
    let has = |part: &str| pipeline.filters.iter().any(|(_, factory)| factory.contains(part));
    if !has("auth_token") {
        draft.object(about, "its pipeline asks Keystone about nobody, so that everybody is an administrator");
        return;
    }
    if !pipeline.delays_auth_decision {
        let what =
            "delay_auth_decision is not set for authtoken: its 401 has another body than Glance's, and the gate's";
        draft.warn(about, what);
    }
    for (name, factory) in &pipeline.filters {
        if !KNOWN_FILTERS.contains(&factory.as_str()) {
            let made = if factory.is_empty() { "nothing the file names" } else { factory };
            let what = format!("the gate does not know what it does: it is made by {made}");
            draft.warn(&format!("the filter {name} of the pipeline"), &what);
        }
    }
}

/// Writes where Glance will be reached.
pub fn upstream(sources: &Sources, options: &Options, pipeline: Option<&Pipeline>, draft: &mut Draft) {
    if let Some(upstream) = &sources.upstream {
        draft.put("upstream", "servers", &list(std::slice::from_ref(upstream)), "as it was named");
    } else {
        let port = bind_port(options).checked_add(1).unwrap_or(DEFAULT_PORT + 1);
        let server = format!("http://127.0.0.1:{port}");
        let comment = "where Glance is to listen from now on: bind_host = 127.0.0.1 and this bind_port";
        draft.put("upstream", "servers", &list(&[server]), comment);
        let what = format!(
            "the gate listens where Glance did: let Glance listen on 127.0.0.1:{port}, or name another address by \
             --upstream; under a web server of its own, such as uWSGI, that is set there"
        );
        draft.note("[DEFAULT] bind_port", &what);
    }
    match pipeline.and_then(|pipeline| pipeline.healthcheck.as_deref()) {
        Some(path) => draft.text("upstream", "health_check_path", path, "the health check of the pipeline"),
        None => {
            draft.text("upstream", "health_check_path", "", "the pipeline has no health check: connecting is enough");
        }
    }
}

/// Tells of options that make Glance answer otherwise, and of those that are its own business.
pub fn others(options: &Options, draft: &mut Draft) {
    let anonymous = options.get("DEFAULT", &["allow_anonymous_access"]);
    if let Some(found) = anonymous.filter(|found| found.is_on() == Some(true)) {
        draft.warn(&found.origin, "a member update without a token is 403 there; the gate answers 401");
    }
    if let Some(found) = options.get("cors", &["allowed_origin"]) {
        draft.warn(&found.origin, "Glance's answers have CORS headers; the gate's own refusals have none");
    }
    if let Some(found) = options.get("DEFAULT", &["max_request_id_length"]).filter(|found| found.value != "64") {
        draft.note(&found.origin, "request ids that are not req-<uuid> never reach Glance through the gate");
    }
    for (name, what) in [
        ("property_protection_file", "what it protects is Glance's own business: properties of images pass by unread"),
        ("location_strategy", "where images are kept is Glance's own business"),
        ("image_member_quota", "it is for new members, which pass by"),
    ] {
        if let Some(found) = options.get("DEFAULT", &[name]) {
            draft.note(&found.origin, what);
        }
    }
}
