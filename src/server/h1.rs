//! HTTP/1.1 as a server: one connection, its requests in order, each read strictly and once (RFC 9112).
//!
//! hyper's server forgives what other servers read differently, keeps buffers while a client is silent, and costs more
//! than all the gate's checks. It is the reference that `tests/properties/h1.rs` compares this one with.

pub mod answer;
pub mod close;
pub mod head;
pub mod idle;
pub mod incoming;
pub mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::Request;
use http::Response;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::body::Sender;
use crate::framing::Violation;
use crate::server::Settings;
use crate::server::h1::answer::AnswerBody;
use crate::server::h1::answer::Answering;
use crate::server::h1::answer::Then;
use crate::server::h1::head::Opened;
use crate::server::h1::idle::Idle;
use crate::server::h1::incoming::Incoming;
use crate::server::h1::wire::Next;
use crate::server::h1::wire::Wire;

/// Serves the requests of one connection until it ends or, once `stop` is told, has nothing to do.
///
/// The future of an answer is part of the connection's, so it had better be small: what it needs belongs on the heap,
/// where a connection that waits for a request has none of it.
///
/// What never was a request is given to `answer` as a stand-in with its violation, so that its refusal is logged and
/// answered like any other. The future of a request is dropped when its client hangs up.
///
/// # Errors
/// Tells how the connection broke.
pub async fn serve<S, A, F, B>(stream: S, settings: &Settings, answer: A, stop: CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Option<Violation>, Request<Body>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: AnswerBody,
{
    let wire = Wire::share(stream);
    let mut idle = Idle::new(settings, stop.clone());
    loop {
        let (request, opened) = match idle.next(&wire).await? {
            Next::Nothing => return close::close(&wire).await,
            Next::Head(bytes) => head::open(&bytes).unwrap_or_else(Opened::stand_in),
            Next::Violation(violation) => Opened::stand_in(violation),
        };
        let request = request.map(|()| body(&wire, &opened, settings));
        let Some(Ok(response)) = answered(&wire, answer(opened.violation, request)).await else {
            return Ok(());
        };
        let answering = Answering::new(&wire, &opened, settings.write_timeout);
        match answering.send(response, stop.is_cancelled()).await? {
            Then::Next => {}
            Then::Close => return close::close(&wire).await,
        }
    }
}

/// Returns the body of a request: the bytes, if all have come with the head.
fn body<S>(wire: &Arc<wire::Shared<S>>, opened: &Opened, settings: &Settings) -> Body
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // not within the match: there the lock would be held to its end
    let whole = wire::lock(wire).begin_body(opened);
    match whole {
        Some(whole) => Body::full(whole),
        None => Body::stream(Incoming::new(wire.clone()), Sender::Client, settings.client_idle_timeout),
    }
}

/// Waits for the answer; nothing if the client goes away first.
async fn answered<S, F>(wire: &wire::Shared<S>, answer: F) -> Option<F::Output>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future,
{
    let mut answer = pin!(answer);
    poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => wire::lock(wire).poll_hang_up(context).map(|()| None),
    })
    .await
}
