//! The gate as a client of its neighbours.

pub mod json;
pub mod pool;
