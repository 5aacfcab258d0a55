//! Overhears the access log, so that the tour shows the gate's own verdicts.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::Sender;
use tracing::Event;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What one line of the access log told.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Which request it told of.
    pub request_id: String,
    /// What became of it.
    pub verdict: String,
    /// Why, if the gate answered itself.
    pub reason: String,
}

/// The lines that were not read yet.
#[derive(Debug)]
pub struct Overheard {
    lines: Receiver<Line>,
}

struct Listener {
    lines: Sender<Line>,
}

/// How many lines may wait to be read; the tour reads one a request.
const WAITING_LINES: usize = 64;

/// How long the line of an answered request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts to listen; nothing is written anywhere.
///
/// # Errors
/// Fails if this process logs already.
pub fn start() -> io::Result<Overheard> {
    let (sender, lines) = mpsc::channel(WAITING_LINES);
    tracing_subscriber::registry().with(Listener { lines: sender }).try_init().map_err(io::Error::other)?;
    Ok(Overheard { lines })
}

impl Overheard {
    /// Returns the line about a request.
    ///
    /// # Errors
    /// Fails if there is none.
    pub async fn line_of(&mut self, request_id: &str) -> io::Result<Line> {
        let find = async {
            while let Some(line) = self.lines.recv().await {
                if line.request_id == request_id {
                    return Some(line);
                }
            }
            None
        };
        let missing = || io::Error::other("the gate did not log an answered request");
        tokio::time::timeout(PATIENCE, find).await.ok().flatten().ok_or_else(missing)
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "access" {
            let mut line = Line::default();
            event.record(&mut line);
            // after the tour nobody reads any more, and that is fine
            let _ = self.lines.try_send(line);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "verdict" => value.clone_into(&mut self.verdict),
            "reason" => value.clone_into(&mut self.reason),
            "request_id" => value.clone_into(&mut self.request_id),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
