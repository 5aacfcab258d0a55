//! How an upstream is chosen, which is left out, and when load is shed: what operators can set of it.

use std::time::Duration;

use crate::upstream::breaker;
use crate::upstream::retry;
use crate::upstream::select::Strategy;
use crate::upstream::shed;

/// How an upstream is chosen, and which is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How one of several is chosen.
    pub strategy: Strategy,
    /// How many requests each may have, up to the end of their answers; zero is no bound.
    pub max_in_flight: usize,
    /// How long one that comes back gets less than its share.
    pub slow_start: Duration,
    /// When one gets nothing for a while.
    pub breaker: breaker::Rules,
    /// What happens when none is left.
    pub all_open: AllOpen,
    /// How many requests may be sent a second time.
    pub retry: retry::Rules,
    /// When load is shed; the keys `[limits] adaptive…`.
    pub shed: shed::Config,
}

/// What happens when the breakers of all upstreams are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllOpen {
    /// The request is sent all the same.
    Try,
    /// The request is refused at once; only the one probe of a half-open breaker is sent.
    Refuse,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            strategy: Strategy::LeastInFlight,
            max_in_flight: 0,
            slow_start: Duration::from_secs(10),
            breaker: breaker::Rules::default(),
            all_open: AllOpen::Try,
            retry: retry::Rules::default(),
            shed: shed::Config::default(),
        }
    }
}
