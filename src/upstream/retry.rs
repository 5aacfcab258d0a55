//! What may be sent once more, and how often: never what may have been carried out, and never so often that an overload
//! doubles.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use http::Method;
use http::Request;
use prometheus_client::metrics::counter::Counter;

use crate::body::Body;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::OutcomeLabel;

/// How many requests may be sent a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many of a hundred requests.
    pub percent: u32,
    /// How many a second besides, so that a quiet gate may try again too.
    pub per_second: u32,
}

/// Whether a request whose connection broke may go to another upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatable {
    /// It has no body and changes nothing (RFC 9110 section 9.2.1).
    Yes,
    /// It may have been carried out, or its body is gone.
    No,
}

/// Second tries: their budget, which all workers share, and what is told of them.
#[derive(Clone, Debug)]
pub struct Retries {
    budget: Arc<Budget>,
    unsent: Counter,
    repeated: Counter,
    no_budget: Counter,
}

/// How many requests may still be sent a second time.
#[derive(Debug)]
pub struct Budget {
    rules: Rules,
    purse: Mutex<Purse>,
}

/// A bucket of tokens that is filled when somebody draws, so that requests which need none pay nothing.
#[derive(Debug)]
struct Purse {
    tokens: f64,
    requests: u64,
    since: Instant,
}

/// How many seconds' worth of tokens are kept.
const KEPT_SECONDS: f64 = 5.0;
/// How many tokens of requests are kept besides.
const KEPT_OF_REQUESTS: f64 = 100.0;

impl Default for Rules {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}

impl Repeatable {
    /// Judges a request that was not sent yet.
    pub fn of(request: &Request<Body>) -> Self {
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe && matches!(request.body(), Body::Empty) { Self::Yes } else { Self::No }
    }
}

impl Retries {
    /// Makes the budget; cloning shares it.
    pub fn new(rules: Rules, metrics: &Metrics) -> Self {
        let counter = |outcome| metrics.upstream_retries.get_or_create_owned(&OutcomeLabel { outcome });
        Self {
            budget: Arc::new(Budget::new(rules)),
            unsent: counter("unsent"),
            repeated: counter("repeated"),
            no_budget: counter("no_budget"),
        }
    }

    /// Notes a request of which nothing was sent. It goes to the next upstream without a budget: no upstream has had
    /// any work with it.
    pub fn unsent(&self) {
        self.unsent.inc();
    }

    /// Takes one try out of the budget, if there is one. `requests` is how many there were since the gate started.
    pub fn take(&self, requests: impl FnOnce() -> u64) -> bool {
        let is_granted = self.budget.take(requests(), Instant::now());
        if is_granted {
            self.repeated.inc()
        } else {
            self.no_budget.inc()
        };
        is_granted
    }
}

impl Budget {
    /// Makes a budget with a second's worth in it.
    pub fn new(rules: Rules) -> Self {
        let purse = Purse { tokens: f64::from(rules.per_second), requests: 0, since: Instant::now() };
        Self { rules, purse: Mutex::new(purse) }
    }

    /// Takes one try out of the budget, if there is one. `requests` is how many there were since the gate started.
    pub fn take(&self, requests: u64, now: Instant) -> bool {
        self.purse.lock().unwrap_or_else(PoisonError::into_inner).take(&self.rules, requests, now)
    }
}

impl Purse {
    fn take(&mut self, rules: &Rules, requests: u64, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let new = u32::try_from(requests.saturating_sub(self.requests)).unwrap_or(u32::MAX);
        let of_time = seconds * f64::from(rules.per_second);
        let of_requests = (f64::from(new) * f64::from(rules.percent) / 100.0).min(KEPT_OF_REQUESTS);
        let kept = f64::from(rules.per_second) * KEPT_SECONDS + KEPT_OF_REQUESTS;
        self.tokens = (self.tokens + of_time + of_requests).min(kept);
        self.since = self.since.max(now);
        self.requests = self.requests.max(requests);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// Copies a request that has no body.
pub fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_changes_nothing_and_has_no_body_is_repeated() {
        let judge = |method: Method, body: Body| {
            let mut request = Request::new(body);
            *request.method_mut() = method;
            Repeatable::of(&request)
        };
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(judge(method.clone(), Body::Empty), Repeatable::Yes);
            assert_eq!(judge(method, Body::full("x")), Repeatable::No);
        }
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            assert_eq!(judge(method, Body::Empty), Repeatable::No);
        }
    }

    #[test]
    fn a_fifth_of_the_requests_and_a_few_a_second_may_be_repeated() {
        let start = Instant::now();
        let budget = Budget::new(Rules { percent: 20, per_second: 10 });
        let mut repeated = 0;
        // ten seconds with a hundred requests each, all of which would like to
        for number in 1..=1000_u32 {
            let now = start + Duration::from_millis(10) * number;
            repeated += u32::from(budget.take(u64::from(number), now));
        }
        assert!((295..=310).contains(&repeated), "{repeated}");
    }

    #[test]
    fn what_a_long_quiet_time_leaves_is_bounded() {
        let start = Instant::now();
        let budget = Budget::new(Rules { percent: 20, per_second: 10 });
        let later = start + Duration::from_hours(10);
        let repeated = (0..10_000).filter(|_| budget.take(1_000_000, later)).count();
        assert_eq!(repeated, 150);
    }

    #[test]
    fn no_budget_is_no_second_try() {
        let budget = Budget::new(Rules { percent: 0, per_second: 0 });
        assert!(!budget.take(1_000_000, Instant::now() + Duration::from_hours(1)));
    }
}
