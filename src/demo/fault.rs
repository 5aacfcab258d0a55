//! The ways a stand-in can be told to misbehave, and the switch that tells it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Semaphore;

/// A way to misbehave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Answers properly.
    #[default]
    None,
    /// Answers with this status and a short body, whatever was asked.
    Status(u16),
    /// Answers 200 with an HTML page, as a captive portal does.
    HtmlPortal,
    /// Answers 200 with `{}`.
    EmptyObject,
    /// Answers 200 with JSON of at least this many bytes, without saying so beforehand.
    Huge(u64),
    /// Takes the request and never answers.
    Hang,
    /// Resets the connection as soon as the request's head is there.
    Reset,
    /// Answers the head of a 200, then resets the connection.
    ResetAfterHead,
    /// Promises more body than it sends, then closes.
    TruncateBody,
    /// Answers with bytes that are not HTTP.
    Garbage,
    /// Answers with two Content-Length headers that disagree.
    ConflictingLength,
    /// Answers properly, but only after this time.
    Slow(Duration),
    /// Answers properly, but works on so many at once, so long on each; the others queue until the fault ends.
    Queue(usize, Duration),
}

/// A fault that can only be done on the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// Resets at once.
    Reset,
    /// Resets after an answer's head.
    ResetAfterHead,
    /// Closes within the body.
    TruncateBody,
    /// Sends something that is not HTTP.
    Garbage,
    /// Sends two lengths.
    ConflictingLength,
}

impl Breakage {
    /// Returns the bytes to send before the connection ends.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Reset => b"",
            Self::ResetAfterHead => {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
            }
            Self::TruncateBody => {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"status\": "
            }
            Self::Garbage => b"\x16\x03\x01 this is not HTTP\r\n\x00\xff\xfe\r\n\r\n",
            Self::ConflictingLength => {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\n{}{\"status\": \"accept\"}"
            }
        }
    }

    /// Returns how the connection ends.
    #[must_use]
    pub fn ending(self) -> Ending {
        match self {
            Self::Reset | Self::ResetAfterHead => Ending::Reset,
            Self::TruncateBody | Self::Garbage | Self::ConflictingLength => Ending::Close,
        }
    }
}

/// How a broken connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a reset.
    Reset,
    /// With an orderly close.
    Close,
}

/// Where a fault applies.
#[derive(Clone, Debug, Default)]
struct Order {
    /// Only to targets that contain this.
    substring: String,
    fault: Fault,
    /// Who works in a queue.
    places: Option<Arc<Semaphore>>,
}

/// Holds the fault a stand-in is told to show.
#[derive(Debug, Default)]
pub struct FaultSwitch {
    order: Mutex<Order>,
}

impl FaultSwitch {
    /// Shows this fault on every request from now on.
    pub fn set(&self, fault: Fault) {
        self.set_on("", fault);
    }

    /// Shows this fault on requests whose target contains the substring, and on no others.
    pub fn set_on(&self, substring: &str, fault: Fault) {
        let mut places = None;
        if let Fault::Queue(count, _) = fault {
            places = Some(Arc::new(Semaphore::new(count)));
        }
        let order = Order { substring: substring.to_owned(), fault, places };
        let before = std::mem::replace(&mut *self.order.lock().unwrap_or_else(PoisonError::into_inner), order);
        // who still queues is let through
        if let Some(places) = before.places {
            places.close();
        }
    }

    /// Waits for a place to work, and works.
    pub async fn queue(&self, work: Duration) {
        let places = self.order.lock().unwrap_or_else(PoisonError::into_inner).places.clone();
        if let Some(places) = places
            && let Ok(_place) = places.acquire().await
        {
            tokio::time::sleep(work).await;
        }
    }

    /// Returns the fault that a request for this target meets.
    pub fn fault(&self, target: &str) -> Fault {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if target.contains(&order.substring) { order.fault } else { Fault::None }
    }
}
