//! The decision log: one JSON line a decision, written off the requests' way.

use std::fmt;
use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;

use memchr::memchr_iter;
use prometheus_client::metrics::counter::Counter;

use crate::rules::record::Record;
use crate::telemetry::lines::Lines;
use crate::telemetry::lines::Pushed;
use crate::telemetry::lines::Writing;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::OutcomeLabel;
use crate::telemetry::rotated_file::RotatedFile;
use crate::telemetry::rotated_file::Settings;

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

/// Where the lines of decisions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Standard output, beside the log.
    Stdout,
    /// This file.
    File(PathBuf),
}

/// Writes decisions; through all configurations the same one.
pub struct DecisionLog {
    /// There since the first configuration that wants it.
    lines: OnceLock<Lines>,
    writing: Mutex<Option<Writing>>,
    plan: Arc<Mutex<Plan>>,
    counts: Counts,
}

/// What the writing thread is to do.
#[derive(Debug)]
struct Plan {
    config: Config,
    /// Grows with each configuration, so that a file is opened anew even if its name stays.
    number: u64,
}

#[derive(Clone, Debug)]
struct Counts {
    written: Counter,
    dropped: Counter,
    failed: Counter,
}

/// What the writing thread writes to.
struct Writer {
    plan: Arc<Mutex<Plan>>,
    number: u64,
    out: Out,
    counts: Counts,
}

enum Out {
    Off,
    Stdout,
    File(RotatedFile),
}

/// How long the end of the gate waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

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
        let count = |outcome| metrics.judgement.decision_lines.get_or_create_owned(&OutcomeLabel { outcome });
        Self {
            lines: OnceLock::new(),
            writing: Mutex::default(),
            plan: Arc::new(Mutex::new(Plan { config: Config::default(), number: 0 })),
            counts: Counts { written: count("written"), dropped: count("dropped"), failed: count("failed") },
        }
    }

    /// Goes on as this configuration says. The file is opened anew, so that it may have been renamed.
    pub fn follow(&self, config: &Config) {
        let mut plan = locked(&self.plan);
        plan.config = config.clone();
        plan.number += 1;
        drop(plan);
        if let Some(lines) = self.lines.get() {
            lines.set_bound(config.queue_bytes);
            lines.wake();
        } else if config.destination != Destination::Off
            && let Err(error) = self.start(config.queue_bytes)
        {
            tracing::error!(%error, "decisions can not be written: no thread");
        }
    }

    fn start(&self, bound: usize) -> io::Result<()> {
        let mut writer = Writer { plan: self.plan.clone(), number: 0, out: Out::Off, counts: self.counts.clone() };
        let (lines, writing) = Lines::start("decisions", bound, move |lines, _| writer.write(lines))?;
        *locked(&self.writing) = Some(writing);
        // nobody else sets it: configurations come one after the other
        let _ = self.lines.set(lines);
        Ok(())
    }

    /// Puts a decision behind the others; if too many wait, it is dropped and counted.
    pub fn write(&self, record: &Record) {
        let line = self.lines.get().and_then(|lines| Some((lines, serde_json::to_vec(record).ok()?)));
        let pushed = line.map_or(Pushed::Lost, |(lines, mut line)| {
            line.push(b'\n');
            lines.push(&line)
        });
        if pushed == Pushed::Lost {
            self.counts.dropped.inc();
        }
    }

    /// Writes what is left; there will be no more. Whoever does not take the lines is not waited for long.
    pub fn finish(&self) {
        let writing = locked(&self.writing).take();
        if let Some(writing) = writing {
            writing.finish(LAST_LINES);
        }
    }
}

impl Writer {
    fn write(&mut self, lines: &[u8]) {
        let plan = locked(&self.plan);
        let changed = (plan.number != self.number).then(|| Out::of(&plan.config));
        self.number = plan.number;
        drop(plan);
        match changed {
            // what waited was decided before it was switched off
            Some(Out::Off) => {
                self.put(lines);
                self.out = Out::Off;
            }
            Some(out) => {
                self.out = out;
                self.put(lines);
            }
            None => self.put(lines),
        }
    }

    fn put(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let all = memchr_iter(b'\n', lines).count();
        let lost = match &mut self.out {
            Out::Off => {
                self.counts.dropped.inc_by(all as u64);
                return;
            }
            Out::Stdout => {
                let mut out = io::stdout();
                if out.write_all(lines).and_then(|()| out.flush()).is_ok() { 0 } else { all }
            }
            Out::File(file) => file.write(lines),
        };
        self.counts.written.inc_by((all - lost) as u64);
        self.counts.failed.inc_by(lost as u64);
    }
}

impl Out {
    fn of(config: &Config) -> Self {
        match &config.destination {
            Destination::Off => Self::Off,
            Destination::Stdout => Self::Stdout,
            Destination::File(path) => Self::File(RotatedFile::new(Settings {
                path: path.clone(),
                rotate_at: config.rotate_at,
                kept: config.kept_files,
            })),
        }
    }
}

/// Locks what is whole whatever happened to whoever held it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for DecisionLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DecisionLog").field("plan", &self.plan).finish_non_exhaustive()
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
