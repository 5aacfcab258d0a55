//! The decision log: one JSON line a decision, written off the requests' way.

use crate::rules::record::Record;
use crate::telemetry::line_log;
pub use crate::telemetry::line_log::Destination;
use crate::telemetry::line_log::LineLog;
use crate::telemetry::metrics::Metrics;

/// The section `[decisions]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the lines go.
    pub destination: Destination,
    /// How many of a hundred calls are written that were let through and that Glance granted; all others are.
    pub permitted_percent: u8,
    /// How many bytes of lines may wait to be written.
    pub queue_bytes: usize,
    /// How many bytes the file may have before it is renamed; zero is no limit.
    pub rotate_at: usize,
    /// How many renamed files are kept.
    pub kept_files: usize,
}

/// Writes decisions; through all configurations the same one.
#[derive(Debug)]
pub struct DecisionLog(LineLog);

impl Default for Config {
    fn default() -> Self {
        Self {
            destination: Destination::Off,
            permitted_percent: 1,
            queue_bytes: 8 * 1024 * 1024,
            rotate_at: 100 * 1024 * 1024,
            kept_files: 5,
        }
    }
}

impl Config {
    /// Tells whether a decision is written: one of the plain ones by its number, any other always.
    pub fn wants(&self, plain: Option<u64>) -> bool {
        let percent = u64::from(self.permitted_percent);
        // evenly spread: each hundred has as many
        self.destination != Destination::Off && plain.is_none_or(|number| number.wrapping_mul(percent) % 100 < percent)
    }
}

impl DecisionLog {
    /// Writes nothing until it is told where to.
    pub fn new(metrics: &Metrics) -> Self {
        Self(LineLog::new("decisions", &metrics.judgement.decision_lines))
    }

    /// Goes on as this configuration says. The file is opened anew, so that it may have been renamed.
    pub fn follow(&self, config: &Config) {
        self.0.follow(line_log::Config {
            destination: config.destination.clone(),
            queue_bytes: config.queue_bytes,
            rotate_at: config.rotate_at,
            kept_files: config.kept_files,
        });
    }

    /// Puts a decision behind the others; if too many wait, it is dropped and counted.
    pub fn write(&self, record: &Record) {
        self.0.write(record);
    }

    /// Writes what is left; there will be no more. Whoever does not take the lines is not waited for long.
    pub fn finish(&self) {
        self.0.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use super::Destination;

    #[test]
    fn plain_decisions_are_sampled_evenly_and_all_others_are_wanted() {
        for (percent, expected) in [(0, 0), (1, 10), (7, 70), (100, 1000)] {
            let config = Config { destination: Destination::Stdout, permitted_percent: percent, ..Config::default() };
            assert_eq!((0..1000).filter(|number| config.wants(Some(*number))).count(), expected, "{percent}");
            assert!(config.wants(None));
        }
        let off = Config { permitted_percent: 100, ..Config::default() };
        assert!(!off.wants(None) && !off.wants(Some(0)));
    }
}
