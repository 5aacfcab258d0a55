//! The gate as a client of HTTP/1.1: connections that are kept and those that must not be, what is sent twice and what
//! never is, and answers of every framing.

use std::time::Duration;

use glance_gate::config::Config;

use crate::client::Connection;
use crate::client::Reply;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scripted::Act;
use crate::scripted::Arrived;
use crate::scripted::Upstream;
use crate::scripted::ok;

/// Starts a gate with one worker before an upstream that does this.
async fn start(script: impl Fn(&Arrived) -> Act + Send + Sync + 'static) -> (Gate, Upstream) {
    start_with(script, |_| {}).await
}

async fn start_with(
    script: impl Fn(&Arrived) -> Act + Send + Sync + 'static,
    adjust: impl FnOnce(&mut Config),
) -> (Gate, Upstream) {
    let upstream = Upstream::start(script).await;
    let url = upstream.url.clone();
    let gate = Gate::start(|config| {
        config.upstream.servers = vec![url];
        config.server.workers = 1;
        adjust(config);
    })
    .await;
    (gate, upstream)
}

async fn list(gate: &Gate) -> Reply {
    gate.call("GET", "/v2/images").send().await
}

async fn upload(gate: &Gate, length: usize) -> Option<Reply> {
    let call = gate.call("PUT", "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file");
    call.header("Content-Type", "application/octet-stream").body(vec![7; length]).try_send().await
}

#[test]
fn one_connection_carries_one_exchange_after_the_other() {
    run(async {
        let (gate, upstream) = start(|arrived| {
            let is_head = arrived.head.starts_with("HEAD");
            Act::Answer(if is_head { ok("").replace(": 0", ": 99") } else { ok("here") })
        })
        .await;
        for _ in 0..3 {
            assert_eq!(list(&gate).await.text(), "here");
            assert_eq!(upload(&gate, 100_000).await.map(|reply| reply.status), Some(200));
            let reply = gate.call("HEAD", "/v2/images").send().await;
            assert_eq!((reply.status, reply.header("content-length")), (200, Some("99")));
        }
        assert_eq!(upstream.connections(), [1; 9]);
        assert_eq!(upstream.arrived()[1].body_length, 100_000);
    });
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_is_replaced() {
    run(async {
        let (gate, upstream) = start(|_| Act::AnswerAndClose(ok("here"))).await;
        for number in 1..=4 {
            assert_eq!(upload(&gate, 10).await.map(|reply| reply.status), Some(200));
            eventually("the upstream has closed", || async { upstream.closed() >= number }).await;
        }
        assert_eq!(upstream.connections(), [1, 2, 3, 4]);
    });
}

/// Answers the first request on the first connection, and closes after every other without a word.
fn once(arrived: &Arrived, seen: &std::sync::atomic::AtomicUsize) -> Act {
    let is_first = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
    let is_again = arrived.connection > 1 && arrived.head.starts_with("GET /again");
    if is_first || is_again { Act::Answer(ok("here")) } else { Act::Close }
}

#[test]
fn a_safe_request_that_a_kept_connection_lost_is_sent_once_more() {
    run(async {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let (gate, upstream) = start(move |arrived| once(arrived, &seen)).await;
        assert_eq!(list(&gate).await.status, 200);
        assert_eq!(gate.call("GET", "/again").send().await.text(), "here");
        assert_eq!(upstream.connections(), [1, 1, 2]);
        // the second try is the last
        let reply = list(&gate).await;
        assert_eq!(reply.status, 503);
        gate.expect_refusal(&reply, "upstream_unavailable").await;
        assert_eq!(upstream.connections(), [1, 1, 2, 2, 3]);
        // and one on a connection of its own is the only one
        assert_eq!(list(&gate).await.status, 503);
        assert_eq!(upstream.connections(), [1, 1, 2, 2, 3, 4]);
    });
}

#[test]
fn a_request_that_may_have_been_carried_out_is_never_sent_twice() {
    run(async {
        for method in ["PUT", "POST", "PATCH", "DELETE"] {
            let seen = std::sync::atomic::AtomicUsize::new(0);
            let (gate, upstream) = start(move |arrived| once(arrived, &seen)).await;
            assert_eq!(list(&gate).await.status, 200);
            let call = gate.call(method, "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/tags/a");
            let reply = if method == "DELETE" { call.send().await } else { call.json("{}").send().await };
            assert_eq!(reply.status, 503, "{method}");
            gate.expect_refusal(&reply, "upstream_unavailable").await;
            assert_eq!(upstream.connections(), [1, 1], "{method}");
        }
    });
}

#[test]
fn an_answer_that_comes_before_the_end_of_an_upload_is_heard() {
    run(async {
        let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
        let (gate, upstream) =
            start(
                move |arrived| {
                    if arrived.head.starts_with("PUT") { Act::Early(refusal.into()) } else { Act::Answer(ok("here")) }
                },
            )
            .await;
        for length in [100, 3_000_000] {
            let reply = upload(&gate, length).await.expect("an answer");
            assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (413, "large", true), "{length}");
            assert_eq!(
                list(&gate).await.text(),
                "here",
                "the connection of an upload that was cut off is not used again"
            );
        }
        assert_eq!(upstream.connections().len(), 4);
    });
}

#[test]
fn an_upload_goes_on_while_a_good_answer_begins() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        for (begin, rest) in
            [(head.to_owned(), "0123456789"), (format!("{head}01234"), "56789"), (format!("{head}0123456789"), "")]
        {
            let (gate, upstream) = start(move |_| Act::Meanwhile(begin.clone(), rest.into())).await;
            let reply = upload(&gate, 3_000_000).await.expect("an answer");
            assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (200, "0123456789", true));
            eventually("all is there", || async { upstream.arrived()[0].body_length == 3_000_000 }).await;
        }
    });
}

