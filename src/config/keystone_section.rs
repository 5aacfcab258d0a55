//! The section `[keystone_authtoken]`, in keystonemiddleware's words.

use std::fs;
use std::path::PathBuf;

use crate::config::reader::Section;
use crate::config::sections::is_http_url;
use crate::config::sections::positive;
use crate::config::value::ByteSize;
use crate::keystone::config::Config as Keystone;
use crate::keystone::config::Credentials;
use crate::keystone::config::Domain;
use crate::keystone::config::JwsMode;
use crate::secret::Secret;

/// Reads the section.
pub fn read(section: &mut Section<'_, '_>) -> Keystone {
    let default = Keystone::default();
    let auth_url = section.get("auth_url", default.auth_url);
    if !is_http_url(&auth_url) || !auth_url.trim_end_matches('/').ends_with("/v3") {
        section.mistake(
            "auth_url",
            "no URL of Keystone's version 3",
            "write http(s)://host:port/v3, without a user in it",
        );
    }
    let www_authenticate_uri = section.get("www_authenticate_uri", String::new());
    if !www_authenticate_uri.is_empty() && !is_http_url(&www_authenticate_uri) {
        let hint = "write the URL that clients reach Keystone by, without a user in it";
        section.mistake("www_authenticate_uri", "no URL", hint);
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
pub fn secret(section: &mut Section<'_, '_>, key: &'static str, file_key: &'static str) -> Secret<String> {
    let written: Secret<String> = section.get(key, Secret::default());
    let file: PathBuf = section.get(file_key, PathBuf::new());
    if file.as_os_str().is_empty() {
        return written;
    }
    match fs::read_to_string(&file) {
        Ok(text) => Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            section.mistake(file_key, &error.to_string(), "the gate must be able to read the file");
            written
        }
    }
}

fn domain(section: &mut Section<'_, '_>, id_key: &'static str, name_key: &'static str) -> Domain {
    let id: String = section.get(id_key, "default".into());
    let name: String = section.get(name_key, String::new());
    if name.is_empty() { Domain::Id(id) } else { Domain::Name(name) }
}
