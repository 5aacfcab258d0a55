//! Every key of every section, with what is checked about it.

use std::time::Duration;

use http::Uri;
use tracing::Level;

use crate::config::Config;
use crate::config::Server;
use crate::config::admin_section;
use crate::config::audit_section;
use crate::config::balance_section;
use crate::config::contract_section;
use crate::config::decisions_section;
use crate::config::files_apart;
use crate::config::fleet_section;
use crate::config::guard_key;
use crate::config::keystone_section;
use crate::config::oidc_section;
use crate::config::policy_section;
use crate::config::rate_limits_section;
use crate::config::reader::Book;
use crate::config::reader::Section;
use crate::config::rules_section;
use crate::config::settings::Settings;
use crate::config::shadow_diff_section;
use crate::config::shadow_section;
use crate::config::tracing_section;
use crate::config::transport_section;
use crate::config::value::ByteSize;
use crate::config::wire_section;
use crate::edge::overload;
use crate::framing::MAX_HEAD_BYTES;
use crate::glance;
use crate::glance::LookupAs;
use crate::keystone::config::JwsMode;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::member_update::limit;
use crate::member_update::rate;
use crate::member_update::validate;
use crate::server;
use crate::telemetry::log;
use crate::telemetry::log::Format;
use crate::upstream::balance;
use crate::vouch::Telling;

/// Reads all sections.
pub fn read(book: &mut Book<'_>) -> Config {
    let profile = profile(&mut book.section(""));
    let policy = policy_section::read(book);
    let rules = rules_section::read(book);
    let server = server(&mut book.section("server"));
    let (admin_listen, admin_names) = admin_section::read(&mut book.section("admin"));
    let log = log(&mut book.section("log"));
    let tracing = tracing_section::read(&mut book.section("tracing"));
    let audit = audit_section::read(&mut book.section("audit"));
    let keystone = keystone_section::read(&mut book.section("keystone_authtoken"));
    let ownership = ownership(&mut book.section("ownership"));
    let (mut upstream, telling) = upstream(&mut book.section("upstream"), &server);
    let oidc = oidc_section::read(&mut book.section("oidc"));
    let contract = contract_section::read(&mut book.section("contract"));
    if telling == Telling::Headers {
        rules_section::check_fixed(&rules, &mut book.section("rules"));
        let mut section = book.section("upstream");
        if keystone.jws == JwsMode::Offline {
            section.mistake("identity", "headers need roles, and jws = \"offline\" knows none", "jws = \"verify\"");
        }
        if ownership.lookup_as == LookupAs::Service {
            section.mistake("identity", "such a Glance takes no token of the gate's", "lookup_as = \"caller\"");
        }
        contract_section::check_identity(&contract, &mut section);
    }
    let guard = guard_key::read(&mut book.section("member_update"));
    let (body, member_limit) = member_update(&mut book.section("member_update"));
    let (overload, rates) = limits(&mut book.section("limits"));
    let rate_limits = rate_limits_section::read(&mut book.section("rate_limits"));
    upstream.rules.shed = balance_section::shed(&mut book.section("limits"));
    let shadow = shadow_section::read(&mut book.section("shadow"));
    shadow_section::check_target(&shadow, &upstream.servers, &mut book.section("shadow"));
    let shadow_diff = shadow_diff_section::read(&mut book.section("shadow_diff"));
    let recording = decisions_section::lines(&mut book.section("recording"));
    if admin_listen == server.listen && admin_listen.port() != 0 {
        book.section("admin").mistake("listen", "clients connect there", "give operators an address of their own");
    }
    let config = Config {
        profile,
        rules,
        server,
        admin_listen,
        admin_names,
        log,
        tracing,
        keystone,
        oidc,
        telling,
        policy,
        ownership,
        upstream,
        guard,
        body,
        member_limit,
        overload,
        rates,
        shadow,
        shadow_diff,
        recording,
        contract,
        audit,
        redis: fleet_section::redis(&mut book.section("redis")),
        notifications: fleet_section::notifications(&mut book.section("notifications")),
        limits: rate_limits,
        settings: Settings::default(),
    };
    files_apart::check(&config, book);
    config
}

fn profile(section: &mut Section<'_, '_>) -> Profile {
    let is_glance = section.choose("profile", false, &[("documented", false), ("glance", true)]);
    let words = [("new", PolicyDefaults::New), ("legacy", PolicyDefaults::Legacy)];
    let defaults = section.choose("policy_defaults", PolicyDefaults::New, &words);
    if is_glance { Profile::Glance(defaults) } else { Profile::Documented }
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
        drain_timeout: section.get("drain_timeout", default.drain_timeout),
        handover_socket: section.get("handover_socket", default.handover_socket),
        wire: wire_section::read(section),
        connection: server::Settings {
            head_timeout: positive(section, "head_timeout", connection.head_timeout),
            keepalive_timeout: positive(section, "keepalive_timeout", connection.keepalive_timeout),
            client_idle_timeout: positive(section, "client_idle_timeout", connection.client_idle_timeout),
            write_timeout: positive(section, "write_timeout", connection.write_timeout),
            drain_grace: section.get("drain_grace", connection.drain_grace),
            max_head_bytes: section.get("max_head", ByteSize(connection.max_head_bytes)).0,
            max_connections: section.get("max_connections", connection.max_connections),
            max_connections_per_client: section
                .get("max_connections_per_client", connection.max_connections_per_client),
        },
    };
    wire_section::check(section, &server);
    if !(server.mount.is_empty() || server.mount.starts_with('/') && !server.mount.ends_with('/')) {
        section.mistake("mount", "no prefix of a path", "\"\" for none, or such as \"/image\"");
    }
    if !(8192..=MAX_HEAD_BYTES).contains(&server.connection.max_head_bytes) {
        section.mistake("max_head", "too small for a request with a token, or too large to be read", "8KiB to 64KiB");
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

fn upstream(section: &mut Section<'_, '_>, server: &Server) -> (balance::Config, Telling) {
    let default = balance::Config::default();
    let servers = transport_section::servers(section, default.servers, server);
    let words = [("token", Telling::Token), ("forward", Telling::Headers)];
    let telling = section.choose("identity", Telling::Token, &words);
    let limits = default.connections;
    let config = balance::Config {
        servers,
        health_check_interval: positive(section, "health_check_interval", default.health_check_interval),
        health_check_path: section.get("health_check_path", default.health_check_path),
        connections: crate::client::pool::Limits {
            connect_timeout: positive(section, "connect_timeout", limits.connect_timeout),
            response_timeout: positive(section, "response_timeout", limits.response_timeout),
            idle_timeout: positive(section, "idle_timeout", limits.idle_timeout),
            idle_connections: section.get("keepalive_connections", limits.idle_connections),
            keepalive_timeout: section.get("keepalive_timeout", limits.keepalive_timeout),
            max_connections: balance_section::room(section, limits.max_connections),
        },
        transport: transport_section::read(section),
        rules: balance_section::rules(section),
    };
    (config, telling)
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
pub fn positive(section: &mut Section<'_, '_>, key: &'static str, default: Duration) -> Duration {
    let time = section.get(key, default);
    if time.is_zero() {
        section.mistake(key, "no time at all", "give it a time above zero");
    }
    time
}

/// Tells whether the text is a URL of http or https, without a user in it: what is no secret to the gate is told to others.
pub fn is_http_url(text: &str) -> bool {
    let is_plain = |uri: &Uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && is_plain(&uri))
}
