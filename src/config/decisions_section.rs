//! The section `[decisions]`: which decisions are written down, and where.

use std::path::PathBuf;

use crate::config::reader::Section;
use crate::config::value::ByteSize;
use crate::rules::decision_log::Config;
use crate::telemetry::line_log;
use crate::telemetry::line_log::Destination;

/// The smallest queue that makes sense: dozens of lines.
const MIN_QUEUE: usize = 64 * 1024;
/// Longer than any line, so that a file is not renamed after each.
const MIN_FILE: usize = 64 * 1024;

/// Reads the section.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let lines = lines(section);
    let config = Config {
        destination: lines.destination,
        permitted_percent: section
            .get("permitted_percent", u64::from(default.permitted_percent))
            .try_into()
            .unwrap_or(u8::MAX),
        queue_bytes: lines.queue_bytes,
        rotate_at: lines.rotate_at,
        kept_files: lines.kept_files,
    };
    if config.permitted_percent > 100 {
        section.mistake("permitted_percent", "more than all", "0 to 100");
    }
    config
}

/// Reads the keys of a section that say where lines go, and how many may be there.
pub fn lines(section: &mut Section<'_, '_>) -> line_log::Config {
    let default = line_log::Config::default();
    let file: PathBuf = section.get("file", PathBuf::new());
    let destination = if file.as_os_str().is_empty() {
        Destination::Off
    } else if file.as_os_str() == "-" {
        Destination::Stdout
    } else {
        Destination::File(file)
    };
    let config = line_log::Config {
        destination,
        queue_bytes: section.get("queue", ByteSize(default.queue_bytes)).0,
        rotate_at: section.get("rotate_at", ByteSize(default.rotate_at)).0,
        kept_files: section.get("kept_files", default.kept_files),
    };
    if config.queue_bytes < MIN_QUEUE {
        section.mistake("queue", "no room for the lines of a busy moment", "64KiB at least");
    }
    if config.rotate_at != 0 && config.rotate_at < MIN_FILE {
        section.mistake("rotate_at", "the file would be renamed after a few lines", "64KiB at least, or 0B for never");
    }
    if config.kept_files > 1000 {
        section.mistake("kept_files", "renaming so many takes too long", "1000 at most");
    }
    config
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;
    use crate::rules::decision_log::Destination;

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    #[test]
    fn the_file_is_nothing_a_dash_or_a_path() {
        for (file, expected) in
            [("", Destination::Off), ("-", Destination::Stdout), ("/x/y", Destination::File("/x/y".into()))]
        {
            let text = format!("[decisions]\nfile = \"{file}\"\nrotate_at = \"0B\"\n");
            let config = parse("gate.toml", &text, &environment()).expect("a good file").0;
            assert_eq!(config.rules.log.destination, expected);
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "[decisions]\npermitted_percent = 101\nqueue = \"1KiB\"\nrotate_at = \"1B\"\nkept_files = 1001\n";
        let mistakes = parse("gate.toml", text, &environment()).err().unwrap_or_default();
        let lines: Vec<Option<usize>> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 3, 4, 5].map(Some), "{mistakes:#?}");
    }
}
