//! One request and its answer on a stream of HTTP/2.

use std::convert::Infallible;
use std::future::Future;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use h2::Reason;
use h2::RecvStream;
use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header;
use http::response::Parts;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt;

use crate::body::Body;
use crate::body::Sender;
use crate::body::Source;
use crate::body::SourceError;
use crate::framing::Violation;
use crate::framing::http2;
use crate::peer::Peer;
use crate::server::http2::keepalive::Moved;

/// What each request of a connection is answered with.
#[derive(Clone)]
pub struct Exchange<A> {
    /// Who asks.
    pub peer: Peer,
    /// Who answers.
    pub answer: A,
    /// How large a head may be.
    pub max_head_bytes: usize,
    /// How long the client may pause in a body.
    pub client_idle_timeout: Duration,
    /// How long the client may refuse to take a byte.
    pub write_timeout: Duration,
    /// What has moved on the connection.
    pub moved: Moved,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The answer went out.
    Answered,
    /// The client did not want it any more.
    TakenBack,
    /// The answer broke off, or was not taken.
    Broken,
}

/// What must not stand in an answer (RFC 9113 section 8.2.2). The end of a connection that `close` asks for is the end of
/// the stream here: nobody has to guess where the next request starts.
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl<A, F, B> Exchange<A>
where
    A: Fn(Peer, Option<Violation>, Request<Body>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: HttpBody<Data = Bytes>,
{
    /// Has the request answered.
    pub async fn run(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Ended {
        let is_head = request.method() == Method::HEAD;
        let (violation, request) = self.receive(request, &mut respond);
        let answered = tokio::select! {
            answered = (self.answer)(self.peer, violation, request) => answered,
            // dropping the answer tells the others that nobody waits for it
            _ = poll_fn(|context| respond.poll_reset(context)) => return Ended::TakenBack,
        };
        let Ok(response) = answered;
        let (mut head, body) = response.into_parts();
        prepare(&mut head, body.is_end_stream(), &body.size_hint());
        let is_end = is_head || body.is_end_stream();
        match respond.send_response(Response::from_parts(head, ()), is_end) {
            Ok(_) if is_end => Ended::Answered,
            Ok(stream) => {
                let Self { peer, write_timeout, moved, .. } = self;
                Outlet { stream, peer, write_timeout, moved }.send(body).await
            }
            Err(error) => {
                tracing::debug!(%error, "an answer could not be sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
                Ended::Broken
            }
        }
    }

    /// Checks the head and joins it with the body; what is no request is told by its violation.
    fn receive(
        &self,
        request: Request<RecvStream>,
        respond: &mut SendResponse<Bytes>,
    ) -> (Option<Violation>, Request<Body>) {
        let (mut head, stream) = request.into_parts();
        match http2::check(&mut head, self.max_head_bytes) {
            Ok(length) => {
                if expects_continue(&head.headers) {
                    let mut go_on = Response::new(());
                    *go_on.status_mut() = StatusCode::CONTINUE;
                    // a client that is gone needs no word
                    let _ = respond.send_informational(go_on);
                }
                let incoming = Incoming { stream, left: length, moved: self.moved.clone() };
                let body = Body::stream(incoming, Sender::Client, self.client_idle_timeout);
                (None, Request::from_parts(head, body))
            }
            Err(violation) => {
                let mut stand_in = Request::new(Body::Empty);
                *stand_in.version_mut() = Version::HTTP_2;
                (Some(violation), stand_in)
            }
        }
    }
}

/// Where the bytes of an answer go.
struct Outlet {
    stream: SendStream<Bytes>,
    peer: Peer,
    write_timeout: Duration,
    moved: Moved,
}

impl Outlet {
    /// Sends the body as fast as the client takes it.
    async fn send<B: HttpBody<Data = Bytes>>(mut self, body: B) -> Ended {
        let mut body = pin!(body);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame.map(|frame| frame.ok().map(Frame::into_data)),
                _ = poll_fn(|context| self.stream.poll_reset(context)) => return Ended::TakenBack,
            };
            match frame {
                Some(Some(Ok(data))) => {
                    let is_last = body.is_end_stream();
                    match self.send_data(data, is_last).await {
                        Ok(()) if is_last => return Ended::Answered,
                        Ok(()) => {}
                        Err(ended) => return ended,
                    }
                }
                // trailers are not passed on
                Some(Some(Err(_))) => {}
                Some(None) => {
                    // what is cut off must not look whole
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Ended::Broken;
                }
                None => {
                    let ended = self.stream.send_data(Bytes::new(), true);
                    return if ended.is_ok() { Ended::Answered } else { Ended::TakenBack };
                }
            }
        }
    }

    /// Sends bytes, of which the last may end the stream.
    async fn send_data(&mut self, mut data: Bytes, is_last: bool) -> Result<(), Ended> {
        loop {
            let room = if data.is_empty() { 0 } else { self.room(data.len()).await? };
            let piece = data.split_to(room.min(data.len()));
            let is_end = is_last && data.is_empty();
            self.stream.send_data(piece, is_end).map_err(|_| Ended::TakenBack)?;
            self.moved.note();
            if data.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits until the client takes bytes, and returns how many.
    async fn room(&mut self, wanted: usize) -> Result<usize, Ended> {
        self.stream.reserve_capacity(wanted);
        let capacity = poll_fn(|context| self.stream.poll_capacity(context));
        match tokio::time::timeout(self.write_timeout, capacity).await {
            Ok(Some(Ok(capacity))) => Ok(capacity),
            Ok(Some(Err(_)) | None) => Err(Ended::TakenBack),
            Err(_) => {
                tracing::debug!(peer.ip = %self.peer.address, "the client takes nothing of its answer");
                self.stream.send_reset(Reason::CANCEL);
                Err(Ended::Broken)
            }
        }
    }
}

/// Makes the head of an answer one of HTTP/2.
fn prepare(head: &mut Parts, is_empty: bool, size: &SizeHint) {
    head.version = Version::HTTP_2;
    for name in OF_A_CONNECTION {
        head.headers.remove(name);
    }
    if !head.headers.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
    {
        head.headers.insert(header::DATE, date);
    }
    if let Some(length) = size.exact().filter(|_| !is_empty)
        && !head.headers.contains_key(header::CONTENT_LENGTH)
    {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The body of a request.
struct Incoming {
    stream: RecvStream,
    /// How much is to come, if the head told.
    left: Option<u64>,
    moved: Moved,
}

impl Source for Incoming {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        Poll::Ready(match ready!(self.stream.poll_data(context)) {
            Some(Ok(data)) => {
                self.moved.note();
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                // the next bytes are asked for when these are taken
                let released = self.stream.flow_control().release_capacity(data.len());
                Some(released.map(|()| data).map_err(Into::into))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn is_end(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
