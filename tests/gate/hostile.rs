//! Hostile requests as bytes, what is promised of each, and the one way all of them are tried.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::client::Connection;
use crate::client::Reply;
use crate::harness::Gate;
use crate::harness::run;
use crate::hostile_bytes::fill;
use crate::scene::CANONICAL;
use crate::scene::MEMBER;
use crate::scene::Scene;

/// One hostile connection.
pub struct Case {
    pub name: String,
    /// The bytes, with placeholders.
    pub bytes: String,
    pub promise: Promise,
}

/// What is promised.
#[derive(Clone)]
pub enum Promise {
    /// It is refused and Glance sees nothing; the next request on the connection is answered.
    Refused(&'static str),
    /// It is refused, Glance sees nothing, and the connection ends: nobody knows where the next request starts.
    Ended(&'static str),
    /// It is refused after a look at the image, which is all that Glance sees.
    Judged(&'static str),
    /// The update passes without these headers.
    Disarmed(Vec<String>),
    /// These answers and no other, and only what is served reaches Glance.
    Answers(&'static [Step]),
}

/// One of several answers on a connection.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// An update that passes.
    Served,
    /// Anything else that passes.
    Passed,
    /// A refusal.
    Refused(&'static str),
    /// No answer: the connection is over.
    Over,
}

/// A gate, and who is there.
pub struct Stage {
    pub gate: Gate,
    pub scene: Scene,
}

/// How the bytes are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pieces {
    Whole,
    /// In two, cut there.
    CutAt(usize),
    Bytewise,
}

impl Case {
    pub fn new(name: &str, bytes: impl Into<String>, promise: Promise) -> Self {
        Self { name: name.into(), bytes: bytes.into(), promise }
    }
}

impl Stage {
    pub async fn new() -> Self {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        Self { gate, scene }
    }

    /// Fills in the placeholders.
    pub fn bytes(&self, template: &str) -> Vec<u8> {
        fill(template, &|name| self.known(name))
    }

    fn known(&self, name: &str) -> Option<Vec<u8>> {
        let scene = &self.scene;
        let text = match name {
            "target" => scene.target.clone(),
            "image" => scene.image.clone(),
            "member" => MEMBER.into(),
            "token" => scene.member.clone(),
            "owner" => scene.owner.clone(),
            "stranger" => scene.stranger.clone(),
            "put" => return Some(self.bytes("PUT «target» HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\n")),
            "get" => return Some(self.bytes("GET /v2/images HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\n")),
            "update" => return Some(self.bytes("«put»Content-Length: 22\r\n\r\n«json»")),
            "hidden" => return Some(self.hidden()),
            "#hidden" => self.hidden().len().to_string(),
            "#x:hidden" => format!("{:x}", self.hidden().len()),
            _ => return None,
        };
        Some(text.into_bytes())
    }

    fn hidden(&self) -> Vec<u8> {
        let head = "PUT «target»?hidden HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: «token»\r\n";
        self.bytes(&format!("{head}Content-Length: 22\r\n\r\n«json»"))
    }

    /// Asserts that the promises are kept; tries every case, whatever became of those before.
    pub async fn keep(&self, cases: Vec<Case>) {
        let mut broken = Vec::new();
        for case in &cases {
            if AssertUnwindSafe(self.check(case, Pieces::Whole)).catch_unwind().await.is_err() {
                broken.push(&case.name);
            }
        }
        assert!(broken.is_empty(), "not as promised: {broken:#?}");
    }

    /// Sends a case and asserts that its promise is kept.
    pub async fn check(&self, case: &Case, pieces: Pieces) {
        let what = format!("{} ({pieces:?})", case.name);
        self.gate.glance.clear();
        let bytes = self.bytes(&case.bytes);
        let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        let mut connection = Connection::open(self.gate.address).await;
        match pieces {
            Pieces::Whole => connection.try_send(&bytes).await,
            Pieces::CutAt(at) => {
                connection.try_send(&bytes[..at]).await;
                // an answer on another connection: time enough for the first piece to be read
                assert_eq!(self.gate.call("GET", "/healthcheck").send().await.status, 200);
                connection.try_send(&bytes[at..]).await;
            }
            Pieces::Bytewise => {
                for byte in &bytes {
                    connection.try_send([*byte]).await;
                    tokio::task::yield_now().await;
                }
            }
        }
        match &case.promise {
            Promise::Refused(reason) => {
                let reply = reply(&mut connection, method, &what).await;
                self.refused(&reply, reason, &what).await;
                // who is refused before the body is there is told that the connection ends
                if matches!(pieces, Pieces::Whole) {
                    assert_eq!(reply.header("connection"), None, "{what}");
                    self.goes_on(&mut connection, &what).await;
                }
                self.unseen(&what);
            }
            Promise::Ended(reason) => {
                let reply = reply(&mut connection, method, &what).await;
                self.refused(&reply, reason, &what).await;
                assert_eq!(reply.header("connection"), Some("close"), "{what}");
                assert!(connection.is_over().await, "{what}: there is a second answer");
                self.unseen(&what);
            }
            Promise::Judged(reason) => {
                let reply = reply(&mut connection, method, &what).await;
                self.refused(&reply, reason, &what).await;
                self.goes_on(&mut connection, &what).await;
                let seen = self.gate.seen();
                let look = self.scene.image_target();
                assert!(seen.iter().all(|seen| seen.method == "GET" && seen.target == look), "{what}: {seen:?}");
            }
            Promise::Disarmed(names) => {
                let reply = reply(&mut connection, method, &what).await;
                assert_eq!(reply.status, 200, "{what}: {}", reply.text());
                self.goes_on(&mut connection, &what).await;
                self.seen_updates(1, &what);
                let seen = self.gate.seen().pop().expect("the update");
                for name in names {
                    assert_eq!(seen.header(name), None, "{what}");
                }
            }
            Promise::Answers(steps) => self.answers(&mut connection, steps, &what).await,
        }
    }

    async fn answers(&self, connection: &mut Connection, steps: &[Step], what: &str) {
        let mut ended = false;
        for step in steps {
            match step {
                Step::Served | Step::Passed => {
                    let reply = reply(connection, "GET", what).await;
                    assert!(matches!(reply.status, 200 | 300), "{what}, {step:?}: {} {}", reply.status, reply.text());
                    assert!(reply.header("x-openstack-request-id").is_some(), "{what}");
                }
                Step::Refused(reason) => {
                    let reply = reply(connection, "GET", what).await;
                    self.refused(&reply, reason, what).await;
                    ended = reply.header("connection") == Some("close");
                }
                Step::Over => ended = true,
            }
        }
        if ended {
            assert!(connection.is_over().await, "{what}: there is one more answer");
        } else {
            self.goes_on(connection, what).await;
        }
        self.seen_updates(steps.iter().filter(|step| matches!(step, Step::Served)).count(), what);
    }

    /// Asserts that the answer is this refusal, in every respect that the harness knows.
    async fn refused(&self, reply: &Reply, reason: &str, what: &str) {
        let known = glance_gate::refusal::Refusal::ALL.iter().find(|known| known.reason() == reason);
        let status = known.expect("a known reason").status().as_u16();
        assert_eq!(reply.status, status, "{what}: {reason} expected, {}", reply.text());
        self.gate.expect_refusal(reply, reason).await;
    }

    /// Asserts that the connection is where the next request starts.
    async fn goes_on(&self, connection: &mut Connection, what: &str) {
        connection.try_send("GET /healthcheck HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n").await;
        let next = reply(connection, "GET", what).await;
        assert_eq!((next.status, next.text().as_str()), (200, "OK"), "{what}: the next answer");
        assert!(connection.is_over().await, "{what}: there is one more answer");
    }

    /// Asserts that Glance saw nothing.
    fn unseen(&self, what: &str) {
        let seen = self.gate.seen();
        assert!(seen.is_empty(), "{what}: Glance saw {seen:?}");
    }

    /// Asserts that Glance saw so many updates, and each of them as the gate spells it.
    fn seen_updates(&self, count: usize, what: &str) {
        let seen = self.gate.seen();
        assert_eq!(seen.iter().filter(|seen| seen.method == "PUT").count(), count, "{what}: {seen:?}");
        for seen in seen {
            assert!(!seen.target.contains("hidden"), "{what}: {seen:?}");
            assert_eq!(seen.header_values("x-auth-token").len(), 1, "{what}: {seen:?}");
            if seen.method == "PUT" {
                assert_eq!(seen.body_text(), CANONICAL, "{what}");
                assert_eq!(seen.header_values("content-length"), [CANONICAL.len().to_string()], "{what}");
                assert_eq!(seen.header_values("host"), ["gate"], "{what}");
                assert_eq!(seen.header_values("x-auth-token"), [self.scene.member.as_str()], "{what}");
                assert_eq!(seen.header("transfer-encoding"), None, "{what}");
            }
        }
    }
}

async fn reply(connection: &mut Connection, method: &str, what: &str) -> Reply {
    connection.try_reply(method).await.unwrap_or_else(|| panic!("{what}: no answer"))
}

/// Returns every hostile case of every table.
fn all() -> Vec<Case> {
    [
        crate::hostile_framing::cases(),
        crate::hostile_chunks::cases(),
        crate::hostile_lines::cases(),
        crate::hostile_targets::cases(),
        crate::hostile_identity::cases(),
        crate::hostile_bodies::cases(),
        crate::hostile_floods::cases(),
        crate::hostile_pipelines::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn hostile_requests_split_byte_by_byte_get_the_same_verdict() {
    run(async {
        let stage = Stage::new().await;
        // every eleventh, and none that takes a packet for each of a hundred thousand bytes
        for case in all().iter().step_by(11).filter(|case| stage.bytes(&case.bytes).len() < 2000) {
            stage.check(case, Pieces::Bytewise).await;
        }
    });
}

#[test]
fn there_are_two_hundred_hostile_requests_and_twenty_benign_ones() {
    let hostile = all();
    let names: HashSet<&str> = hostile.iter().map(|case| case.name.as_str()).collect();
    let bytes: HashSet<&str> = hostile.iter().map(|case| case.bytes.as_str()).collect();
    assert_eq!((names.len(), bytes.len()), (hostile.len(), hostile.len()), "each has a name and bytes of its own");
    let benign = crate::hostile_benign::cases();
    assert!(hostile.len() >= 200 && benign.len() >= 20, "{} hostile, {} benign", hostile.len(), benign.len());
}
