//! Long bodies in the clear are moved from socket to socket by the kernel, others are copied: nobody can tell which, and
//! what stops half way ends in the same way.

use std::time::Duration;

use glance_gate::config::Config;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::authority::Authority;
use crate::authority::Clients;
use crate::client::Call;
use crate::client::Connection;
use crate::client::Reply;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scripted::Act;
use crate::scripted::Arrived;
use crate::scripted::Upstream;
use crate::scripted::ok;

const FILE: &str = "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file";

/// Returns text that repeats nowhere near a power of two.
fn text(length: usize) -> String {
    "0123456789abcdefghijklmnopqrstuvwxyz.".chars().cycle().take(length).collect()
}

/// Returns an answer whose body lacks its end.
fn cut(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 500_000)
}

/// Starts two gates before upstreams that do this: one that can move bodies, and one whose upstream speaks TLS.
async fn both(
    script: impl Fn(&Arrived) -> Act + Clone + Send + Sync + 'static,
    adjust: impl Fn(&mut Config),
) -> (Authority, [(Gate, Upstream); 2]) {
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1", &[], Clients::Anybody);
    let start = async |upstream: Upstream| {
        let (url, cafile) = (upstream.url.clone(), authority.cafile());
        let gate = Gate::start(|config| {
            config.upstream.servers = vec![url];
            config.upstream.transport.cafile = Some(cafile);
            config.server.workers = 1;
            adjust(config);
        });
        (gate.await, upstream)
    };
    let moves = start(Upstream::start(script.clone()).await).await;
    let copies = start(Upstream::start_secured(tls, script).await).await;
    (authority, [moves, copies])
}

/// Leaves out what differs between any two requests.
fn comparable(reply: &Reply) -> Vec<(String, String)> {
    let differs = |name: &str| name == "date" || name == "x-openstack-request-id";
    reply.headers.iter().filter(|(name, _)| !differs(name)).cloned().collect()
}

