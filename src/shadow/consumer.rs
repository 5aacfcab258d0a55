//! What is done with copies and answers, on the shadow thread.

use std::fmt;

use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::shadow::copied::Copied;
use crate::telemetry::shadows::Shadows;

/// Somebody who is told of copies. Whoever takes long keeps copies waiting, and then dropped; never a request.
pub trait Consumer: Send + Sync {
    /// Takes note of a copy before it is sent.
    fn copied(&self, copied: &Copied);

    /// Takes note of both sides' answers.
    fn compared(&self, asked: &Asked, primary: &Answered, staging: &Answered);

    /// Takes note of two answers of one side: what differs between them differs of itself.
    fn learned(&self, asked: &Asked, first: &Answered, second: &Answered);
}

/// Counts whether both sides answered with the same status.
pub struct StatusCount(pub Shadows);

impl Consumer for StatusCount {
    fn copied(&self, _: &Copied) {}

    fn compared(&self, _: &Asked, primary: &Answered, staging: &Answered) {
        self.0.compare(primary.status == staging.status);
    }

    fn learned(&self, _: &Asked, _: &Answered, _: &Answered) {}
}

impl fmt::Debug for dyn Consumer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Consumer")
    }
}
