//! When an upstream gets nothing for a while: a breaker that opens on failures and closes by one request that succeeds.
//!
//! Passive health and circuit breaking are one mechanism here, because they ask the same question:
//!
//! - **closed**: the upstream gets its share. It opens after so many failures in a row, or if more than a share of the
//!   answers in a window were failures.
//! - **open**: it gets nothing, for a time that doubles with each opening, up to a bound.
//! - **half-open**: exactly one request is sent. Its success closes the breaker, its failure opens it again, for longer.
//!
//! What counts in a row is what the connection does: refused, reset, timed out, or garbled. An answer of 502, 503 or 504
//! says that the upstream lives, so it only counts in the window. A client that hangs up says nothing, unless it has waited
//! long: then its request counts as one that timed out.
//!
//! The way of a request through a closed breaker is one load of an atomic; the mutex is only taken by failures.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many failures of the connection in a row open it; zero is never.
    pub failures: u32,
    /// Which share of a window's answers must be failures, in percent; zero is never.
    pub failure_percent: u32,
    /// How long a window is.
    pub window: Duration,
    /// How many answers a window must have before its share counts.
    pub window_requests: u32,
    /// After which time a request that is given up has timed out; zero is never.
    pub given_up_after: Duration,
    /// How long it is open the first time.
    pub open_time: Duration,
    /// How long it is open at most.
    pub max_open_time: Duration,
}

/// What an upstream may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its share.
    Closed,
    /// Nothing.
    Open,
    /// One request, which is under way or allowed.
    HalfOpen,
}

/// Why a request was sent to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It was its turn.
    Turn,
    /// It finds out whether a half-open breaker may close.
    Probe,
    /// No other upstream was left.
    LastResort,
}

/// What went wrong, as far as a breaker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or no answer on it that is HTTP.
    Connection,
    /// 502, 503 or 504.
    Answer,
}

/// What has just happened to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It opened, for this long.
    Opened(Duration),
    /// It lets one request through.
    HalfOpened,
    /// It closed.
    Closed,
}

/// One upstream's breaker. Times are milliseconds since the gate started, and never zero.
#[derive(Debug)]
pub struct Breaker {
    rules: Rules,
    /// [`CLOSED`], [`PROBING`], or when the breaker may become half-open.
    gate: AtomicU64,
    in_a_row: AtomicU32,
    history: Mutex<History>,
}

/// What only failures look at.
#[derive(Debug, Default)]
struct History {
    openings: u32,
    closed_at: u64,
    window_start: u64,
    window_base: u64,
    window_failures: u64,
}

const CLOSED: u64 = 0;
const PROBING: u64 = u64::MAX;
/// Long ago: the next request may probe.
const OVERDUE: u64 = 1;

impl Default for Rules {
    fn default() -> Self {
        Self {
            failures: 5,
            failure_percent: 50,
            window: Duration::from_secs(10),
            window_requests: 20,
            given_up_after: Duration::from_secs(10),
            open_time: Duration::from_secs(1),
            max_open_time: Duration::from_secs(30),
        }
    }
}

impl Breaker {
    /// Makes a closed breaker.
    pub fn new(rules: Rules) -> Self {
        Self { rules, gate: AtomicU64::new(CLOSED), in_a_row: AtomicU32::new(0), history: Mutex::default() }
    }

    /// Tells whether the upstream gets its share.
    pub fn is_closed(&self) -> bool {
        self.gate.load(Ordering::Relaxed) == CLOSED
    }

    /// Returns what the upstream may get.
    pub fn state(&self) -> State {
        match self.gate.load(Ordering::Relaxed) {
            CLOSED => State::Closed,
            PROBING | OVERDUE => State::HalfOpen,
            _ => State::Open,
        }
    }

