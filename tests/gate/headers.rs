//! Hostile headers and framing, and benign ones that look like them.

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::Scene;

/// What is written between the request line and the end of the head, and the reason it is refused for.
const HOSTILE: [(&str, &str); 27] = [
    ("X_Auth_Token: t", "header_ambiguous"),
    ("X-Auth_Token: t", "header_ambiguous"),
    ("X_Roles: admin", "header_ambiguous"),
    ("X_Identity_Status: Confirmed", "header_ambiguous"),
    ("_: x", "header_ambiguous"),
    ("Content_Length: 0", "header_ambiguous"),
    ("Connection: X-Auth-Token", "header_ambiguous"),
    ("Connection: close, x-openstack-request-id", "header_ambiguous"),
    ("Connection: keep-alive, Content-Type", "header_ambiguous"),
    ("Accept: application/vnd.openstack.images-v2.1", "vendor_accept"),
    ("Accept: text/plain, application/VND.openstack.images-v1", "vendor_accept"),
    ("Content-Type: application/x-www-form-urlencoded", "form_body"),
    ("Content-Type: APPLICATION/X-WWW-FORM-URLENCODED; charset=UTF-8", "form_body"),
    ("Content-Type: multipart/form-data; boundary=x", "form_body"),
    ("Content-Type: text/plain\r\nContent-Type: multipart/mixed", "form_body"),
    ("Host: other", "request_malformed"),
    ("Transfer-Encoding: gzip, chunked", "request_malformed"),
    ("Transfer-Encoding: identity", "request_malformed"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "request_malformed"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 3", "request_malformed"),
    ("Transfer-Encoding: xchunked", "request_malformed"),
    ("Content-Length: 3\r\nContent-Length: 4", "request_malformed"),
    ("Content-Length: +3", "request_malformed"),
    ("Content-Length: -1", "request_malformed"),
    ("Content-Length: 0x3", "request_malformed"),
    ("X-Folded: a\r\n b", "request_malformed"),
    ("X-Blank : a", "request_malformed"),
];

#[test]
fn a_header_that_can_be_read_in_two_ways_is_not_forwarded() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for line in [format!("PUT {}", scene.target), "GET /v2/images".into(), "POST /v2/images".into()] {
            for (headers, reason) in HOSTILE {
                let head =
                    format!("{line} HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: {}\r\n{headers}\r\n\r\n", scene.member);
                let mut connection = Connection::open(gate.address).await;
                connection.send(head).await;
                let reply = connection.try_reply("PUT").await.unwrap_or_else(|| panic!("no answer: {headers}"));
                gate.expect_refusal(&reply, reason).await;
            }
        }
        gate.expect_unseen();
        assert_eq!(scene.status(&gate).as_deref(), Some("pending"));
    });
}

#[test]
fn bytes_that_are_no_header_end_the_connection() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for header in [
            "X-Null: a\0b",
            "X-Carriage: a\rb",
            "X-Escape: \u{1b}[2J",
            "No colon",
            ": no name",
            "X Blank: a",
            "X-Bare: a\nX-Next: b",
            "\u{fc}: a",
            "Content-Length: 1 1",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
        ] {
            let head = format!(
                "PUT {} HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: {}\r\n{header}\r\n\r\n{ACCEPT}",
                scene.target, scene.member
            );
            let mut connection = Connection::open(gate.address).await;
            connection.try_send(head).await;
            let status = connection.try_reply("PUT").await.map(|reply| reply.status);
            assert!(status.is_none_or(|status| status == 400), "{header:?}: {status:?}");
            assert!(connection.is_over().await, "{header:?}");
        }
        gate.expect_unseen();
    });
}

#[test]
fn a_request_hidden_in_a_body_stays_a_body() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let hidden = format!("PUT {} HTTP/1.1\r\nHost: gate\r\nX-Roles: admin\r\n\r\n", scene.target);
        // told by length and by chunks, refused and passed through
        let length = hidden.len();
        for (line, framing, body) in [
            ("GET /v2/images", format!("Content-Length: {length}"), hidden.clone()),
            ("GET /v2//images", format!("Content-Length: {length}"), hidden.clone()),
            ("GET /v2/images", "Transfer-Encoding: chunked".into(), format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n")),
            ("GET /v2//images", "Transfer-Encoding: chunked".into(), format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n")),
        ] {
            let mut connection = Connection::open(gate.address).await;
            let head = format!("{line} HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: {}\r\n{framing}\r\n\r\n", scene.member);
            let after = format!("GET /healthcheck HTTP/1.1\r\nHost: gate\r\nX-After: {framing}\r\n\r\n");
            connection.try_send(format!("{head}{body}{after}")).await;
            let first = connection.reply("GET").await;
            assert!(matches!(first.status, 200 | 400), "{line} {framing}: {}", first.status);
            // what follows is the next request or the end, never the hidden one
            if let Some(next) = connection.try_reply("GET").await {
                assert_eq!((next.status, next.text().as_str()), (200, "OK"), "{line} {framing}");
            }
        }
        assert_eq!(gate.seen().iter().filter(|seen| seen.method == "PUT").count(), 0);
    });
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let calls = [
            (scene.accept(&gate).token(&scene.member), 200),
            (scene.accept(&gate).token(&scene.owner), 403),
            (scene.accept(&gate), 401),
            (gate.call("GET", "/v2/images").token(&scene.member), 200),
            (gate.call("GET", "/healthcheck"), 200),
            (scene.accept(&gate).token(&scene.stranger), 404),
        ];
        let mut connection = Connection::open(gate.address).await;
        connection.send(calls.iter().flat_map(|(call, _)| call.bytes()).collect::<Vec<u8>>()).await;
        for (call, status) in calls {
            assert_eq!(connection.reply("PUT").await.status, status, "{call:?}");
        }
        assert_eq!(gate.count("PUT", &scene.target), 1);
    });
}

#[test]
fn benign_headers_pass_as_they_are() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let sent = [
            ("Accept", "application/json, text/*;q=0.1"),
            ("Accept-Encoding", "gzip"),
            ("Accept-Language", "de"),
            ("Authorization", "Basic eDp5"),
            ("Cookie", "a=b; c=d"),
            ("Content-Type", "application/octet-stream"),
            ("If-None-Match", "\"x\""),
            ("Range", "bytes=0-1"),
            ("Referer", "http://x/_method"),
            ("User-Agent", "python-glanceclient"),
            ("X-Image-Meta-Store", "a_b"),
            ("X-OpenStack-Image-Size", "1"),
            ("X-Trace-Info", "caf\u{e9}"),
            ("Vary", "x"),
            ("Origin", "https://horizon.example"),
        ];
        let mut call = gate.call("GET", "/v2/images").token(&scene.member);
        for (name, value) in sent {
            call = call.header(name, value);
        }
        assert_eq!(call.header("Connection", "Keep-Alive, TE").send().await.status, 200);
        let seen = gate.seen().pop().expect("the call");
        for (name, value) in sent {
            assert_eq!(seen.header_values(name), [value], "{name}");
        }
        assert_eq!(seen.header("connection"), None);
    });
}
