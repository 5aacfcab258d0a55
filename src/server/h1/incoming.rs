//! The body of a request, read from its connection as it is asked for.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http_body::SizeHint;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::body::Source;
use crate::body::SourceError;
use crate::server::h1::wire;
use crate::server::h1::wire::Shared;

/// A body that has begun.
pub struct Incoming<S> {
    wire: Arc<Shared<S>>,
}

impl<S> Incoming<S> {
    /// Reads the body that begins on the connection.
    pub fn new(wire: Arc<Shared<S>>) -> Self {
        Self { wire }
    }
}

impl<S> Drop for Incoming<S> {
    fn drop(&mut self) {
        wire::lock(&self.wire).end_reading();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Source for Incoming<S> {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        let mut wire = wire::lock(&self.wire);
        if let Err(error) = ready!(wire.poll_continue(context)) {
            return Poll::Ready(Some(Err(error.into())));
        }
        wire.poll_body(context).map(|read| read.map_err(SourceError::from).transpose())
    }

    fn is_end(&self) -> bool {
        wire::lock(&self.wire).is_at_head()
    }

    fn size_hint(&self) -> SizeHint {
        wire::lock(&self.wire).left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
