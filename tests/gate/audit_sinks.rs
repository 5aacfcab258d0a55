//! How audit events get to their sinks: files, syslogs and servers that take them, are away, are slow, or refuse.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use glance_gate::audit::amqp;
use glance_gate::audit::config::Events;
use glance_gate::audit::post;
use glance_gate::audit::syslog;
use glance_gate::audit::syslog::Server;
use glance_gate::config::Config;
use glance_gate::demo::answers::Answer;
use glance_gate::demo::listener::Answers;
use glance_gate::demo::listener::Bound;
use glance_gate::demo::listener::Broken;
use glance_gate::demo::listener::Serving;
use glance_gate::secret::Secret;
use http::Request;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::UdpSocket;
use tokio::net::UnixDatagram;

use crate::audit::events;
use crate::audit::to_file;
use crate::authority::Authority;
use crate::authority::Clients;
use crate::harness::DeadPort;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::Scene;

fn to_syslog(server: Server) -> impl FnOnce(&mut Config) {
    |config| {
        config.audit.events = Events::Guarded;
        config.audit.syslog = Some(syslog::Config { server, facility: 13 });
    }
}

fn to_server(url: String, batch: usize) -> impl FnOnce(&mut Config) {
    move |config| {
        config.audit.events = Events::Guarded;
        let token = Secret::new("planted-bearer".into());
        config.audit.post = Some(post::Config { url, token, timeout: Duration::from_secs(20), batch });
    }
}

async fn count(gate: &Gate, sink: &str, outcome: &str) -> u64 {
    let name = format!("glance_gate_audit_events_total{{sink=\"{sink}\",outcome=\"{outcome}\"}} ");
    gate.metrics().await.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

async fn wait_for(gate: &Gate, sink: &str, outcome: &str, value: u64) {
    let metric = format!("glance_gate_audit_events_total{{sink=\"{sink}\",outcome=\"{outcome}\"}}");
    gate.wait_for_metric(&metric, value).await;
}

async fn stop(gate: &mut Gate) {
    let app = gate.take_app();
    tokio::task::spawn_blocking(|| app.stop()).await.expect("no panic").expect("a clean end");
}

/// Reads a message of RFC 5424, and returns its priority and its event.
fn message(bytes: &[u8]) -> (u8, Value) {
    let text = std::str::from_utf8(bytes).expect("text");
    let (priority, rest) = text.strip_prefix('<').and_then(|text| text.split_once('>')).expect("a priority");
    let mut parts = rest.splitn(8, ' ');
    let mut part = || parts.next().expect("a part");
    assert_eq!(part(), "1");
    let stamp = part();
    let format = &time::format_description::well_known::Rfc3339;
    assert!(time::OffsetDateTime::parse(stamp, format).is_ok(), "{stamp}");
    assert!(!part().is_empty());
    assert_eq!((part(), part(), part(), part()), ("glance-gate", &*std::process::id().to_string(), "audit", "-"));
    (priority.parse().expect("a number"), serde_json::from_str(part()).expect("an event"))
}

/// Reads one frame of octet counting (RFC 6587 section 3.4.1).
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut length = String::new();
    loop {
        match stream.read_u8().await.expect("a byte") {
            b' ' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let mut message = vec![0; length.parse().expect("a length")];
    stream.read_exact(&mut message).await.expect("a whole message");
    message
}

#[test]
fn a_datagram_socket_gets_a_message_an_event() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let gate = Gate::start(to_syslog(Server::Unix(path))).await;
        let scene = Scene::new(&gate);
        let mut buffer = vec![0; 65536];
        for (call, priority, outcome) in [
            (scene.accept(&gate).token(&scene.member), 13 * 8 + 5, "success"),
            (scene.accept(&gate), 13 * 8 + 4, "failure"),
        ] {
            call.send().await;
            let length = socket.recv(&mut buffer).await.expect("a message");
            let (told, event) = message(&buffer[..length]);
            assert_eq!((told, &event["outcome"]), (priority, &Value::from(outcome)));
            assert_eq!(event["requestPath"], scene.target.as_str());
        }
        wait_for(&gate, "syslog", "written", 2).await;
    });
}

#[test]
fn udp_gets_a_datagram_an_event_and_what_is_too_long_for_one_is_counted() {
    run(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("an address").to_string();
        let gate = Gate::start(|config| {
            to_syslog(Server::Udp(address))(config);
            config.server.connection.max_head_bytes = 64 * 1024;
        })
        .await;
        let scene = Scene::new(&gate);
        let (long, agent) = ("x".repeat(60_000), "\"".repeat(4000));
        assert_eq!(gate.call("GET", &format!("/v2//{long}")).header("User-Agent", agent).send().await.status, 400);
        wait_for(&gate, "syslog", "failed", 1).await;
        scene.accept(&gate).token(&scene.member).send().await;
        let mut buffer = vec![0; 65536];
        let length = socket.recv(&mut buffer).await.expect("a message");
        assert_eq!(message(&buffer[..length]).1["outcome"], "success");
    });
}

