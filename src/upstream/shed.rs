//! Load is shed before the image store is swamped: a limit on the requests that wait for it, found out as they go.
//!
//! The layer stands around the way to the store, below all checks, so that only what waits for the store counts: a slow
//! Keystone must not shed what passes through. Which calls it looks at:
//!
//! | call | counts and may be shed | its time tells |
//! |---|---|---|
//! | without a body, or with one that the gate holds: member updates, look-ups, lists | yes | yes |
//! | download, `…/file` | yes | no: the store fetches the data first |
//! | small body that the client still sends | yes | no: the client's time is in it |
//! | upload | no: it waits for hours by nature, and `max_in_flight` bounds it | no |
//!
//! Answers of 5xx tell nothing either: a store that fails at once is not fast.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::TryLockError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use http_body::Body as _;
use prometheus_client::metrics::gauge::Gauge;
use tower::Layer;
use tower::Service;

use crate::body::Body;
use crate::body::lease::Lease;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::refusal::Refusal;
use crate::telemetry::metrics::Metrics;
use crate::upstream::adaptive::Bounds;
use crate::upstream::adaptive::Controller;
use crate::upstream::waiting::Waiting;

/// The keys `[limits] adaptive…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether the limit is on.
    pub adaptive: Adaptive,
    /// Between which numbers it stays.
    pub bounds: Bounds,
}

/// Whether load is shed by what answers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adaptive {
    /// It is.
    On,
    /// Only the fixed limits hold.
    Off,
}

/// Puts [`Shed`] around a service; cloning the layer shares the limit.
#[derive(Clone, Debug)]
pub struct ShedLayer {
    meter: Option<Arc<Meter>>,
}

/// Refuses what is over the limit.
#[derive(Clone, Debug)]
pub struct Shed<S> {
    meter: Option<Arc<Meter>>,
    inner: S,
}

/// What all workers count and time.
#[derive(Debug)]
pub struct Meter {
    waiting: Gauge,
    limit: Gauge,
    peak: AtomicUsize,
    micros: AtomicU64,
    samples: AtomicU64,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    controller: Controller,
}

/// What a call's time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// It counts, and its time tells.
    Timed,
    /// It counts.
    Counted,
    /// It is not looked at.
    Free,
}

/// Holds a call's place until the head of its answer is there.
#[derive(Debug)]
pub struct Place {
    meter: Arc<Meter>,
    started: Option<Instant>,
    _lease: Lease,
}

/// How short a window is.
const WINDOW: Duration = Duration::from_millis(100);
/// Shorter than this nobody notices: what the gate's own processor adds is no sign of a queue.
const UNNOTICED: Duration = Duration::from_millis(2);
/// How few answers make a window.
const FEWEST: u64 = 8;
/// Up to which size a body that the client still sends is small.
const SMALL_BODY: u64 = 64 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self { adaptive: Adaptive::Off, bounds: Bounds { min: 64, max: 4096 } }
    }
}

impl ShedLayer {
    /// Makes the layer; with the limit off it lets everything through.
    pub fn new(config: &Config, metrics: &Metrics) -> Self {
        let meter = match config.adaptive {
            Adaptive::Off => None,
            Adaptive::On => Some(Arc::new(Meter::new(config.bounds, metrics))),
        };
        Self { meter }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Shed { meter: self.meter.clone(), inner }
    }
}

impl<S> Service<Call> for Shed<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<Waiting<S::Future>, Ready<Result<Answer, Box<Refused>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Some(meter) = &self.meter else { return Either::Left(Waiting::new(self.inner.call(call), None)) };
        let weight = weigh(&call);
        if weight == Weight::Free {
            return Either::Left(Waiting::new(self.inner.call(call), None));
        }
        match meter.enter(weight) {
            Some(place) => Either::Left(Waiting::new(self.inner.call(call), Some(place))),
            None => Either::Right(ready(Err(call.refuse(Refusal::LoadShed, None)))),
        }
    }
}

fn weigh(call: &Call) -> Weight {
    match &call.body {
        Body::Stream(_) if call.body.size_hint().upper().is_none_or(|length| length > SMALL_BODY) => Weight::Free,
        Body::Stream(_) => Weight::Counted,
        Body::Empty | Body::Full(_) | Body::Lost if call.head.uri.path().ends_with("/file") => Weight::Counted,
        Body::Empty | Body::Full(_) | Body::Lost => Weight::Timed,
    }
}

impl Meter {
    fn new(bounds: Bounds, metrics: &Metrics) -> Self {
        let controller = Controller::new(bounds);
        let meter = Self {
            waiting: metrics.waiting.clone(),
            limit: metrics.adaptive_limit.clone(),
            peak: AtomicUsize::new(0),
            micros: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            window: Mutex::new(Window { since: Instant::now(), controller }),
        };
        meter.publish(bounds.min);
        meter
    }

    fn publish(&self, limit: usize) {
        self.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    fn enter(self: &Arc<Self>, weight: Weight) -> Option<Place> {
        let limit = usize::try_from(self.limit.get()).unwrap_or_default();
        let lease = Lease::take(&self.waiting, limit)?;
        let waiting = usize::try_from(self.waiting.get()).unwrap_or_default();
        if waiting > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(waiting, Ordering::Relaxed);
        }
        let started = match weight {
            Weight::Timed => Some(Instant::now()),
            Weight::Counted | Weight::Free => None,
        };
        Some(Place { meter: self.clone(), started, _lease: lease })
    }

    /// Takes in one answer, and ends the window if it has gone on long enough.
    fn sample(&self, took: Duration, now: Instant) {
        let micros = u64::try_from(took.max(UNNOTICED).as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        let samples = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
        // all that wait now have been through once: then the window says what the limit has done
        let peak = self.peak.load(Ordering::Relaxed) as u64;
        if samples < FEWEST.max(peak) {
            return;
        }
        let mut window = match self.window.try_lock() {
            Ok(window) => window,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // somebody else ends it
            Err(TryLockError::WouldBlock) => return,
        };
        if now.saturating_duration_since(window.since) < WINDOW {
            return;
        }
        window.since = now;
        let samples = self.samples.swap(0, Ordering::Relaxed);
        let micros = self.micros.swap(0, Ordering::Relaxed);
        let peak = self.peak.swap(0, Ordering::Relaxed);
        let mean = micros.checked_div(samples).unwrap_or_default();
        window.controller.observe(f64::from(u32::try_from(mean).unwrap_or(u32::MAX)), peak);
        self.publish(window.controller.limit());
    }
}

impl Place {
    /// Gives the place back, with what the answer says of the store.
    pub fn done(self, outcome: &Result<Answer, Box<Refused>>) {
        let is_telling = outcome.as_ref().is_ok_and(|answer| !answer.response.status().is_server_error());
        if let Some(started) = self.started
            && is_telling
        {
            let now = Instant::now();
            self.meter.sample(now.saturating_duration_since(started), now);
        }
    }
}
