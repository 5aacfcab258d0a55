//! The section `[admin]`: where operators connect to, and by which names.

use std::net::SocketAddr;

use crate::config::Config;
use crate::config::reader::Section;

/// Reads the section.
pub fn read(section: &mut Section<'_, '_>) -> (SocketAddr, Vec<String>) {
    let default = Config::default();
    let listen = section.get("listen", default.admin_listen);
    let names: Vec<String> = section.get("names", default.admin_names);
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        let what = format!("{name:?} is no name of a machine");
        section.mistake("names", &what, "write what stands in the browser before the port, such as \"gate1.internal\"");
    }
    (listen, names)
}

/// Tells whether it is a name as a `Host` header has it (RFC 9110 section 7.2), without a port.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_those_of_machines() {
        for name in ["gate", "gate1.internal", "xn--nxasmq6b.example"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "*", "gate:9294", "Gate", "gate..internal", "http://gate", "gate/"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
