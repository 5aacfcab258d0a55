//! What every key was set to, and where: for operators, with what is secret masked.

use std::fmt;
use std::sync::Arc;

use crate::config::reader::Key;

/// All keys with their values, in the order they are read; cloning shares them.
///
/// They tell of a configuration and are no part of it: two configurations are equal, and have the same revision, if
/// they mean the same, wherever it was written.
#[derive(Clone, Default)]
pub struct Settings(Arc<[Setting]>);

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The section; empty for the keys before the first one.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// The value in TOML's words. A secret is `"***"`.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// The configuration's file, at this line.
    File(usize),
    /// A variable of the environment.
    Environment,
}

/// What stands for a secret.
pub const MASK: &str = "***";

impl Settings {
    /// Returns them one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }
}

impl FromIterator<Setting> for Settings {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        let mut kept: Vec<Setting> = Vec::new();
        for setting in settings {
            // a key that is read again says the same
            if !kept.iter().any(|known| known.names() == setting.names()) {
                kept.push(setting);
            }
        }
        Self(kept.into())
    }
}

impl Setting {
    fn names(&self) -> Key {
        (self.section, self.key)
    }
}

impl PartialEq for Settings {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Settings {}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Settings")
    }
}

/// Returns a text as TOML writes it. Credentials within a URL (RFC 3986 section 3.2.1) are masked.
pub fn quoted(text: &str) -> String {
    toml::Value::String(masked(text)).to_string()
}

fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((userinfo, _)) => {
            format!("{scheme}://{MASK}{}", rest.get(userinfo.len()..).unwrap_or_default())
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::Origin;
    use super::quoted;
    use crate::config::load::parse;

    /// Every key that holds a secret. A key that sounds like one and is not here fails the test below.
    const SECRET_KEYS: [(&str, &str); 6] = [
        ("keystone_authtoken", "password"),
        ("keystone_authtoken", "application_credential_secret"),
        ("audit", "http_token"),
        ("audit", "amqp_password"),
        ("redis", "password"),
        ("notifications", "transport_url"),
    ];

    fn variable(section: &str, key: &str) -> String {
        format!("GLANCE_GATE_{section}_{key}").to_uppercase()
    }

    #[test]
    fn no_secret_is_ever_told_wherever_it_was_set() {
        let secret = "planted-secret";
        let planted = &format!("rabbit://gate:{secret}@host/");
        let environment: Vec<(String, String)> =
            SECRET_KEYS.iter().map(|(section, key)| (variable(section, key), planted.to_owned())).collect();
        let mut text = String::new();
        for (number, (section, key)) in SECRET_KEYS.into_iter().enumerate() {
            if number.checked_sub(1).is_none_or(|before| SECRET_KEYS[before].0 != section) {
                writeln!(text, "[{section}]").expect("a string takes all");
            }
            writeln!(text, "{key} = \"{planted}\"").expect("a string takes all");
        }
        for (text, environment, origin) in
            [("", environment.as_slice(), Origin::Environment), (text.as_str(), &[], Origin::File(2))]
        {
            let (config, _) = parse("gate.toml", text, environment).expect("a configuration");
            for (section, key) in SECRET_KEYS {
                let is_it = |setting: &&super::Setting| setting.names() == (section, key);
                let told = config.settings.iter().find(is_it).expect("the key");
                assert_eq!(told.value, "\"***\"", "{key}");
                assert_eq!(std::mem::discriminant(&told.origin), std::mem::discriminant(&origin), "{key}");
            }
            let all: Vec<_> = config.settings.iter().collect();
            assert!(!format!("{all:?} {config:?}").contains(secret));
        }
    }

    #[test]
    fn keys_that_sound_secret_are_known_to_be_or_name_a_file() {
        let (config, known) =
            parse("gate.toml", "", &[(variable("keystone_authtoken", "password"), "x".into())]).expect("defaults");
        for (section, key) in known {
            let sounds_secret =
                ["password", "secret", "credential_key", "http_token"].iter().any(|word| key.contains(word));
            if sounds_secret && !key.ends_with("_file") {
                assert!(SECRET_KEYS.contains(&(section, key)), "is [{section}] {key} a secret?");
            }
            assert!(config.settings.iter().any(|setting| setting.names() == (section, key)), "[{section}] {key}");
        }
    }

    #[test]
    fn what_is_told_is_what_the_gate_would_read_again() {
        let shipped = include_str!("../../config/gate.toml");
        let secret = [(variable("keystone_authtoken", "password"), "x".to_owned())];
        let (config, _) = parse("gate.toml", shipped, &secret).expect("the shipped file");
        let mut told = toml::Table::new();
        for setting in config.settings.iter() {
            let line: toml::Table = format!("{} = {}", setting.key, setting.value).parse().expect("TOML");
            if setting.section.is_empty() {
                told.extend(line);
            } else if let Some(section) = told.get_mut(setting.section).and_then(toml::Value::as_table_mut) {
                section.extend(line);
            } else {
                told.insert(setting.section.into(), line.into());
            }
        }
        let (again, _) = parse("told.toml", &told.to_string(), &secret).expect("what was told");
        assert_eq!(again, config);
    }

    #[test]
    fn credentials_in_a_url_are_masked() {
        for (text, told) in [
            ("http://keystone:5000/v3", "\"http://keystone:5000/v3\""),
            ("http://user:word@keystone:5000/v3", "\"http://***@keystone:5000/v3\""),
            ("https://a:b@c@host/p@th", "\"https://***@host/p@th\""),
            ("unix:/run/glance.sock", "\"unix:/run/glance.sock\""),
            ("a \"quoted\" word", "'a \"quoted\" word'"),
        ] {
            assert_eq!(quoted(text), told);
        }
    }
}
