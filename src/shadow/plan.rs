//! What is done with copies under one configuration, and with what.

use std::sync::Arc;

use crate::shadow::consumer::Consumer;
use crate::shadow::way::Ways;
use crate::telemetry::shadows::Shadows;
use crate::upstream::Forward;
use crate::vouch::Vouchers;

/// All that copies of one configuration need.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The ways to staging; a reload that does not change them keeps them.
    pub ways: Arc<Ways>,
    /// The prefix that Glance is served under.
    pub mount: Arc<str>,
    /// Who vouches for the callers of requests: only what they remember is looked at.
    pub vouchers: Vouchers,
    /// Who is asked about callers for copies alone. What they remember, their connections and their rates are their own: no
    /// request waits for them, and no client pays for copies.
    pub askers: Vouchers,
    /// The primary, over connections of the copies' own.
    pub primary: Forward,
    /// What is counted.
    pub counts: Shadows,
    /// Who is told.
    pub consumers: Vec<Arc<dyn Consumer>>,
    /// Whether they want to know who asked, whatever copies need.
    pub names: Names,
}

/// Whether who is told of copies wants to know who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Only as far as copies need it.
    AsNeeded,
    /// Always: a recording is asked again with the credentials that stand for the callers.
    Wanted,
}

impl Plan {
    /// Tells whether it must be known who asks.
    pub fn needs_identity(&self) -> bool {
        self.names == Names::Wanted || self.ways.config.needs_identity()
    }

    /// Tells whether the caller's token must be at hand off the request's way.
    pub fn needs_token(&self) -> bool {
        self.names == Names::Wanted || self.ways.config.needs_token()
    }
}
