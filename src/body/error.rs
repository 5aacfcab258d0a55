//! What is told of a body that ended early.

use std::fmt;

use crate::body::BodyError;
use crate::body::Sender;

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(Sender::Client, _) => out.write_str("the client's body broke off"),
            Self::Broken(Sender::Upstream, _) => out.write_str("the upstream's body broke off"),
            Self::Silent(Sender::Client, idle) => write!(out, "the client sent nothing for {} s", idle.as_secs()),
            Self::Silent(Sender::Upstream, idle) => write!(out, "the upstream sent nothing for {} s", idle.as_secs()),
            Self::Lost => out.write_str("the body was lost"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(_, error) => Some(&**error),
            Self::Silent(..) | Self::Lost => None,
        }
    }
}
