//! The way of a long body past the gate's memory.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use crate::body::BodyError;
use crate::body::pour::Pour;
use crate::body::pour::Poured;
use crate::client::h1::upload::Rest;
use crate::client::h1::upload::Upload;
use crate::client::stream::Stream;

impl Upload {
    /// Takes the next piece, past the gate's memory if that is possible.
    pub(super) fn poll_piece(&mut self, stream: &Stream, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        // not before the head is out: until then the request may have to be given back whole
        if let Rest::Known(left) = self.rest
            && self.lead_written == self.lead.len()
            && stream.socket().is_some()
            && self.body.can_pour()
            && let Some(pipe) = self.shortcut.pipe(left)
        {
            match ready!(Pin::new(&mut self.body).poll_pour(context, pipe, left))? {
                Poured::Bytes(count) => return Poll::Ready(self.pass(count)),
                Poured::Unable => self.shortcut.close(),
            }
        }
        self.poll_body(context)
    }
}
