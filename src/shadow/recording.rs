//! Writes copies down, so that they can be asked again later, of whatever server.

use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::shadow::consumer::Consumer;
use crate::shadow::copied::Copied;
use crate::shadow::recorded::Recorded;
use crate::telemetry::line_log::Config;
use crate::telemetry::line_log::LineLog;
use crate::telemetry::shadows::Shadows;

/// The file of copies; through all configurations the same one.
#[derive(Debug)]
pub struct Recording {
    log: LineLog,
}

impl Recording {
    /// Writes nothing until it is told where to.
    pub fn new(counts: &Shadows) -> Self {
        Self { log: LineLog::new("recording", &counts.recorded) }
    }

    /// Goes on as this configuration says.
    pub fn follow(&self, config: Config) {
        self.log.follow(config);
    }

    /// Writes what is left; there will be no more.
    pub fn finish(&self) {
        self.log.finish();
    }
}

impl Consumer for Recording {
    fn copied(&self, copied: &Copied) {
        if let Some(recorded) = Recorded::of(copied) {
            self.log.write(&recorded);
        }
    }

    fn compared(&self, _: &Asked, _: &Answered, _: &Answered) {}

    fn learned(&self, _: &Asked, _: &Answered, _: &Answered) {}
}
