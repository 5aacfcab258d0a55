//! Moments as they are told: RFC 3339, in UTC, to the millisecond.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns this moment.
pub fn now() -> String {
    of(SystemTime::now())
}

/// Returns a moment.
pub fn of(moment: SystemTime) -> String {
    let millis = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let nanos = i128::try_from(millis).unwrap_or_default() * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Reads a moment; nothing if the text is none.
pub fn parse(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use super::of;
    use super::parse;

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567_890_123);
        assert_eq!(of(moment), "2009-02-13T23:31:30.123Z");
        assert_eq!(parse(&of(moment)), Some(moment));
        assert_eq!(parse("yesterday"), None);
    }
}