    /// Takes the one request of a half-open breaker, if its time has come and nobody else has taken it.
    ///
    /// `grace` is for requests that had better not be the one: they wait that much longer.
    pub fn try_probe(&self, now: u64, grace: Duration) -> Option<Change> {
        let until = self.gate.load(Ordering::Acquire);
        if matches!(until, CLOSED | PROBING) || now < until.saturating_add(millis(grace)) {
            return None;
        }
        self.gate
            .compare_exchange(until, PROBING, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
            .then_some(Change::HalfOpened)
    }

    /// Gives the one request back: it ended without saying anything of the upstream.
    pub fn abandon_probe(&self) {
        let _ = self.gate.compare_exchange(PROBING, OVERDUE, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Lets the next request probe at once: there is a sign that the upstream is back.
    pub fn hasten(&self) {
        let until = self.gate.load(Ordering::Acquire);
        if !matches!(until, CLOSED | PROBING) {
            let _ = self.gate.compare_exchange(until, OVERDUE, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Notes an answer that is none of the failures.
    pub fn succeeded(&self, errand: Errand, now: impl FnOnce() -> u64) -> Option<Change> {
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        match errand {
            // it may have been sent before the breaker opened
            Errand::Turn => None,
            Errand::Probe | Errand::LastResort => self.close(now),
        }
    }

    fn close(&self, now: impl FnOnce() -> u64) -> Option<Change> {
        if self.is_closed() {
            return None;
        }
        let mut history = self.history();
        if self.gate.swap(CLOSED, Ordering::AcqRel) == CLOSED {
            return None;
        }
        history.closed_at = now();
        history.window_start = 0;
        Some(Change::Closed)
    }

    /// Notes a failure. `answered` is how many requests to the upstream had any outcome since the gate started.
    pub fn failed(&self, errand: Errand, failure: Failure, now: u64, answered: u64) -> Option<Change> {
        let mut history = self.history();
        match (self.gate.load(Ordering::Acquire), errand) {
            (CLOSED, _) => {}
            (PROBING, Errand::Probe) => return Some(self.open(&mut history, now)),
            // sent before it opened, or although it was open: nothing new
            _ => return None,
        }
        let in_a_row = match failure {
            Failure::Connection => self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            Failure::Answer => {
                self.in_a_row.store(0, Ordering::Relaxed);
                0
            }
        };
        let is_row = self.rules.failures > 0 && in_a_row >= self.rules.failures;
        (history.is_over(&self.rules, now, answered) || is_row).then(|| self.open(&mut history, now))
    }

    fn open(&self, history: &mut History, now: u64) -> Change {
        // one that has only just closed is one that comes and goes
        let is_again =
            history.closed_at == 0 || now.saturating_sub(history.closed_at) < millis(self.rules.max_open_time);
        history.openings = if is_again { history.openings.saturating_add(1) } else { 1 };
        let factor = 1_u32.checked_shl(history.openings.saturating_sub(1)).unwrap_or(u32::MAX);
        let time = self.rules.open_time.saturating_mul(factor).min(self.rules.max_open_time);
        history.window_start = 0;
        self.in_a_row.store(0, Ordering::Relaxed);
        self.gate.store(now.saturating_add(millis(time)).clamp(OVERDUE, PROBING - 1), Ordering::Release);
        Change::Opened(time)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// Counts a failure in its window; tells whether they are too many there.
    fn is_over(&mut self, rules: &Rules, now: u64, answered: u64) -> bool {
        if self.window_start == 0 || now.saturating_sub(self.window_start) > millis(rules.window) {
            // a window begins with a failure, and that failure is in it
            self.window_start = now;
            self.window_base = answered.saturating_sub(1);
            self.window_failures = 0;
        }
        self.window_failures += 1;
        let all = answered.saturating_sub(self.window_base);
        rules.failure_percent > 0
            && all >= u64::from(rules.window_requests)
            && self.window_failures * 100 >= all * u64::from(rules.failure_percent)
    }
}

impl State {
    /// Returns the label used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Rules {
            failures: 3,
            window_requests: 10,
            open_time: Duration::from_millis(100),
            max_open_time: Duration::from_millis(350),
            ..Rules::default()
        })
    }

    fn opened(millis: u64) -> Change {
        Change::Opened(Duration::from_millis(millis))
    }

    /// Fails until the breaker is open.
    fn trip(breaker: &Breaker, now: u64) -> Option<Change> {
        (0..3).find_map(|_| breaker.failed(Errand::Turn, Failure::Connection, now, 3))
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let breaker = breaker();
        for _ in 0..10 {
            assert_eq!(breaker.failed(Errand::Turn, Failure::Connection, 1, 1), None);
            assert_eq!(breaker.failed(Errand::Turn, Failure::Connection, 1, 2), None);
            assert_eq!(breaker.succeeded(Errand::Turn, || 1), None);
        }
        assert_eq!(trip(&breaker, 5), Some(opened(100)));
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.failed(Errand::Turn, Failure::Connection, 6, 9), None, "these were sent before");
        assert_eq!(breaker.succeeded(Errand::Turn, || 6), None);
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn a_half_open_breaker_lets_exactly_one_request_through() {
        let breaker = breaker();
        trip(&breaker, 5);
        assert_eq!(breaker.try_probe(104, Duration::ZERO), None);
        assert_eq!(breaker.try_probe(105, Duration::from_millis(1)), None, "one that may not be sent twice waits");
        assert_eq!(breaker.try_probe(105, Duration::ZERO), Some(Change::HalfOpened));
        assert_eq!(breaker.try_probe(900, Duration::ZERO), None);
        assert_eq!(breaker.succeeded(Errand::Probe, || 900), Some(Change::Closed));
        assert!(breaker.is_closed());
        assert_eq!(breaker.try_probe(901, Duration::ZERO), None);
    }

    #[test]
    fn each_failed_probe_doubles_the_time_up_to_the_bound() {
        let breaker = breaker();
        trip(&breaker, 5);
        let mut now = 5;
        for time in [200, 350, 350] {
            now += 1000;
            assert!(breaker.try_probe(now, Duration::ZERO).is_some());
            assert_eq!(breaker.failed(Errand::Probe, Failure::Connection, now, 9), Some(opened(time)));
        }
        // long after it closed it starts anew
        now += 1000;
        assert!(breaker.try_probe(now, Duration::ZERO).is_some());
        assert_eq!(breaker.succeeded(Errand::Probe, || now), Some(Change::Closed));
        assert_eq!(trip(&breaker, now + 349), Some(opened(350)), "it comes and goes");
        assert!(breaker.try_probe(now + 1000, Duration::ZERO).is_some());
        assert_eq!(breaker.succeeded(Errand::Probe, || now + 1000), Some(Change::Closed));
        assert_eq!(trip(&breaker, now + 1400), Some(opened(100)));
    }

    #[test]
    fn a_probe_that_says_nothing_leaves_the_next_one_free() {
        let breaker = breaker();
        trip(&breaker, 5);
        assert!(breaker.try_probe(105, Duration::ZERO).is_some());
        breaker.abandon_probe();
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(breaker.try_probe(105, Duration::ZERO).is_some());
    }

    #[test]
    fn a_sign_of_life_makes_the_probe_due_at_once() {
        let breaker = breaker();
        trip(&breaker, 5);
        breaker.hasten();
        assert!(breaker.try_probe(6, Duration::ZERO).is_some());
        breaker.hasten();
        assert_eq!(breaker.try_probe(6, Duration::ZERO), None, "it is still under way");
    }

    #[test]
    fn a_share_of_failures_opens_it_only_in_a_window_that_is_full_enough() {
        let breaker = breaker();
        let mut answered = 0;
        let mut fail = |also: u64, now: u64| {
            answered += also + 1;
            breaker.failed(Errand::Turn, Failure::Answer, now, answered)
        };
        // one in three is fine for ever
        for now in 1..100 {
            assert_eq!(fail(2, now), None);
        }
        // nine failures in a new window are too few to judge, the tenth is enough
        for now in 0..9 {
            assert_eq!(fail(0, 20_000 + now), None);
        }
        assert_eq!(fail(0, 20_010), Some(opened(100)));
    }

    #[test]
    fn the_last_resort_closes_but_never_lengthens() {
        let breaker = breaker();
        trip(&breaker, 5);
        for _ in 0..100 {
            assert_eq!(breaker.failed(Errand::LastResort, Failure::Connection, 6, 9), None);
        }
        assert!(breaker.try_probe(105, Duration::ZERO).is_some());
        breaker.abandon_probe();
        assert_eq!(breaker.succeeded(Errand::LastResort, || 106), Some(Change::Closed));
    }
}
