//! Glance misbehaves: the client is told whose fault it is, and nothing that is cut off looks whole.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::ImageSpec;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::client::Call;
use crate::client::Reply;
use crate::harness::DeadPort;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::OWNER;
use crate::scene::Scene;

/// Starts a gate that knows the image's owner already, so that only the last step meets the fault.
async fn start(adjust: impl FnOnce(&mut Config)) -> (Gate, Scene) {
    let gate = Gate::start(adjust).await;
    let scene = Scene::new(&gate);
    assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    (gate, scene)
}

/// The same call by both ways: a member update, and one that passes through.
fn both(gate: &Gate, scene: &Scene) -> [Call; 2] {
    [scene.accept(gate).token(&scene.member), gate.call("GET", "/v2/images").token(&scene.member)]
}

#[test]
fn a_glance_that_breaks_off_before_its_answer_is_unavailable() {
    run(async {
        let (gate, scene) = start(|_| {}).await;
        gate.glance.set_fault_on("/v2", Fault::Reset);
        for call in both(&gate, &scene) {
            let before = gate.seen().len();
            let reply = call.send().await;
            assert_eq!(reply.status, 503);
            gate.expect_refusal(&reply, "upstream_unavailable").await;
            // a safe call that a kept connection lost is sent once more (see `upstream_http1`)
            let seen = gate.seen();
            let times = seen.len() - before;
            let is_safe = seen.last().is_some_and(|seen| seen.method == "GET");
            assert!(times == 1 || is_safe && times == 2, "what may have been done is not done twice: {times}");
        }
    });
}

#[test]
fn an_answer_that_is_not_http_is_garbled() {
    run(async {
        let (gate, scene) = start(|_| {}).await;
        for fault in [Fault::Garbage, Fault::ConflictingLength] {
            gate.glance.set_fault_on("/v2", fault);
            for call in both(&gate, &scene) {
                let reply = call.send().await;
                assert_eq!((reply.status, reply.header("retry-after")), (502, None), "{fault:?}");
                gate.expect_refusal(&reply, "upstream_garbled").await;
            }
        }
    });
}

#[test]
fn a_glance_that_is_gone_is_unavailable() {
    run(async {
        let (gate, scene) = start(|_| {}).await;
        gate.glance.stop();
        for call in both(&gate, &scene) {
            let reply = call.send().await;
            assert_eq!(reply.status, 503);
            gate.expect_refusal(&reply, "upstream_unavailable").await;
        }
    });
}

#[test]
fn a_member_update_waits_for_glance_only_so_long() {
    run(async {
        let (gate, scene) = start(|config| config.member_limit.timeout = Duration::from_millis(500)).await;
        gate.glance.set_fault_on("/members/", Fault::Hang);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (504, Some("504 Gateway Timeout")));
        gate.expect_refusal(&reply, "member_update_too_slow").await;
        // the way is free again
        gate.glance.set_fault(Fault::None);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn what_passes_through_waits_for_the_head_of_an_answer_only_so_long() {
    run(async {
        let (gate, scene) =
            start(|config| config.upstream.connections.response_timeout = Duration::from_millis(500)).await;
        gate.glance.set_fault_on("/v2", Fault::Hang);
        for call in both(&gate, &scene) {
            let reply = call.send().await;
            assert_eq!(reply.status, 503);
            gate.expect_refusal(&reply, "upstream_unavailable").await;
        }
    });
}

#[test]
fn an_answer_that_is_cut_off_does_not_look_whole() {
    run(async {
        let (gate, scene) = start(|_| {}).await;
        for fault in [Fault::ResetAfterHead, Fault::TruncateBody] {
            gate.glance.set_fault_on("/v2", fault);
            for call in both(&gate, &scene) {
                // a client that gets no answer at all knows as well
                if let Some(reply) = call.try_send().await {
                    assert_cut_off(&reply, fault);
                }
            }
        }
        gate.glance.set_fault(Fault::None);
        for call in both(&gate, &scene) {
            assert_eq!(call.send().await.status, 200, "no broken connection is used again");
        }
    });
}

fn assert_cut_off(reply: &Reply, fault: Fault) {
    assert!(!reply.is_whole || reply.status >= 500, "{fault:?}: {} {}", reply.status, reply.text());
}

#[test]
fn an_answer_that_pauses_too_long_is_cut_off() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(begin_every_answer(listener));
        let gate = Gate::start(|config| {
            config.upstream.servers = vec![url];
            config.upstream.connections.idle_timeout = Duration::from_millis(200);
        })
        .await;
        let reply = gate.call("GET", "/v2/images").send().await;
        assert_eq!((reply.status, reply.text().as_str(), reply.is_whole), (200, "begin", false));
    });
}

/// Sends the beginning of an answer on every connection, and nothing after it.
async fn begin_every_answer(listener: TcpListener) {
    let mut held = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 1024];
        if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin").await);
            held.push(stream);
        }
    }
}

#[test]
fn a_glance_error_passes_as_it_is() {
    run(async {
        let (gate, scene) = start(|_| {}).await;
        for status in [400, 401, 409, 429, 500, 503] {
            gate.glance.set_fault_on("/v2", Fault::Status(status));
            for call in both(&gate, &scene) {
                let reply = call.send().await;
                assert_eq!(reply.status, status);
                assert!(reply.text().contains("The stand-in was told to answer so."), "{}", reply.text());
                assert_eq!(reply.header("retry-after"), None);
            }
        }
        let counted = gate.metrics().await;
        assert!(!counted.contains("glance_gate_refusals_total{"), "{counted}");
    });
}

/// Starts a gate with two upstreams, of which the first is dead, and long enough that no check takes it out.
async fn start_half_dead(dead: &DeadPort) -> (Gate, Scene) {
    let gate = Gate::start(|config| {
        config.upstream.servers.insert(0, dead.url());
        config.upstream.health_check_interval = Duration::from_hours(1);
    });
    let gate = gate.await;
    let scene = Scene::new(&gate);
    (gate, scene)
}

#[test]
fn one_dead_upstream_of_two_is_not_noticed() {
    run(async {
        let dead = DeadPort::new();
        let (gate, scene) = start_half_dead(&dead).await;
        for call in (0..10).flat_map(|_| both(&gate, &scene)) {
            assert_eq!(call.send().await.status, 200);
        }
        // also with a body that streams: it is still whole when nothing could be sent
        for _ in 0..4 {
            let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
            let upload = gate.call("PUT", &format!("/v2/images/{image}/file")).token(&scene.owner);
            let reply = upload.header("Content-Type", "application/octet-stream").body(vec![7; 100_000]).send().await;
            assert_eq!(reply.status, 204);
            assert_eq!(gate.glance.upload(&image).map(|upload| upload.bytes), Some(100_000));
        }
    });
}

#[test]
fn a_kept_connection_that_glance_has_closed_is_replaced() {
    run(async {
        let (gate, scene) = start(|config| config.server.workers = 1).await;
        for _ in 0..3 {
            // every connection that is kept breaks with the next answer
            gate.glance.set_fault_on("/v2/schemas", Fault::TruncateBody);
            drop(gate.call("GET", "/v2/schemas/member").token(&scene.member).try_send().await);
            gate.glance.set_fault(Fault::None);
            for call in both(&gate, &scene) {
                assert_eq!(call.send().await.status, 200);
            }
        }
    });
}