fn put(length: usize) -> String {
    format!(
        "PUT {FILE} HTTP/1.1\r\nHost: glance\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn get() -> String {
    format!("GET {FILE} HTTP/1.1\r\nHost: glance\r\n\r\n")
}

#[test]
fn what_is_moved_is_what_would_be_copied() {
    run(async {
        let image = text(3_000_007);
        let body = image.clone();
        let script = move |arrived: &Arrived| {
            Act::Answer(if arrived.head.starts_with("GET") { ok(&body) } else { ok("stored") })
        };
        let mut seen = Vec::new();
        let (_authority, gates) = both(script, |_| {}).await;
        for (gate, upstream) in gates {
            let mut connection = Connection::open(gate.address).await;
            // what stands behind a body is the next request, and not a byte of it is moved along
            connection.send(format!("{}{image}{}{}", put(image.len()), get(), get())).await;
            let replies = [connection.reply("PUT").await, connection.reply("GET").await, connection.reply("GET").await];
            assert_eq!(replies[0].text(), "stored");
            for reply in &replies[1..] {
                assert!(reply.is_whole && reply.text() == image);
            }
            connection.send(get()).await;
            assert!(connection.reply("GET").await.text() == image);
            assert_eq!(upstream.connections(), [1; 4], "each exchange leaves its connection as it was");
            assert_eq!(upstream.arrived()[0].body_length, image.len());
            let heads = upstream.arrived().into_iter().map(|arrived| {
                let lines = arrived.head.lines().filter(|line| !line.starts_with("x-openstack-request-id"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            });
            let headers = replies.iter().map(comparable).collect::<Vec<_>>();
            seen.push((heads.collect::<Vec<_>>(), headers));
        }
        assert_eq!(seen[0], seen[1]);
    });
}

#[test]
fn a_client_that_waits_for_a_100_gets_one_before_its_long_body() {
    run(async {
        let (_authority, gates) = both(|_: &Arrived| Act::Answer(ok("stored")), |_| {}).await;
        for (gate, upstream) in gates {
            let mut stream = TcpStream::connect(gate.address).await.expect("the gate takes connections");
            let head = put(1_000_000).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("the gate reads");
            let mut interim = [0; 25];
            stream.read_exact(&mut interim).await.expect("an interim answer");
            assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
            let mut connection = Connection::over(stream);
            connection.send(text(1_000_000)).await;
            assert_eq!(connection.reply("PUT").await.text(), "stored");
            assert_eq!(upstream.arrived()[0].body_length, 1_000_000);
        }
    });
}

#[test]
fn bodies_are_moved_both_ways_at_once() {
    run(async {
        let (begin, rest) = (text(1_000_000), text(2_000_000));
        let begin = format!("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{begin}");
        let script = move |_: &Arrived| Act::Meanwhile(begin.clone(), rest.clone());
        let (_authority, gates) = both(script, |_| {}).await;
        for (gate, upstream) in gates {
            for _ in 0..2 {
                let call = gate.call("PUT", FILE).header("Content-Type", "application/octet-stream");
                let reply = call.body(text(3_000_000)).send().await;
                assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, 3_000_000));
                assert!(reply.text() == text(1_000_000) + &text(2_000_000));
            }
            assert_eq!(upstream.connections(), [1, 1]);
            assert!(upstream.arrived().iter().all(|arrived| arrived.body_length == 3_000_000));
        }
    });
}

#[test]
fn an_answer_that_is_cut_off_or_pauses_too_long_never_looks_whole() {
    run(async {
        let body = text(1_000_000);
        for act in [Act::AnswerAndClose(cut(&body)), Act::Begin(cut(&body))] {
            let script = move |_: &Arrived| act.clone();
            let adjust = |config: &mut Config| config.upstream.connections.idle_timeout = Duration::from_millis(300);
            let (_authority, gates) = both(script, adjust).await;
            for (gate, upstream) in gates {
                for _ in 0..2 {
                    let mut connection = Connection::open(gate.address).await;
                    connection.send(get()).await;
                    let reply = connection.reply("GET").await;
                    assert_eq!((reply.status, reply.is_whole), (200, false));
                    assert_eq!(reply.header("content-length"), Some("1500000"));
                    assert!(body.starts_with(&reply.text()));
                    assert!(connection.is_over().await, "nothing stands for what is missing");
                }
                assert_eq!(upstream.connections(), [1, 2]);
            }
        }
    });
}

#[test]
fn an_upload_that_is_cut_off_or_pauses_too_long_never_looks_whole() {
    run(async {
        let script = |_: &Arrived| Act::Answer(ok("stored"));
        let adjust = |config: &mut Config| config.server.connection.client_idle_timeout = Duration::from_millis(300);
        let (_authority, gates) = both(script, adjust).await;
        for (gate, upstream) in gates {
            for is_left in [true, false] {
                let mut connection = Connection::open(gate.address).await;
                connection.send(format!("{}{}", put(2_000_000), text(1_500_000))).await;
                if is_left {
                    drop(connection);
                } else if let Some(reply) = connection.try_reply("PUT").await {
                    assert_eq!(reply.status, 400, "{}", reply.text());
                    assert!(connection.is_over().await);
                }
                gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
            }
            eventually("both connections are closed", || async { upstream.closed() >= 2 }).await;
            assert!(upstream.arrived().iter().all(|arrived| arrived.body_length == 0), "half a body is none");
            let reply = gate.call("PUT", FILE).body(text(1_000_000)).send().await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "stored"));
            assert_eq!(upstream.connections(), [1, 2, 3]);
        }
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    run(async {
        // more than all buffers on the way can hold
        let answer = ok(&text(64 * 1024 * 1024));
        let script = move |_: &Arrived| Act::Answer(answer.clone());
        let adjust = |config: &mut Config| config.server.connection.write_timeout = Duration::from_millis(300);
        let (_authority, gates) = both(script, adjust).await;
        for (gate, upstream) in gates {
            let mut connection = Connection::open(gate.address).await;
            connection.send(get()).await;
            eventually("the download is under way", || async { upstream.arrived().len() == 1 }).await;
            gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
            eventually("the upstream is let go", || async { upstream.closed() >= 1 }).await;
            let reply = connection.reply("GET").await;
            assert!(!reply.is_whole && reply.body.len() < 64 * 1024 * 1024);
        }
    });
}

#[test]
fn the_log_counts_what_was_moved() {
    run(async {
        let (keystone, _glance) = neighbours().await;
        let body = text(1_000_000);
        let upstream = Upstream::start(move |arrived| {
            if arrived.head.starts_with("GET /cut") { Act::AnswerAndClose(cut(&body)) } else { Act::Answer(ok(&body)) }
        })
        .await;
        let directory = Directory::new();
        let config = directory.write(
            "gate.toml",
            &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \
                 \"json\"\n[keystone_authtoken]\nauth_url = \"{}\"\npassword = \"x\"\n[upstream]\nservers = [\"{}\"]\n",
                keystone.url(),
                upstream.url,
            ),
        );
        let (process, address, _admin) = Process::serve(&config, &[]).await;
        assert!(Call::new(address, "GET", "/whole").send().await.is_whole);
        assert!(!Call::new(address, "GET", "/cut").send().await.is_whole);
        let put = Call::new(address, "PUT", FILE).body(text(2_000_000)).send().await;
        assert_eq!((put.status, put.body.len()), (200, 1_000_000));
        let ended = process.terminate().await;
        let lines = ended.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = lines.filter(|line| line["message"] == "request").map(|line| {
            let path = line["http.path"].as_str().expect("a path").to_owned();
            (path, line["bytes_out"].as_u64(), line["whole"].as_bool())
        });
        let mut told = told.collect::<Vec<_>>();
        told.sort();
        let expected = [("/cut", false), (FILE, true), ("/whole", true)]
            .map(|(path, whole)| (path.to_owned(), Some(1_000_000), Some(whole)));
        assert_eq!(told, expected);
    });
}
