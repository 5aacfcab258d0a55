//! Every key of every section, with what is checked about it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use tracing::Level;

use crate::config::Config;
use crate::config::Server;
use crate::config::reader::Book;
use crate::config::reader::Section;
use crate::config::value::ByteSize;
use crate::edge::overload;
use crate::glance;
use crate::glance::LookupAs;
use crate::keystone::config::Config as Keystone;
use crate::keystone::config::Credentials;
use crate::keystone::config::Domain;
use crate::keystone::config::JwsMode;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::member_update::enforce::Enforcement;
use crate::member_update::limit;
use crate::member_update::rate;
use crate::member_update::validate;
use crate::secret::Secret;
use crate::server;
use crate::telemetry::log;
use crate::telemetry::log::Format;
use crate::upstream::balance;

/// Reads all sections.
pub fn read(book: &mut Book<'_>) -> Config {
    let (profile, enforcement) = top(&mut book.section(""));
    let server = server(&mut book.section("server"));
    let admin_listen = book.section("admin").get("listen", Config::default().admin_listen);
    let log = log(&mut book.section("log"));
    let keystone = keystone(&mut book.section("keystone_authtoken"));
    let ownership = ownership(&mut book.section("ownership"));
    let upstream = upstream(&mut book.section("upstream"), &server);
    let (body, member_limit) = member_update(&mut book.section("member_update"));
    let (overload, rates) = limits(&mut book.section("limits"));
    if admin_listen == server.listen && admin_listen.port() != 0 {
        book.section("admin").mistake("listen", "clients connect there", "give operators an address of their own");
    }
    Config {
        profile,
        enforcement,
        server,
        admin_listen,
        log,
        keystone,
        ownership,
        upstream,
        body,
        member_limit,
        overload,
        rates,
    }
}

fn top(section: &mut Section<'_, '_>) -> (Profile, Enforcement) {
    let is_glance = section.choose("profile", false, &[("documented", false), ("glance", true)]);
    let words = [("new", PolicyDefaults::New), ("legacy", PolicyDefaults::Legacy)];
    let defaults = section.choose("policy_defaults", PolicyDefaults::New, &words);
    let words = [("enforce", Enforcement::Enforce), ("observe", Enforcement::Observe)];
    let enforcement = section.choose("enforcement", Enforcement::Enforce, &words);
    (if is_glance { Profile::Glance(defaults) } else { Profile::Documented }, enforcement)
}

fn server(section: &mut Section<'_, '_>) -> Server {
    let default = Server::default();
    let connection = default.connection;
    let server = Server {
        listen: section.get("listen", default.listen),
        workers: section.get("workers", default.workers),
        mount: section.get("mount", default.mount),
        trusted_proxies: section.get("trusted_proxies", default.trusted_proxies),
        healthcheck_disable_file: section.get("healthcheck_disable_file", default.healthcheck_disable_file),
        client_idle_timeout: positive(section, "client_idle_timeout", default.client_idle_timeout),
        drain_timeout: section.get("drain_timeout", default.drain_timeout),
        connection: server::Settings {
            head_timeout: positive(section, "head_timeout", connection.head_timeout),
            keepalive_timeout: positive(section, "keepalive_timeout", connection.keepalive_timeout),
            write_timeout: positive(section, "write_timeout", connection.write_timeout),
            max_head_bytes: section.get("max_head", ByteSize(connection.max_head_bytes)).0,
            max_connections: section.get("max_connections", connection.max_connections),
            max_connections_per_client: section
                .get("max_connections_per_client", connection.max_connections_per_client),
        },
    };
    if !(server.mount.is_empty() || server.mount.starts_with('/') && !server.mount.ends_with('/')) {
        section.mistake("mount", "no prefix of a path", "\"\" for none, or such as \"/image\"");
    }
    if server.connection.max_head_bytes < 8192 {
        section.mistake("max_head", "too small for a request with a token", "at least 8KiB");
    }
    if server.connection.max_connections == 0 {
        section.mistake("max_connections", "nobody could connect", "at least 1");
    }
    server
}

