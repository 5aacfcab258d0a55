//! The live feed: server-sent events (WHATWG HTML section 9.2) to a bounded number of listeners.
//!
//! Whoever tells never waits: a listener that does not keep up loses its place.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::SizeHint;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::Sender;

use crate::body;
use crate::body::Body;
use crate::body::Source;
use crate::body::SourceError;

/// How many listeners there may be.
pub const MAX_LISTENERS: usize = 16;
/// How many events may wait for one listener.
const QUEUE: usize = 32;
/// How long the feed may be silent; it says something far more often.
const SILENCE: Duration = Duration::from_mins(1);

/// All who listen.
#[derive(Debug, Default)]
pub struct Feed(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    senders: Vec<Sender<Bytes>>,
    is_closed: bool,
}

/// Why nobody more may listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All places are taken.
    Full,
    /// The gate ends.
    Closed,
}

impl NoPlace {
    /// Returns what who asks is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "as many listen as may; try again later, or read /status.json\n",
            Self::Closed => "the gate ends\n",
        }
    }
}

/// The events of one listener on their way.
struct Listening(Receiver<Bytes>);

impl Feed {
    /// Takes a place; the answer's body begins with this event.
    ///
    /// # Errors
    /// Tells why there is none.
    pub fn listen(&self, first: Bytes) -> Result<Body, NoPlace> {
        let mut listeners = self.lock();
        if listeners.is_closed {
            return Err(NoPlace::Closed);
        }
        listeners.senders.retain(|sender| !sender.is_closed());
        if listeners.senders.len() >= MAX_LISTENERS {
            return Err(NoPlace::Full);
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        // the queue is empty: there is room
        let _ = sender.try_send(first);
        listeners.senders.push(sender);
        Ok(Body::stream(Listening(receiver), body::Sender::Upstream, SILENCE))
    }

    /// Tells all who listen and keep up.
    pub fn send(&self, event: &Bytes) {
        self.lock().senders.retain(|sender| sender.try_send(event.clone()).is_ok());
    }

    /// Returns how many listen.
    pub fn listeners(&self) -> usize {
        self.lock().senders.iter().filter(|sender| !sender.is_closed()).count()
    }

    /// Ends the feed for all, and for good.
    pub fn close(&self) {
        let mut listeners = self.lock();
        listeners.is_closed = true;
        listeners.senders.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an event; its data is one line of JSON.
pub fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Returns a comment, which keeps the connection alive.
pub fn heartbeat() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}

impl Source for Listening {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }

    fn is_end(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::Feed;
    use super::MAX_LISTENERS;
    use super::NoPlace;
    use super::QUEUE;
    use super::event;

    #[test]
    fn places_are_bounded_and_come_back() {
        let feed = Feed::default();
        let first = event("status", "{}");
        let mut bodies: Vec<_> = (0..MAX_LISTENERS).map(|_| feed.listen(first.clone()).expect("a place")).collect();
        assert_eq!(feed.listen(first.clone()).err(), Some(NoPlace::Full));
        bodies.pop();
        assert!(feed.listen(first.clone()).is_ok());
        feed.close();
        assert_eq!(feed.listen(first).err(), Some(NoPlace::Closed));
        assert_eq!(feed.listeners(), 0);
    }

    #[test]
    fn who_does_not_keep_up_loses_the_place() {
        let feed = Feed::default();
        let body = feed.listen(event("status", "{}")).expect("a place");
        for _ in 1..QUEUE {
            feed.send(&event("sample", "{}"));
        }
        assert_eq!(feed.listeners(), 1);
        feed.send(&event("sample", "{}"));
        assert_eq!(feed.listeners(), 0);
        drop(body);
    }
}
