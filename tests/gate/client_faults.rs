//! Clients misbehave: they abort, crawl or close one side, and leave nothing behind at the gate or at Glance.

use glance_gate::demo::fault::Fault;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::Scene;

/// Waits until nothing is under way any more, neither at the gate nor at Glance.
async fn expect_nothing_left(gate: &Gate) {
    gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
    let metric = format!("glance_gate_upstream_in_flight_requests{{upstream=\"{}\"}}", gate.glance.url());
    gate.wait_for_metric(&metric, 0).await;
}

#[test]
fn a_client_that_aborts_a_download_ends_it_at_glance() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        gate.glance.set_size(&scene.image, 1024 * 1024 * 1024);
        let mut download = Connection::open(gate.address).await;
        download.send(gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.member).bytes()).await;
        eventually("it is under way", || async { gate.seen().len() == 1 }).await;
        let metric = format!("glance_gate_upstream_in_flight_requests{{upstream=\"{}\"}}", gate.glance.url());
        gate.wait_for_metric(&metric, 1).await;
        drop(download);
        expect_nothing_left(&gate).await;
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_client_that_aborts_while_it_waits_leaves_nothing_behind() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.glance.set_fault_on("/v2", Fault::Hang);
        for call in [scene.accept(&gate), gate.call("GET", "/v2/images")] {
            let before = gate.seen().len();
            let mut connection = Connection::open(gate.address).await;
            connection.send(call.token(&scene.member).bytes()).await;
            eventually("it is at Glance", || async { gate.seen().len() == before + 1 }).await;
            drop(connection);
            expect_nothing_left(&gate).await;
        }
        let failures = gate.metrics().await;
        assert!(failures.contains("state=\"closed\"} 1"), "who hangs up says nothing of Glance: {failures}");
    });
}

#[test]
fn a_client_that_closes_its_side_is_answered_whole_or_not_at_all() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for call in [scene.accept(&gate), gate.call("GET", &format!("{}/file", scene.image_target()))] {
            let mut connection = Connection::open(gate.address).await;
            connection.send(call.token(&scene.member).bytes()).await;
            connection.close_its_side().await;
            if let Some(reply) = connection.try_reply("GET").await {
                assert_eq!((reply.status, reply.is_whole), (200, true), "{}", reply.text());
            }
            assert!(connection.is_over().await);
            expect_nothing_left(&gate).await;
        }
        // in the middle of a request there is nothing to answer
        for part in
            ["", "GET /v2/images HT", "PUT /v2/images/x/file HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234"]
        {
            let mut connection = Connection::open(gate.address).await;
            connection.send(part).await;
            connection.close_its_side().await;
            let reply = connection.try_reply("GET").await;
            assert!(reply.is_none_or(|reply| reply.status >= 400), "{part}");
            assert!(connection.is_over().await);
            expect_nothing_left(&gate).await;
        }
    });
}

#[test]
fn a_client_that_crawls_is_served_byte_by_byte() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let mut connection = Connection::open(gate.address).await;
        for byte in scene.accept(&gate).token(&scene.member).bytes() {
            connection.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.reply("PUT").await.status, 200);
        expect_nothing_left(&gate).await;
    });
}
