//! What the gate tells of itself: log lines, metrics and traces.

pub mod contract_answers;
pub mod differences;
pub mod fleet;
pub mod json;
pub mod judgement;
pub mod known;
pub mod life;
pub mod limiting;
pub mod line_log;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod millis;
pub mod outlets;
pub mod rotated_file;
pub mod shadows;
pub mod timestamp;
pub mod traces;
pub mod upstreams;