#[test]
fn interim_answers_are_not_the_answer() {
    run(async {
        let (gate, upstream) = start(|arrived| {
            let count = if arrived.head.starts_with("GET /many") { 17 } else { 16 };
            Act::Answer("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".repeat(count) + &ok("here"))
        })
        .await;
        let reply = list(&gate).await;
        assert_eq!((reply.status, reply.text().as_str(), reply.header("link")), (200, "here", None));
        let reply = gate.call("GET", "/many").send().await;
        gate.expect_refusal(&reply, "upstream_garbled").await;
        assert_eq!(upstream.connections(), [1, 1]);
    });
}

#[test]
fn chunks_pass_whole_and_trailers_do_not() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let whole = format!("{head}5;a=b\r\n01234\r\n5\r\n56789\r\n0\r\nX-Roles: admin\r\n\r\n");
        for act in [Act::Answer(whole.clone()), Act::Trickle(whole)] {
            let (gate, upstream) = start(move |_| act.clone()).await;
            for _ in 0..2 {
                let reply = list(&gate).await;
                assert_eq!((reply.text().as_str(), reply.is_whole), ("0123456789", true));
            }
            assert_eq!(upstream.connections(), [1, 1]);
        }
        for rest in
            ["5\r\n01234\r\n5 \r\n56789\r\n0\r\n\r\n", "5\r\n01234\n", "5\r\n01234\r\n", "5\r\n01234\r\n9\r\n5678"]
        {
            let answer = format!("{head}{rest}");
            let (gate, _upstream) = start(move |_| Act::AnswerAndClose(answer.clone())).await;
            let reply = gate.call("GET", "/v2/images").try_send().await;
            assert!(reply.is_none_or(|reply| !reply.is_whole), "{rest:?}");
        }
    });
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    run(async {
        for head in
            ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"]
        {
            let (gate, upstream) = start(move |_| Act::AnswerAndClose(format!("{head}to the end"))).await;
            for _ in 0..2 {
                let reply = list(&gate).await;
                assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (200, "to the end", true), "{head}");
            }
            assert_eq!(upstream.connections(), [1, 2]);
        }
    });
}

#[test]
fn an_answer_that_ends_before_its_length_does_not_look_whole() {
    run(async {
        let (gate, _upstream) = start(|_| Act::AnswerAndClose(ok("0123456789").replace(": 10", ": 11"))).await;
        let reply = gate.call("GET", "/v2/images").try_send().await;
        assert!(reply.is_none_or(|reply| !reply.is_whole));
    });
}

#[test]
fn a_connection_that_is_not_to_be_kept_is_not() {
    run(async {
        for (answer, connections) in [
            (ok("here").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), [1, 2]),
            (ok("here").replace("HTTP/1.1", "HTTP/1.0"), [1, 2]),
            (
                ok("here").replace("HTTP/1.1", "HTTP/1.0").replace("\r\n\r\n", "\r\nConnection: Keep-Alive\r\n\r\n"),
                [1, 1],
            ),
            // what nobody asked for is nobody's answer
            (ok("here") + &ok("evil"), [1, 2]),
        ] {
            let (gate, upstream) = start(move |_| Act::Answer(answer.clone())).await;
            for _ in 0..2 {
                assert_eq!(list(&gate).await.text(), "here");
            }
            assert_eq!(upstream.connections(), connections);
        }
    });
}

#[test]
fn a_head_may_come_byte_by_byte() {
    run(async {
        let (gate, upstream) = start(|_| Act::Trickle(ok("here"))).await;
        for _ in 0..2 {
            assert_eq!(list(&gate).await.text(), "here");
        }
        assert_eq!(upstream.connections(), [1, 1]);
    });
}

#[test]
fn an_answer_with_more_than_one_reading_is_garbled() {
    run(async {
        let chunks = "5\r\n01234\r\n0\r\n\r\n";
        for answer in [
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{chunks}"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{chunks}"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded\r\n\r\n01234".into(),
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n01234".into(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n".into(),
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(129)),
        ] {
            let text = answer[..answer.len().min(120)].to_owned();
            let (gate, _upstream) = start(move |_| Act::Answer(answer.clone())).await;
            let reply = list(&gate).await;
            assert_eq!(reply.status, 502, "{text:?}");
            gate.expect_refusal(&reply, "upstream_garbled").await;
        }
    });
}

#[test]
fn an_upstream_that_takes_nothing_is_given_up() {
    run(async {
        let adjust = |config: &mut Config| config.upstream.connections.idle_timeout = Duration::from_millis(300);
        let (gate, _upstream) = start_with(|_| Act::Stall, adjust).await;
        let mut connection = Connection::open(gate.address).await;
        let target = "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file";
        connection.send(format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")).await;
        // more than all buffers on the way can hold
        connection.try_send(vec![7; 64 * 1024 * 1024]).await;
        let reply = connection.reply("PUT").await;
        assert_eq!(reply.status, 503);
        gate.expect_refusal(&reply, "upstream_unavailable").await;
    });
}

#[test]
fn a_client_that_hangs_up_takes_its_connection_to_the_upstream_along() {
    run(async {
        let (gate, upstream) =
            start(|arrived| if arrived.head.starts_with("GET /slow") { Act::Stall } else { Act::Answer(ok("here")) })
                .await;
        assert_eq!(list(&gate).await.status, 200);
        let mut connection = Connection::open(gate.address).await;
        connection.send(gate.call("GET", "/slow").bytes()).await;
        eventually("the request is there", || async { upstream.arrived().len() == 2 }).await;
        drop(connection);
        gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
        assert_eq!(list(&gate).await.text(), "here");
        assert_eq!(upstream.connections(), [1, 1, 2]);
    });
}
