//! The section `[recording]`: where copies are written down.

use crate::config::decisions_section;
use crate::config::reader::Section;
use crate::telemetry::line_log::Config;
use crate::telemetry::line_log::Destination;

/// Reads the section; `others` are where other lines go.
pub fn read(section: &mut Section<'_, '_>, others: [&Destination; 2]) -> Config {
    let config = decisions_section::lines(section);
    if matches!(config.destination, Destination::File(_)) && others.contains(&&config.destination) {
        section.mistake("file", "other lines go there, and would be mixed with these", "another file");
    }
    config
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    #[test]
    fn a_recording_needs_the_callers_and_a_file_of_its_own() {
        let config = parse("gate.toml", "[recording]\nfile = \"/x/calls\"\n", &environment()).expect("a good file").0;
        assert!(config.copies() && !config.shadow.has_target());
        let none = parse("gate.toml", "", &environment()).expect("a good file").0;
        assert!(!none.copies());
        for section in ["decisions", "shadow_diff"] {
            let text = format!("[{section}]\nfile = \"/x/y\"\n[recording]\nfile = \"/x/y\"\n");
            let mistakes = parse("gate.toml", &text, &environment()).err().unwrap_or_default();
            assert_eq!(mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [Some(4)], "{mistakes:#?}");
        }
    }
}
