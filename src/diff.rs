//! Two answers to the same request, compared: what differs, and what of that is only noise.

pub mod answered;
pub mod asked;
pub mod ids;
