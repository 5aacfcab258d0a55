//! Times as text, to the microsecond and in UTC, as the several formats want them.

use time::OffsetDateTime;

/// Returns the date and the time with `between` them and `zone` behind them.
pub fn stamp(at: OffsetDateTime, between: char, zone: &str) -> String {
    format!(
        "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}.{:06}{zone}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    )
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::stamp;

    #[test]
    fn a_time_is_written_to_the_microsecond() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_000_045_678).expect("a time");
        assert_eq!(stamp(at, 'T', "+0000"), "2023-11-14T22:13:20.000045+0000");
        assert_eq!(stamp(at, ' ', ""), "2023-11-14 22:13:20.000045");
    }
}
