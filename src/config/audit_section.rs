//! The section `[audit]`: which calls are told to auditors, and where.

use std::path::PathBuf;

use crate::audit::amqp;
use crate::audit::config::Config;
use crate::audit::config::Events;
use crate::audit::post;
use crate::audit::syslog;
use crate::config::keystone_section::secret;
use crate::config::reader::Section;
use crate::config::sections::is_http_url;
use crate::config::sections::positive;
use crate::config::value::ByteSize;
use crate::telemetry::rotated_file;

/// The smallest queue that makes sense: the event of the longest request fits in.
const MIN_QUEUE: usize = 1024 * 1024;
/// Longer than most events, so that a file is not renamed after each.
const MIN_FILE: usize = 64 * 1024;
/// How many events may be sent at once.
const MAX_BATCH: usize = 1000;
/// The longest name of an exchange or a queue that AMQP 0-9-1 has room for, less the priority behind a topic.
const MAX_NAME: usize = 250;
/// The facilities by their words (RFC 5424 section 6.2.1).
const FACILITIES: [(&str, u8); 14] = [
    ("user", 1),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("authpriv", 10),
    ("audit", 13),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Reads the section.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let words = [("off", Events::Off), ("guarded", Events::Guarded), ("writes", Events::Writes), ("all", Events::All)];
    let config = Config {
        events: section.choose("events", default.events, &words),
        map_file: path(section, "map_file"),
        observer: section.get("observer", default.observer),
        endpoint: section.get("endpoint", default.endpoint),
        queue_bytes: section.get("queue", ByteSize(default.queue_bytes)).0,
        drain_timeout: positive(section, "drain_timeout", default.drain_timeout),
        cafile: path(section, "cafile"),
        file: file(section),
        syslog: syslog(section),
        post: post(section),
        amqp: amqp(section),
    };
    if config.events != Events::Off && !config.has_sink() {
        section.mistake("events", "there is nobody to be told", "set file, syslog, http or amqp");
    }
    if !config.endpoint.is_empty() && !is_http_url(&config.endpoint) {
        section.mistake("endpoint", "no URL of the image service", "such as \"https://image.example.org\"");
    }
    if config.queue_bytes < MIN_QUEUE {
        section.mistake("queue", "no room for the events of a busy moment", "1MiB at least");
    }
    config
}

fn path(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let path: PathBuf = section.get(key, PathBuf::new());
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

fn file(section: &mut Section<'_, '_>) -> Option<rotated_file::Settings> {
    let path = path(section, "file");
    let rotate_at = section.get("rotate_at", ByteSize(100 * 1024 * 1024)).0;
    let kept = section.get("kept_files", 5);
    if rotate_at != 0 && rotate_at < MIN_FILE {
        section.mistake("rotate_at", "the file would be renamed after a few events", "64KiB at least, or 0B for never");
    }
    if kept > 1000 {
        section.mistake("kept_files", "renaming so many takes too long", "1000 at most");
    }
    path.map(|path| rotated_file::Settings { path, rotate_at, kept })
}

fn syslog(section: &mut Section<'_, '_>) -> Option<syslog::Config> {
    let text: String = section.get("syslog", String::new());
    let facility = section.choose("syslog_facility", 13, &FACILITIES);
    let server = syslog::Server::parse(&text);
    if server.is_none() && !text.is_empty() {
        let hint = "such as \"unix:/dev/log\", \"udp://127.0.0.1:514\", \"tcp://logs:601\" or \"tls://logs:6514\"";
        section.mistake("syslog", "no socket of a syslog", hint);
    }
    server.map(|server| syslog::Config { server, facility })
}

fn post(section: &mut Section<'_, '_>) -> Option<post::Config> {
    let url: String = section.get("http", String::new());
    let config = post::Config {
        token: secret(section, "http_token", "http_token_file"),
        timeout: positive(section, "http_timeout", std::time::Duration::from_secs(10)),
        batch: section.get("http_batch", 100),
        url,
    };
    if !(1..=MAX_BATCH).contains(&config.batch) {
        section.mistake("http_batch", "no event would be sent, or too much at once", "1 to 1000");
    }
    if !config.token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        section.mistake("http_token", "it can stand in no header", "a token of letters, digits and signs");
    }
    if config.url.is_empty() {
        return None;
    }
    if !is_http_url(&config.url) {
        section.mistake(
            "http",
            "no URL of a server, or one with a user in it",
            "such as \"https://audit:8443/events\"",
        );
    }
    Some(config)
}

