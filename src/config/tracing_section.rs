//! The section `[tracing]`: where spans are sent, and how many.

use std::path::PathBuf;

use crate::config::reader::Section;
use crate::config::sections::is_http_url;
use crate::config::sections::positive;
use crate::telemetry::traces::Config;

/// How many spans may wait at most; each takes about a kilobyte.
const MAX_QUEUE: usize = 1_000_000;

/// Reads the section; without an endpoint nothing is traced.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let cafile: PathBuf = section.get("cafile", PathBuf::new());
    let config = Config {
        endpoint: section.get("endpoint", default.endpoint),
        cafile: Some(cafile).filter(|path| !path.as_os_str().is_empty()),
        service_name: section.get("service_name", default.service_name),
        environment: section.get("environment", default.environment),
        sample: section.get("sample", default.sample),
        export_timeout: positive(section, "export_timeout", default.export_timeout),
        export_delay: section.get("export_delay", default.export_delay),
        max_queue: section.get("max_queue", default.max_queue),
        max_batch: section.get("max_batch", default.max_batch),
    };
    if config.is_on() && !is_http_url(&config.endpoint) {
        section.mistake("endpoint", "no URL of a collector", "such as \"http://127.0.0.1:4318/v1/traces\"");
    } else if config.endpoint.contains('@') {
        // it is named in the log
        section.mistake("endpoint", "credentials in a URL are not sent", "a collector that asks for none");
    }
    if config.service_name.is_empty() {
        section.mistake("service_name", "nobody would know whose spans these are", "such as \"glance-gate\"");
    }
    if !(1..=MAX_QUEUE).contains(&config.max_queue) {
        section.mistake("max_queue", "no span would find room, or memory would end", "1 to 1000000");
    }
    if !(1..=config.max_queue).contains(&config.max_batch) {
        section.mistake("max_batch", "it must fit into the queue", "1 to max_queue");
    }
    config
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;
    use crate::telemetry::traces::Share;

    const ENVIRONMENT: [(&str, &str); 1] = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "x")];

    fn environment() -> Vec<(String, String)> {
        ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "[tracing]\nendpoint = \"127.0.0.1:4318\"\nservice_name = \"\"\nsample = 1.5\n\
                    export_timeout = \"0s\"\nmax_queue = 0\nmax_batch = 0\n";
        let mistakes = parse("gate.toml", text, &environment()).expect_err("mistakes");
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        let secret = "[tracing]\nendpoint = \"http://user:secret@127.0.0.1:4318/v1/traces\"\n";
        let refused = parse("gate.toml", secret, &environment()).expect_err("a mistake");
        assert!(!refused[0].to_string().contains("secret"), "{}", refused[0]);
        for line in 2..=7 {
            assert!(
                told.iter().any(|told| told.starts_with(&format!("gate.toml:{line}: "))),
                "{line} not in {told:#?}"
            );
        }
    }

    #[test]
    fn a_share_is_a_number_from_zero_to_one() {
        for (text, share) in [("0", 0), ("1", 1_000_000), ("1.0", 1_000_000), ("0.05", 50_000), ("0.000001", 1)] {
            let (config, _) =
                parse("gate.toml", &format!("[tracing]\nsample = {text}\n"), &environment()).expect("a share");
            assert_eq!(config.tracing.sample, Share(share), "{text}");
        }
        for text in ["-0.1", "1.000001", "2", "nan", "1e-3", "0.0000001", "\"5%\""] {
            assert!(parse("gate.toml", &format!("[tracing]\nsample = {text}\n"), &environment()).is_err(), "{text}");
        }
    }
}
