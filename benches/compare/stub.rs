//! A Glance and a Keystone that answer at once and always the same, so that what is measured is the proxy.

use std::io;
use std::net::SocketAddr;

use clap::Args;
use mio::Events;
use mio::Interest;
use mio::Poll;
use mio::Token;
use mio::net::TcpListener;
use serde_json::json;

use crate::link::Filled;
use crate::link::Link;
use crate::message;
use crate::tokens::OWNER;

/// Where to listen, and how large the large image is.
#[derive(Clone, Debug, Args)]
pub struct Options {
    #[arg(long)]
    listen: SocketAddr,
    /// How many bytes `GET /v2/images/{image_id}/file` has
    #[arg(long, default_value_t = 1 << 30)]
    image_bytes: u64,
}

const LISTENER: Token = Token(usize::MAX);

/// How many bytes of the large image go to the socket at once.
const BLOCK: &[u8] = &[0; 256 * 1024];

/// The answers, made once.
struct Answers {
    member: Vec<u8>,
    image: Vec<u8>,
    schema: Vec<u8>,
    file: Vec<u8>,
    token: Vec<u8>,
    healthy: Vec<u8>,
    stored: Vec<u8>,
    unknown: Vec<u8>,
    chunked: Vec<u8>,
}

/// A client of the stub: a proxy.
struct Peer {
    link: Link,
    /// How much of a request's body is still to come, and what is answered then.
    body: Option<(u64, Reply)>,
    /// How much of the large image is still to go.
    file: u64,
}

#[derive(Clone, Copy)]
enum Reply {
    Member,
    Image,
    Schema,
    File,
    Token,
    Healthy,
    Stored,
    Seen,
    Unknown,
    Chunked,
}

struct Stub {
    answers: Answers,
    image_bytes: u64,
    /// How many member updates have come.
    seen: u64,
}

/// Serves until the process is ended.
pub fn run(options: &Options) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(options.listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut stub = Stub { answers: Answers::new(options.image_bytes), image_bytes: options.image_bytes, seen: 0 };
    let mut events = Events::with_capacity(1024);
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let place = free.pop().unwrap_or(peers.len());
                    poll.registry().register(&mut stream, Token(place), Interest::READABLE | Interest::WRITABLE)?;
                    let peer = Some(Peer { link: Link::new(stream)?, body: None, file: 0 });
                    match peers.get_mut(place) {
                        Some(empty) => *empty = peer,
                        None => peers.push(peer),
                    }
                }
                continue;
            }
            let place = event.token().0;
            let Some(slot) = peers.get_mut(place) else { continue };
            let Some(peer) = slot else { continue };
            if !matches!(stub.serve(peer), Ok(true)) {
                *slot = None;
                free.push(place);
            }
        }
    }
}

impl Stub {
    /// Does what can be done without waiting; tells whether the connection goes on.
    fn serve(&mut self, peer: &mut Peer) -> io::Result<bool> {
        loop {
            if !peer.flush()? {
                return Ok(true);
            }
            let filled = peer.link.fill()?;
            while self.answer_next(peer) {}
            match filled {
                Filled::Closed => return Ok(false),
                Filled::Full => {}
                Filled::Drained => return peer.flush().map(|_| true),
            }
        }
    }

    /// Answers the next request if it is there whole; tells whether another may follow.
    fn answer_next(&mut self, peer: &mut Peer) -> bool {
        if let Some((left, reply)) = peer.body {
            let there = peer.link.received().len();
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(there);
            peer.link.consume(taken);
            peer.body = Some((left - taken as u64, reply)).filter(|(left, _)| *left > 0);
            if peer.body.is_some() {
                return false;
            }
            self.reply(peer, reply);
            return true;
        }
        let Some(length) = message::head_length(peer.link.received()) else { return false };
        let head = peer.link.received().get(..length).unwrap_or_default();
        let (reply, body) =
            if message::is_chunked(head) { (Reply::Chunked, 0) } else { (choose(head), message::content_length(head)) };
        peer.link.consume(length);
        if body > 0 {
            peer.body = Some((body, reply));
        } else {
            self.reply(peer, reply);
        }
        true
    }

    fn reply(&mut self, peer: &mut Peer, reply: Reply) {
        let answers = &self.answers;
        let output = peer.link.output();
        match reply {
            Reply::Member => {
                self.seen += 1;
                output.extend_from_slice(&answers.member);
            }
            Reply::File => {
                output.extend_from_slice(&answers.file);
                peer.file = self.image_bytes;
            }
            Reply::Seen => output.extend(with_body("200 OK", &json!({"member_updates": self.seen}).to_string())),
            Reply::Image => output.extend_from_slice(&answers.image),
            Reply::Schema => output.extend_from_slice(&answers.schema),
            Reply::Token => output.extend_from_slice(&answers.token),
            Reply::Healthy => output.extend_from_slice(&answers.healthy),
            Reply::Stored => output.extend_from_slice(&answers.stored),
            Reply::Unknown => output.extend_from_slice(&answers.unknown),
            Reply::Chunked => output.extend_from_slice(&answers.chunked),
        }
    }
}

