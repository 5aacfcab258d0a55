//! How a call to an upstream ended.

use crate::client::pool::PoolError;

/// How a call to an upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Ok,
    /// No connection could be made.
    Unreachable,
    /// The connection broke before an answer.
    Broken,
    /// The answer was not HTTP.
    Garbled,
    /// The client broke off.
    ClientAborted,
    /// No answer came in time.
    TimedOut,
    /// It would have needed one connection more than there may be.
    Full,
}

impl Outcome {
    /// All outcomes, for tables.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Unreachable, Self::Broken, Self::Garbled, Self::ClientAborted, Self::TimedOut, Self::Full];

    /// Returns the label used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Garbled => "garbled",
            Self::ClientAborted => "client_aborted",
            Self::TimedOut => "timed_out",
            Self::Full => "full",
        }
    }
}

impl From<&PoolError> for Outcome {
    fn from(error: &PoolError) -> Self {
        match error {
            PoolError::Unreachable(..) => Self::Unreachable,
            PoolError::Broken(_) | PoolError::Unanswered(..) => Self::Broken,
            PoolError::Garbled(_) => Self::Garbled,
            PoolError::ClientBody(_) => Self::ClientAborted,
            PoolError::TimedOut => Self::TimedOut,
            PoolError::Full(_) => Self::Full,
        }
    }
}
