//! What the gate tells of itself: log lines and metrics.

pub mod life;
pub mod log;
pub mod metrics;
