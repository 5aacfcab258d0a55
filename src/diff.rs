//! What two answers to one question have and have not in common, and what is made of it.
//!
//! [`judge`] is the way in: it compares (`compare`, `json`), takes out what differs always (`noise`), what an operator
//! has explained (`ignore`) and what was learned (`learned`), hides what is secret (`shown`), and remembers the rest
//! (`ledger`, `line`).

pub mod answered;
pub mod asked;
pub mod compare;
pub mod config;
pub mod field;
pub mod found;
pub mod ids;
pub mod ignore;
pub mod ignore_file;
pub mod json;
pub mod judge;
pub mod judgement;
pub mod learned;
pub mod ledger;
pub mod line;
pub mod noise;
pub mod shown;
