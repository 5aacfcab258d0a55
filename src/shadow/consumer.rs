//! What is done with copies and answers, on the shadow thread.

use std::fmt;

use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::diff::judge::Judge;
use crate::shadow::copied::Copied;

/// Somebody who is told of copies. Whoever takes long keeps copies waiting, and then dropped; never a request.
pub trait Consumer: Send + Sync {
    /// Takes note of a copy before it is sent.
    fn copied(&self, copied: &Copied);

    /// Takes note of both sides' answers.
    fn compared(&self, asked: &Asked, primary: &Answered, staging: &Answered);

    /// Takes note of two answers of one side: what differs between them differs of itself.
    fn learned(&self, asked: &Asked, first: &Answered, second: &Answered);
}

impl Consumer for Judge {
    fn copied(&self, _: &Copied) {}

    fn compared(&self, asked: &Asked, primary: &Answered, staging: &Answered) {
        self.judge(asked, primary, staging);
    }

    fn learned(&self, asked: &Asked, first: &Answered, second: &Answered) {
        self.learn(asked, first, second);
    }
}

impl fmt::Debug for dyn Consumer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Consumer")
    }
}
