//! What is done with copies under one configuration, and with what.

use std::sync::Arc;

use crate::shadow::consumer::Consumer;
use crate::shadow::way::Ways;
use crate::telemetry::shadows::Shadows;
use crate::upstream::Forward;
use crate::vouch::Vouchers;

/// All that copies of one configuration need.
#[derive(Debug)]
pub struct Plan {
    /// The ways to staging; a reload that does not change them keeps them.
    pub ways: Arc<Ways>,
    /// The prefix that Glance is served under.
    pub mount: Arc<str>,
    /// Who vouches for callers. Their rates are not the requests': a client pays for no copy.
    pub vouchers: Vouchers,
    /// The primary, over connections of the copies' own.
    pub primary: Forward,
    /// What is counted.
    pub counts: Shadows,
    /// Who is told.
    pub consumers: Vec<Arc<dyn Consumer>>,
}
