//! The section `[rate_limits]`: where the limits are, and how they are told.

use std::path::PathBuf;

use crate::config::limits_file;
use crate::config::reader::Section;
use crate::limits::config::Config;
use crate::limits::config::Identify;
use crate::limits::config::OverLimitAnswer;
use crate::openstack::route::route;

/// Reads the section and the file that it names.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let file = section.get("rules_file", PathBuf::new());
    let answers = [("429", OverLimitAnswer::TooManyRequests), ("413", OverLimitAnswer::OverLimit)];
    let asks = section.get("identify", false);
    let config = Config {
        limits: if file.as_os_str().is_empty() {
            default.limits
        } else {
            let (limits, mistakes) = limits_file::load(&file);
            section.blame(mistakes);
            limits.into()
        },
        identify: if asks { Identify::Asked } else { Identify::Remembered },
        answer: section.choose("over_limit_answer", default.answer, &answers),
        document: section.get("document", default.document),
        max_keys: section.get("max_keys", default.max_keys),
    };
    let is_path = config.document.starts_with('/') && !config.document.ends_with('/');
    if !config.document.is_empty() && (!is_path || config.document.contains(['?', '%', '#', ' '])) {
        section.mistake("document", "no plain path", "\"\" for none, or such as \"/v2/limits\"");
    }
    if route(&config.document, "").is_some() {
        section.mistake("document", "Glance answers this path, and nobody would reach it", "such as \"/v2/limits\"");
    }
    if !(1_000..=10_000_000).contains(&config.max_keys) {
        section.mistake("max_keys", "too few to tell callers apart, or too many to keep", "1000 to 10000000");
    }
    config
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use crate::config::load::parse;
    use crate::limits::config::Config;
    use crate::limits::config::Group;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let secret = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
        let parsed = parse("gate.toml", text, &secret);
        parsed.map(|(config, _)| config.limits).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    fn with_file(text: &str) -> Result<Config, Vec<String>> {
        let path = std::env::temp_dir().join(format!("glance-gate-limits-{}.toml", uuid::Uuid::new_v4()));
        fs::write(&path, text).expect("a file");
        let read = read(&format!("[rate_limits]\nrules_file = \"{}\"\n", path.display()));
        fs::remove_file(&path).expect("the file");
        read
    }

    #[test]
    fn the_example_can_be_used_as_it_is() {
        let config = with_file(include_str!("../../config/limits.toml")).expect("the example");
        let names: Vec<&str> = config.limits.iter().map(|limit| &*limit.name).collect();
        assert_eq!(names, ["services", "uploads", "sharing", "projects", "unknown"]);
        let uploads = &config.limits[1];
        assert_eq!((uploads.group, uploads.requests, uploads.burst), (Group::Project, 60, 10));
        assert_eq!(
            (uploads.per, uploads.routes.as_slice()),
            (Duration::from_hours(1), &["/v2/images/{image_id}/file"][..])
        );
        assert_eq!(config.limits[3].burst, 600, "all at once, if nothing else is said");
    }

    #[test]
    fn all_mistakes_of_the_file_are_told_with_their_lines() {
        let text = "[[limit]]\nname = \"a b\"\ngroup = \"tenant\"\nrequests = 0\nper = \"5\"\nburts = 3\n\
                    [[limit]]\nname = \"one\"\ngroup = \"role\"\nrequests = 1\nper = \"1m\"\nroutes = [\"/v2/image\"]\n\
                    [[limit]]\nname = \"one\"\ngroup = \"any\"\nrequests = 1\nper = \"48h\"\nmethods = [\"get\"]\n\
                    [other]\nx = 1\n";
        let mistakes = with_file(text).expect_err("mistakes").join("\n");
        for part in [
            ".toml:2: limit 1, name: the value does not fit",
            ".toml:3: limit 1, group: the value does not fit",
            ".toml:4: limit 1, requests: the value does not fit",
            ".toml:5: limit 1, per: the value does not fit",
            ".toml:6: limit 1, burts: the gate knows no such key",
            ".toml:7: limit 2, roles: a limit by role names no role",
            ".toml:12: limit 2, routes: the value does not fit",
            ".toml:14: limit 3, name: another limit has it",
            ".toml:17: limit 3, per: the value does not fit",
            ".toml:18: limit 3, methods: the value does not fit",
            ".toml:19: other: the gate knows no such key",
        ] {
            assert!(mistakes.contains(part), "{part}\nnot in\n{mistakes}");
        }
        let empty = "[[limit]]\nname = \"one\"\ngroup = \"any\"\nrequests = 1\nper = \"1m\"\n\
                     projects = []\nusers = []\nroles = []\nmethods = []\nroutes = []\n";
        assert_eq!(with_file(empty).expect_err("limits for nobody are not for all").len(), 5);
        assert!(with_file("limit = 3\n").expect_err("no list").join("").contains("the value does not fit"));
        assert!(with_file("[[limit]\n").expect_err("no TOML").join("").contains("must be TOML"));
        let gone = read("[rate_limits]\nrules_file = \"/nowhere/limits.toml\"\ndocument = \"v2\"\nmax_keys = 1\n");
        assert_eq!(gone.expect_err("mistakes").len(), 3);
        let hides = read("[rate_limits]\ndocument = \"/v2/images\"\n").expect_err("a mistake").join("");
        assert!(hides.contains("Glance answers this path"), "{hides}");
    }
}
