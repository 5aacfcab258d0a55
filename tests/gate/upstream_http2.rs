//! The gate as a client of HTTP/2: one connection for many, and what is sent again because it was not processed.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use glance_gate::client::transport::Protocol;
use glance_gate::config::Config;
use h2::Reason;
use h2::server::SendResponse;
use http::Request;
use http::Response;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use crate::authority::Authority;
use crate::authority::Clients;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scripted::Act;
use crate::scripted::Upstream;
use crate::scripted::ok;

const TARGET: &str = "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file";

/// What the upstream has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<(String, String, usize)>>,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Answer,
    /// Says that it has done nothing (RFC 9113 section 8.7).
    Refuse,
    /// Breaks the stream, and says nothing about what it has done.
    Break,
    /// Goes away without saying that it has done nothing.
    GoAway,
    /// Promises more than it sends.
    Truncate,
}

type Script = Arc<dyn Fn(usize) -> Deed + Send + Sync>;

/// Starts an upstream that does this with the request of that number; returns its URL.
async fn upstream(seen: &Arc<Seen>, script: impl Fn(usize) -> Deed + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (seen, script): (_, Script) = (seen.clone(), Arc::new(script));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, seen.clone(), script.clone()));
        }
    });
    url
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>, script: Script) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut is_new = true;
    while let Some(Ok((request, answer))) = connection.accept().await {
        if request.uri().path() == "/healthcheck" {
            tokio::spawn(respond(request, answer, seen.clone(), Deed::Answer));
            continue;
        }
        if std::mem::take(&mut is_new) {
            seen.connections.fetch_add(1, Ordering::Relaxed);
        }
        let number = {
            let mut requests = seen.requests.lock().expect("no test has failed");
            requests.push((request.method().to_string(), request.uri().to_string(), 0));
            requests.len() - 1
        };
        let deed = script(number);
        if deed == Deed::GoAway {
            // its last stream is this one, which it may have begun
            connection.abrupt_shutdown(Reason::NO_ERROR);
            continue;
        }
        tokio::spawn(respond(request, answer, seen.clone(), deed));
    }
}

async fn respond(request: Request<h2::RecvStream>, mut answer: SendResponse<Bytes>, seen: Arc<Seen>, deed: Deed) {
    let (head, mut body) = request.into_parts();
    let response = Response::new(());
    match deed {
        Deed::Refuse => return answer.send_reset(Reason::REFUSED_STREAM),
        Deed::Break => return answer.send_reset(Reason::INTERNAL_ERROR),
        Deed::Truncate => {
            let mut data = answer.send_response(response, false).expect("a stream");
            data.send_data("begin".into(), false).expect("a stream");
            return data.send_reset(Reason::INTERNAL_ERROR);
        }
        Deed::Answer | Deed::GoAway => {}
    }
    let mut length = 0;
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return };
        length += data.len();
        drop(body.flow_control().release_capacity(data.len()));
    }
    let uri = head.uri.to_string();
    if let Some(entry) = seen.requests.lock().expect("no test has failed").iter_mut().find(|entry| entry.1 == uri) {
        entry.2 += length;
    }
    let mut data = answer.send_response(response, false).expect("a stream");
    data.send_data("here".into(), true).expect("a stream");
}

async fn start(url: String, adjust: impl FnOnce(&mut Config)) -> Gate {
    Gate::start(|config| {
        config.upstream.servers = vec![url];
        config.upstream.transport.protocol = Protocol::Http2;
        config.server.workers = 1;
        adjust(config);
    })
    .await
}

#[test]
fn many_exchanges_share_one_connection() {
    run(async {
        let seen = Arc::<Seen>::default();
        let gate = start(upstream(&seen, |_| Deed::Answer).await, |_| {}).await;
        let calls = (0..20).map(|number| {
            let call = gate.call("PUT", &format!("{TARGET}?{number}")).header("Host", "glance.example.org");
            call.body(vec![7; 200_000]).send()
        });
        for reply in futures_util::future::join_all(calls).await {
            assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (200, "here", true));
        }
        assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
        let requests = seen.requests.lock().expect("no test has failed").clone();
        assert_eq!(requests.len(), 20);
        for (method, uri, length) in requests {
            assert_eq!((method.as_str(), length), ("PUT", 200_000));
            assert!(uri.starts_with(&format!("http://glance.example.org{TARGET}?")), "{uri}");
        }
        assert_eq!(gate.admin("/readyz").await.status, 200);
    });
}

#[test]
fn what_was_refused_is_sent_again() {
    run(async {
        let seen = Arc::<Seen>::default();
        let script = |number| if number == 1 { Deed::Refuse } else { Deed::Answer };
        let gate = start(upstream(&seen, script).await, |_| {}).await;
        for number in 0..3 {
            let reply = gate.call("PUT", &format!("{TARGET}?{number}")).send().await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "here"));
        }
        assert_eq!(seen.requests.lock().expect("no test has failed").len(), 4);
    });
}