fn log(section: &mut Section<'_, '_>) -> log::Config {
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    log::Config {
        format: section.choose("format", Format::Json, &[("json", Format::Json), ("text", Format::Text)]),
        level: section.choose("level", Level::INFO, &levels),
    }
}

fn keystone(section: &mut Section<'_, '_>) -> Keystone {
    let default = Keystone::default();
    let auth_url = section.get("auth_url", default.auth_url);
    if !is_http_url(&auth_url) || !auth_url.trim_end_matches('/').ends_with("/v3") {
        section.mistake("auth_url", "no URL of Keystone's version 3", "write http(s)://host:port/v3");
    }
    let www_authenticate_uri = section.get("www_authenticate_uri", String::new());
    if www_authenticate_uri.contains(['"', '\n']) {
        section.mistake("www_authenticate_uri", "no URL", "write the URL that clients reach Keystone by");
    }
    let cafile: PathBuf = section.get("cafile", PathBuf::new());
    let jws = section.choose(
        "jws",
        JwsMode::Off,
        &[("off", JwsMode::Off), ("verify", JwsMode::Verify), ("offline", JwsMode::Offline)],
    );
    Keystone {
        credentials: credentials(section),
        www_authenticate_uri: if www_authenticate_uri.is_empty() { auth_url.clone() } else { www_authenticate_uri },
        auth_url,
        cafile: if cafile.as_os_str().is_empty() { None } else { Some(cafile) },
        service_token_roles: section.get("service_token_roles", default.service_token_roles),
        service_type: section.get("service_type", default.service_type),
        token_cache_time: section.get("token_cache_time", default.token_cache_time),
        negative_cache_time: section.get("negative_cache_time", default.negative_cache_time),
        token_cache_entries: section.get("token_cache_entries", default.token_cache_entries),
        http_connect_timeout: positive(section, "http_connect_timeout", default.http_connect_timeout),
        http_request_timeout: positive(section, "http_request_timeout", default.http_request_timeout),
        http_request_max_retries: section.get("http_request_max_retries", default.http_request_max_retries),
        max_answer_bytes: section.get("max_answer", ByteSize(default.max_answer_bytes)).0,
        jws,
        jws_public_key_repository: section.get("jws_public_key_repository", default.jws_public_key_repository),
        jws_key_refresh: positive(section, "jws_key_refresh", default.jws_key_refresh),
    }
}

fn credentials(section: &mut Section<'_, '_>) -> Credentials {
    let is_application = section.choose("auth_type", false, &[("password", false), ("v3applicationcredential", true)]);
    let username: String = section.get("username", "glance".into());
    let password = secret(section, "password", "password_file");
    let user_domain = domain(section, "user_domain_id", "user_domain_name");
    let project_name: String = section.get("project_name", "service".into());
    let project_domain = domain(section, "project_domain_id", "project_domain_name");
    let id: String = section.get("application_credential_id", String::new());
    let application_secret = secret(section, "application_credential_secret", "application_credential_secret_file");
    if is_application {
        if id.is_empty() {
            section.mistake(
                "application_credential_id",
                "it is missing",
                "see `openstack application credential create`",
            );
        }
        need(section, "application_credential_secret", &application_secret);
        return Credentials::ApplicationCredential { id, secret: application_secret };
    }
    need(section, "password", &password);
    Credentials::Password { username, password, user_domain, project_name, project_domain }
}

fn need(section: &mut Section<'_, '_>, key: &'static str, secret: &Secret<String>) {
    if secret.expose().is_empty() {
        let hint = format!("set {key}_file, or the variable GLANCE_GATE_KEYSTONE_AUTHTOKEN_{}", key.to_uppercase());
        section.mistake(key, "the gate needs a credential of its own", &hint);
    }
}

/// Reads a secret from its key or from a file, of which a last line end is dropped.
fn secret(section: &mut Section<'_, '_>, key: &'static str, file_key: &'static str) -> Secret<String> {
    let written: String = section.get(key, String::new());
    let file: PathBuf = section.get(file_key, PathBuf::new());
    if file.as_os_str().is_empty() {
        return Secret::new(written);
    }
    match fs::read_to_string(&file) {
        Ok(text) => Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            section.mistake(file_key, &error.to_string(), "the gate must be able to read the file");
            Secret::new(written)
        }
    }
}

