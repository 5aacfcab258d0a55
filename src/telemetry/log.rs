//! Log lines: one JSON object or one readable line an event, written off the request's way.

use std::io;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

use tracing::Level;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::callsite;
use tracing::subscriber::Interest;
use tracing_appender::non_blocking;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

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

/// How many lines may wait for the writer; more are dropped rather than let a request wait for a full pipe.
const BUFFERED_LINES: usize = 65_536;

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Json, level: Level::INFO }
    }
}

/// Starts logging to standard output; the guard writes what is left when it is dropped.
///
/// # Errors
/// Fails if logging was started before in this process.
pub fn start(config: &Config) -> io::Result<WorkerGuard> {
    let (writer, guard): (non_blocking::NonBlocking, _) =
        NonBlockingBuilder::default().buffered_lines_limit(BUFFERED_LINES).lossy(true).finish(io::stdout());
    let lines = fmt::layer().with_writer(writer).with_target(false);
    set_level(config.level);
    let registry = registry().with(Threshold);
    let started = match config.format {
        Format::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(lines).try_init()
        }
        Format::Text => registry.with(lines.with_ansi(false)).try_init(),
    };
    started.map_err(io::Error::other)?;
    Ok(guard)
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
