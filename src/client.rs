//! The gate as a client of its neighbours.

pub mod endpoint;
pub mod hop_by_hop;
pub mod json;
pub mod patient;
pub mod pool;