fn domain(section: &mut Section<'_, '_>, id_key: &'static str, name_key: &'static str) -> Domain {
    let id: String = section.get(id_key, "default".into());
    let name: String = section.get(name_key, String::new());
    if name.is_empty() { Domain::Id(id) } else { Domain::Name(name) }
}

fn ownership(section: &mut Section<'_, '_>) -> glance::Config {
    let default = glance::Config::default();
    let words = [("caller", LookupAs::Caller), ("service", LookupAs::Service)];
    glance::Config {
        lookup_as: section.choose("lookup_as", default.lookup_as, &words),
        cache_time: section.get("cache_time", default.cache_time),
        negative_cache_time: section.get("negative_cache_time", default.negative_cache_time),
        cache_entries: section.get("cache_entries", default.cache_entries),
        lookup_timeout: positive(section, "lookup_timeout", default.lookup_timeout),
        max_answer_bytes: section.get("max_answer", ByteSize(default.max_answer_bytes)).0,
    }
}

fn upstream(section: &mut Section<'_, '_>, server: &Server) -> balance::Config {
    let default = balance::Config::default();
    let servers = section.get("servers", default.servers);
    if servers.is_empty() {
        section.mistake("servers", "there is no upstream", "name at least one, such as [\"http://127.0.0.1:9293\"]");
    }
    for name in &servers {
        let authority = name.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let is_server = authority.is_some_and(|authority| {
            !authority.contains('/') && is_http_url(name) && name.parse::<Uri>().is_ok_and(|uri| uri.port().is_some())
        });
        if !is_server {
            section.mistake("servers", &format!("\"{name}\" is no upstream"), "write http://host:port, without a path");
        } else if authority.and_then(|authority| authority.parse().ok()) == Some(server.listen)
            && server.listen.port() != 0
        {
            section.mistake("servers", "the gate itself listens there", "give Glance another port");
        }
    }
    let limits = default.connections;
    balance::Config {
        servers,
        health_check_interval: positive(section, "health_check_interval", default.health_check_interval),
        health_check_path: section.get("health_check_path", default.health_check_path),
        connections: crate::client::pool::Limits {
            connect_timeout: positive(section, "connect_timeout", limits.connect_timeout),
            response_timeout: positive(section, "response_timeout", limits.response_timeout),
            idle_timeout: positive(section, "idle_timeout", limits.idle_timeout),
            idle_connections: section.get("keepalive_connections", limits.idle_connections),
            keepalive_timeout: section.get("keepalive_timeout", limits.keepalive_timeout),
        },
    }
}

fn member_update(section: &mut Section<'_, '_>) -> (validate::Config, limit::Config) {
    let body = validate::Config::default();
    let limit = limit::Config::default();
    (
        validate::Config {
            max_body: section.get("max_body", ByteSize(body.max_body)).0,
            body_timeout: positive(section, "body_timeout", body.body_timeout),
        },
        limit::Config {
            max_in_flight: section.get("max_in_flight", limit.max_in_flight),
            timeout: positive(section, "timeout", limit.timeout),
        },
    )
}

fn limits(section: &mut Section<'_, '_>) -> (overload::Config, rate::Config) {
    let default = overload::Config::default();
    let rates = rate::Config::default();
    (
        overload::Config {
            max_in_flight: section.get("max_in_flight", default.max_in_flight),
            max_in_flight_per_client: section.get("max_in_flight_per_client", default.max_in_flight_per_client),
        },
        rate::Config {
            per_client: section.get("member_updates_per_client", rates.per_client),
            per_project: section.get("member_updates_per_project", rates.per_project),
            keystone_questions: section.get("keystone_questions_per_client", rates.keystone_questions),
            ownership_questions: section.get("ownership_questions_per_client", rates.ownership_questions),
        },
    )
}

/// Reads a time that must not be zero.
fn positive(section: &mut Section<'_, '_>, key: &'static str, default: Duration) -> Duration {
    let time = section.get(key, default);
    if time.is_zero() {
        section.mistake(key, "no time at all", "give it a time above zero");
    }
    time
}

fn is_http_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}
