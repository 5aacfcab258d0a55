//! HTTP/2: the same calls, the same refusals, streams that end whole.

use std::time::Duration;

use bytes::Bytes;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::server::tls;
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::certificates::Client;
use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::http2_client::Http2;
use crate::http2_client::read;
use crate::scene::ACCEPT;
use crate::scene::CANONICAL;
use crate::scene::OWNER;
use crate::scene::Scene;

fn update(client: &Http2, scene: &Scene, token: &str) -> http::request::Builder {
    client.request("PUT", &scene.target).header("x-auth-token", token).header("accept", "application/json")
}

#[test]
fn a_permitted_update_is_forwarded_as_from_http_1_1() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let client = Http2::open(gate.address).await;
        let request = update(&client, &scene, &scene.member).header("content-type", "application/json");
        let request = request.header("cookie", "a=b").header("cookie", "c=d").header("te", "trailers");
        let reply = client.send(request, ACCEPT.as_bytes()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.header("date").is_some() && reply.header("x-openstack-request-id").is_some());
        assert_eq!(scene.status(&gate).as_deref(), Some("accepted"));
        let seen = gate.seen().pop().expect("the update");
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", scene.target.as_str()));
        assert_eq!(seen.body_text(), CANONICAL);
        assert_eq!(seen.header_values("host"), [gate.address.to_string()]);
        assert_eq!(seen.header_values("cookie"), ["a=b; c=d"]);
        assert_eq!(seen.header_values("content-length"), [CANONICAL.len().to_string()]);
        assert_eq!((seen.header("te"), seen.header("transfer-encoding")), (None, None));
    });
}

#[test]
fn refusals_are_the_same_and_leave_the_connection_open() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let client = Http2::open(gate.address).await;
        let json = |token: &str| update(&client, &scene, token).header("content-type", "application/json");
        for (request, body, reason) in [
            (client.request("PUT", &scene.target), ACCEPT, "token_missing"),
            (json(&scene.owner), ACCEPT, "owner_forbidden"),
            (json(&scene.stranger), ACCEPT, "image_not_found"),
            (json(&scene.member), "{", "body_malformed"),
            (client.request("PUT", "/v2//images"), "", "target_ambiguous"),
            (client.request("GET", "/v2/images?_method=PUT"), "", "target_ambiguous"),
            (client.request("GET", "/v2/images").header("x_roles", "admin"), "", "header_ambiguous"),
            (client.request("TRACE", "/v2/images"), "", "method_unsupported"),
            (
                client.request("GET", "/v2/images").header("x-token", "a").header("host", "other"),
                "",
                "request_malformed",
            ),
            (client.request("GET", "/v2/images").header("x-blank", " a"), "", "request_malformed"),
            (client.request("POST", "/v2/images").header("content-length", "03"), "abc", "request_malformed"),
            (client.request("GET", "/v2/images").header("x-long", "a".repeat(70_000)), "", "head_too_large"),
        ] {
            let reply = client.send(request, body.as_bytes()).await;
            gate.expect_refusal(&reply, reason).await;
            assert_eq!(reply.header("connection"), None, "{reason}");
        }
        let many =
            (0..95).fold(client.request("GET", "/v2/images"), |request, at| request.header(format!("x-{at}"), "1"));
        gate.expect_refusal(&client.send(many, b"").await, "head_too_large").await;
        assert!(gate.seen().iter().all(|seen| seen.target == scene.image_target()), "only the owner was asked for");
        assert!(!client.ended.is_finished());
        assert_eq!(client.send(json(&scene.member), ACCEPT.as_bytes()).await.status, 200);
    });
}

#[test]
fn an_answer_to_head_has_no_body() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let client = Http2::open(gate.address).await;
        let (answer, _) = client.begin(client.request("HEAD", "/v2//images"), b"").await;
        let answer = answer.await.expect("an answer");
        assert!(answer.body().is_end_stream(), "the head ends the stream");
        let reply = read(answer).await;
        assert_eq!((reply.status, reply.body.len()), (400, 0));
        assert!(reply.header("content-length").is_some_and(|length| length != "0"));
        let list = client.request("HEAD", "/v2/images").header("x-auth-token", &scene.member);
        assert!(client.send(list, b"").await.body.is_empty());
    });
}

