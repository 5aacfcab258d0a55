//! The rule language of Python's `oslo.policy`: parsed, evaluated and read from files as that library does it.
//!
//! The reference is oslo.policy 6.0 (`_parser.py`, `_checks.py`, `policy.py`). What only Python could tell, such as the
//! text of an object, is not guessed: the [`outcome`](evaluate::Outcome) is then `Unknown`.

pub mod check;
pub mod evaluate;
pub mod files;
pub mod grammar;
pub mod kind;
pub mod literal;
pub mod parse;
pub mod rules;
pub mod template;
pub mod tokens;
pub mod value;
pub mod word;
pub mod yaml;
