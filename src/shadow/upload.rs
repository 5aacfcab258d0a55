//! The body of a request that is copied: taken at once, or listened to while it passes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use bytes::BytesMut;
use http_body::Body as HttpBody;

use crate::body::Body;
use crate::body::tee::Listener;
use crate::shadow::ticket::Reason;
use crate::shadow::ticket::Ticket;

/// The request's body, as far as it is there.
#[derive(Debug)]
pub enum Upload {
    /// All of it was there.
    Whole(Bytes),
    /// It is on its way.
    Passing(Arc<Mutex<Passing>>),
}

/// A body on its way to the primary.
#[derive(Debug, Default)]
pub enum Passing {
    /// So much of it has passed.
    Some(BytesMut),
    /// All of it has.
    All(Bytes),
    /// It is longer than what is kept.
    TooLong,
    /// It broke off.
    #[default]
    Broken,
}

/// Listens to a request's body.
struct UploadListener {
    passing: Arc<Mutex<Passing>>,
    most: usize,
}

impl Upload {
    /// Copies a body of at most so many bytes, or listens to it.
    ///
    /// # Errors
    /// Says why the request is not copied.
    pub fn of(body: &mut Body, most: usize, ticket: &mut Ticket) -> Result<Self, Reason> {
        let size = body.size_hint();
        if size.lower() > most as u64 {
            return Err(Reason::RequestTooLarge);
        }
        let reserved = size.exact().and_then(|exact| usize::try_from(exact).ok()).unwrap_or(most);
        if !ticket.take(reserved) {
            return Err(Reason::BytesFull);
        }
        match body {
            Body::Empty => Ok(Self::Whole(Bytes::new())),
            Body::Full(bytes) => Ok(Self::Whole(Bytes::copy_from_slice(bytes))),
            Body::Lost => Err(Reason::RequestUnread),
            stream @ Body::Stream(_) => {
                let passing = Arc::new(Mutex::new(Passing::Some(BytesMut::new())));
                drop(stream.tee(UploadListener { passing: passing.clone(), most }));
                Ok(Self::Passing(passing))
            }
        }
    }

    /// Returns all of it.
    ///
    /// # Errors
    /// Says why it is not all there.
    pub fn whole(self) -> Result<Bytes, Reason> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Passing(passing) => match &*passing.lock().unwrap_or_else(PoisonError::into_inner) {
                Passing::All(bytes) => Ok(bytes.clone()),
                Passing::TooLong => Err(Reason::RequestTooLarge),
                Passing::Some(_) | Passing::Broken => Err(Reason::RequestUnread),
            },
        }
    }
}

impl UploadListener {
    fn change(&self, change: impl FnOnce(Passing) -> Passing) {
        // nobody holds it for longer than this
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        *passing = change(std::mem::take(&mut *passing));
    }
}

impl Listener for UploadListener {
    fn piece(&mut self, piece: &Bytes) {
        self.change(|passing| match passing {
            Passing::Some(read) if read.len() + piece.len() > self.most => Passing::TooLong,
            Passing::Some(mut read) => {
                read.extend_from_slice(piece);
                Passing::Some(read)
            }
            other @ (Passing::All(_) | Passing::TooLong | Passing::Broken) => other,
        });
    }

    fn listens(&self) -> bool {
        matches!(*self.passing.lock().unwrap_or_else(PoisonError::into_inner), Passing::Some(_))
    }

    fn end(&mut self) {
        self.change(|passing| match passing {
            Passing::Some(read) => Passing::All(read.freeze()),
            other @ (Passing::All(_) | Passing::TooLong | Passing::Broken) => other,
        });
    }

    fn broke(&mut self) {
        self.change(|_| Passing::Broken);
    }
}
