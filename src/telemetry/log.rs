//! Log lines: one JSON object or one readable line an event, written off the request's way.

use std::io;
use std::io::Write;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

use tracing::Level;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::callsite;
use tracing::subscriber::Interest;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::json::JsonLines;
use crate::telemetry::lines::Lines;
use crate::telemetry::lines::Writing;

/// How log lines look and which are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// JSON for machines, text for people.
    pub format: Format,
    /// The least severe level that is written.
    pub level: Level,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One readable line.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Json, level: Level::INFO }
    }
}

/// Starts logging to standard output; the guard writes what is left when it is dropped.
///
/// # Errors
/// Fails if logging was started before in this process.
pub fn start(config: &Config) -> io::Result<Writing> {
    let (lines, writing) = Lines::start("log", MAX_PENDING, to_stdout)?;
    set_level(config.level);
    let registry = registry().with(Threshold);
    let started = match config.format {
        Format::Json => registry.with(JsonLines::new(lines)).try_init(),
        Format::Text => {
            let written = fmt::layer().with_writer(move || lines.clone()).with_target(false).with_ansi(false);
            registry.with(written).try_init()
        }
    };
    started.map_err(io::Error::other)?;
    Ok(writing)
}

/// How many bytes of log lines may wait to be written; more lines are lost, and counted, rather than let a request wait.
const MAX_PENDING: usize = 16 * 1024 * 1024;

fn to_stdout(lines: &[u8], lost: u64) {
    let mut out = io::stdout();
    // who reads the log may have gone; the gate goes on
    let _ = out.write_all(lines);
    if lost > 0 {
        let _ = writeln!(out, r#"{{"level":"WARN","message":"log lines were lost","lost":{lost}}}"#);
    }
    let _ = out.flush();
}

/// Writes events of this level and above from now on, in the whole process.
pub fn set_level(level: Level) {
    THRESHOLD.store(rank(level), Ordering::Relaxed);
    callsite::rebuild_interest_cache();
}

/// What is written: as global as the subscriber itself.
static THRESHOLD: AtomicU8 = AtomicU8::new(2);

/// Lets an event pass by its level. `tracing-subscriber`'s own layer for a change while running takes a lock for each
/// event; this one is asked once for each place in the code, and again after a change.
struct Threshold;

impl<S: Subscriber> Layer<S> for Threshold {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_written(*metadata.level()) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_written(*metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let threshold = THRESHOLD.load(Ordering::Relaxed);
        LEVELS.into_iter().filter(|level| rank(*level) <= threshold).max_by_key(|level| rank(*level)).map(Into::into)
    }
}

const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

fn is_written(level: Level) -> bool {
    rank(level) <= THRESHOLD.load(Ordering::Relaxed)
}

fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}