/// Speaks just enough to say, once a request is there, that it was not processed: `GOAWAY` with the last stream 0.
async fn go_away(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        // a frame of headers
        if header[3] == 1 {
            break;
        }
    }
    stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await
}

#[test]
fn what_an_upstream_that_goes_away_has_not_processed_is_sent_on_a_new_connection() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Seen>::default();
        let (there, script): (_, Script) = (seen.clone(), Arc::new(|_| Deed::Answer));
        tokio::spawn(async move {
            let mut held = None;
            while let Ok((mut stream, _)) = listener.accept().await {
                if held.is_some() {
                    tokio::spawn(serve(stream, there.clone(), script.clone()));
                } else if go_away(&mut stream).await.is_ok() {
                    held = Some(stream);
                }
            }
        });
        let gate = start(url, |config| config.upstream.health_check_path = String::new()).await;
        let reply = gate.call("PUT", TARGET).send().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "here"));
        assert_eq!(seen.requests.lock().expect("no test has failed").len(), 1);
    });
}

#[test]
fn what_may_have_been_processed_is_not_sent_again() {
    run(async {
        for deed in [Deed::Break, Deed::GoAway] {
            let seen = Arc::<Seen>::default();
            let gate = start(upstream(&seen, move |_| deed).await, |_| {}).await;
            for call in [gate.call("PUT", TARGET), gate.call("GET", TARGET)] {
                let reply = call.send().await;
                assert_eq!(reply.status, 503, "{deed:?}");
                gate.expect_refusal(&reply, "upstream_unavailable").await;
            }
            assert_eq!(seen.requests.lock().expect("no test has failed").len(), 2, "{deed:?}");
        }
    });
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    run(async {
        let seen = Arc::<Seen>::default();
        let gate = start(upstream(&seen, |_| Deed::Truncate).await, |_| {}).await;
        let reply = gate.call("GET", TARGET).try_send().await;
        assert!(reply.is_none_or(|reply| !reply.is_whole || reply.status == 503));
    });
}

#[test]
fn an_upstream_that_does_not_know_it_is_told_in_its_own_words() {
    run(async {
        // without TLS nothing is agreed on, so an upstream that speaks HTTP/1.1 alone can not be spoken to
        let upstream = Upstream::start(|_| Act::Answer(ok("here"))).await;
        let gate = start(upstream.url.clone(), |_| {}).await;
        assert_eq!(gate.call("GET", TARGET).send().await.status, 503);
        // with TLS it chooses
        let authority = Authority::new();
        for protocols in [&["http/1.1"][..], &[]] {
            let tls = authority.server("127.0.0.1", protocols, Clients::Anybody);
            let upstream = Upstream::start_secured(tls, |_| Act::Answer(ok("here"))).await;
            let adjust = |config: &mut Config| config.upstream.transport.cafile = Some(authority.cafile());
            let gate = start(upstream.url.clone(), adjust).await;
            for _ in 0..3 {
                assert_eq!(gate.call("GET", TARGET).send().await.text(), "here");
            }
            assert_eq!(upstream.connections(), [1, 1, 1]);
        }
    });
}

#[test]
fn an_upstream_behind_tls_may_choose_it() {
    run(async {
        let authority = Authority::new();
        let tls = authority.server("127.0.0.1", &["h2", "http/1.1"], Clients::Anybody);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Seen>::default();
        let (there, script): (_, Script) = (seen.clone(), Arc::new(|_| Deed::Answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = tls.accept(stream).await {
                    tokio::spawn(serve(stream, there.clone(), script.clone()));
                }
            }
        });
        let gate = start(url, |config| config.upstream.transport.cafile = Some(authority.cafile())).await;
        for _ in 0..3 {
            assert_eq!(gate.call("GET", TARGET).send().await.text(), "here");
        }
        assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
        let uri = seen.requests.lock().expect("no test has failed")[0].1.clone();
        assert!(uri.starts_with("https://"), "{uri}");
    });
}

#[test]
fn a_client_that_hangs_up_aborts_its_upload() {
    run(async {
        let seen = Arc::<Seen>::default();
        let gate = start(upstream(&seen, |_| Deed::Answer).await, |_| {}).await;
        let mut connection = crate::client::Connection::open(gate.address).await;
        connection.send(format!("PUT {TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789")).await;
        eventually("the request is there", || async { !seen.requests.lock().expect("no failure").is_empty() }).await;
        drop(connection);
        gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
        assert_eq!(gate.call("GET", "/v2/images").send().await.text(), "here");
        assert_eq!(seen.requests.lock().expect("no test has failed")[0].2, 0, "half an image must not look whole");
    });
}
