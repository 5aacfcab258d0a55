//! The limits of the member-update branch. They stand here and not on the trunk, where uploads may take hours.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use pingora_limits::inflight::Inflight;
use tower::Layer;
use tower::Service;

use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::member_update::MemberUpdate;
use crate::member_update::Unproven;
use crate::refusal::Refusal;

/// The bounds of the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many member updates may be under way in all workers.
    pub max_in_flight: usize,
    /// How long one may take, from its head to the head of its answer.
    pub timeout: Duration,
}

/// Puts the limits before a service.
#[derive(Clone)]
pub struct LimitLayer {
    config: Config,
    in_flight: Arc<Inflight>,
}

/// A service within limits.
#[derive(Clone)]
pub struct Limit<S> {
    config: Config,
    in_flight: Arc<Inflight>,
    inner: S,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_in_flight: 2048, timeout: Duration::from_secs(30) }
    }
}

impl LimitLayer {
    /// Makes the limits; cloning the layer shares the count.
    pub fn new(config: Config) -> Self {
        Self { config, in_flight: Arc::new(Inflight::new()) }
    }

    /// Makes the limits anew with other bounds; what is under way stays counted.
    #[must_use]
    pub fn renewed(&self, config: Config) -> Self {
        Self { config, in_flight: self.in_flight.clone() }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Limit { config: self.config.clone(), in_flight: self.in_flight.clone(), inner }
    }
}

impl<S> Service<MemberUpdate<Unproven>> for Limit<S>
where
    S: Service<MemberUpdate<Unproven>, Response = Answer, Error = Box<Refused>>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Box<Refused>>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, update: MemberUpdate<Unproven>) -> Self::Future {
        let (guard, count) = self.in_flight.incr("member_update", 1);
        if usize::try_from(count).is_ok_and(|count| count > self.config.max_in_flight) {
            return Box::pin(async move { Err(update.refuse(Refusal::Overloaded, None)) });
        }
        // the update is lost with the inner future when time is up; its account is still wanted
        let outline = update.call.account.outline();
        let answer = self.inner.call(update);
        let timeout = self.config.timeout;
        Box::pin(async move {
            let _guard = guard;
            pingora_timeout::timeout(timeout, answer)
                .await
                .unwrap_or_else(|_| Err(Call::spent(outline.into_account()).refuse(Refusal::MemberUpdateTooSlow, None)))
        })
    }
}
