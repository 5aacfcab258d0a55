//! Too much at once: refused rather than queued. What each client has is counted by `pingora-limits`.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use pingora_limits::inflight::Guard;
use pingora_limits::inflight::Inflight;
use prometheus_client::metrics::gauge::Gauge;
use tower::Layer;
use tower::Service;

use crate::body::lease::Lease;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::edge::after::After;
use crate::edge::after::Finish;
use crate::refusal::Refusal;

/// The bounds on all traffic; zero means no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many requests may be under way in all workers, up to the head of their answers.
    pub max_in_flight: usize,
    /// How many of them may come from one address.
    pub max_in_flight_per_client: usize,
}

/// Puts [`Overload`] around a service; cloning the layer shares the counts.
#[derive(Clone)]
pub struct OverloadLayer {
    config: Config,
    all: Gauge,
    clients: Arc<Inflight>,
}

/// Refuses what is over the bounds.
#[derive(Clone)]
pub struct Overload<S> {
    config: Config,
    all: Gauge,
    clients: Arc<Inflight>,
    inner: S,
}

/// Holds a call's place until its answer is there.
pub struct Places {
    _all: Lease,
    _client: Option<Guard>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_in_flight: 10_000, max_in_flight_per_client: 0 }
    }
}

impl OverloadLayer {
    /// Makes the layer with nothing counted yet.
    pub fn new(config: Config) -> Self {
        Self { config, all: Gauge::default(), clients: Arc::new(Inflight::new()) }
    }

    /// Makes the layer anew with other bounds; what is under way stays counted.
    #[must_use]
    pub fn renewed(&self, config: Config) -> Self {
        Self { config, all: self.all.clone(), clients: self.clients.clone() }
    }
}

impl<S> Layer<S> for OverloadLayer {
    type Service = Overload<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Overload { config: self.config.clone(), all: self.all.clone(), clients: self.clients.clone(), inner }
    }
}

impl<S> Overload<S> {
    /// Takes a place, if there is one.
    fn enter(&self, call: &Call) -> Option<Places> {
        let all = Lease::take(&self.all, self.config.max_in_flight)?;
        let mut client = None;
        if self.config.max_in_flight_per_client > 0 {
            let (guard, count) = self.clients.incr(call.account.peer, 1);
            if usize::try_from(count).is_ok_and(|count| count > self.config.max_in_flight_per_client) {
                return None;
            }
            client = Some(guard);
        }
        Some(Places { _all: all, _client: client })
    }
}

impl<S> Service<Call> for Overload<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<After<S::Future, Places>, Ready<Result<Answer, Box<Refused>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.enter(&call) {
            Some(places) => Either::Left(After::new(self.inner.call(call), places)),
            None => Either::Right(ready(Err(call.refuse(Refusal::Overloaded, None)))),
        }
    }
}

impl<T> Finish<T> for Places {
    type Output = T;

    fn finish(self, outcome: T) -> T {
        outcome
    }
}
