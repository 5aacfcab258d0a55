//! Events as JSON lines: one flat object each, written straight into bytes.
//!
//! The access log is written for every request, and `tracing_subscriber`'s own JSON costs as much as half of a request.

use std::cell::RefCell;
use std::fmt;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use time::OffsetDateTime;
use tracing::Event;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::telemetry::lines::Lines;

/// Writes each event as one line.
#[derive(Debug)]
pub struct JsonLines {
    lines: Lines,
}

impl JsonLines {
    /// Puts the lines there.
    pub fn new(lines: Lines) -> Self {
        Self { lines }
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with(|line| {
            // taken only where a value logs while it is being written
            let Ok(mut line) = line.try_borrow_mut() else { return };
            line.clear();
            write_event(&mut line, event);
            self.lines.log(&line);
        });
    }
}

fn write_event(line: &mut Vec<u8>, event: &Event<'_>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    write_now(line);
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(event.metadata().level().as_str().as_bytes());
    line.push(b'"');
    event.record(&mut Fields { line });
    line.extend_from_slice(b"}\n");
}

/// Writes the time (RFC 3339, microseconds, UTC); all but its fraction is put into words once a second.
fn write_now(line: &mut Vec<u8>) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(written, words)| {
        if *written != since.as_secs() || words.is_empty() {
            *written = since.as_secs();
            let now = OffsetDateTime::from(now);
            words.clear();
            // writing to a string can not fail
            let _ = write!(
                words,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                now.year(),
                u8::from(now.month()),
                now.day(),
                now.hour(),
                now.minute(),
                now.second()
            );
        }
        line.extend_from_slice(words.as_bytes());
    });
    let mut digits = itoa::Buffer::new();
    // seven digits, of which the first keeps the zeros of the others
    let micros = digits.format(1_000_000 + since.subsec_micros());
    line.push(b'.');
    line.extend_from_slice(micros.as_bytes().get(1..).unwrap_or_default());
    line.push(b'Z');
}

/// Writes fields behind each other.
struct Fields<'a> {
    line: &'a mut Vec<u8>,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        self.line.extend_from_slice(b",\"");
        // a name is written in the source, and has nothing to escape
        self.line.extend_from_slice(field.name().as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    fn integer(&mut self, field: &Field, value: impl itoa::Integer) {
        self.name(field);
        self.line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.line.push(b'"');
        escape(self.line, value);
        self.line.push(b'"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.integer(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.line.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        // what is no number is null, as in all JSON
        if serde_json::to_writer(&mut *self.line, &value).is_err() {
            self.line.extend_from_slice(b"null");
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.line.push(b'"');
        let _ = write!(Escaping { line: self.line }, "{value:?}");
        self.line.push(b'"');
    }
}

/// Escapes what is written.
struct Escaping<'a> {
    line: &'a mut Vec<u8>,
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.line, text);
        Ok(())
    }
}

/// Writes the inside of a JSON string (RFC 8259 section 7).
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch")]
fn escape(line: &mut Vec<u8>, text: &str) {
    let is_special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    let mut rest = text.as_bytes();
    // nearly all text has nothing to escape: that is found without a branch a byte
    if !rest.iter().fold(false, |found, &byte| found | is_special(byte)) {
        line.extend_from_slice(rest);
        return;
    }
    while let Some(at) = rest.iter().position(|&byte| is_special(byte)) {
        let (plain, from) = rest.split_at(at);
        line.extend_from_slice(plain);
        if let Some((&byte, after)) = from.split_first() {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                b'\n' => line.extend_from_slice(b"\\n"),
                // writing to bytes can not fail
                other => drop(write!(line, "\\u{other:04x}")),
            }
            rest = after;
        }
    }
    line.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::escape;
    use super::write_now;

    #[test]
    fn text_is_escaped_as_json_reads_it() {
        let text = "a\"b\\c\nd\re\tf\u{1}g\u{7f}é\u{2028}";
        let mut line = b"\"".to_vec();
        escape(&mut line, text);
        line.push(b'"');
        assert_eq!(serde_json::from_slice::<Value>(&line).expect("JSON"), json!(text));
    }

    #[test]
    fn the_time_is_written_as_rfc_3339_has_it() {
        let mut line = Vec::new();
        write_now(&mut line);
        let text = String::from_utf8(line).expect("text");
        assert_eq!(text.len(), "2026-01-01T00:00:00.000000Z".len());
        let format = &time::format_description::well_known::Rfc3339;
        assert!(time::OffsetDateTime::parse(&text, format).is_ok(), "{text}");
    }
}
