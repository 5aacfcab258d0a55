//! Brings events to one sink: in order, again and again until it takes them, and never in a request's way.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

use crate::audit::event::Entry;
use crate::audit::queue::Outlet;
use crate::telemetry::metrics::Metrics;

/// How events get to a sink of one kind.
pub trait Carrier: Send + 'static {
    /// Returns how many events it takes at once.
    fn max_batch(&self) -> usize;

    /// Brings what it can of a batch, and settles it there. It keeps its own deadlines.
    ///
    /// # Errors
    /// Tells why the rest of the batch has to wait.
    fn carry(&mut self, batch: &mut Batch) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// Why a sink does not take events now.
#[derive(Debug)]
pub struct Trouble {
    /// What happened, without a secret.
    pub cause: String,
    /// When it wants to be asked again.
    pub pause: Option<Duration>,
}

/// Events on their way. What is not settled when it is dropped is lost, and counted.
#[derive(Debug)]
pub struct Batch {
    entries: Vec<Entry>,
    counts: Counts,
    refusal: Option<String>,
}

/// What becomes of events at one sink.
#[derive(Clone, Debug)]
pub struct Counts {
    /// The sink has them.
    pub written: Counter,
    /// They found no room, or the gate ended before the sink took them.
    pub lost: Counter,
    /// The sink does not take them, and never will.
    pub failed: Counter,
}

/// Whether the sink took what it was brought last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    There,
    Refusing,
    Away,
}

/// How long the first pause between two attempts is; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long a pause is at most, whatever the sink asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a pause is when the end is near.
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// Works until there will be no more events. Once `closing` is cancelled, it has so long for what is left.
pub async fn run<C: Carrier>(
    sink: &'static str,
    mut carrier: C,
    mut pending: Outlet<Entry>,
    counts: Counts,
    closing: CancellationToken,
    drain: Duration,
) {
    let mut reach = Reach::There;
    let work = async {
        while let Some(mut batch) = next(&mut pending, carrier.max_batch(), &counts).await {
            deliver(sink, &mut carrier, &mut batch, &mut reach, &closing).await;
        }
    };
    let end = async {
        closing.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        () = work => {}
        () = end => tracing::warn!(sink, "the last audit events are lost: the sink does not take them in time"),
    }
}

/// Waits for events, and takes those that are there.
async fn next(pending: &mut Outlet<Entry>, max: usize, counts: &Counts) -> Option<Batch> {
    let mut batch = Batch { entries: vec![pending.next().await?], counts: counts.clone(), refusal: None };
    while batch.entries.len() < max
        && let Some(entry) = pending.at_once()
    {
        batch.entries.push(entry);
    }
    Some(batch)
}

/// Brings a batch until all of it is settled.
async fn deliver<C: Carrier>(
    sink: &'static str,
    carrier: &mut C,
    batch: &mut Batch,
    reach: &mut Reach,
    closing: &CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    while !batch.entries.is_empty() {
        let before = batch.entries.len();
        let outcome = carrier.carry(batch).await;
        if let Some(cause) = batch.refusal.take() {
            reach.tell(Reach::Refusing, sink, &cause);
        } else if batch.entries.len() < before {
            reach.tell(Reach::There, sink, "");
            pause = FIRST_PAUSE;
        }
        let Err(trouble) = outcome else { continue };
        reach.tell(Reach::Away, sink, &trouble.cause);
        if closing.is_cancelled() {
            tokio::time::sleep(LAST_PAUSE).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(bounded(trouble.pause.unwrap_or(pause))) => {}
                () = closing.cancelled() => {}
            }
        }
        pause = bounded(pause.saturating_mul(2));
    }
}

/// Keeps a pause, doubled or asked for by the sink, in bounds: a sink may be away for days, and must not be asked in a loop.
fn bounded(pause: Duration) -> Duration {
    pause.clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

impl Reach {
    /// Notes how it is now, and tells it if it has changed.
    fn tell(&mut self, now: Self, sink: &'static str, cause: &str) {
        if *self == now {
            return;
        }
        *self = now;
        match now {
            Self::There => tracing::info!(sink, "the audit sink takes events again"),
            Self::Refusing => tracing::error!(sink, cause, "the audit sink refuses events: they are dropped"),
            Self::Away => tracing::warn!(sink, cause, "the audit sink does not take events: they wait"),
        }
    }
}

impl Counts {
    /// Returns the counters of a sink, and lets them be seen.
    pub fn of(sink: &'static str, metrics: &Metrics) -> Self {
        let count = |outcome| metrics.outlets.audit_events(sink, outcome);
        Self { written: count("written"), lost: count("lost"), failed: count("failed") }
    }
}

impl Batch {
    /// Returns what is not settled yet, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Notes that the sink has the first so many.
    pub fn written(&mut self, count: usize) {
        let settled = self.settle(count);
        self.counts.written.inc_by(settled);
    }

    /// Notes that the sink will never take the first so many.
    pub fn refused(&mut self, count: usize, cause: String) {
        let settled = self.settle(count);
        self.counts.failed.inc_by(settled);
        self.refusal = Some(cause);
    }

    fn settle(&mut self, count: usize) -> u64 {
        self.entries.drain(..count.min(self.entries.len())).len() as u64
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.counts.lost.inc_by(self.entries.len() as u64);
    }
}

impl Trouble {
    /// Tells a cause.
    pub fn new(cause: impl fmt::Display) -> Self {
        Self { cause: cause.to_string(), pause: None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::FIRST_PAUSE;
    use super::LONGEST_PAUSE;
    use super::bounded;

    #[test]
    fn pauses_stay_in_bounds_however_long_a_sink_is_away() {
        let mut pause = FIRST_PAUSE;
        for _ in 0..1_000 {
            pause = bounded(pause.saturating_mul(2));
        }
        assert_eq!(pause, LONGEST_PAUSE);
        assert_eq!((bounded(Duration::ZERO), bounded(Duration::MAX)), (FIRST_PAUSE, LONGEST_PAUSE));
    }
}
