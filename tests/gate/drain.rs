//! The end: what is under way ends whole, nothing new begins.

use std::time::Duration;

use glance_gate::app::App;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::ImageSpec;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::OWNER;
use crate::scene::Scene;

/// Stops the gate beside the test: it waits for what is under way.
fn stop(app: App) -> JoinHandle<std::io::Result<usize>> {
    tokio::task::spawn_blocking(move || app.stop())
}

async fn cut(stopped: JoinHandle<std::io::Result<usize>>) -> usize {
    stopped.await.expect("no panic").expect("no worker panicked")
}

#[test]
fn what_is_under_way_ends_whole_and_nothing_new_begins() {
    run(async {
        let mut gate = Gate::start(|config| config.server.drain_timeout = Duration::from_secs(30)).await;
        let scene = Scene::new(&gate);
        let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
        let upload = gate.call("PUT", &format!("/v2/images/{image}/file")).token(&scene.owner);
        let upload = upload.header("Content-Type", "application/octet-stream").header("Content-Length", "20");
        let mut busy = Connection::open(gate.address).await;
        busy.send(upload.body("0123456789").bytes()).await;
        eventually("the upload is under way", || async {
            gate.seen().pop().is_some_and(|seen| seen.body_length == 10)
        })
        .await;
        let mut idle = Connection::open(gate.address).await;
        idle.send(gate.call("GET", "/healthcheck").bytes()).await;
        assert_eq!(idle.reply("GET").await.status, 200);

        let stopped = stop(gate.take_app());
        eventually("nobody new is let in", || async { TcpStream::connect(gate.address).await.is_err() }).await;
        idle.send(gate.call("GET", "/healthcheck").bytes()).await;
        let last = idle.reply("GET").await;
        assert_eq!((last.status, last.header("connection")), (200, Some("close")), "what was on its way is answered");
        assert!(idle.is_over().await, "and that was the last");
        assert!(!stopped.is_finished());

        busy.send("0123456789").await;
        let reply = busy.reply("PUT").await;
        assert_eq!((reply.status, reply.is_whole), (204, true));
        assert_eq!(gate.glance.upload(&image).map(|upload| upload.bytes), Some(20));
        assert!(busy.is_over().await, "and there is no next request on it");
        assert_eq!(cut(stopped).await, 0);
    });
}

#[test]
fn a_download_under_way_ends_whole() {
    run(async {
        let mut gate = Gate::start(|config| config.server.drain_timeout = Duration::from_secs(30)).await;
        let scene = Scene::new(&gate);
        let length = 16 * 1024 * 1024;
        gate.glance.set_size(&scene.image, length as u64);
        let mut busy = Connection::open(gate.address).await;
        busy.send(gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.member).bytes()).await;
        eventually("the download is under way", || async { gate.seen().len() == 1 }).await;
        let stopped = stop(gate.take_app());
        eventually("nobody new is let in", || async { TcpStream::connect(gate.address).await.is_err() }).await;
        let reply = busy.reply("GET").await;
        assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, length));
        assert_eq!(cut(stopped).await, 0);
    });
}

#[test]
fn a_member_update_under_way_is_answered() {
    run(async {
        let gate = Gate::start(|config| config.server.drain_timeout = Duration::from_secs(30));
        let mut gate = gate.await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Slow(Duration::from_millis(500)));
        let mut busy = Connection::open(gate.address).await;
        busy.send(scene.accept(&gate).token(&scene.member).bytes()).await;
        eventually("Keystone is asked", || async { gate.questions() == 1 }).await;
        let stopped = stop(gate.take_app());
        let reply = busy.reply("PUT").await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("accepted")));
        assert_eq!(cut(stopped).await, 0);
    });
}

#[test]
fn what_does_not_end_in_time_is_cut_off_and_counted() {
    run(async {
        let mut gate = Gate::start(|config| config.server.drain_timeout = Duration::from_millis(100)).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/v2/images", Fault::Hang);
        let mut stuck = Connection::open(gate.address).await;
        stuck.send(gate.call("GET", "/v2/images").token(&scene.member).bytes()).await;
        eventually("the call is under way", || async { gate.count("GET", "/v2/images") == 1 }).await;
        assert_eq!(cut(stop(gate.take_app())).await, 1);
        assert!(stuck.is_over().await);
    });
}

#[test]
fn a_connection_without_a_request_ends_with_the_grace() {
    run(async {
        let mut gate = Gate::start(|config| {
            config.server.drain_timeout = Duration::from_hours(1);
            config.server.connection.drain_grace = Duration::from_millis(50);
        })
        .await;
        let mut idle = Connection::open(gate.address).await;
        idle.send(gate.call("GET", "/healthcheck").bytes()).await;
        assert_eq!(idle.reply("GET").await.status, 200);
        let stopped = stop(gate.take_app());
        assert!(idle.is_over().await);
        assert_eq!(cut(stopped).await, 0);
    });
}

#[test]
fn who_waits_to_be_let_in_is_answered_before_the_end() {
    run(async {
        let mut gate = Gate::start(|config| {
            config.server.drain_timeout = Duration::from_secs(30);
            config.server.workers = 1;
            config.server.connection.max_connections = 1;
        })
        .await;
        let mut first = Connection::open(gate.address).await;
        first.send(gate.call("GET", "/healthcheck").bytes()).await;
        assert_eq!(first.reply("GET").await.status, 200);
        // there is no room for these: they stand in the kernel's queue
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let mut next = Connection::open(gate.address).await;
            next.send(gate.call("GET", "/healthcheck").bytes()).await;
            waiting.push(next);
        }
        let stopped = stop(gate.take_app());
        for mut next in waiting {
            let reply = next.reply("GET").await;
            assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
        }
        drop(first);
        assert_eq!(cut(stopped).await, 0);
    });
}

#[test]
fn a_gate_without_calls_ends_at_once() {
    run(async {
        let mut gate = Gate::start(|config| config.server.drain_timeout = Duration::from_hours(1)).await;
        let mut idle = Connection::open(gate.address).await;
        idle.send(gate.call("GET", "/healthcheck").bytes()).await;
        assert_eq!(idle.reply("GET").await.status, 200);
        assert_eq!(cut(stop(gate.take_app())).await, 0);
        assert!(TcpStream::connect(gate.address).await.is_err());
        assert!(TcpStream::connect(gate.admin_address).await.is_err());
    });
}
