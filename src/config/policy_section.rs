//! The section `[policy]`: what the operator of Glance put in the place of its default policies.

use std::path::PathBuf;

use crate::config::mistake::Mistake;
use crate::config::reader::Book;
use crate::config::sections::positive;
use crate::glance::policy::Config;
use crate::glance::policy::Scopes;
use crate::oslo_policy::files::Notice;
use crate::oslo_policy::files::Places;

/// Reads the section and the files it names.
pub fn read(book: &mut Book<'_>) -> Config {
    let mut section = book.section("policy");
    let default = Config::default();
    let directories: Vec<String> = section.get("directories", Vec::new());
    let places = Places {
        file: section.get("file", default.places.file.clone()),
        directories: directories.into_iter().map(PathBuf::from).collect(),
    };
    let enforces_scope = section.get("enforce_scope", default.scopes == Scopes::Enforced);
    let check_interval = positive(&mut section, "check_interval", default.check_interval);
    if !places.file.as_os_str().is_empty() && places.file.is_relative() {
        section.mistake("file", "it is looked for from wherever the gate is started", "a path that starts with /");
    }
    let scopes = if enforces_scope { Scopes::Enforced } else { Scopes::Ignored };
    let read = Config::read(places.clone(), scopes);
    let config = read.unwrap_or_else(|wrong| {
        book.blame(wrong.into_iter().map(mistake));
        Config { places, ..default }
    });
    Config { scopes, check_interval, ..config }
}

fn mistake(notice: Notice) -> Mistake {
    Mistake {
        source: notice.file.display().to_string(),
        line: notice.line,
        key: String::new(),
        what: notice.what,
        hint: "[policy] names this file: Glance could not work by it either".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use crate::config::load::parse;
    use crate::glance::policy::Scopes;
    use crate::oslo_policy::evaluate::Named as _;
    use crate::oslo_policy::rules::OldDefaults;

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glance-gate-{}-{name}", std::process::id()));
        fs::write(&path, text).expect("a file");
        path
    }

    #[test]
    fn the_rules_of_the_files_stand_in_the_place_of_the_defaults() {
        let path = file("good.yaml", "modify_member: role:x\nmodify_member: role:y\n");
        let text = format!("[policy]\nfile = \"{}\"\nenforce_scope = false\n", path.display());
        let config = parse("gate.toml", &text, &environment()).expect("a good file").0.policy;
        for old in [OldDefaults::Gone, OldDefaults::Also] {
            let rules = config.policy(old).rules();
            assert_eq!(rules.named("modify_member").expect("a rule").to_string(), "role:y");
            assert_eq!(rules.named("context_is_admin").expect("a rule").to_string(), "role:admin");
        }
        assert_eq!((config.scopes, config.notices.len()), (Scopes::Ignored, 1), "{:?}", config.notices);
        fs::remove_file(path).expect("a file");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_a_mistake_with_its_line() {
        let path = file("bad.yaml", "get_image: ''\nmodify_member: [\n");
        let text = format!("[policy]\nfile = \"{}\"\n", path.display());
        let mistakes = parse("gate.toml", &text, &environment()).expect_err("a mistake");
        let [mistake] = &mistakes[..] else { panic!("one mistake: {mistakes:?}") };
        assert_eq!(mistake.source, path.display().to_string());
        assert!(mistake.line.is_some_and(|line| line >= 2), "{mistake}");
        fs::write(&path, "a: rule:b\nb: rule:a\n").expect("a file");
        assert_eq!(parse("gate.toml", &text, &environment()).expect_err("mistakes").len(), 2);
        fs::remove_file(&path).expect("a file");
        assert_eq!(parse("gate.toml", &text, &environment()).expect_err("a mistake").len(), 1);
        let mistakes = parse("gate.toml", "[policy]\nfile = \"policy.yaml\"\n", &environment()).expect_err("mistakes");
        assert_eq!(mistakes.iter().filter_map(|mistake| mistake.line).collect::<Vec<_>>(), [2]);
    }
}
