//! The section `[shadow]`: what is copied to a staging Glance.

use std::path::PathBuf;

use http::HeaderName;
use http::Method;

use crate::client::endpoint::Server;
use crate::config::reader::Section;
use crate::config::sections::positive;
use crate::config::shadow_files;
use crate::config::value::ByteSize;
use crate::openstack::route;
use crate::shadow::config::Config;
use crate::shadow::config::Credentials;
use crate::shadow::config::Host;
use crate::shadow::config::Limits;
use crate::shadow::config::Twice;
use crate::shadow::headers;
use crate::shadow::sample;

/// What `keep_credentials` must say before a token of production may leave.
const SAID_TWICE: &str = "staging may have production tokens";

/// The words of `credentials`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Strip,
    Exchange,
    Keep,
}

/// Reads the section; without a target copies go nowhere.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let target = server(section, "target", default.target);
    let control = server(section, "control", default.control);
    let credentials = credentials(section);
    let ids: PathBuf = section.get("ids_file", PathBuf::new());
    let config = Config {
        target,
        control,
        cafile: path(section, "cafile"),
        host: section.choose("host", default.host, &[("target", Host::Target), ("client", Host::Client)]),
        percent: percent(section, "percent", default.percent),
        methods: methods(section),
        routes: routes(section),
        projects: section.get("projects", default.projects),
        writes: writes(section),
        credentials,
        ids: shadow_files::ids(section, &ids),
        drop_headers: names(section, "drop_headers"),
        keep_headers: kept(section),
        twice: section.choose(
            "twice",
            default.twice,
            &[("off", Twice::Off), ("primary", Twice::Primary), ("staging", Twice::Staging)],
        ),
        twice_percent: percent(section, "twice_percent", default.twice_percent),
        limits: limits(section, &default.limits),
    };
    if config.twice == Twice::Staging && config.control.is_empty() {
        section.mistake("control", "there is no second staging to ask", "name one, or twice = \"primary\"");
    }
    config
}

/// Tells that staging is the primary, where writes are copied: each would be done twice.
pub fn check_target(config: &Config, upstreams: &[String], section: &mut Section<'_, '_>) {
    let target = Server::parse(&config.target);
    if !config.writes.is_empty() && target.is_some() && upstreams.iter().any(|name| Server::parse(name) == target) {
        let hint = "another server, or writes = []";
        section.mistake("target", "it is one of [upstream] servers, which would be written to twice", hint);
    }
}

fn server(section: &mut Section<'_, '_>, key: &'static str, default: String) -> String {
    let name: String = section.get(key, default);
    let is_server = matches!(Server::parse(&name), Some(Server::Http(_) | Server::Https(_)));
    if !name.is_empty() && !is_server {
        section.mistake(
            key,
            "no server that copies could go to",
            "http://host:port or https://host:port, without a path",
        );
    }
    // paths are put behind it
    name.trim_end_matches('/').to_owned()
}

fn credentials(section: &mut Section<'_, '_>) -> Credentials {
    let words = [("strip", Word::Strip), ("exchange", Word::Exchange), ("keep", Word::Keep)];
    let word = section.choose("credentials", Word::Strip, &words);
    let said: String = section.get("keep_credentials", String::new());
    let file: PathBuf = section.get("exchange_file", PathBuf::new());
    if word != Word::Keep && !said.is_empty() {
        section.mistake("keep_credentials", "credentials are not kept", "\"\", or credentials = \"keep\"");
    }
    if word != Word::Exchange && !file.as_os_str().is_empty() {
        section.mistake("exchange_file", "credentials are not exchanged", "\"\", or credentials = \"exchange\"");
    }
    match word {
        Word::Strip => Credentials::Strip,
        Word::Exchange if file.as_os_str().is_empty() => {
            section.mistake(
                "exchange_file",
                "there is nothing to exchange for",
                "name the file of staging's credentials",
            );
            Credentials::Strip
        }
        Word::Exchange => Credentials::Exchange(shadow_files::exchange(section, &file)),
        Word::Keep if said == SAID_TWICE => Credentials::Keep,
        Word::Keep => {
            let hint = format!("\"strip\" or \"exchange\"; or say it twice: keep_credentials = \"{SAID_TWICE}\"");
            section.mistake("credentials", "whoever reads staging could act as production's users", &hint);
            Credentials::Strip
        }
    }
}

fn methods(section: &mut Section<'_, '_>) -> Vec<Method> {
    let default = Config::default().methods;
    let words: Vec<String> = section.get("methods", default.iter().map(ToString::to_string).collect());
    let mut methods = Vec::new();
    for word in words {
        if let Some(method) = Method::from_bytes(word.as_bytes()).ok().filter(sample::is_safe) {
            methods.push(method);
        } else {
            let what = format!("\"{word}\" is no method that only reads");
            section.mistake("methods", &what, "GET and HEAD; name writes one by one in writes");
        }
    }
    methods
}

fn routes(section: &mut Section<'_, '_>) -> Vec<&'static str> {
    let words: Vec<String> = section.get("routes", Vec::new());
    words.iter().filter_map(|word| known_route(section, "routes", word)).collect()
}

