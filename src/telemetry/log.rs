//! Log lines: one JSON object or one readable line an event, written off the request's way.

use std::io;

use tracing::Level;
use tracing_appender::non_blocking;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::LevelFilter;

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
    let lines = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_max_level(LevelFilter::from_level(config.level))
        .with_target(false);
    let started = match config.format {
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        Format::Text => lines.with_ansi(false).try_init(),
    };
    started.map_err(io::Error::other)?;
    Ok(guard)
}
