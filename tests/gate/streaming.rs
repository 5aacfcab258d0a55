//! Images pass through whole, in either direction, and what breaks off breaks off on both sides.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA256;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::generated::byte_at;
use glance_gate::demo::glance::ImageSpec;

use crate::client::Call;
use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::OWNER;
use crate::scene::Scene;

const MIB: usize = 1024 * 1024;

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string");
        hex
    })
}

/// Returns bytes whose pattern repeats nowhere near a power of two.
fn content(length: usize) -> Vec<u8> {
    (0..length as u64).map(byte_at).collect()
}

/// Adds an image without data and returns its id and a call that gives it some.
fn upload(gate: &Gate, scene: &Scene) -> (String, Call) {
    let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
    let call = gate.call("PUT", &format!("/v2/images/{image}/file")).token(&scene.owner);
    (image, call.header("Content-Type", "application/octet-stream"))
}

#[test]
fn a_download_is_the_image() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let target = format!("{}/file", scene.image_target());
        for length in [0, 1, 65_536, 5 * MIB + 7] {
            gate.glance.set_size(&scene.image, length as u64);
            let reply = gate.call("GET", &target).token(&scene.member).send().await;
            assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, length));
            assert_eq!(reply.header("content-length"), Some(length.to_string().as_str()));
            assert_eq!(sha256(&reply.body), sha256(&content(length)));
        }
    });
}

#[test]
fn an_upload_is_the_image() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for length in [1, 70_000, 5 * MIB + 7] {
            let (image, call) = upload(&gate, &scene);
            let bytes = content(length);
            let reply = call.body(&bytes).send().await;
            assert_eq!((reply.status, reply.body.len()), (204, 0));
            let uploaded = gate.glance.upload(&image).expect("an upload");
            assert_eq!((uploaded.bytes, uploaded.sha256_hex), (length as u64, sha256(&bytes)));
            let seen = gate.seen().pop().expect("the upload");
            assert_eq!(seen.header_values("content-length"), [length.to_string()]);
            assert_eq!(seen.header("transfer-encoding"), None);
        }
    });
}

#[test]
fn an_upload_in_chunks_is_the_image() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let (image, call) = upload(&gate, &scene);
        let bytes = content(3 * MIB + 11);
        let mut chunks = Vec::new();
        for (piece, extension) in bytes.chunks(100_003).zip(["", ";a=b"].into_iter().cycle()) {
            chunks.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
            chunks.extend_from_slice(piece);
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let reply = call.header("Transfer-Encoding", "chunked").body(chunks).send().await;
        assert_eq!(reply.status, 204);
        let uploaded = gate.glance.upload(&image).expect("an upload");
        assert_eq!((uploaded.bytes, uploaded.sha256_hex), (bytes.len() as u64, sha256(&bytes)));
        let seen = gate.seen().pop().expect("the upload");
        assert_eq!(seen.header_values("transfer-encoding"), ["chunked"]);
        assert_eq!(seen.header("content-length"), None);
    });
}

#[test]
fn an_upload_streams_while_it_is_sent() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let (image, call) = upload(&gate, &scene);
        let mut connection = Connection::open(gate.address).await;
        connection.send(call.header("Content-Length", "30").body("0123456789").bytes()).await;
        let arrived = |bytes: u64| {
            let gate = &gate;
            move || async move { gate.seen().pop().is_some_and(|seen| seen.body_length == bytes) }
        };
        eventually("the first ten bytes are at Glance", arrived(10)).await;
        connection.send("0123456789").await;
        eventually("twenty bytes are at Glance", arrived(20)).await;
        connection.send("0123456789").await;
        assert_eq!(connection.reply("PUT").await.status, 204);
        assert_eq!(gate.glance.upload(&image).map(|upload| upload.bytes), Some(30));
    });
}

