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
        assert!(good.0.copies());
        assert_eq!(good.0.contract.answers, Answers::Observe);
        for (text, told) in [
            ("[contract]\nanswers = \"enforce\"\n".to_owned(), "gate.toml:2: "),
            ("[contract]\nschema_ttl = \"1s\"\n".to_owned(), "gate.toml:2: "),
            (
                "[contract]\nanswers = \"observe\"\n[upstream]\nidentity = \"forward\"\n".to_owned(),
                "takes no token of the gate's",
            ),
        ] {
            let mistakes = parse("gate.toml", &text, &environment).expect_err("a mistake");
            assert!(mistakes.len() == 1 && mistakes[0].to_string().contains(told), "{told}: {mistakes:?}");
        }
    }
}
