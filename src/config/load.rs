//! From a file and the environment to a configuration, or to the complete list of what is wrong.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;

use crate::config::Config;
use crate::config::mistake::Mistake;
use crate::config::reader::Book;
use crate::config::reader::Key;
use crate::config::reader::line_of;
use crate::config::sections;

/// Loads a file, with the environment's variables before it.
///
/// # Errors
/// Returns all mistakes, in the order of their lines.
pub fn load(path: &Path, environment: &[(String, String)]) -> Result<Config, Vec<Mistake>> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        vec![Mistake {
            source: file.clone(),
            line: None,
            key: String::new(),
            what: error.to_string(),
            hint: "give the path of a TOML file; config/gate.toml is one to start from".into(),
        }]
    })?;
    parse(&file, &text, environment).map(|(config, _)| config)
}

/// Loads a file to look at what it decides, on a machine that need not have the gate's secrets.
///
/// # Errors
/// As [`load`], but for what is wrong with the gate's own credentials and those for its audit sinks.
pub fn load_without_secrets(path: &Path, environment: &[(String, String)]) -> Result<Config, Vec<Mistake>> {
    let is_secret = |mistake: &Mistake| {
        let is_of = |section: &str, keys: [&str; 2]| {
            let key = mistake.key.strip_prefix(section);
            key.is_some_and(|key| keys.iter().any(|secret| key.starts_with(secret)))
        };
        is_of("[keystone_authtoken] ", ["password", "application_credential_secret"])
            || is_of("[audit] ", ["http_token", "amqp_password"])
            || matches!(
                mistake.key.as_str(),
                "[shadow] exchange_file" | "[redis] password_file" | "[notifications] transport_url_file"
            )
    };
    match load(path, environment) {
        Err(mistakes) if !mistakes.is_empty() && mistakes.iter().all(is_secret) => {
            let text = fs::read_to_string(path).unwrap_or_default();
            let (root, _) = DeTable::parse_recoverable(&text);
            Ok(sections::read(&mut Book::new("", &text, root.get_ref(), environment)))
        }
        loaded => loaded,
    }
}

/// Returns where a gate with this configuration tells operators, as far as it can be read.
pub fn admin_listen(path: &Path, environment: &[(String, String)]) -> SocketAddr {
    let text = fs::read_to_string(path).unwrap_or_default();
    let (root, _) = DeTable::parse_recoverable(&text);
    sections::read(&mut Book::new("", &text, root.get_ref(), environment)).admin_listen
}

/// Reads a configuration from text; also returns every key there is.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, environment: &[(String, String)]) -> Result<(Config, Vec<Key>), Vec<Mistake>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| Mistake {
            source: file.into(),
            line: error.span().map(|span| line_of(text, span.start)),
            key: String::new(),
            what: error.message().into(),
            hint: "the file must be TOML: https://toml.io".into(),
        })
        .collect();
    let mut book = Book::new(file, text, root.get_ref(), environment);
    let mut config = sections::read(&mut book);
    config.settings = book.settings();
    let known = book.known().to_vec();
    mistakes.extend(book.close());
    if mistakes.is_empty() { Ok((config, known)) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::config::Config;
    use crate::keystone::config::Credentials;
    use crate::secret::Secret;

    fn password(config: &mut Config) {
        if let Credentials::Password { password, .. } = &mut config.keystone.credentials {
            *password = Secret::new("x".into());
        }
    }

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    #[test]
    fn the_shipped_file_holds_every_key_at_its_default() {
        let text = include_str!("../../config/gate.toml");
        let (config, known) = parse("gate.toml", text, &environment()).expect("the shipped file");
        let mut default = Config::default();
        password(&mut default);
        assert_eq!(config, default);
        let table: toml::Table = text.parse().expect("TOML");
        for (section, key) in known {
            let held =
                if section.is_empty() { table.get(key) } else { table.get(section).and_then(|table| table.get(key)) };
            assert!(held.is_some(), "config/gate.toml lacks [{section}] {key}");
        }
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let mut default = Config::default();
        password(&mut default);
        assert_eq!(parse("gate.toml", "", &environment()).expect("defaults").0, default);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_line_and_hint() {
        let text = "profil = \"glance\"\n[server]\nlisten = 9292\nworker = 2\n[upstream]\nservers = [\"ftp://x\"]\n[upstreams]\nx = 1\n";
        let environment = [("GLANCE_GATE_LOG_LEVLE".to_owned(), "info".to_owned())];
        let mistakes = parse("gate.toml", text, &environment).expect_err("mistakes");
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for expected in [
            "gate.toml:1: profil: the gate knows no such key\n    hint: did you mean profile?",
            "gate.toml:3: [server] listen: the value does not fit\n    hint: an address with its port, such as \"127.0.0.1:9292\" or \"[::1]:9292\"",
            "gate.toml:4: [server] worker: the gate knows no such key\n    hint: did you mean workers?",
            "gate.toml:6: [upstream] servers: \"ftp://x\" is no upstream\n    hint: write http://host:port or https://host:port, without a path, or unix:/path/of/a.sock",
            "gate.toml:7: [upstreams]: the gate knows no such key\n    hint: did you mean upstream?",
            "GLANCE_GATE_LOG_LEVLE: the gate knows no such variable\n    hint: did you mean GLANCE_GATE_LOG_LEVEL?",
        ] {
            assert!(told.iter().any(|mistake| mistake == expected), "{expected}\nnot in {told:#?}");
        }
        assert!(told.iter().any(|mistake| mistake.contains("[keystone_authtoken] password")), "{told:#?}");
    }

    #[test]
    fn a_broken_file_is_told_by_line() {
        let mistakes =
            parse("gate.toml", "profile = \"glance\"\nlisten = = 3\n", &environment()).expect_err("mistakes");
        assert_eq!(mistakes[0].line, Some(2));
    }
}