#[test]
fn tcp_gets_counted_octets_and_a_server_that_comes_back_gets_all_that_waited() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let gate = Gate::start(to_syslog(Server::Tcp(address.to_string()))).await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert_eq!(message(&frame(&mut stream).await).1["outcome"], "success");
        wait_for(&gate, "syslog", "written", 1).await;
        drop((stream, listener));
        for _ in 0..3 {
            scene.accept(&gate).token(&scene.owner).send().await;
        }
        assert_eq!(count(&gate, "syslog", "lost").await, 0);
        let listener = TcpListener::bind(address).await.expect("the port again");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        for _ in 0..3 {
            assert_eq!(message(&frame(&mut stream).await).1["reason"]["policyId"], "owner_forbidden");
        }
        wait_for(&gate, "syslog", "written", 4).await;
    });
}

#[test]
fn tls_is_spoken_to_a_server_that_can_be_trusted() {
    run(async {
        let authority = Authority::new();
        let acceptor = authority.server("localhost", &[], Clients::Anybody);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let gate = Gate::start(|config| {
            to_syslog(Server::Tls(format!("localhost:{port}")))(config);
            config.audit.cafile = Some(authority.cafile());
        })
        .await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(stream).await.expect("a handshake");
        assert_eq!(message(&frame(&mut stream).await).1["outcome"], "success");
        wait_for(&gate, "syslog", "written", 1).await;
    });
}

#[test]
fn the_message_bus_is_spoken_to_through_tls_and_events_wait_until_it_answers() {
    run(async {
        let authority = Authority::new();
        let acceptor = authority.server("localhost", &[], Clients::Anybody);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let gate = Gate::start(|config| {
            config.audit.events = Events::Guarded;
            config.audit.cafile = Some(authority.cafile());
            config.audit.drain_timeout = Duration::from_millis(100);
            config.audit.amqp = Some(amqp::Config {
                server: amqp::Server::parse(&format!("amqps://localhost:{port}")).expect("a server"),
                username: "guest".into(),
                password: Secret::new("planted-password".into()),
                exchange: "glance".into(),
                topic: "notifications".into(),
                durable: false,
            });
        })
        .await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        // who hangs up in the middle of the handshake is asked again
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut stream = acceptor.accept(stream).await.expect("a handshake");
            let mut header = [0; 8];
            stream.read_exact(&mut header).await.expect("a protocol header");
            assert_eq!(&header, b"AMQP\0\0\x09\x01");
        }
        for outcome in ["written", "lost", "failed"] {
            assert_eq!(count(&gate, "amqp", outcome).await, 0, "{outcome}");
        }
    });
}

/// A server that takes events, and misbehaves when told to.
struct Auditor {
    serving: Serving,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What is answered, one after the other; 204 when there is no more. Zero is never.
    answers: Mutex<Vec<u16>>,
    bodies: Mutex<Vec<Value>>,
    attempts: Mutex<usize>,
}

impl Auditor {
    async fn start(answers: impl Into<Vec<u16>>) -> Self {
        let shared = Arc::new(Shared { answers: Mutex::new(answers.into()), ..Shared::default() });
        Self { serving: Bound::free().await.expect("a port").serve(shared.clone()), shared }
    }

    fn url(&self) -> String {
        format!("http://{}/events", self.serving.address())
    }

    fn bodies(&self) -> Vec<Value> {
        self.shared.bodies.lock().expect("no test has failed").clone()
    }

    fn attempts(&self) -> usize {
        *self.shared.attempts.lock().expect("no test has failed")
    }
}

impl Answers for Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Broken> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("the whole body").to_bytes();
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/events"));
        assert_eq!(
            (&head.headers["content-type"], &head.headers["authorization"]),
            (
                &http::HeaderValue::from_static("application/json"),
                &http::HeaderValue::from_static("Bearer planted-bearer")
            )
        );
        *self.attempts.lock().expect("no test has failed") += 1;
        let answer = {
            let mut answers = self.answers.lock().expect("no test has failed");
            if answers.is_empty() { 204 } else { answers.remove(0) }
        };
        if answer == 0 {
            std::future::pending::<()>().await;
        }
        if answer < 300 {
            let body = serde_json::from_slice(&body).expect("JSON");
            self.bodies.lock().expect("no test has failed").push(body);
        }
        Ok(Answer::empty(StatusCode::from_u16(answer).expect("a status")))
    }
}

