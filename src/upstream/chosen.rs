//! The upstream that one request is sent to, and which it was sent to before.

use std::time::Instant;

use http::Request;
use http::Response;

use crate::body::Body;
use crate::body::lease::Lease;
use crate::client::endpoint::Endpoint;
use crate::upstream::breaker::Errand;
use crate::upstream::candidate::Candidate;
use crate::upstream::outcome::Outcome;
use crate::upstream::retry;
use crate::upstream::retry::Repeatable;

/// Which upstreams a request was sent to, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

/// The upstream chosen for one try. It has one of the upstream's places until it is dropped or its answer has ended.
#[derive(Debug)]
pub struct Chosen<'a> {
    candidate: &'a Candidate,
    errand: Errand,
    lease: Option<Lease>,
    outcome: Option<Outcome>,
    waits_since: Option<Instant>,
}

/// What choosing came to.
#[derive(Debug)]
pub enum Choice<'a> {
    /// This one.
    One(Chosen<'a>),
    /// Those that are left are full.
    Full,
    /// All that may be tried were tried.
    None,
}

impl<'a> Chosen<'a> {
    /// Returns where to send the request.
    pub fn endpoint(&self) -> &'a Endpoint {
        self.candidate.endpoint()
    }

    /// Notes when the request is sent, if all of it is there: with a body that a client still sends, time says nothing.
    pub fn sends(&mut self, request: &Request<Body>) {
        self.waits_since = match request.body() {
            Body::Stream(_) => None,
            Body::Empty | Body::Full(_) | Body::Lost => Some(Instant::now()),
        };
    }

    /// Returns a copy of the request to send elsewhere, should this be a probe that fails: nobody is to notice one.
    pub fn spare(&self, request: &Request<Body>, repeatable: Repeatable) -> Option<Request<Body>> {
        (self.errand == Errand::Probe && repeatable == Repeatable::Yes).then(|| retry::copy(request))
    }

    /// Returns what operators call it.
    pub fn label(&self) -> &'a str {
        self.candidate.label()
    }

    /// Notes the answer. The place is held until its body has ended.
    pub fn answered(mut self, answer: &mut Response<Body>) {
        self.outcome = Some(Outcome::Ok);
        let waited = self.waits_since.map(|since| since.elapsed());
        self.candidate.answered(self.errand, answer.status(), waited);
        if let Some(lease) = self.lease.take() {
            answer.body_mut().hold(lease);
        }
    }

    /// Notes that there was no answer, and gives the place back.
    pub fn failed(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        match outcome {
            // what the client does, or the gate's own bounds, says nothing of the upstream
            Outcome::ClientAborted | Outcome::Full => self.candidate.abandoned(self.errand, Some(outcome)),
            _ => self.candidate.failed(self.errand, outcome),
        }
    }
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        // the client hung up, or the member update's time is over, and the request is gone
        if self.waits_since.is_some_and(|since| self.candidate.is_given_up(since.elapsed())) {
            self.candidate.failed(self.errand, Outcome::TimedOut);
        } else {
            self.candidate.abandoned(self.errand, None);
        }
    }
}

impl Tried {
    /// Returns how many were tried.
    pub fn count(self) -> usize {
        usize::try_from(self.0.count_ones()).unwrap_or(usize::MAX)
    }

    /// Tells whether this one was tried.
    pub fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    /// Notes one as tried and takes one of its places, if there is one.
    pub fn take<'a>(&mut self, index: usize, candidate: &'a Candidate, errand: Errand) -> Option<Chosen<'a>> {
        self.0 |= 1 << index;
        let lease = candidate.lease();
        let is_free = lease.is_some();
        // dropped when there is none, which gives a probe back
        let chosen = Chosen { candidate, errand, lease, outcome: None, waits_since: None };
        is_free.then_some(chosen)
    }
}
