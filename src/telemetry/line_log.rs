//! JSON lines to a file or to standard output, in bounded memory, through all configurations.

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
use prometheus_client::metrics::family::Family;
use serde::Serialize;

use crate::telemetry::lines::Lines;
use crate::telemetry::lines::Pushed;
use crate::telemetry::lines::Writing;
use crate::telemetry::metrics::OutcomeLabel;
use crate::telemetry::rotated_file::RotatedFile;
use crate::telemetry::rotated_file::Settings;

/// Where lines go, and how many may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where they go.
    pub destination: Destination,
    /// How many bytes of lines may wait to be written.
    pub queue_bytes: usize,
    /// How many bytes the file may have before it is renamed; zero is no limit.
    pub rotate_at: usize,
    /// How many renamed files are kept.
    pub kept_files: usize,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Standard output, beside the log.
    Stdout,
    /// This file.
    File(PathBuf),
}

/// Writes lines; through all configurations the same one.
pub struct LineLog {
    name: &'static str,
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
            queue_bytes: 8 * 1024 * 1024,
            rotate_at: 100 * 1024 * 1024,
            kept_files: 5,
        }
    }
}

impl LineLog {
    /// Writes nothing until it is told where to. Its thread has this name; lines are counted by what becomes of them.
    pub fn new(name: &'static str, counted: &Family<OutcomeLabel, Counter>) -> Self {
        let count = |outcome| counted.get_or_create_owned(&OutcomeLabel { outcome });
        Self {
            name,
            lines: OnceLock::new(),
            writing: Mutex::default(),
            plan: Arc::new(Mutex::new(Plan { config: Config::default(), number: 0 })),
            counts: Counts { written: count("written"), dropped: count("dropped"), failed: count("failed") },
        }
    }

    /// Goes on as this configuration says. The file is opened anew, so that it may have been renamed.
    pub fn follow(&self, config: Config) {
        let (bound, is_wanted) = (config.queue_bytes, config.destination != Destination::Off);
        let mut plan = locked(&self.plan);
        plan.config = config;
        plan.number += 1;
        drop(plan);
        if let Some(lines) = self.lines.get() {
            lines.set_bound(bound);
            lines.wake();
        } else if is_wanted && let Err(error) = self.start(bound) {
            tracing::error!(%error, "{} can not be written: no thread", self.name);
        }
    }

    fn start(&self, bound: usize) -> io::Result<()> {
        let mut writer = Writer { plan: self.plan.clone(), number: 0, out: Out::Off, counts: self.counts.clone() };
        let (lines, writing) = Lines::start(self.name, bound, move |lines, _| writer.write(lines))?;
        *locked(&self.writing) = Some(writing);
        // nobody else sets it: configurations come one after the other
        let _ = self.lines.set(lines);
        Ok(())
    }

    /// Puts a line behind the others; if too many wait, it is dropped and counted.
    pub fn write(&self, line: &impl Serialize) {
        let line = self.lines.get().and_then(|lines| Some((lines, serde_json::to_vec(line).ok()?)));
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
            // what waited was told before it was switched off
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

impl fmt::Debug for LineLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LineLog").field("name", &self.name).field("plan", &self.plan).finish_non_exhaustive()
    }
}
