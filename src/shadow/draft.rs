//! A copy that is being made while its request is on its way. Nothing here ever waits.

use std::sync::Arc;
use std::time::Instant;
use std::time::SystemTime;

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA256;
use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::COOKIE;
use http::header::HOST;
use http_body::Body as HttpBody;

use crate::body::Body;
use crate::body::tee::Listener;
use crate::call::Account;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::diff::answered::Answered;
use crate::diff::answered::Content;
use crate::diff::asked::Asked;
use crate::edge::after::Finish;
use crate::openstack::request_id::RequestId;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;
use crate::openstack::token::UnverifiedToken;
use crate::shadow::Desk;
use crate::shadow::copied::Caller;
use crate::shadow::copied::Copied;
use crate::shadow::copied::Write;
use crate::shadow::headers;
use crate::shadow::sample::Sampled;
use crate::shadow::sample::sample;
use crate::shadow::ticket::Reason;
use crate::shadow::ticket::Ticket;
use crate::shadow::upload::Upload;

/// A copy without its answer.
#[derive(Debug)]
pub struct Draft {
    desk: Arc<Desk>,
    ticket: Ticket,
    asked: Asked,
    headers: HeaderMap,
    credentials: HeaderMap,
    host: Option<HeaderValue>,
    caller: Caller,
    body: Upload,
    /// What the client names the write by.
    name: Option<Vec<u8>>,
}

/// Listens to an answer's body, and hands the copy on at its end.
struct AnswerListener {
    open: Option<(Box<Draft>, StatusCode, HeaderMap)>,
    read: BytesMut,
    reserved: usize,
    most: usize,
}

/// What a copy takes besides its texts.
const OWN_BYTES: usize = 1024;

impl Draft {
    /// Begins to copy a call, if it is one of those that are wanted.
    pub fn open(desk: &Arc<Desk>, call: &mut Call) -> Option<Box<Self>> {
        let config = desk.config();
        let (route, is_write) = match sample(config, &call.head, call.account.request_id, &desk.plan.mount) {
            Sampled::No => return None,
            Sampled::Read(route) => (route, false),
            Sampled::Write(route) => (route, true),
        };
        let mut ticket = Ticket::new(desk.shadow.counts().clone(), config.limits.bytes);
        match Self::copy(desk, call, route, is_write, &mut ticket) {
            Ok(parts) => {
                let (asked, headers, credentials, body) = parts;
                let caller = caller(desk, &call.account, &credentials);
                let name = if is_write { named(&call.head.headers, call.account.request_id) } else { None };
                let host = call.head.headers.get(HOST).and_then(headers::own);
                let desk = desk.clone();
                Some(Box::new(Self { desk, ticket, asked, headers, credentials, host, caller, body, name }))
            }
            Err(reason) => {
                ticket.drop_for(reason);
                None
            }
        }
    }

    fn copy(
        desk: &Desk,
        call: &mut Call,
        route: &'static str,
        is_write: bool,
        ticket: &mut Ticket,
    ) -> Result<(Asked, HeaderMap, HeaderMap, Upload), Reason> {
        let config = desk.config();
        let credentials = headers::credentials(&call.head.headers);
        let target = call.head.uri.path_and_query().map_or("", |target| target.as_str());
        let (outgoing, bytes) = headers::outgoing(&call.head.headers, config);
        let query = call.head.uri.query().unwrap_or_default();
        if headers::query_names_a_secret(query)
            || headers::holds_a_credential(&credentials, target.as_bytes())
            || outgoing.values().any(|value| headers::holds_a_credential(&credentials, value.as_bytes()))
        {
            return Err(Reason::Secret);
        }
        if !ticket.take(bytes + target.len() + OWN_BYTES) {
            return Err(Reason::BytesFull);
        }
        let asked = Asked {
            request_id: call.account.request_id,
            method: call.head.method.clone(),
            route,
            target: target.to_owned(),
            project: call.account.project().cloned(),
        };
        // a read has no body to speak of
        let most = if is_write { config.limits.request_bytes } else { 0 };
        let body = Upload::of(&mut call.body, most, ticket)?;
        Ok((asked, outgoing, credentials, body))
    }