fn amqp(section: &mut Section<'_, '_>) -> Option<amqp::Config> {
    let text: String = section.get("amqp", String::new());
    let username = section.get("amqp_username", "openstack".into());
    let password = secret(section, "amqp_password", "amqp_password_file");
    let exchange: String = section.get("amqp_exchange", "glance".into());
    let topic: String = section.get("amqp_topic", "notifications".into());
    let durable = section.get("amqp_durable", false);
    for (key, name) in [("amqp_exchange", &exchange), ("amqp_topic", &topic)] {
        if !(1..=MAX_NAME).contains(&name.len()) {
            section.mistake(key, "no name", "1 to 250 characters");
        }
    }
    let server = amqp::Server::parse(&text);
    if server.is_none() && !text.is_empty() {
        let hint =
            "such as \"amqp://rabbit:5672/\" or \"amqps://rabbit:5671/openstack\"; the user goes into keys of its own";
        section.mistake("amqp", "no URL of a message server", hint);
    }
    server.map(|server| amqp::Config { server, username, password, exchange, topic, durable })
}

#[cfg(test)]
mod tests {
    use crate::audit::amqp::Security;
    use crate::audit::config::Events;
    use crate::audit::syslog::Server;
    use crate::config::load::parse;

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    #[test]
    fn each_sink_is_there_if_its_key_is_set() {
        let text = "[audit]\nevents = \"writes\"\nfile = \"/x\"\nsyslog = \"udp://127.0.0.1:514\"\n\
                    syslog_facility = \"local3\"\nhttp = \"http://127.0.0.1:1/\"\namqp = \"amqps://rabbit/os\"\n";
        let audit = parse("gate.toml", text, &environment()).expect("a good file").0.audit;
        assert_eq!(audit.events, Events::Writes);
        assert!(audit.file.is_some() && audit.post.is_some());
        let syslog = audit.syslog.expect("a syslog");
        assert_eq!((syslog.server, syslog.facility), (Server::Udp("127.0.0.1:514".into()), 19));
        let server = audit.amqp.expect("a message server").server;
        assert_eq!((server.virtual_host.as_str(), server.security), ("os", Security::Tls));
        assert!(!parse("gate.toml", "", &environment()).expect("defaults").0.audit.has_sink());
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "[audit]\nendpoint = \"image\"\nqueue = \"1KiB\"\ndrain_timeout = \"0s\"\nrotate_at = \"1B\"\n\
                    kept_files = 1001\nsyslog = \"/dev/log\"\nhttp = \"http://user:word@host/\"\nhttp_batch = 0\n\
                    http_token = \"two words\"\namqp = \"rabbit\"\namqp_exchange = \"\"\namqp_topic = \"\"\n";
        let mistakes = parse("gate.toml", text, &environment()).err().unwrap_or_default();
        let lines: Vec<Option<usize>> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, (2..=13).map(Some).collect::<Vec<_>>(), "{mistakes:#?}");
        assert!(mistakes.iter().all(|mistake| !mistake.to_string().contains("word@")));
        let nobody = parse("gate.toml", "[audit]\nevents = \"all\"\n", &environment()).expect_err("a mistake");
        assert!(nobody[0].to_string().contains("nobody"), "{}", nobody[0]);
    }
}
