//! What happens to every request at a stand-in before it is looked at: it is recorded, and meets the fault that is set.

use std::future::pending;

use bytes::Bytes;
use bytes::BytesMut;
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::demo::answers::Answer;
use crate::demo::answers::Outcome;
use crate::demo::answers::outcome;
use crate::demo::fault::Breakage;
use crate::demo::fault::Fault;
use crate::demo::fault::FaultSwitch;
use crate::demo::listener::Broken;
use crate::demo::record::Recorder;
use crate::demo::record::Ticket;

/// How much of a body is read before a faulty answer, so that the client is not cut off while it sends.
const READ_BEFORE_FAULT: usize = 1024 * 1024;

/// The record and the fault switch of a stand-in.
#[derive(Debug, Default)]
pub struct Door {
    /// What was seen.
    pub recorder: Recorder,
    /// What goes wrong.
    pub faults: FaultSwitch,
}

/// A request that came through the door.
#[derive(Debug)]
pub enum Arrival {
    /// To be answered properly.
    Proper(Arrived),
    /// Answered already, by a fault.
    Answered(Answer),
}

/// A recorded request, its body still to be read.
#[derive(Debug)]
pub struct Arrived {
    /// The head.
    pub head: Parts,
    body: Incoming,
    ticket: Ticket,
}

/// Why a body could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The client broke off.
    BrokenOff,
    /// It is longer than allowed.
    TooLong,
}

impl Door {
    /// Records the request and lets it meet the fault that is set for its target.
    ///
    /// # Errors
    /// When the fault is one of the connection.
    pub async fn arrive(&self, request: Request<Incoming>) -> Result<Arrival, Broken> {
        let (head, body) = request.into_parts();
        let ticket = self.recorder.head(&head);
        let fault = self.faults.fault(&head.uri.to_string());
        let _here = self.recorder.enter();
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(time).await;
        }
        if let Fault::Queue(_, work) = fault {
            self.faults.queue(work).await;
        }
        let mut arrived = Arrived { head, body, ticket };
        match outcome(fault) {
            Outcome::Proper => Ok(Arrival::Proper(arrived)),
            Outcome::Instead(answer) => {
                let _ = arrived.read(&self.recorder, READ_BEFORE_FAULT).await;
                Ok(Arrival::Answered(answer))
            }
            Outcome::Break(Breakage::Reset) => Err(Broken(Breakage::Reset)),
            Outcome::Break(breakage) => {
                let _ = arrived.read(&self.recorder, READ_BEFORE_FAULT).await;
                Err(Broken(breakage))
            }
            Outcome::Silence => pending().await,
        }
    }
}

impl Arrived {
    /// Reads the whole body, recording it.
    ///
    /// # Errors
    /// When the client breaks off or sends more than the limit.
    pub async fn read(&mut self, recorder: &Recorder, limit: usize) -> Result<Bytes, Unread> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next_piece(recorder).await {
            let piece = piece?;
            if body.len() + piece.len() > limit {
                return Err(Unread::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Returns the next piece of the body, recording it.
    pub async fn next_piece(&mut self, recorder: &Recorder) -> Option<Result<Bytes, Unread>> {
        loop {
            let Ok(frame) = self.body.frame().await? else {
                return Some(Err(Unread::BrokenOff));
            };
            // trailers are of no interest
            if let Ok(piece) = frame.into_data() {
                recorder.body(self.ticket, &piece);
                return Some(Ok(piece));
            }
        }
    }
}
