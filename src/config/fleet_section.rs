//! The sections `[redis]` and `[notifications]`: what gates share, and what `OpenStack` tells them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::Section;
use crate::config::sections::positive;
use crate::fleet::notifications::config::Config as Notifications;
use crate::fleet::redis::address::Address;
use crate::fleet::redis::config::Config as Redis;
use crate::fleet::redis::config::Limits;
use crate::fleet::transport_url::MAX_NAME;
use crate::fleet::transport_url::TransportUrl;
use crate::secret::Secret;

/// How much may wait or be counted at most; each takes about a hundred bytes.
const MOST: usize = 1_000_000;
/// How many keys may be counted together: those that are asked for are fetched each time.
const MOST_KEYS: usize = 20_000;
/// How seldom counts may be exchanged: what all grant in between is paid back, and callers wait for it.
const RATE_INTERVALS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Reads `[redis]`; without a URL the gate is on its own.
pub fn redis(section: &mut Section<'_, '_>) -> Redis {
    let default = Redis::default();
    let config = Redis {
        url: section.get("url", default.url),
        password: secret(section, "password", "password_file"),
        cafile: file(section, "cafile"),
        prefix: section.get("prefix", default.prefix),
        limits: section.choose("limits", default.limits, &[("shared", Limits::Shared), ("own", Limits::Own)]),
        rate_interval: section.get("rate_interval", default.rate_interval),
        connect_timeout: positive(section, "connect_timeout", default.connect_timeout),
        response_timeout: positive(section, "response_timeout", default.response_timeout),
        max_queue: section.get("max_queue", default.max_queue),
        max_keys: section.get("max_keys", default.max_keys),
    };
    if config.is_on()
        && let Err(what) = Address::parse(&config.url)
    {
        section.mistake("url", what, "such as \"redis://127.0.0.1:6379/0\", and the password in a key of its own");
    }
    if config.prefix.is_empty() || config.prefix.len() > 64 {
        section.mistake("prefix", "what several gates share needs a name", "1 to 64 bytes, such as \"glance-gate\"");
    }
    let [shortest, longest] = RATE_INTERVALS;
    if !(shortest..=longest).contains(&config.rate_interval) {
        section.mistake("rate_interval", "too often, or too seldom to share limits", "20ms to 500ms");
    }
    if !(1..=MOST).contains(&config.max_queue) {
        section.mistake("max_queue", "nothing would find room, or memory would end", "1 to 1000000");
    }
    if !(1..=MOST_KEYS).contains(&config.max_keys) {
        section.mistake("max_keys", "nothing would be counted, or too much to be fetched", "1 to 20000");
    }
    config
}

/// Reads `[notifications]`; without a URL nothing is read from any bus.
pub fn notifications(section: &mut Section<'_, '_>) -> Notifications {
    let default = Notifications::default();
    let config = Notifications {
        transport_url: secret(section, "transport_url", "transport_url_file"),
        cafile: file(section, "cafile"),
        exchanges: section.get("exchanges", default.exchanges),
        topics: section.get("topics", default.topics),
        queue_ttl: section.get("queue_ttl", default.queue_ttl),
        queue_length: section.get("queue_length", default.queue_length),
        connect_timeout: positive(section, "connect_timeout", default.connect_timeout),
        response_timeout: positive(section, "response_timeout", default.response_timeout),
    };
    if config.is_on()
        && let Err(what) = TransportUrl::parse(config.transport_url.expose())
    {
        section.mistake("transport_url", what, "such as \"rabbit://user:password@127.0.0.1:5672/\"");
    }
    for (key, names) in [("exchanges", &config.exchanges), ("topics", &config.topics)] {
        // a topic gets the name of a priority behind it
        if names.is_empty() || names.iter().any(|name| name.is_empty() || name.len() > MAX_NAME - 6) {
            section.mistake(key, "nothing would be read", "names of 1 to 249 bytes");
        }
    }
    // what RabbitMQ takes for x-expires, in milliseconds
    if config.queue_ttl.is_zero() || config.queue_ttl.as_millis() > u128::from(u32::MAX) {
        section.mistake("queue_ttl", "RabbitMQ takes no such time", "1ms to 1193h");
    }
    if config.queue_length == 0 {
        section.mistake("queue_length", "nothing would find room", "at least 1");
    }
    config
}

fn file(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let path: PathBuf = section.get(key, PathBuf::new());
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

/// Reads a secret from its key or from a file, of which a last line end is dropped.
fn secret(section: &mut Section<'_, '_>, key: &'static str, file_key: &'static str) -> Secret<String> {
    let written: Secret<String> = section.get(key, Secret::default());
    let Some(path) = file(section, file_key) else { return written };
    match fs::read_to_string(&path) {
        Ok(text) => Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            section.mistake(file_key, &error.to_string(), "the gate must be able to read the file");
            written
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "[redis]\nurl = \"http://127.0.0.1\"\nprefix = \"\"\nrate_interval = \"1s\"\nmax_queue = 0\nmax_keys = 0\n\
                    response_timeout = \"0s\"\n[notifications]\ntransport_url = \"amqp://127.0.0.1\"\nexchanges = []\n\
                    topics = [\"\"]\nqueue_ttl = \"0s\"\nqueue_length = 0\n";
        let mistakes = parse("gate.toml", text, &environment()).expect_err("mistakes");
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for line in (2..=7).chain(9..=13) {
            let place = format!("gate.toml:{line}: ");
            assert!(told.iter().any(|told| told.starts_with(&place)), "{line} not in {told:#?}");
        }
    }

    #[test]
    fn passwords_are_told_nowhere() {
        let text = "[redis]\nurl = \"redis://127.0.0.1\"\npassword = \"planted\"\n[notifications]\n\
                    transport_url = \"rabbit://gate:planted@127.0.0.1/\"\n";
        let (config, _) = parse("gate.toml", text, &environment()).expect("a configuration");
        let settings: Vec<_> = config.settings.iter().collect();
        assert!(!format!("{config:?} {settings:?}").contains("planted"));
        let wrong = "[redis]\nurl = \"redis://:planted@127.0.0.1\"\n[notifications]\n\
                     transport_url = \"rabbit://gate:planted@127.0.0.1/?x=planted\"\n";
        let mistakes = parse("gate.toml", wrong, &environment()).expect_err("mistakes");
        assert!(mistakes.len() == 2 && !format!("{mistakes:?}").contains("planted"), "{mistakes:#?}");
    }
}