#[test]
fn a_client_that_waits_for_a_100_gets_one() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let (image, call) = upload(&gate, &scene);
        let mut connection = Connection::open(gate.address).await;
        connection.send(call.header("Expect", "100-continue").header("Content-Length", "10").bytes()).await;
        eventually("the head is at Glance", || async { gate.seen().len() == 1 }).await;
        connection.send("0123456789").await;
        assert_eq!(connection.reply("PUT").await.status, 204);
        assert_eq!(gate.glance.upload(&image).map(|upload| upload.bytes), Some(10));
        assert_eq!(gate.seen()[0].header("expect"), None);
    });
}

#[test]
fn a_client_that_hangs_up_aborts_its_upload() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for framing in [("Content-Length", "1000000"), ("Transfer-Encoding", "chunked")] {
            let (image, call) = upload(&gate, &scene);
            let mut connection = Connection::open(gate.address).await;
            let start = if framing.0 == "Content-Length" { "0123456789" } else { "a\r\n0123456789\r\n" };
            connection.send(call.header(framing.0, framing.1).body(start).bytes()).await;
            eventually("the first bytes are at Glance", || async {
                gate.seen().pop().is_some_and(|seen| seen.body_length == 10)
            })
            .await;
            drop(connection);
            gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
            assert_eq!(gate.glance.upload(&image), None, "half an image must not look whole");
            // the connection that carried it is not used again
            assert_eq!(gate.call("GET", "/v2/images").token(&scene.owner).send().await.status, 200);
            assert_eq!(gate.glance.upload(&image), None);
        }
    });
}

#[test]
fn a_download_that_breaks_off_does_not_look_whole() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/file", Fault::TruncateBody);
        let reply = gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.member).try_send().await;
        assert!(reply.is_none_or(|reply| !reply.is_whole && reply.body.len() < 1000));
    });
}

#[test]
fn a_client_that_reads_slowly_gets_everything_and_stops_nobody() {
    run(async {
        let gate = Gate::start(|config| config.server.workers = 1).await;
        let scene = Scene::new(&gate);
        let length = 16 * MIB;
        gate.glance.set_size(&scene.image, length as u64);
        let mut slow = Connection::open(gate.address).await;
        slow.send(gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.member).bytes()).await;
        eventually("the download is under way", || async { gate.seen().len() == 1 }).await;
        for _ in 0..20 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        let reply = slow.reply("GET").await;
        assert_eq!((reply.is_whole, reply.body.len()), (true, length));
        assert_eq!(sha256(&reply.body), sha256(&content(length)));
    });
}

#[test]
fn a_client_that_pauses_too_long_in_an_upload_is_cut_off() {
    run(async {
        let gate =
            Gate::start(|config| config.server.connection.client_idle_timeout = Duration::from_millis(200)).await;
        let scene = Scene::new(&gate);
        let (image, call) = upload(&gate, &scene);
        let mut connection = Connection::open(gate.address).await;
        connection.send(call.header("Content-Length", "1000").body("0123456789").bytes()).await;
        if let Some(reply) = connection.try_reply("PUT").await {
            assert!(matches!(reply.status, 400 | 408), "{}", reply.status);
        }
        assert!(connection.is_over().await);
        assert_eq!(gate.glance.upload(&image), None);
    });
}

#[test]
fn a_refusal_of_an_upload_that_comes_early_reaches_the_client() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        // this image has its data: Glance says 409 without reading any of the new
        let call = |address, length: usize| {
            let call = Call::new(address, "PUT", &format!("{}/file", scene.image_target())).token(&scene.owner);
            call.header("Content-Type", "application/octet-stream").header("Content-Length", length.to_string())
        };
        for length in [100, 8 * MIB] {
            let mut connection = Connection::open(gate.address).await;
            connection.send(call(gate.address, length).bytes()).await;
            let reply = connection.reply("PUT").await;
            assert_eq!(reply.status, 409, "{length}: {}", reply.text());
        }
    });
}
