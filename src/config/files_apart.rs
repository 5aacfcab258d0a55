//! The files that lines are written to: each needs one of its own, or lines of two kinds are mixed.

use std::path::Path;

use crate::config::Config;
use crate::config::reader::Book;
use crate::telemetry::line_log::Destination;

/// Names every section whose file another one before it has, too.
pub fn check(config: &Config, book: &mut Book<'_>) {
    let audit = config.audit.file.as_ref().map(|file| file.path.as_path());
    let written = [
        ("decisions", path(&config.rules.log.destination)),
        ("shadow_diff", path(&config.shadow_diff.log.destination)),
        ("recording", path(&config.recording.destination)),
        ("audit", audit),
    ];
    let mut before: Vec<(&str, &Path)> = Vec::new();
    for (name, path) in written.into_iter().filter_map(|(name, path)| path.map(|path| (name, path))) {
        if let Some((other, _)) = before.iter().find(|(_, taken)| *taken == path) {
            let what = format!("[{other}] file is the same, and their lines would be mixed");
            book.section(name).mistake("file", &what, "another file");
        }
        before.push((name, path));
    }
}

fn path(destination: &Destination) -> Option<&Path> {
    match destination {
        Destination::File(path) => Some(path),
        Destination::Off | Destination::Stdout => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;

    #[test]
    fn no_two_kinds_of_lines_go_into_one_file() {
        let environment = vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())];
        let lines = |text: &str| {
            let mistakes = parse("gate.toml", text, &environment).err().unwrap_or_default();
            mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>()
        };
        let sections = ["decisions", "shadow_diff", "recording", "audit"];
        for (at, first) in sections.iter().enumerate() {
            for second in sections.iter().skip(at + 1) {
                let text = |other: &str| format!("[{first}]\nfile = \"/x/y\"\n[{second}]\nfile = \"/x/{other}\"\n");
                assert_eq!(lines(&text("y")), [Some(4)], "{first} and {second}");
                assert_eq!(lines(&text("z")), [None; 0], "{first} and {second}");
            }
        }
        assert_eq!(lines("[decisions]\nfile = \"-\"\n[recording]\nfile = \"-\"\n"), [None; 0], "one log of all");
    }
}
