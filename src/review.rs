//! Decisions looked at again: what another configuration would change, and why one came out as it did.

pub mod anew;
pub mod differences;
pub mod differences_report;
pub mod explain;
pub mod hypothesis;
pub mod lines;
pub mod plan;
pub mod query;
pub mod reasons;
pub mod replay;
pub mod report;
pub mod runbook;
pub mod stage;
pub mod steps;
pub mod table;