#[test]
fn a_server_is_asked_again_until_it_takes_events_in_their_order() {
    run(async {
        let auditor = Auditor::start([503, 429, 401]).await;
        let gate = Gate::start(|config| {
            // of several, the one that ends first would be told first
            config.server.workers = 1;
            to_server(auditor.url(), 100)(config);
        })
        .await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        eventually("an attempt", || async { auditor.attempts() > 0 }).await;
        scene.accept(&gate).token(&scene.owner).send().await;
        scene.accept(&gate).send().await;
        wait_for(&gate, "http", "written", 3).await;
        let taken = auditor.bodies();
        assert!(taken.iter().all(Value::is_array));
        let codes: Vec<String> = taken
            .iter()
            .flat_map(|events| events.as_array().expect("an array"))
            .map(|event| event["reason"]["reasonCode"].as_str().expect("a code").to_owned())
            .collect();
        assert_eq!(codes, ["200", "403", "401"]);
        assert_eq!((count(&gate, "http", "lost").await, count(&gate, "http", "failed").await), (0, 0));
    });
}

#[test]
fn a_batch_of_one_goes_without_an_array_and_a_refused_one_is_counted() {
    run(async {
        let auditor = Auditor::start([400]).await;
        let gate = Gate::start(to_server(auditor.url(), 1)).await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        wait_for(&gate, "http", "failed", 1).await;
        scene.accept(&gate).token(&scene.owner).send().await;
        wait_for(&gate, "http", "written", 1).await;
        assert_eq!(auditor.bodies()[0]["reason"]["policyId"], "owner_forbidden");
    });
}

#[test]
fn a_sink_that_hangs_delays_no_request_and_no_other_sink_and_what_is_lost_is_counted() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("audit.jsonl");
        let auditor = Auditor::start([0; 100]).await;
        let gate = Gate::start(|config| {
            to_server(auditor.url(), 1)(config);
            to_file(config, Events::Guarded, &file);
            config.audit.queue_bytes = 16 * 1024;
        })
        .await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        eventually("it hangs", || async { auditor.attempts() > 0 }).await;
        for sent in 2..=40 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
            // one by one, so that only the server's own queue gets full
            events(&file, sent).await;
        }
        let lost = count(&gate, "http", "lost").await;
        assert!((10..39).contains(&lost), "{lost}");
        assert_eq!((count(&gate, "http", "written").await, count(&gate, "file", "lost").await), (0, 0));
        wait_for(&gate, "file", "written", 40).await;
    });
}

#[test]
fn the_end_of_the_gate_waits_for_the_last_events_but_not_for_a_sink_that_hangs() {
    run(async {
        let (good, hanging) = (Auditor::start([]).await, Auditor::start([0; 100]).await);
        for (auditor, expected) in [(&good, 3), (&hanging, 0)] {
            let mut gate = Gate::start(|config| {
                to_server(auditor.url(), 1)(config);
                config.audit.drain_timeout = Duration::from_millis(if expected == 0 { 100 } else { 10_000 });
            })
            .await;
            let scene = Scene::new(&gate);
            for _ in 0..3 {
                scene.accept(&gate).token(&scene.member).send().await;
            }
            stop(&mut gate).await;
            assert_eq!(auditor.bodies().len(), expected);
        }
    });
}

#[test]
fn a_reload_sends_what_comes_to_other_sinks_and_what_waits_to_the_old_ones() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("audit.jsonl");
        let (old, new) = (Auditor::start([503]).await, Auditor::start([]).await);
        let gate = Gate::start(to_server(old.url(), 1)).await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        eventually("an attempt", || async { old.attempts() > 0 }).await;
        gate.reload(|config| {
            to_server(new.url(), 1)(config);
            to_file(config, Events::Guarded, &file);
        })
        .await
        .expect("a good reload");
        scene.accept(&gate).token(&scene.owner).send().await;
        wait_for(&gate, "http", "written", 2).await;
        assert_eq!((old.bodies().len(), new.bodies().len()), (1, 1));
        // a file that was renamed is made anew
        events(&file, 1).await;
        std::fs::rename(&file, directory.path().join("moved")).expect("a move");
        gate.reload(|_| {}).await.expect("a good reload");
        scene.accept(&gate).token(&scene.owner).send().await;
        events(&file, 1).await;
        gate.reload(|config| config.audit.events = Events::Off).await.expect("a good reload");
        scene.accept(&gate).token(&scene.owner).send().await;
        wait_for(&gate, "http", "written", 3).await;
    });
}

#[test]
fn what_a_file_or_a_dead_server_does_not_take_is_counted_and_the_gate_starts() {
    run(async {
        let dead = DeadPort::new();
        let mut gate = Gate::start(|config| {
            to_server(dead.url(), 10)(config);
            to_file(config, Events::Guarded, std::path::Path::new("/nowhere/at/all"));
            config.audit.drain_timeout = Duration::from_millis(100);
        })
        .await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        wait_for(&gate, "file", "failed", 1).await;
        assert_eq!(count(&gate, "http", "written").await, 0);
        // the server's connection is refused at once, and the event waits for it
        assert_eq!(count(&gate, "http", "lost").await, 0);
        gate.reload(|config| config.audit.post = None).await.expect("a good reload");
        wait_for(&gate, "http", "lost", 1).await;
        stop(&mut gate).await;
    });
}
