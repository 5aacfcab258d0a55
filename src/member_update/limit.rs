//! The limits of the member-update branch. They stand here and not on the trunk, where uploads may take hours.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use pin_project_lite::pin_project;
use prometheus_client::metrics::gauge::Gauge;
use tower::Layer;
use tower::Service;

use crate::body::lease::Lease;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Outline;
use crate::call::Refused;
use crate::client::deadline::Deadline;
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
    in_flight: Gauge,
}

/// A service within limits.
#[derive(Clone)]
pub struct Limit<S> {
    config: Config,
    in_flight: Gauge,
    deadlines: Deadlines,
    inner: S,
}

/// Deadlines that are not used at the moment: setting a timer costs more than looking at one that is set.
#[derive(Clone, Default)]
struct Deadlines(Arc<Mutex<Vec<Deadline>>>);

pin_project! {
    /// Waits for an answer, but not too long.
    pub struct Limited<F> {
        // nothing once time is up: the update is lost with it
        #[pin]
        inner: Option<F>,
        outline: Option<Outline>,
        timeout: Duration,
        deadline: Borrowed,
        _place: Lease,
    }
}

/// A deadline that is borrowed when somebody has to be waited for, and goes back once there is an answer.
struct Borrowed {
    deadlines: Deadlines,
    deadline: Option<Deadline>,
}

/// How many deadlines are kept for the next updates.
const KEPT_DEADLINES: usize = 256;

impl Default for Config {
    fn default() -> Self {
        Self { max_in_flight: 2048, timeout: Duration::from_secs(30) }
    }
}

impl LimitLayer {
    /// Makes the limits; cloning the layer shares the count.
    pub fn new(config: Config) -> Self {
        Self { config, in_flight: Gauge::default() }
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
        Limit { config: self.config.clone(), in_flight: self.in_flight.clone(), deadlines: Deadlines::default(), inner }
    }
}

impl<S> Service<MemberUpdate<Unproven>> for Limit<S>
where
    S: Service<MemberUpdate<Unproven>, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<Limited<S::Future>, Ready<Result<Answer, Box<Refused>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, update: MemberUpdate<Unproven>) -> Self::Future {
        // a lease of zero places has no bound; here it lets nobody in
        let place = Lease::take(&self.in_flight, self.config.max_in_flight).filter(|_| self.config.max_in_flight > 0);
        let Some(place) = place else {
            return Either::Right(ready(Err(update.refuse(Refusal::Overloaded, None))));
        };
        // the update is lost with the inner future when time is up; its account is still wanted
        let outline = Some(update.call.account.outline());
        Either::Left(Limited {
            inner: Some(self.inner.call(update)),
            outline,
            timeout: self.config.timeout,
            deadline: Borrowed { deadlines: self.deadlines.clone(), deadline: None },
            _place: place,
        })
    }
}

impl<F: Future<Output = Result<Answer, Box<Refused>>>> Future for Limited<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(answer) = inner.poll(context)
        {
            this.deadline.give_back();
            return Poll::Ready(answer);
        }
        ready!(this.deadline.poll_passed(*this.timeout, context));
        this.inner.set(None);
        match this.outline.take() {
            Some(outline) => {
                Poll::Ready(Err(Call::spent(outline.into_account()).refuse(Refusal::MemberUpdateTooSlow, None)))
            }
            // a future that is polled after it was ready may do anything but lie
            None => Poll::Pending,
        }
    }
}

impl Deadlines {
    fn take(&self) -> Option<Deadline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, mut deadline: Deadline) {
        deadline.rest();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_DEADLINES {
            kept.push(deadline);
        }
    }
}

impl Borrowed {
    fn poll_passed(&mut self, timeout: Duration, context: &mut Context<'_>) -> Poll<()> {
        self.deadline.get_or_insert_with(|| self.deadlines.take().unwrap_or_default()).poll_passed(timeout, context)
    }

    /// Not done when it is dropped: whoever is given up may be so because the worker ends, and its timers with it.
    fn give_back(&mut self) {
        if let Some(deadline) = self.deadline.take() {
            self.deadlines.give_back(deadline);
        }
    }
}