fn writes(section: &mut Section<'_, '_>) -> Vec<(Method, &'static str)> {
    let words: Vec<String> = section.get("writes", Vec::new());
    let mut writes = Vec::new();
    for word in words {
        let (method, route) = word.split_once(' ').unwrap_or_default();
        let writing = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
        let Some(method) = writing.into_iter().find(|known| known.as_str() == method) else {
            let hint = "such as \"PUT /v2/images/{image_id}/members/{member_id}\"";
            section.mistake("writes", &format!("\"{word}\" is no write on a route"), hint);
            continue;
        };
        if let Some(route) = known_route(section, "writes", route.trim()) {
            writes.push((method, route));
        }
    }
    writes
}

fn known_route(section: &mut Section<'_, '_>, key: &'static str, word: &str) -> Option<&'static str> {
    let route = route::known(word);
    match route {
        Some(route) if sample::is_data(route) => {
            section.mistake(key, &format!("\"{word}\" carries images"), "images are never copied");
            None
        }
        Some(route) => Some(route),
        None => {
            let hint = "write ids in braces, as in \"/v2/images/{image_id}\"; docs/SHADOW.md lists all routes";
            section.mistake(key, &format!("\"{word}\" is no route of the Image API"), hint);
            None
        }
    }
}

fn names(section: &mut Section<'_, '_>, key: &'static str) -> Vec<HeaderName> {
    let words: Vec<String> = section.get(key, Vec::new());
    let mut names = Vec::new();
    for word in words {
        match HeaderName::from_bytes(word.as_bytes()) {
            Ok(name) => names.push(name),
            Err(_) => {
                section.mistake(key, &format!("\"{word}\" is no name of a header"), "such as \"X-Image-Meta-Name\"");
            }
        }
    }
    names
}

fn kept(section: &mut Section<'_, '_>) -> Vec<HeaderName> {
    let mut kept = names(section, "keep_headers");
    for name in kept.extract_if(.., |name| headers::is_never_sent(name.as_str())).collect::<Vec<_>>() {
        let what = format!("\"{name}\" tells who somebody is, or belongs to the connection");
        section.mistake("keep_headers", &what, "leave it out: no configuration lets it go");
    }
    kept
}

fn limits(section: &mut Section<'_, '_>, default: &Limits) -> Limits {
    let limits = Limits {
        queue: section.get("max_queue", default.queue),
        bytes: section.get("max_bytes", ByteSize(default.bytes)).0,
        request_bytes: section.get("max_request", ByteSize(default.request_bytes)).0,
        answer_bytes: section.get("max_answer", ByteSize(default.answer_bytes)).0,
        age: positive(section, "max_age", default.age),
        in_flight: section.get("max_in_flight", default.in_flight),
        connect_timeout: positive(section, "connect_timeout", default.connect_timeout),
        call_timeout: positive(section, "call_timeout", default.call_timeout),
        remembered_writes: section.get("remembered_writes", default.remembered_writes),
    };
    if limits.queue == 0 {
        section.mistake("max_queue", "no copy could wait, not even for a moment", "at least 1");
    }
    if limits.in_flight == 0 {
        section.mistake("max_in_flight", "no copy would ever be sent", "at least 1");
    }
    if limits.bytes < limits.request_bytes.saturating_add(limits.answer_bytes.saturating_mul(4)) {
        let hint = "at least max_request and four times max_answer";
        section.mistake("max_bytes", "not one copy with its answers would find room", hint);
    }
    if limits.remembered_writes > 1_000_000 {
        section.mistake("remembered_writes", "each takes about 100 bytes", "1000000 at most");
    }
    limits
}

fn percent(section: &mut Section<'_, '_>, key: &'static str, default: u8) -> u8 {
    let percent = section.get(key, u64::from(default));
    if percent > 100 {
        section.mistake(key, "more than all", "0 to 100");
    }
    percent.try_into().unwrap_or(100)
}

fn path(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let path: PathBuf = section.get(key, PathBuf::new());
    if path.as_os_str().is_empty() { None } else { Some(path) }
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;
    use crate::config::mistake::Mistake;
    use crate::shadow::config::Config;

    fn read(text: &str) -> Result<Config, Vec<Mistake>> {
        let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
        parse("gate.toml", text, &environment).map(|(config, ..)| config.shadow)
    }

    #[test]
    fn a_recording_alone_makes_copies_that_are_sent_nowhere() {
        let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
        let copies = |text: &str| {
            let config = parse("gate.toml", text, &environment).expect("a good file").0;
            (config.copies(), config.shadow.has_target())
        };
        assert_eq!(copies("[recording]\nfile = \"/x/calls\"\n"), (true, false));
        assert_eq!(copies(""), (false, false));
    }

    #[test]
    fn a_last_slash_of_the_target_is_not_written_twice() {
        let config = read("[shadow]\ntarget = \"http://staging:9292/\"\n").expect("a good file");
        assert_eq!(config.target, "http://staging:9292");
    }

    #[test]
    fn no_write_is_copied_to_an_upstream() {
        let text = "[upstream]\nservers = [\"http://a:1\", \"http://b:1\"]\n[shadow]\ntarget = \"http://b:1/\"\n";
        assert!(read(text).is_ok());
        let mistakes = read(&format!("{text}writes = [\"PUT /v2/images/{{image_id}}\"]\n")).err().unwrap_or_default();
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [Some(4)], "{mistakes:#?}");
    }

    #[test]
    fn a_file_of_credentials_that_nobody_reads_is_a_mistake() {
        let mistakes = read("[shadow]\nexchange_file = \"/x/staging.toml\"\n").err().unwrap_or_default();
        assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [Some(2)], "{mistakes:#?}");
    }
}
