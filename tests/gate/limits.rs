//! Too much at once, too large, too slow; and a bug, which denies the request and nothing more.

use std::time::Duration;

use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

#[test]
fn what_is_over_the_bounds_on_all_traffic_is_refused() {
    run(async {
        for per_client in [false, true] {
            let gate = Gate::start(|config| {
                if per_client {
                    config.overload.max_in_flight_per_client = 1;
                } else {
                    config.overload.max_in_flight = 1;
                }
            })
            .await;
            let scene = Scene::new(&gate);
            gate.glance.set_fault_on("/v2/images", Fault::Hang);
            let mut first = Connection::open(gate.address).await;
            first.send(gate.call("GET", "/v2/images").token(&scene.member).bytes()).await;
            eventually("the first call is under way", || async { gate.count("GET", "/v2/images") == 1 }).await;
            for target in ["/v2/schemas/member", "/healthcheck"] {
                let reply = gate.call("GET", target).token(&scene.member).send().await;
                assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
                gate.expect_refusal(&reply, "overloaded").await;
            }
            assert_eq!(gate.count("GET", "/v2/schemas/member"), 0);
            // the place is free when the first has gone
            drop(first);
            eventually("there is room again", || async {
                gate.call("GET", "/v2/schemas/member").token(&scene.member).send().await.status == 200
            })
            .await;
        }
    });
}

#[test]
fn member_updates_have_a_bound_of_their_own() {
    run(async {
        let gate = Gate::start(|config| config.member_limit.max_in_flight = 1).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/members/", Fault::Hang);
        let mut first = Connection::open(gate.address).await;
        first.send(scene.accept(&gate).token(&scene.member).bytes()).await;
        eventually("the first update is under way", || async { gate.count("PUT", &scene.target) == 1 }).await;
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 503);
        gate.expect_refusal(&reply, "overloaded").await;
        assert_eq!(gate.count("PUT", &scene.target), 1);
        assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);

        drop(first);
        gate.glance.set_fault(Fault::None);
        eventually("there is room again", || async {
            scene.accept(&gate).token(&scene.member).send().await.status == 200
        })
        .await;
    });
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_refused() {
    run(async {
        for per_pause in [false, true] {
            let gate = Gate::start(|config| {
                if per_pause {
                    config.server.connection.client_idle_timeout = Duration::from_millis(100);
                } else {
                    config.body.body_timeout = Duration::from_millis(100);
                }
            })
            .await;
            let scene = Scene::new(&gate);
            let mut connection = Connection::open(gate.address).await;
            let call = scene.accept(&gate).token(&scene.member).header("Content-Length", "22").body("{\"status\"");
            connection.send(call.bytes()).await;
            let reply = connection.reply("PUT").await;
            assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
            gate.expect_refusal(&reply, "body_too_slow").await;
            assert!(connection.is_over().await, "nobody knows where the next request would start");
            gate.expect_unseen();
        }
    });
}

#[test]
fn chunks_that_break_the_grammar_later_are_refused() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        for (asked, chunks) in (1..).zip(["zz\r\n", "5\r\n{\"status\"", "-1\r\n", "ffffffffffffffffff\r\n"]) {
            let token = gate.keystone.issue(TokenSpec::member(MEMBER));
            let mut connection = Connection::open(gate.address).await;
            connection
                .send(scene.accept(&gate).token(&token).header("Transfer-Encoding", "chunked").body("").bytes())
                .await;
            eventually("the head is read", || async { gate.questions() == asked }).await;
            connection.send(chunks).await;
            let reply = connection.try_reply("PUT").await.unwrap_or_else(|| panic!("no answer to {chunks:?}"));
            assert_eq!((reply.status, reply.header("connection")), (400, Some("close")), "{chunks:?}");
            gate.expect_refusal(&reply, "body_broken").await;
            assert!(connection.is_over().await, "{chunks:?}");
        }
        gate.expect_unseen();
    });
}

/// The answer is there before the client has sent everything; closing too early would destroy it on its way.
#[test]
fn a_refusal_reaches_a_client_that_sends_on() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let file = format!("{}/file", scene.image_target());
        for _ in 0..5 {
            for length in [100_000, 1_000_000, 3_000_000] {
                for (call, status) in [
                    (scene.accept(&gate).token(&scene.member), 413),
                    (scene.accept(&gate), 401),
                    (gate.call("POST", &scene.target).token(&scene.member), 405),
                    (gate.call("PUT", &format!("/{file}")).token(&scene.owner), 400),
                    (gate.call("PUT", &file).token(&scene.owner).header("X_Roles", "admin"), 400),
                ] {
                    let reply = call.clone().body(vec![b' '; length]).try_send().await;
                    assert_eq!(reply.map(|reply| reply.status), Some(status), "{length} {call:?}");
                }
            }
        }
        gate.expect_unseen();
    });
}

#[test]
fn a_client_that_hangs_up_within_the_body_leaves_nothing_behind() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let mut connection = Connection::open(gate.address).await;
        let call = scene.accept(&gate).token(&scene.member).header("Content-Length", "22").body("{\"status\"");
        connection.send(call.bytes()).await;
        eventually("the call is under way", || async { gate.questions() == 1 }).await;
        drop(connection);
        gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
        gate.expect_unseen();
    });
}

#[test]
fn a_head_over_the_limit_is_refused() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.max_head_bytes = 16 * 1024).await;
        let scene = Scene::new(&gate);
        let call = |length: usize| {
            gate.call("GET", "/v2/images").token(&scene.member).header("X-Image-Meta-Long", "a".repeat(length))
        };
        for length in [17 * 1024, 24 * 1024] {
            let reply = call(length).send().await;
            assert_eq!(reply.status, 431, "{length}");
            gate.expect_refusal(&reply, "head_too_large").await;
        }
        gate.expect_unseen();
        assert_eq!(call(12 * 1024).send().await.status, 200);
    });
}

#[test]
fn a_head_far_over_the_limit_is_not_even_read() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.max_head_bytes = 16 * 1024).await;
        let call = gate.call("GET", "/v2/images").header("X-Image-Meta-Long", "a".repeat(4 * 1024 * 1024));
        let reply = call.try_send().await;
        assert!(reply.is_none_or(|reply| reply.status == 431));
        gate.expect_unseen();
    });
}

#[test]
fn a_bug_denies_the_request_and_the_worker_goes_on() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.workers = 1;
            // more time than there is: waiting for a body panics. No configuration file can say so
            config.server.connection.client_idle_timeout = Duration::MAX;
        })
        .await;
        let scene = Scene::new(&gate);
        for _ in 0..3 {
            let mut connection = Connection::open(gate.address).await;
            let call = scene.accept(&gate).token(&scene.member).header("Content-Length", "22").body("{\"status\"");
            connection.send(call.bytes()).await;
            let reply = connection.reply("PUT").await;
            assert_eq!((reply.status, reply.json()["code"].as_str()), (500, Some("500 Internal Server Error")));
            assert!(!reply.text().contains("overflow"), "the cause is not the client's: {}", reply.text());
            gate.expect_refusal(&reply, "internal").await;
        }
        gate.expect_unseen();
        assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);
    });
}
