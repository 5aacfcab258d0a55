//! Spans that have ended wait here to be sent; who ends one never waits.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::Span;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanProcessor;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::telemetry::metrics::Metrics;

/// Takes spans that have ended; what finds no room is dropped and counted.
#[derive(Debug)]
pub struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Counter,
}

/// The other end of a [`Queue`].
#[derive(Debug)]
pub struct Pending {
    spans: mpsc::Receiver<SpanData>,
    batch: Vec<SpanData>,
}

/// How often the queue is looked at while a batch gathers. Waking up for each span would cost the workers a system call
/// for each.
const LOOK: Duration = Duration::from_millis(50);

impl Queue {
    /// Makes a queue for so many spans; one at least.
    pub fn new(max: usize, metrics: &Metrics) -> (Self, Pending) {
        let (sender, receiver) = mpsc::channel(max.max(1));
        let queue = Self { spans: sender, dropped: metrics.outlets.spans("dropped") };
        (queue, Pending { spans: receiver, batch: Vec::new() })
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        // who sends the spans on goes on until the queue is empty
        Ok(())
    }
}

impl Pending {
    /// Waits for spans, gathers them until there are `max` or the first has waited for `delay`, and returns them;
    /// nothing when there will be no more. If it is dropped, what was gathered stays.
    pub async fn batch(&mut self, max: usize, delay: Duration) -> Option<Vec<SpanData>> {
        if self.batch.is_empty() {
            self.batch.push(self.spans.recv().await?);
        }
        let until = Instant::now() + delay;
        while !self.take(max) && Instant::now() < until && !self.spans.is_closed() {
            tokio::time::sleep(LOOK.min(until - Instant::now())).await;
        }
        Some(std::mem::take(&mut self.batch))
    }

    /// Returns what is there right now, at most `max`; nothing when nothing is.
    pub fn rest(&mut self, max: usize) -> Option<Vec<SpanData>> {
        self.take(max);
        Some(std::mem::take(&mut self.batch)).filter(|batch| !batch.is_empty())
    }

    /// Moves what is there into the batch, and tells whether it is full.
    fn take(&mut self, max: usize) -> bool {
        while self.batch.len() < max {
            let Ok(span) = self.spans.try_recv() else { return false };
            self.batch.push(span);
        }
        true
    }
}
