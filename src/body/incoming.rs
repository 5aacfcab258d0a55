//! The bodies that hyper reads, as a source.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::SizeHint;
use hyper::body::Incoming;

use crate::body::Source;
use crate::body::SourceError;

impl Source for Incoming {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        match ready!(Pin::new(self).poll_frame(context)) {
            // trailers say nothing to an image store, and are one more way to smuggle a header
            Some(Ok(frame)) => Poll::Ready(frame.into_data().ok().map(Ok)),
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => Poll::Ready(None),
        }
    }

    fn is_end(&self) -> bool {
        self.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(self)
    }
}
