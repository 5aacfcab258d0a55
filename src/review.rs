//! Decisions looked at again: what another configuration would change, and why one came out as it did.

pub mod anew;
pub mod lines;
pub mod plan;
pub mod replay;
pub mod report;
pub mod stage;
pub mod table;
