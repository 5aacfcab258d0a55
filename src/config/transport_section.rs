//! The keys of the section `[upstream]` that say where the upstreams are and how they are spoken to.

use std::path::PathBuf;

use crate::client::endpoint::Server;
use crate::client::transport::Config;
use crate::client::transport::Protocol;
use crate::config::Server as Listener;
use crate::config::reader::Section;

/// Reads the names of the upstreams.
pub fn servers(section: &mut Section<'_, '_>, default: Vec<String>, listener: &Listener) -> Vec<String> {
    let servers = section.get("servers", default);
    if servers.is_empty() {
        section.mistake("servers", "there is no upstream", "name at least one, such as [\"http://127.0.0.1:9293\"]");
    }
    for name in &servers {
        match Server::parse(name) {
            Some(Server::Http(authority) | Server::Https(authority)) => {
                if authority.parse() == Ok(listener.listen) && listener.listen.port() != 0 {
                    section.mistake("servers", "the gate itself listens there", "give Glance another port");
                }
            }
            Some(Server::Unix(_)) => {}
            None => {
                let hint = "write http://host:port or https://host:port, without a path, or unix:/path/of/a.sock";
                section.mistake("servers", &format!("\"{name}\" is no upstream"), hint);
            }
        }
    }
    servers
}

/// Reads how they are spoken to.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let is_http2 = section.get("http2", false);
    let cafile = path(section, "cafile");
    let (certfile, keyfile) = (path(section, "certfile"), path(section, "keyfile"));
    let identity = match (certfile, keyfile) {
        (Some(certfile), Some(keyfile)) => Some((certfile, keyfile)),
        (None, None) => None,
        (Some(_), None) => {
            section.mistake("keyfile", "a certificate without its key", "name the file of the private key too");
            None
        }
        (None, Some(_)) => {
            section.mistake("certfile", "a key without its certificate", "name the file of the certificate too");
            None
        }
    };
    Config { protocol: if is_http2 { Protocol::Http2 } else { Protocol::Http1 }, cafile, identity }
}

fn path(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let path: PathBuf = section.get(key, PathBuf::new());
    if path.as_os_str().is_empty() { None } else { Some(path) }
}