#[test]
fn tls_agrees_on_http_2_with_who_speaks_it_and_on_http_1_1_with_others() {
    run(async {
        let (authority, directory) = (Authority::new(), Directory::new());
        let certificate = directory.write("bundle.pem", &authority.sign().bundle());
        let gate = Gate::start(|config| {
            config.server.wire.tls = Some(tls::Config { certificate, ..tls::Config::default() });
        })
        .await;
        let scene = Scene::new(&gate);
        let offering = |protocols| Client { protocols, ..authority.client() };

        let stream = offering(&["h2", "http/1.1"]).connect(gate.address).await.expect("a handshake");
        let client = Http2::over(stream, gate.address).await;
        let request = update(&client, &scene, &scene.member).header("content-type", "application/json");
        assert_eq!(client.send(request, ACCEPT.as_bytes()).await.status, 200);
        assert_eq!(gate.seen().pop().expect("the update").header_values("x-forwarded-proto"), ["https"]);

        for protocols in [&["http/1.1"][..], &[]] {
            let mut connection =
                Connection::over(offering(protocols).connect(gate.address).await.expect("a handshake"));
            connection.send(gate.call("GET", "/v2/images").token(&scene.member).bytes()).await;
            assert_eq!(connection.reply("GET").await.status, 200);
        }
        assert!(offering(&["h3"]).connect(gate.address).await.is_err(), "nothing to agree on");
    });
}

#[test]
fn where_http_2_is_off_its_preface_is_no_request() {
    run(async {
        let gate = Gate::start(|config| config.server.wire.http2 = None).await;
        let mut connection = Connection::open(gate.address).await;
        connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        gate.expect_refusal(&connection.reply("GET").await, "request_malformed").await;
        assert!(connection.is_over().await);
    });
}

#[test]
fn a_preface_that_comes_in_pieces_is_one_and_half_of_one_is_none() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.head_timeout = Duration::from_millis(300)).await;
        let mut half = Connection::open(gate.address).await;
        half.send("PRI * HT").await;
        gate.expect_refusal(&half.reply("GET").await, "head_too_slow").await;
        let mut post = Connection::open(gate.address).await;
        post.send("P").await;
        post.send("OST /v2//images HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n\r\n").await;
        gate.expect_refusal(&post.reply("POST").await, "target_ambiguous").await;
    });
}

#[test]
fn images_stream_whole_in_both_directions_at_once() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let (down, up) = (8 * 1024 * 1024, 4 * 1024 * 1024);
        gate.glance.set_size(&scene.image, down as u64);
        let client = Http2::open(gate.address).await;
        let target = format!("{}/file", scene.image_target());
        let get = || client.request("GET", &target).header("x-auth-token", &scene.member);
        let (first, _) = client.begin(get(), b"").await;
        let (second, _) = client.begin(get(), b"").await;

        let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
        let put = client.request("PUT", &format!("/v2/images/{image}/file")).header("x-auth-token", &scene.owner);
        let put = put.header("content-type", "application/octet-stream").header("content-length", up);
        let put = put.header("expect", "100-continue").body(()).expect("a request");
        let mut sender = client.sender.clone().ready().await.expect("room");
        let (mut stored, mut stream) = sender.send_request(put, false).expect("a request");
        let go_on = std::future::poll_fn(|context| stored.poll_informational(context)).await;
        assert_eq!(go_on.expect("a word").expect("no error").status(), 100);
        let upload = async {
            let mut left = up;
            while left > 0 {
                stream.reserve_capacity(left.min(65_536));
                let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                let room = room.expect("an open stream").expect("a window").min(left);
                left -= room;
                stream.send_data(Bytes::from(vec![7; room]), left == 0).expect("an open stream");
            }
            read(stored.await.expect("an answer")).await
        };
        let download = |answer: h2::client::ResponseFuture| async { read(answer.await.expect("an answer")).await };
        let (stored, first, second) = tokio::join!(upload, download(first), download(second));
        assert_eq!(stored.status, 204);
        assert_eq!(gate.glance.upload(&image).map(|upload| upload.bytes), Some(up as u64));
        for reply in [first, second] {
            assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, down));
            assert_eq!(reply.header("content-length"), Some(down.to_string().as_str()));
        }
        let put = gate.seen().into_iter().find(|seen| seen.method == "PUT").expect("the upload");
        assert_eq!(put.header_values("content-length"), [up.to_string()]);
    });
}

