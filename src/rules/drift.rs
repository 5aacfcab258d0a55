//! Compares the gate's verdicts with what Glance really answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use http::StatusCode;

use crate::call::Verdict;
use crate::refusal::Refusal;
use crate::rules::record::Record;

/// Whether Glance said the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agreement {
    /// The status the gate would have answered, or success for a call it permitted.
    Yes,
    /// Another.
    No,
    /// The gate made no judgement, or Glance's answer is none: it was overloaded or broke down.
    Unknown,
}

/// The last records of one kind, a bounded number of them.
pub struct Ring {
    records: Mutex<VecDeque<Arc<Record>>>,
    bound: usize,
}

impl Agreement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Yes, Self::No, Self::Unknown];

    /// Compares a verdict with Glance's answer; nothing where no verdict was to be compared.
    pub fn of(verdict: Verdict, refusal: Option<Refusal>, glance: StatusCode) -> Option<Self> {
        let is_judgement =
            !glance.is_server_error() && !matches!(glance, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        let agrees = match (verdict, refusal) {
            // a member that is there already, or a full list: the caller may, and that was all the gate said
            (Verdict::Permitted, _) if matches!(glance, StatusCode::CONFLICT | StatusCode::PAYLOAD_TOO_LARGE) => None,
            (Verdict::Permitted, _) => is_judgement.then(|| glance.is_success()),
            (Verdict::WouldRefuse, Some(refusal)) => {
                (is_judgement && refusal.is_judgement()).then(|| refusal.status() == glance)
            }
            // only Glance could tell, which is no prediction
            (Verdict::Asked, _) => None,
            (Verdict::PassedThrough | Verdict::Refused | Verdict::RuleOff | Verdict::WouldRefuse, _) => return None,
        };
        Some(match agrees {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        })
    }

    /// Returns the word used in metrics and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl Ring {
    /// Keeps this many records.
    pub fn new(bound: usize) -> Self {
        Self { records: Mutex::default(), bound }
    }

    /// Keeps one more, and forgets the oldest if there are too many.
    pub fn keep(&self, record: Arc<Record>) {
        let mut records = self.records();
        if records.len() >= self.bound {
            records.pop_front();
        }
        if self.bound > 0 {
            records.push_back(record);
        }
    }

    /// Returns the latest, newest first.
    pub fn latest(&self, count: usize) -> Vec<Arc<Record>> {
        self.records().iter().rev().take(count).cloned().collect()
    }

    /// Returns all that is kept of one request, oldest first: an id that a client gave may have come more than once.
    pub fn find(&self, request_id: &str) -> Vec<Arc<Record>> {
        self.records().iter().filter(|record| record.request_id == request_id).cloned().collect()
    }

    fn records(&self) -> MutexGuard<'_, VecDeque<Arc<Record>>> {
        // records are pushed whole, whatever happened to whoever held them
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::Agreement;
    use crate::call::Verdict;
    use crate::refusal::Refusal;

    fn said(verdict: Verdict, refusal: Option<Refusal>, glance: u16) -> Option<&'static str> {
        Agreement::of(verdict, refusal, StatusCode::from_u16(glance).expect("a status")).map(Agreement::as_str)
    }

    #[test]
    fn a_verdict_agrees_with_the_same_status_only() {
        let owner = Some(Refusal::OwnerForbidden);
        assert_eq!(said(Verdict::WouldRefuse, owner, 403), Some("yes"));
        assert_eq!(said(Verdict::WouldRefuse, owner, 404), Some("no"));
        assert_eq!(said(Verdict::WouldRefuse, owner, 200), Some("no"));
        assert_eq!(said(Verdict::Permitted, None, 200), Some("yes"));
        assert_eq!(said(Verdict::Permitted, None, 403), Some("no"));
    }

    #[test]
    fn what_is_no_judgement_is_not_compared() {
        assert_eq!(said(Verdict::WouldRefuse, Some(Refusal::OwnerForbidden), 503), Some("unknown"));
        for of_the_list in [409, 413, 429] {
            assert_eq!(said(Verdict::Permitted, None, of_the_list), Some("unknown"));
        }
        assert_eq!(said(Verdict::WouldRefuse, Some(Refusal::KeystoneUnavailable), 503), Some("unknown"));
        assert_eq!(said(Verdict::WouldRefuse, Some(Refusal::RateLimited), 200), Some("unknown"));
        assert_eq!(said(Verdict::Asked, None, 404), Some("unknown"));
        for verdict in [Verdict::PassedThrough, Verdict::Refused, Verdict::RuleOff] {
            assert_eq!(said(verdict, None, 200), None);
        }
    }
}
