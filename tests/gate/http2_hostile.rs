//! Hostile HTTP/2: heads that are no request, bodies that are not what they say, floods.

use glance_gate::demo::glance::ImageSpec;

use crate::harness::Gate;
use crate::harness::run;
use crate::http2_client::Http2;
use crate::http2_frames::ACK;
use crate::http2_frames::CONTINUATION;
use crate::http2_frames::DATA;
use crate::http2_frames::END_HEADERS;
use crate::http2_frames::END_STREAM;
use crate::http2_frames::Frames;
use crate::http2_frames::GOAWAY;
use crate::http2_frames::HEADERS;
use crate::http2_frames::PING;
use crate::http2_frames::PROTOCOL_ERROR;
use crate::http2_frames::RST_STREAM;
use crate::http2_frames::SETTINGS;
use crate::http2_frames::fields;
use crate::http2_frames::frame;
use crate::scene::OWNER;
use crate::scene::Scene;

/// A good head; what is empty here is left out, and what comes behind it stands behind it.
fn head(changed: &[(&'static str, &'static str)], token: &str) -> Vec<u8> {
    let good = [(":method", "GET"), (":scheme", "http"), (":authority", "gate"), (":path", "/v2/images")];
    let (pseudo, others): (Vec<_>, Vec<_>) =
        changed.iter().partition(|(name, _)| good.iter().any(|(known, _)| known == name));
    let mut list: Vec<(&str, &str)> = Vec::new();
    for (name, value) in good {
        let value = pseudo.iter().find(|(known, _)| *known == name).map_or(value, |(_, value)| *value);
        if !value.is_empty() {
            list.push((name, value));
        }
    }
    list.push(("x-auth-token", token));
    list.extend(others);
    fields(&list)
}

async fn is_served(gate: &Gate) -> bool {
    let client = Http2::open(gate.address).await;
    client.send(client.request("GET", "/healthcheck"), b"").await.status == 200
}

#[test]
fn hostile_heads_of_http_2_never_reach_glance() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for changed in [
            &[("connection", "close")][..],
            &[("connection", "x-auth-token")],
            &[("transfer-encoding", "chunked")],
            &[("keep-alive", "timeout=5")],
            &[("proxy-connection", "keep-alive")],
            &[("upgrade", "h2c")],
            &[("te", "gzip")],
            &[("te", "trailers, deflate")],
            &[("X-Upper", "1")],
            &[("x blank", "1")],
            &[("", "1")],
            &[("x-line", "a\r\nx-roles: admin")],
            &[("x-feed", "a\nb")],
            &[("x-nul", "a\0b")],
            &[("x-delete", "a\u{7f}b")],
            &[("x-blank-first", " a")],
            &[("x-blank-last", "a ")],
            &[(":late", "1")],
            &[(":status", "200")],
            &[(":protocol", "websocket")],
            &[("content-length", "3")],
            &[("content-length", "0"), ("content-length", "0")],
            &[("content-length", "x")],
            &[("content-length", "+0")],
            &[("host", "other")],
            &[("host", "gate"), ("host", "gate")],
            &[(":authority", "")],
            &[(":authority", "user@gate")],
            &[(":authority", "gate/x")],
            &[(":authority", "a, b")],
            &[(":scheme", "")],
            &[(":scheme", "ftp")],
            &[(":path", "")],
            &[(":path", "v2/images")],
            &[(":path", "http://gate/v2/images")],
            &[(":path", "/v2/images HTTP/1.1\r\nx: y")],
            &[(":path", "/v2/im ages")],
            &[(":path", "/v2\\images")],
            &[(":path", "/v2/./images")],
            &[(":method", "")],
            &[(":method", "GET /v2/images")],
            &[(":method", "CONNECT")],
            &[(":method", "CONNECT"), (":path", ""), (":scheme", "")],
            &[(":method", "TRACE")],
            &[(":method", "OPTIONS"), (":path", "*")],
        ] {
            let mut frames = Frames::open(gate.address).await;
            frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(changed, &scene.member))).await;
            let verdict = frames.verdict().await;
            let is_refused = verdict.as_ref().is_some_and(|verdict| match verdict.kind {
                RST_STREAM | GOAWAY => verdict.error() == PROTOCOL_ERROR,
                // :status 400 stands in HPACK's own table, 405 has to be spelled
                HEADERS => verdict.payload.first().is_some_and(|first| matches!(first, 0x8c | 0x48)),
                _ => false,
            });
            assert!(is_refused, "{changed:?}: {verdict:?}");
        }
        // twice the same pseudo-field, and none at all
        for block in [fields(&[(":method", "GET"), (":method", "PUT")]), fields(&[("x", "y"), (":method", "GET")])] {
            let mut frames = Frames::open(gate.address).await;
            frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
            assert_eq!(frames.verdict().await.map(|verdict| verdict.error()), Some(PROTOCOL_ERROR));
        }
        gate.expect_unseen();
        assert!(is_served(&gate).await);
    });
}

