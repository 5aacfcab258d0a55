//! The keys of the section `[server]` that say how the listener is spoken to.

use std::path::PathBuf;

use crate::config::Server;
use crate::config::reader::Section;
use crate::config::sections::positive;
use crate::server::http2::Limits;
use crate::server::proxy_protocol::Mode;
use crate::server::tls::ClientVerify;
use crate::server::tls::Config as Tls;
use crate::server::tls::MinVersion;
use crate::server::wire::Config;

/// Reads the keys.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let words = [("off", Mode::Off), ("on", Mode::On)];
    let proxy_protocol = section.choose("proxy_protocol", Mode::Off, &words);
    Config { tls: tls(section), http2: http2(section), proxy_protocol }
}

/// Checks what the keys mean beside others.
pub fn check(section: &mut Section<'_, '_>, server: &Server) {
    if server.wire.proxy_protocol == Mode::On && server.trusted_proxies.is_empty() {
        let hint = "name the load balancers in trusted_proxies";
        section.mistake("proxy_protocol", "nobody could connect", hint);
    }
}

/// Reads `http2…`.
fn http2(section: &mut Section<'_, '_>) -> Option<Limits> {
    let default = Limits::default();
    let spoken = section.choose("http2", Some(default), &[("on", Some(default)), ("off", None)]);
    let max_streams = section.get("http2_max_streams", default.max_streams);
    if max_streams == 0 {
        section.mistake("http2_max_streams", "no request could be made", "at least 1; \"off\" for http2 speaks none");
    }
    spoken.map(|_| Limits { max_streams })
}

/// Reads `tls_…`; without a certificate there is no TLS.
fn tls(section: &mut Section<'_, '_>) -> Option<Tls> {
    let default = Tls::default();
    let words =
        [("off", ClientVerify::Off), ("optional", ClientVerify::Optional), ("required", ClientVerify::Required)];
    let tls = Tls {
        certificate: section.get("tls_certificate", PathBuf::new()),
        key: section.get("tls_key", PathBuf::new()),
        client_ca: section.get("tls_client_ca", PathBuf::new()),
        client_verify: section.choose("tls_client_verify", default.client_verify, &words),
        min_version: section.choose(
            "tls_min_version",
            default.min_version,
            &[("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)],
        ),
        reload_interval: positive(section, "tls_reload_interval", default.reload_interval),
    };
    let has = |path: &PathBuf| !path.as_os_str().is_empty();
    if !has(&tls.certificate) {
        if has(&tls.key) {
            section.mistake("tls_key", "a key without its certificate", "name the certificate in tls_certificate");
        }
        if tls.client_verify != ClientVerify::Off {
            section.mistake("tls_client_verify", "without TLS no client shows a certificate", "set tls_certificate");
        }
        return None;
    }
    match (tls.client_verify, has(&tls.client_ca)) {
        (ClientVerify::Off, true) => {
            let hint = "set tls_client_verify to \"optional\" or \"required\", or leave tls_client_ca out";
            section.mistake("tls_client_ca", "no client is asked for a certificate", hint);
        }
        (ClientVerify::Optional | ClientVerify::Required, false) => {
            section.mistake("tls_client_verify", "nobody vouches for clients", "name their authority in tls_client_ca");
        }
        (ClientVerify::Off, false) | (ClientVerify::Optional | ClientVerify::Required, true) => {}
    }
    Some(tls)
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;

    /// Returns what is wrong with a section `[server]`.
    fn mistakes(server: &str) -> Vec<String> {
        let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
        let read = parse("gate.toml", &format!("[server]\n{server}"), &environment);
        read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_that_do_nothing_without_each_other_are_mistakes() {
        for (server, told) in [
            ("proxy_protocol = \"on\"", "[server] proxy_protocol: nobody could connect"),
            ("http2_max_streams = 0", "[server] http2_max_streams: no request"),
            ("tls_key = \"/k\"", "[server] tls_key: a key without its certificate"),
            ("tls_client_verify = \"required\"", "[server] tls_client_verify: without TLS"),
            (
                "tls_certificate = \"/c\"\ntls_client_verify = \"optional\"",
                "[server] tls_client_verify: nobody vouches",
            ),
            ("tls_certificate = \"/c\"\ntls_client_ca = \"/a\"", "[server] tls_client_ca: no client is asked"),
            ("tls_certificate = \"/c\"\ntls_min_version = \"1.1\"", "[server] tls_min_version: \"1.1\" is no choice"),
            ("tls_certificate = \"/c\"\ntls_reload_interval = \"0s\"", "[server] tls_reload_interval: no time at all"),
        ] {
            let mistakes = mistakes(server);
            assert!(matches!(mistakes.as_slice(), [one] if one.contains(told)), "{server}: {mistakes:?}");
        }
        let good = "tls_certificate = \"/c\"\ntls_client_ca = \"/a\"\ntls_client_verify = \"required\"";
        assert_eq!(mistakes(good), [""; 0]);
    }
}
