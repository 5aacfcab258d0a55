//! The gate as a client of its neighbours.

pub mod collector;
pub mod deadline;
pub mod endpoint;
pub mod h1;
pub mod h2;
pub mod hop_by_hop;
pub mod idle;
pub mod json;
pub mod pool;
pub mod stream;
pub mod tls;
pub mod transport;
