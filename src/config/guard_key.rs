//! The key `guard` of the section `[member_update]`: which calls on members are guarded.

use crate::config::reader::Section;
use crate::member_update::guard::Guard;
use crate::openstack::member_action::Action;

/// Reads which calls are guarded; updates are always.
pub fn read(section: &mut Section<'_, '_>) -> Guard {
    let default = Guard::default().actions().map(|action| action.as_str().to_owned()).collect();
    let words: Vec<String> = section.get("guard", default);
    let mut actions = Vec::with_capacity(words.len());
    for word in words {
        match Action::parse(&word) {
            Some(action) => actions.push(action),
            None => section.mistake(
                "guard",
                &format!("\"{word}\" is no call on members"),
                "any of: update, create, delete, list, show",
            ),
        }
    }
    if !actions.contains(&Action::Update) {
        section.mistake("guard", "updates are guarded always", "name \"update\" as well");
    }
    Guard::of(&actions)
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;
    use crate::member_update::guard::Guard;
    use crate::openstack::member_action::Action;

    fn guard(text: &str) -> Result<Guard, Vec<String>> {
        let secret = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), "x".to_owned())];
        let parsed = parse("gate.toml", &format!("[member_update]\nguard = {text}\n"), &secret);
        parsed.map(|(config, _)| config.guard).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn calls_are_named_by_their_words_and_updates_among_them() {
        assert_eq!(guard(r#"["delete", "update"]"#), Ok(Guard::of(&[Action::Delete])));
        let mistakes = guard(r#"["remove"]"#).expect_err("mistakes");
        assert!(mistakes[0].contains(r#""remove" is no call on members"#), "{mistakes:?}");
        assert!(mistakes[1].contains("updates are guarded always"), "{mistakes:?}");
    }
}
