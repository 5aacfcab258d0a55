//! The section `[contract]`: whether answers about members are checked against the upstream's own schemas.

use std::time::Duration;

use crate::config::reader::Section;
use crate::contract::Answers;
use crate::contract::Config;

/// Schemas change with an upgrade: more often than this is only load.
const MIN_TTL: Duration = Duration::from_secs(10);

/// Reads the section.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let config = Config {
        answers: section.choose("answers", default.answers, &[("off", Answers::Off), ("observe", Answers::Observe)]),
        schema_ttl: section.get("schema_ttl", default.schema_ttl),
    };
    if config.schema_ttl < MIN_TTL {
        section.mistake("schema_ttl", "schemas do not change that often", "10s at least");
    }
    config
}

/// Tells that schemas can not be fetched from a Glance that believes identity headers.
pub fn check_identity(config: &Config, upstream: &mut Section<'_, '_>) {
    if config.answers == Answers::Observe {
        upstream.mistake("identity", "such a Glance takes no token of the gate's", "[contract] answers = \"off\"");
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;
    use crate::contract::Answers;

    const ENVIRONMENT: [(&str, &str); 1] = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "x")];

    #[test]
    fn answers_are_looked_at_where_it_is_said_and_mistakes_have_lines() {
        let environment: Vec<_> = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let good = parse("gate.toml", "[contract]\nanswers = \"observe\"\n", &environment).expect("good");
        assert_eq!(good.0.contract.answers, Answers::Observe);
        let text = "[contract]\nanswers = \"enforce\"\nschema_ttl = \"1s\"\n";
        let mistakes = parse("gate.toml", text, &environment).expect_err("mistakes");
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert!(
            told.len() == 2 && told[0].starts_with("gate.toml:2: ") && told[1].starts_with("gate.toml:3: "),
            "{told:?}"
        );
        let forward = "[upstream]\nidentity = \"forward\"\n[contract]\nanswers = \"observe\"\n";
        let mistakes = parse("gate.toml", forward, &environment).expect_err("a mistake");
        assert!(mistakes[0].to_string().contains("takes no token of the gate's"), "{}", mistakes[0]);
    }
}
