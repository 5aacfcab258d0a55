//! Answers of the stand-ins: status, headers and a body that is either at hand or generated.

use std::convert::Infallible;

use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use serde::Serialize;

use crate::demo::fault::Breakage;
use crate::demo::fault::Fault;
use crate::demo::generated::Generated;
use crate::demo::python_json;

/// The body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// An answer on its way to the client.
#[derive(Debug)]
pub struct Answer {
    response: Response<AnswerBody>,
}

impl Answer {
    /// Returns an answer with this body.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(Full::new(body.into()).boxed_unsync());
        *response.status_mut() = status;
        Self { response }
    }

    /// Returns an answer without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self::new(status, Bytes::new())
    }

    /// Returns JSON in the layout of Python's `json.dumps`.
    #[must_use]
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        Self::new(status, python_json::text(value)).with(CONTENT_TYPE, "application/json")
    }

    /// Returns 200 with a body generated while it is sent.
    #[must_use]
    pub fn generated(body: Generated) -> Self {
        Self { response: Response::new(body.boxed_unsync()) }
    }

    /// Returns the answer with this header set; a value that is no header value is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the response to send.
    #[must_use]
    pub fn into_response(self) -> Response<AnswerBody> {
        self.response
    }
}

/// What a fault means for a request.
#[derive(Debug)]
pub enum Outcome {
    /// The request is answered properly.
    Proper,
    /// The request is answered with this instead.
    Instead(Answer),
    /// The connection is broken.
    Break(Breakage),
    /// Nothing ever happens.
    Silence,
}

/// Returns what the fault means; `Slow` and `Queue` have been waited for by the time it is asked.
#[must_use]
pub fn outcome(fault: Fault) -> Outcome {
    match fault {
        Fault::None | Fault::Slow(_) | Fault::Queue(..) => Outcome::Proper,
        Fault::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let text = format!("{status}\n\nThe stand-in was told to answer so.\n\n   ");
            Outcome::Instead(Answer::new(status, text).with(CONTENT_TYPE, "text/plain; charset=UTF-8"))
        }
        Fault::HtmlPortal => {
            let page = "<html><head><title>Welcome</title></head><body>Please sign in to the network.</body></html>";
            Outcome::Instead(Answer::new(StatusCode::OK, page).with(CONTENT_TYPE, "text/html"))
        }
        Fault::EmptyObject => {
            Outcome::Instead(Answer::new(StatusCode::OK, "{}").with(CONTENT_TYPE, "application/json"))
        }
        Fault::Huge(bytes) => Outcome::Instead(huge(bytes)),
        Fault::Hang => Outcome::Silence,
        Fault::Reset => Outcome::Break(Breakage::Reset),
        Fault::ResetAfterHead => Outcome::Break(Breakage::ResetAfterHead),
        Fault::TruncateBody => Outcome::Break(Breakage::TruncateBody),
        Fault::Garbage => Outcome::Break(Breakage::Garbage),
        Fault::ConflictingLength => Outcome::Break(Breakage::ConflictingLength),
    }
}

/// Returns JSON that only ends after so many bytes.
fn huge(bytes: u64) -> Answer {
    Answer::generated(Generated::json(bytes)).with(CONTENT_TYPE, "application/json")
}