#[test]
fn an_answer_that_is_cut_off_does_not_look_whole_and_others_go_on() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let client = Http2::open(gate.address).await;
        let list = || client.request("GET", "/v2/images").header("x-auth-token", &scene.member);
        for fault in [Fault::TruncateBody, Fault::ResetAfterHead] {
            gate.glance.set_fault_on("/v2/images", fault);
            let (answer, _) = client.begin(list(), b"").await;
            // a stream that is reset before its head went out is no answer at all
            if let Ok(answer) = answer.await {
                let reply = read(answer).await;
                assert!(!reply.is_whole || reply.status >= 500, "{fault:?}: {} {}", reply.status, reply.text());
            }
        }
        gate.glance.set_fault_on("/v2/images", Fault::None);
        assert_eq!(client.send(list(), b"").await.status, 200);
    });
}

#[test]
fn a_client_that_takes_nothing_loses_its_stream_and_nothing_else() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.write_timeout = Duration::from_millis(400)).await;
        let scene = Scene::new(&gate);
        gate.glance.set_size(&scene.image, 8 * 1024 * 1024);
        let client = Http2::open(gate.address).await;
        let target = format!("{}/file", scene.image_target());
        let get = client.request("GET", &target).header("x-auth-token", &scene.member);
        let (answer, _) = client.begin(get, b"").await;
        let mut body = answer.await.expect("an answer").into_body();
        let mut taken = 0;
        // the window is never opened again
        let error = loop {
            match body.data().await.expect("no end") {
                Ok(data) => taken += data.len(),
                Err(error) => break error,
            }
        };
        assert_eq!((error.reason(), taken), (Some(h2::Reason::CANCEL), 65_535));
        drop(body);
        let list = client.request("GET", "/v2/images").header("x-auth-token", &scene.member);
        assert_eq!(client.send(list, b"").await.status, 200);
    });
}

#[test]
fn a_request_that_is_taken_back_is_dropped_at_glance_too() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/v2/images", Fault::Hang);
        let client = Http2::open(gate.address).await;
        let list = client.request("GET", "/v2/images").header("x-auth-token", &scene.member);
        let (answer, mut stream) = client.begin(list, b"").await;
        eventually("the call is under way", || async { gate.count("GET", "/v2/images") == 1 }).await;
        gate.wait_for_metric("glance_gate_in_flight_requests", 1).await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
        assert_eq!(client.send(client.request("GET", "/healthcheck"), b"").await.status, 200);
    });
}

#[test]
fn a_drain_lets_streams_end_and_says_goodbye() {
    run(async {
        let mut gate = Gate::start(|config| config.server.drain_timeout = Duration::from_secs(30)).await;
        let scene = Scene::new(&gate);
        let length = 16 * 1024 * 1024;
        gate.glance.set_size(&scene.image, length as u64);
        let idle = Http2::open(gate.address).await;
        let busy = Http2::open(gate.address).await;
        let target = format!("{}/file", scene.image_target());
        let get = busy.request("GET", &target).header("x-auth-token", &scene.member);
        let (answer, _) = busy.begin(get, b"").await;
        eventually("the download is under way", || async { gate.seen().len() == 1 }).await;
        let app = gate.take_app();
        let stopped = tokio::task::spawn_blocking(move || app.stop());
        eventually("nobody new is let in", || async { TcpStream::connect(gate.address).await.is_err() }).await;
        assert!(idle.ended.await.expect("no panic").is_ok(), "a connection without a request ends at once");
        assert!(!stopped.is_finished());
        let reply = read(answer.await.expect("an answer")).await;
        assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, length));
        assert!(busy.ended.await.expect("no panic").is_ok());
        assert_eq!(stopped.await.expect("no panic").expect("no worker panicked"), 0);
    });
}

#[test]
fn an_idle_connection_is_ended() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.keepalive_timeout = Duration::from_millis(500)).await;
        let fresh = Http2::open(gate.address).await;
        assert!(fresh.ended.await.expect("no panic").is_ok());
        let used = Http2::open(gate.address).await;
        let (answer, _) = used.begin(used.request("GET", "/healthcheck"), b"").await;
        // the end may come before the answer is asked for, but not before it is given
        assert_eq!(answer.await.expect("an answer").status(), 200);
        assert!(used.ended.await.expect("no panic").is_ok());
    });
}