impl Peer {
    /// Sends what is to go, and tells whether that was all.
    fn flush(&mut self) -> io::Result<bool> {
        loop {
            if !self.link.flush()? {
                return Ok(false);
            }
            if self.file == 0 {
                return Ok(true);
            }
            let length = usize::try_from(self.file).unwrap_or(usize::MAX).min(BLOCK.len());
            self.link.output().extend_from_slice(BLOCK.get(..length).unwrap_or_default());
            self.file -= length as u64;
        }
    }
}

/// Chooses the answer by the method and the path.
fn choose(head: &[u8]) -> Reply {
    let mut words = head.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let image = path.strip_prefix(b"/v2/images/");
    match (method, image) {
        (b"GET", Some(id)) if id.len() == 36 => Reply::Image,
        (b"GET", Some(rest)) if rest.ends_with(b"/file") => Reply::File,
        (b"PUT", Some(rest)) if rest.get(36..45) == Some(b"/members/") => Reply::Member,
        (b"PUT", Some(rest)) if rest.ends_with(b"/file") => Reply::Stored,
        _ => match (method, path) {
            (b"GET", b"/v2/schemas/member") => Reply::Schema,
            (b"GET", b"/healthcheck") => Reply::Healthy,
            (b"GET", b"/seen") => Reply::Seen,
            (b"POST", b"/v3/auth/tokens") => Reply::Token,
            _ => Reply::Unknown,
        },
    }
}

impl Answers {
    fn new(image_bytes: u64) -> Self {
        let member = json!({
            "created_at": "2026-03-17T08:00:00Z", "updated_at": "2026-03-17T08:00:00Z", "schema": "/v2/schemas/member",
            "image_id": "4fd15022-227a-4f08-b1ad-bc1737e4e2e9", "member_id": OWNER, "status": "accepted",
        });
        let image = json!({
            "id": "4fd15022-227a-4f08-b1ad-bc1737e4e2e9", "name": "shared", "owner": OWNER, "visibility": "shared",
            "status": "active", "protected": false, "tags": [], "min_disk": 0, "min_ram": 0, "size": image_bytes,
            "container_format": "bare", "disk_format": "raw", "schema": "/v2/schemas/image",
        });
        let property = |about: &str| json!({"type": "string", "description": about});
        let schema = json!({"name": "member", "properties": {
            "created_at": property("Date and time of image member creation"),
            "updated_at": property("Date and time of last modification of image member"),
            "image_id": property("An identifier for the image"),
            "member_id": property("An identifier for the image member (tenantId)"),
            "schema": {"readOnly": true, "type": "string"},
        }});
        let token = json!({"token": {
            "user": {"id": "glance", "name": "glance"}, "project": {"id": "service"},
            "expires_at": "2999-01-01T00:00:00.000000Z", "roles": [{"id": "admin", "name": "admin"}],
        }});
        Self {
            member: with_body("200 OK", &member.to_string()),
            image: with_body("200 OK", &image.to_string()),
            schema: with_body("200 OK", &schema.to_string()),
            file: head("200 OK", "application/octet-stream", image_bytes),
            token: with_body("201 Created\r\nX-Subject-Token: the-proxy's-own", &token.to_string()),
            healthy: with_body("200 OK", "{}"),
            stored:
                b"HTTP/1.1 204 No Content\r\nx-openstack-request-id: req-0b7d3d10-5bd1-4ee1-9d09-6f0b3a1e9b0c\r\n\r\n"
                    .to_vec(),
            unknown: with_body("404 Not Found", &json!({"code": "404 Not Found", "title": "Not Found"}).to_string()),
            chunked: with_body("411 Length Required", "{}"),
        }
    }
}

fn with_body(status: &str, body: &str) -> Vec<u8> {
    let mut answer = head(status, "application/json", body.len() as u64);
    answer.extend_from_slice(body.as_bytes());
    answer
}

fn head(status: &str, media_type: &str, length: u64) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         x-openstack-request-id: req-0b7d3d10-5bd1-4ee1-9d09-6f0b3a1e9b0c\r\nDate: Tue, 17 Mar 2026 08:00:00 GMT\r\n\r\n"
    )
    .into_bytes()
}