#[test]
fn a_good_head_written_by_hand_is_answered() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for changed in [&[][..], &[("te", "trailers")], &[("host", "GATE")], &[(":authority", ""), ("host", "gate")]] {
            let mut frames = Frames::open(gate.address).await;
            frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(changed, &scene.member))).await;
            let verdict = frames.verdict().await.expect("an answer");
            assert_eq!((verdict.kind, verdict.payload.first()), (HEADERS, Some(&0x88)), "{changed:?}");
        }
        assert_eq!(gate.count("GET", "/v2/images"), 4);
    });
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_no_body() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let long = br#"{"status": "accepted"}{"status": "rejected"}"#;
        for (length, body) in [("22", &long[..10]), ("22", &long[..]), ("0", &long[..22])] {
            let list = [(":method", "PUT"), (":scheme", "http"), (":authority", "gate"), (":path", &scene.target)];
            let mut list = list.to_vec();
            list.extend([("x-auth-token", scene.member.as_str()), ("content-length", length)]);
            let mut frames = Frames::open(gate.address).await;
            frames.send(&frame(HEADERS, END_HEADERS, 1, &fields(&list))).await;
            frames.send(&frame(DATA, END_STREAM, 1, body)).await;
            let verdict = frames.verdict().await.expect("a verdict");
            let is_refused = match verdict.kind {
                RST_STREAM => verdict.error() == PROTOCOL_ERROR,
                HEADERS => verdict.payload.first() == Some(&0x8c),
                _ => false,
            };
            assert!(is_refused, "{length} {}: {verdict:?}", body.len());
        }
        assert_eq!(gate.count("PUT", &scene.target), 0);
        assert_eq!(scene.status(&gate).as_deref(), Some("pending"));
        assert!(is_served(&gate).await);
    });
}

#[test]
fn trailers_are_not_headers() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
        let path = format!("/v2/images/{image}/file");
        let mut list = vec![(":method", "PUT"), (":scheme", "http"), (":authority", "gate"), (":path", &path)];
        list.extend([("x-auth-token", scene.owner.as_str()), ("content-type", "application/octet-stream")]);
        let mut frames = Frames::open(gate.address).await;
        frames.send(&frame(HEADERS, END_HEADERS, 1, &fields(&list))).await;
        frames.send(&frame(DATA, 0, 1, b"{}")).await;
        let trailers = fields(&[("x-roles", "admin"), ("x-late", "1")]);
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)).await;
        assert!(frames.verdict().await.is_some_and(|verdict| verdict.kind == HEADERS));
        let seen = gate.seen().pop().expect("the request");
        assert_eq!((seen.header("x-late"), seen.header("x-roles"), seen.body_text().as_str()), (None, None, "{}"));
    });
}

/// Each flood is written until the gate ends the connection.
async fn drown(gate: &Gate, opening: &[u8], wave: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let mut frames = Frames::open(gate.address).await;
    frames.send(opening).await;
    for at in 0..40 {
        let wave: Vec<u8> = (0..500).flat_map(|inner| wave(at * 500 + inner)).collect();
        frames.send(&wave).await;
    }
    frames.until_gone().await
}

#[test]
fn floods_end_their_own_connection_and_others_are_served() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let good = head(&[], &scene.member);
        let kept = Http2::open(gate.address).await;

        // CVE-2023-44487: streams that are reset as soon as they are opened
        let rapid = |at: u32| {
            let stream = at * 2 + 1;
            let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &good);
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        };
        drown(&gate, &[], rapid).await;
        // CVE-2024-27316 and its like: a head that never ends
        let begun = frame(HEADERS, 0, 1, &head(&[], &scene.member));
        drown(&gate, &begun, |_| frame(CONTINUATION, 0, 1, &fields(&[("x-more", "1")]))).await;
        drown(&gate, &begun, |_| frame(CONTINUATION, 0, 1, &[])).await;
        // CVE-2019-9518: bodies of nothing
        let open = frame(HEADERS, END_HEADERS, 1, &head(&[(":method", "POST")], &scene.member));
        drown(&gate, &open, |_| frame(DATA, 0, 1, &[])).await;
        // streams that are errors: a head without a path
        let broken = fields(&[(":method", "GET")]);
        drown(&gate, &[], |at| frame(HEADERS, END_HEADERS | END_STREAM, at * 2 + 1, &broken)).await;
        // streams over the limit
        let open = head(&[(":method", "POST")], &scene.member);
        drown(&gate, &[], |at| frame(HEADERS, END_HEADERS, at * 2 + 1, &open)).await;

        let list = kept.request("GET", "/v2/images").header("x-auth-token", &scene.member);
        assert_eq!(kept.send(list, b"").await.status, 200);
        assert!(is_served(&gate).await);
        gate.wait_for_metric("glance_gate_connections", 1).await;
        drop(kept);
        gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
    });
}

#[test]
fn pings_and_settings_that_nobody_reads_the_answers_of_end_the_connection() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.connection.write_timeout = std::time::Duration::from_millis(100);
        })
        .await;
        for (kind, payload) in [(PING, &[0; 8][..]), (SETTINGS, &[])] {
            let mut frames = Frames::open(gate.address).await;
            let wave = frame(kind, 0, 0, payload).repeat(4096);
            // until the gate's own answers find no room: it stops reading, and then stops waiting
            while frames.try_send(&wave).await {}
            frames.until_gone().await;
        }
        assert!(is_served(&gate).await);
        gate.wait_for_metric("glance_gate_connections", 0).await;
    });
}

#[test]
fn the_limits_are_told() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let mut frames = Frames::open(gate.address).await;
        let settings = frames.next().await.expect("settings");
        assert_eq!((settings.kind, settings.flags & ACK), (SETTINGS, 0));
        let told: Vec<(u16, u32)> = settings
            .payload
            .chunks(6)
            .map(|pair| {
                let value = u32::from_be_bytes(pair[2..6].try_into().expect("four bytes"));
                (u16::from_be_bytes([pair[0], pair[1]]), value)
            })
            .collect();
        let of = |id| told.iter().find(|(known, _)| *known == id).map(|(_, value)| *value);
        assert_eq!(of(3), Some(100), "streams at once");
        assert_eq!(of(4), Some(512 * 1024), "a stream's window");
        assert_eq!(of(6), Some(128 * 1024), "a head");
        assert!(of(8).is_none_or(|connect| connect == 0), "no tunnels");
    });
}