    /// Takes note of the answer, and hands the copy on when its body has ended.
    fn answered(mut self: Box<Self>, response: &mut Response<Body>) {
        let status = response.status();
        let (headers, bytes) = headers::answered(response.headers());
        if !self.ticket.take(bytes) {
            return self.ticket.drop_for(Reason::BytesFull);
        }
        let most = self.desk.config().limits.answer_bytes;
        let is_readable = is_readable(response.headers());
        let size = response.body().size_hint();
        match response.body_mut() {
            Body::Empty => self.hand_on(status, headers, Content::Whole(Bytes::new())),
            Body::Lost => self.ticket.drop_for(Reason::AnswerBroken),
            Body::Full(_) | Body::Stream(_) if !is_readable => self.hand_on(status, headers, Content::Unread),
            Body::Full(_) | Body::Stream(_) if size.lower() > most as u64 => {
                self.ticket.drop_for(Reason::AnswerTooLarge);
            }
            Body::Full(bytes) => {
                if !self.ticket.take(bytes.len()) {
                    return self.ticket.drop_for(Reason::BytesFull);
                }
                let own = Bytes::copy_from_slice(bytes);
                self.hand_on(status, headers, Content::Whole(own));
            }
            stream @ Body::Stream(_) => {
                let reserved = size.exact().and_then(|exact| usize::try_from(exact).ok()).unwrap_or(most);
                if !self.ticket.take(reserved) {
                    return self.ticket.drop_for(Reason::BytesFull);
                }
                let open = Some((self, status, headers));
                // a stream always takes its listener
                drop(stream.tee(AnswerListener { open, read: BytesMut::new(), reserved, most }));
            }
        }
    }

    /// Puts the copy before the shadow thread.
    fn hand_on(self: Box<Self>, status: StatusCode, headers: HeaderMap, body: Content) {
        let Self { desk, ticket, asked, headers: outgoing, credentials, host, caller, body: upload, name } = *self;
        let sent = match upload.whole() {
            Ok(sent) if headers::holds_a_credential(&credentials, &sent) => return ticket.drop_for(Reason::Secret),
            Ok(sent) => sent,
            Err(reason) => return ticket.drop_for(reason),
        };
        let repeats = name.map(|name| write_name(&asked, &name, &sent));
        let answered = Answered { status, headers, body };
        let (at, since) = (SystemTime::now(), Instant::now());
        let copied = Copied { asked, headers: outgoing, host, body: sent, caller, answered, repeats, at, since };
        desk.shadow.push(copied, desk.plan.clone(), ticket);
    }
}

impl Finish<Result<Answer, Box<Refused>>> for Box<Draft> {
    type Output = Result<Answer, Box<Refused>>;

    fn finish(self, outcome: Result<Answer, Box<Refused>>) -> Self::Output {
        match outcome {
            Ok(mut answer) => {
                self.answered(&mut answer.response);
                Ok(answer)
            }
            Err(refused) => {
                self.ticket.drop_for(Reason::NoAnswer);
                Err(refused)
            }
        }
    }
}

/// Keeps of the caller what is needed off the request's way.
fn caller(desk: &Desk, account: &Account, credentials: &HeaderMap) -> Caller {
    let (mut credential, mut service) = (None, None);
    if desk.plan.needs_token() {
        credential = desk.plan.vouchers.credential(credentials).ok();
        service = UnverifiedToken::service_from_headers(credentials).ok();
    }
    Caller {
        identity: account.identity.clone(),
        credential,
        service,
        had_token: credentials.keys().any(|name| *name != COOKIE),
        peer: account.peer,
    }
}

/// Returns what the client names a write by: its idempotency key, or else an id of its own for the request.
fn named(headers: &HeaderMap, request_id: RequestId) -> Option<Vec<u8>> {
    if let Some(key) = headers.get(headers::IDEMPOTENCY_KEY) {
        return Some(key.as_bytes().to_vec());
    }
    let own = headers.get(X_OPENSTACK_REQUEST_ID).filter(|id| RequestId::parse(id) == Some(request_id));
    own.map(|id| id.as_bytes().to_vec())
}

/// Joins the name with what is written where: another body is another write.
fn write_name(asked: &Asked, name: &[u8], body: &[u8]) -> Write {
    let mut context = digest::Context::new(&SHA256);
    for part in [name, asked.method.as_str().as_bytes(), asked.target.as_bytes(), body] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut written = [0; 32];
    written.copy_from_slice(context.finish().as_ref());
    Write(written)
}

/// Tells whether a body is small documents or text, and not compressed.
pub fn is_readable(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let is_text = kind.starts_with(b"text/") || memchr::memmem::find(&kind, b"json").is_some();
    is_text && !headers.contains_key(CONTENT_ENCODING)
}

impl Listener for AnswerListener {
    fn piece(&mut self, piece: &Bytes) {
        if self.read.len() + piece.len() > self.most {
            self.read = BytesMut::new();
            if let Some((draft, ..)) = self.open.take() {
                draft.ticket.drop_for(Reason::AnswerTooLarge);
            }
        } else if self.open.is_some() {
            self.read.extend_from_slice(piece);
        }
    }

    fn listens(&self) -> bool {
        self.open.is_some()
    }

    fn end(&mut self) {
        let Some((mut draft, status, headers)) = self.open.take() else { return };
        let read = std::mem::take(&mut self.read).freeze();
        draft.ticket.give_back(self.reserved.saturating_sub(read.len()));
        draft.hand_on(status, headers, Content::Whole(read));
    }

    fn broke(&mut self) {
        if let Some((draft, ..)) = self.open.take() {
            draft.ticket.drop_for(Reason::AnswerBroken);
        }
    }
}
