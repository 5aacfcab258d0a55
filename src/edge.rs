//! What surrounds every request: its id, its line in the log, its place in a trace, its answer, the header firewall, overload.

pub mod accept;
pub mod access_log;
pub mod after;
pub mod forwarded;
pub mod headers;
pub mod healthcheck;
pub mod overload;
pub mod request_id;
pub mod respond;
pub mod tell;
pub mod trace;
