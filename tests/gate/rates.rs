//! Too often: rates of clients and projects, the price of garbage tokens, the brake on walks, connections, slow heads.

use std::future::Future;
use std::time::Duration;

use glance_gate::demo::keystone::TokenSpec;
use uuid::Uuid;

use crate::client::Call;
use crate::client::Connection;
use crate::client::Reply;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::scene::member_target;

/// Calls until one is refused for its rate: the windows are a second wide, and a call takes far less.
async fn until_limited<F: Future<Output = Reply>>(gate: &Gate, mut call: impl FnMut() -> F) -> u32 {
    let mut calls = 0;
    loop {
        let reply = call().await;
        calls += 1;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), Some("5"));
            gate.expect_refusal(&reply, "rate_limited").await;
            return calls;
        }
    }
}

#[test]
fn a_client_that_updates_too_often_is_limited() {
    run(async {
        let gate = Gate::start(|config| config.rates.per_client = 3).await;
        let scene = Scene::new(&gate);
        let calls = until_limited(&gate, || scene.accept(&gate).token(&scene.member).send()).await;
        assert!(calls > 3, "limited after {calls} calls");
        // what is no member update is not counted
        for _ in 0..10 {
            assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);
        }
    });
}

#[test]
fn a_project_that_updates_too_often_is_limited_and_no_other() {
    run(async {
        let gate = Gate::start(|config| config.rates.per_project = 3).await;
        let scene = Scene::new(&gate);
        until_limited(&gate, || scene.accept(&gate).token(&scene.member).send()).await;
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        assert_eq!(reply.status, 403, "{}", reply.text());
    });
}

#[test]
fn garbage_tokens_have_a_price_and_known_ones_go_on() {
    run(async {
        let gate = Gate::start(|config| config.rates.keystone_questions = 5).await.warm().await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        until_limited(&gate, || scene.accept(&gate).token(&format!("gAAAAAB{}", Uuid::new_v4().simple())).send()).await;
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_walk_over_image_ids_is_braked() {
    run(async {
        let gate = Gate::start(|config| config.rates.ownership_questions = 5).await.warm().await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        until_limited(&gate, || {
            let target = member_target(&Uuid::new_v4().to_string());
            gate.call("PUT", &target).token(&scene.stranger).json(r#"{"status": "accepted"}"#).send()
        })
        .await;
        // a remembered owner needs no question
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_trusted_proxy_tells_clients_apart() {
    run(async {
        let gate = Gate::start(|config| {
            config.rates.per_client = 3;
            config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        })
        .await;
        let scene = Scene::new(&gate);
        let from = |address: &str| scene.accept(&gate).token(&scene.member).header("X-Forwarded-For", address).send();
        until_limited(&gate, || from("192.0.2.1")).await;
        // the last address is the one that the proxy saw; what a client wrote before it does not count
        assert_eq!(from("192.0.2.1, 192.0.2.2").await.status, 200);
    });
}

#[test]
fn a_client_may_have_so_many_connections() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.workers = 1;
            config.server.connection.max_connections_per_client = 2;
        })
        .await;
        let scene = Scene::new(&gate);
        let call = || gate.call("GET", "/v2/images").token(&scene.member).bytes();
        let mut kept = Vec::new();
        for _ in 0..2 {
            let mut connection = Connection::open(gate.address).await;
            connection.send(call()).await;
            assert_eq!(connection.reply("GET").await.status, 200);
            kept.push(connection);
        }
        let mut third = Connection::open(gate.address).await;
        third.try_send(call()).await;
        assert!(third.try_reply("GET").await.is_none(), "the third is closed without an answer");
        drop(kept);
        eventually("there is room again", || async {
            Call::new(gate.address, "GET", "/healthcheck").try_send().await.is_some_and(|reply| reply.status == 200)
        })
        .await;
    });
}

#[test]
fn a_head_that_does_not_end_is_refused() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.head_timeout = Duration::from_millis(50)).await;
        for start in ["G", "PUT /v2/images/", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
            let mut connection = Connection::open(gate.address).await;
            connection.send(start).await;
            let reply = connection.reply("GET").await;
            assert_eq!((reply.status, reply.header("connection")), (408, Some("close")), "{start:?}");
            gate.expect_refusal(&reply, "head_too_slow").await;
            assert!(connection.is_over().await, "{start:?}");
        }
        gate.expect_unseen();
    });
}

#[test]
fn a_connection_without_a_request_is_no_slow_head() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.head_timeout = Duration::from_millis(20)).await;
        let token = gate.keystone.issue(TokenSpec::member(OWNER));
        let mut idle = Connection::open(gate.address).await;
        // long enough for a slow head on another connection to be refused
        let mut slow = Connection::open(gate.address).await;
        slow.send("G").await;
        assert_eq!(slow.reply("GET").await.status, 408);
        idle.send(gate.call("GET", "/v2/images").token(&token).bytes()).await;
        assert_eq!(idle.reply("GET").await.status, 200);
    });
}

#[test]
fn an_idle_connection_ends_without_a_word() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.connection.head_timeout = Duration::from_millis(10);
            config.server.connection.keepalive_timeout = Duration::from_millis(10);
        })
        .await;
        let mut fresh = Connection::open(gate.address).await;
        assert!(fresh.is_over().await, "one that never sent anything");
        let mut used = Connection::open(gate.address).await;
        used.send(gate.call("GET", "/healthcheck").bytes()).await;
        assert_eq!(used.reply("GET").await.status, 200);
        assert!(used.is_over().await, "one between two requests");
    });
}

#[test]
fn connections_over_the_bound_wait_for_room() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.workers = 1;
            config.server.connection.max_connections = 1;
        })
        .await;
        let call = || gate.call("GET", "/healthcheck").bytes();
        let mut first = Connection::open(gate.address).await;
        first.send(call()).await;
        assert_eq!(first.reply("GET").await.status, 200);
        let mut second = Connection::open(gate.address).await;
        second.send(call()).await;
        gate.wait_for_metric("glance_gate_connections", 1).await;
        drop(first);
        assert_eq!(second.reply("GET").await.status, 200);
    });
}
