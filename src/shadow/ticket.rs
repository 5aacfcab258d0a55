//! One copy's ticket: the memory it may take, and the promise that each copy is counted exactly once.

use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::shadows::Shadows;

/// Why a copy is not given to staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client went away before the answer had ended.
    ClientGone,
    /// The primary did not answer.
    NoAnswer,
    /// The primary's answer broke off.
    AnswerBroken,
    /// The request's body is over `max_request`.
    RequestTooLarge,
    /// The primary answered before it had the whole request.
    RequestUnread,
    /// The primary's answer is over `max_answer`.
    AnswerTooLarge,
    /// A credential stands in the target, in a header that goes, or in the body.
    Secret,
    /// `max_queue` copies wait.
    QueueFull,
    /// All copies together take `max_bytes`.
    BytesFull,
    /// It has waited for `max_age`.
    TooOld,
    /// Another configuration has come meanwhile.
    Reloaded,
    /// The gate ends.
    Stopped,
    /// Its project is not one of `projects`.
    Project,
    /// Nobody could be asked who the caller is.
    CallerUnknown,
    /// No credential of staging stands for the caller.
    NoCredential,
    /// Staging's Keystone gave no token.
    LoginFailed,
    /// The write was sent before.
    Repeated,
    /// It can not be written as a request to staging.
    Unwritable,
}

/// Follows a copy to its end. One that is dropped on the way is counted for the reason that was known last.
#[derive(Debug)]
pub struct Ticket {
    counts: Shadows,
    otherwise: Reason,
    is_closed: bool,
    bytes: usize,
    bound: usize,
    place: Option<Gauge>,
}

impl Ticket {
    /// Opens a ticket for a copy that may take memory within the bound of all.
    pub fn new(counts: Shadows, bound: usize) -> Self {
        Self { counts, otherwise: Reason::ClientGone, is_closed: false, bytes: 0, bound, place: None }
    }

    /// Says what it means if the copy is dropped from now on.
    pub fn otherwise(&mut self, reason: Reason) {
        self.otherwise = reason;
    }

    /// Takes so many bytes more; returns false if there are not so many.
    pub fn take(&mut self, bytes: usize) -> bool {
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.counts.held_bytes.inc_by(more);
        let is_over = usize::try_from(before).is_ok_and(|before| before.saturating_add(bytes) > self.bound);
        if is_over {
            self.counts.held_bytes.dec_by(more);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Gives so many bytes back that are not needed after all.
    pub fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.counts.held_bytes.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Waits in the queue; returns false if it is full.
    pub fn wait(&mut self, bound: usize) -> bool {
        let before = self.counts.waiting.inc();
        if usize::try_from(before).is_ok_and(|before| before >= bound) {
            self.counts.waiting.dec();
            return false;
        }
        self.place = Some(self.counts.waiting.clone());
        true
    }

    /// Leaves the queue and is under way.
    pub fn go(&mut self) {
        self.leave();
        self.counts.in_flight.inc();
        self.place = Some(self.counts.in_flight.clone());
    }

    /// Ends with a copy that is not given to staging.
    pub fn drop_for(mut self, reason: Reason) {
        self.otherwise = reason;
    }

    /// Ends with a copy that was given to staging.
    pub fn close(mut self, outcome: &'static str) {
        self.is_closed = true;
        self.counts.copy(outcome);
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            place.dec();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
        self.counts.held_bytes.dec_by(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        if !self.is_closed {
            self.counts.drop_for(self.otherwise.as_str());
        }
    }
}

impl Reason {
    /// Returns the label used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::NoAnswer => "no_answer",
            Self::AnswerBroken => "answer_broken",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestUnread => "request_unread",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Secret => "secret",
            Self::QueueFull => "queue_full",
            Self::BytesFull => "bytes_full",
            Self::TooOld => "too_old",
            Self::Reloaded => "reloaded",
            Self::Stopped => "stopped",
            Self::Project => "project",
            Self::CallerUnknown => "caller_unknown",
            Self::NoCredential => "no_credential",
            Self::LoginFailed => "login_failed",
            Self::Repeated => "repeated",
            Self::Unwritable => "unwritable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use super::Ticket;
    use crate::telemetry::shadows::Shadows;

    #[test]
    fn memory_is_bounded_and_given_back() {
        let counts = Shadows::default();
        let mut first = Ticket::new(counts.clone(), 100);
        let mut second = Ticket::new(counts.clone(), 100);
        assert!(first.take(60) && second.take(40));
        assert!(!second.take(1), "all together");
        assert_eq!(counts.held_bytes.get(), 100);
        first.close("sent");
        assert_eq!(counts.held_bytes.get(), 40);
        assert!(second.take(60));
        drop(second);
        assert_eq!(counts.held_bytes.get(), 0);
    }

    #[test]
    fn a_place_is_one_of_so_many_and_free_again() {
        let counts = Shadows::default();
        let mut tickets: Vec<_> = (0..3).map(|_| Ticket::new(counts.clone(), 0)).collect();
        assert_eq!(tickets.iter_mut().map(|ticket| ticket.wait(2)).collect::<Vec<_>>(), [true, true, false]);
        tickets[0].go();
        assert_eq!((counts.waiting.get(), counts.in_flight.get()), (1, 1));
        tickets.pop().expect("the third").drop_for(Reason::QueueFull);
        tickets.clear();
        assert_eq!((counts.waiting.get(), counts.in_flight.get()), (0, 0));
    }
}
