//! What a stand-in saw: the requests it was sent, kept for tests to look at, within bounds.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use http::request::Parts;

/// How many requests are kept; the oldest are forgotten first.
const SEEN_LIMIT: usize = 16_384;
/// How many bytes of one body are kept; the rest is only counted.
const BODY_LIMIT: usize = 128 * 1024;
/// How many bytes of all bodies together are kept.
const BODIES_LIMIT: usize = 32 * 1024 * 1024;

/// One request as it arrived at a stand-in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method, as sent.
    pub method: String,
    /// The request target: path and query as sent, or the absolute form.
    pub target: String,
    /// The headers, with names in lower case; repeated names keep their order.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, at most 128 KiB.
    pub body: Vec<u8>,
    /// How many bytes of body have arrived, kept or not.
    pub body_length: u64,
    number: u64,
}

impl Seen {
    /// Returns the first header of this name (in any case), if it was sent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let same = |sent: &&(String, String)| sent.0.eq_ignore_ascii_case(name);
        self.headers.iter().find(same).map(|sent| sent.1.as_str())
    }

    /// Returns every value sent under this header name (in any case).
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        let same = |sent: &&(String, String)| sent.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|sent| sent.1.as_str()).collect()
    }

    /// Returns the kept beginning of the body as text, with replacement characters where it is none.
    #[must_use]
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A place in the record, to which the body is added as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

#[derive(Debug, Default)]
struct Pages {
    seen: VecDeque<Seen>,
    kept: usize,
    next: u64,
}

/// Keeps the requests a stand-in has seen.
#[derive(Debug, Default)]
pub struct Recorder {
    pages: Mutex<Pages>,
    here: AtomicUsize,
    crowd: AtomicUsize,
}

/// A request that waits for its answer to begin.
#[derive(Debug)]
pub struct Here<'a>(&'a AtomicUsize);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Writes down a request's head and returns the ticket for its body.
    pub fn head(&self, head: &Parts) -> Ticket {
        let mut pages = self.pages();
        let number = pages.next;
        pages.next += 1;
        pages.seen.push_back(Seen {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body: Vec::new(),
            body_length: 0,
            number,
        });
        pages.forget_oldest();
        Ticket(number)
    }

    /// Adds a piece of body to the request of this ticket, unless it is forgotten already.
    pub fn body(&self, ticket: Ticket, piece: &[u8]) {
        let mut pages = self.pages();
        let Some(seen) = pages.seen.iter_mut().rev().find(|seen| seen.number == ticket.0) else {
            return;
        };
        let room = BODY_LIMIT.saturating_sub(seen.body.len());
        let kept = piece.get(..room).unwrap_or(piece);
        seen.body.extend_from_slice(kept);
        seen.body_length += piece.len() as u64;
        pages.kept += kept.len();
        pages.forget_oldest();
    }

    /// Returns a copy of every request kept, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.pages().seen.iter().cloned().collect()
    }

    /// Returns how many of the requests kept satisfy the condition.
    pub fn count(&self, condition: impl Fn(&Seen) -> bool) -> usize {
        self.pages().seen.iter().filter(|seen| condition(seen)).count()
    }

    /// Counts a request until its answer begins.
    pub fn enter(&self) -> Here<'_> {
        let here = self.here.fetch_add(1, Ordering::Relaxed) + 1;
        self.crowd.fetch_max(here, Ordering::Relaxed);
        Here(&self.here)
    }

    /// Returns how many requests waited at once at most, since it was last asked.
    pub fn crowd(&self) -> usize {
        self.crowd.swap(0, Ordering::Relaxed)
    }

    /// Forgets every request.
    pub fn clear(&self) {
        let mut pages = self.pages();
        pages.seen.clear();
        pages.kept = 0;
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn forget_oldest(&mut self) {
        while self.seen.len() > SEEN_LIMIT || self.kept > BODIES_LIMIT {
            let Some(oldest) = self.seen.pop_front() else {
                return;
            };
            self.kept -= oldest.body.len();
        }
    }
}
