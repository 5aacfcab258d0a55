//! Staging is slow, hung, gone or talks nonsense: no request notices, and every bound holds and is counted.

use std::time::Duration;

use glance_gate::demo::fault::Fault;
use glance_gate::shadow::config::Twice;
use http::Method;

use crate::client::Connection;
use crate::harness::DeadPort;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::CANONICAL;
use crate::scene::Scene;
use crate::scripted::Act;
use crate::scripted::Upstream;
use crate::shadow_scene::Shadowed;
use crate::shadow_scene::Staging;

async fn reads(shadowed: &Shadowed, scene: &Scene, count: usize) {
    for _ in 0..count {
        let reply = shadowed.gate.call("GET", &scene.image_target()).token(&scene.owner).send().await;
        assert_eq!((reply.status, reply.is_whole), (200, true));
    }
}

async fn wait_for_outcome(shadowed: &Shadowed, outcome: &str, count: u64) {
    let metric = format!("glance_gate_shadow_copies_total{{outcome=\"{outcome}\"}}");
    shadowed.gate.wait_for_metric(&metric, count).await;
}

#[test]
fn whatever_staging_answers_the_primary_is_as_before() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.shadow.limits.answer_bytes = 10_000;
            config.shadow.limits.call_timeout = Duration::from_millis(300);
        })
        .await;
        let scene = Scene::new(&shadowed.gate);
        let (mut sent, mut broken) = (0, 0);
        for fault in [Fault::Status(500), Fault::HtmlPortal, Fault::EmptyObject, Fault::Slow(Duration::from_millis(20))]
        {
            shadowed.staging.glance.set_fault(fault);
            reads(&shadowed, &scene, 2).await;
            sent += 2;
            wait_for_outcome(&shadowed, "sent", sent).await;
        }
        for fault in
            [Fault::Garbage, Fault::Reset, Fault::TruncateBody, Fault::ConflictingLength, Fault::ResetAfterHead]
        {
            shadowed.staging.glance.set_fault(fault);
            reads(&shadowed, &scene, 1).await;
            broken += 1;
            wait_for_outcome(&shadowed, "broken", broken).await;
        }
        shadowed.staging.glance.set_fault(Fault::Huge(1_000_000));
        reads(&shadowed, &scene, 1).await;
        wait_for_outcome(&shadowed, "too_large", 1).await;
        shadowed.staging.glance.set_fault(Fault::Hang);
        reads(&shadowed, &scene, 3).await;
        wait_for_outcome(&shadowed, "timed_out", 3).await;
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn a_staging_that_is_gone_is_only_counted() {
    run(async {
        let dead = DeadPort::new();
        let shadowed = Shadowed::start(|config| config.shadow.target = dead.url()).await;
        let scene = Scene::new(&shadowed.gate);
        reads(&shadowed, &scene, 5).await;
        wait_for_outcome(&shadowed, "unreachable", 5).await;
        shadowed.wait_for_rest().await;
        assert_eq!(shadowed.gate.seen().len(), 5);
    });
}

#[test]
fn copies_that_a_hung_staging_does_not_take_are_bounded_in_number_and_age() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.shadow.limits.queue = 3;
            config.shadow.limits.in_flight = 2;
            config.shadow.limits.age = Duration::from_secs(2);
            config.shadow.limits.call_timeout = Duration::from_secs(4);
        })
        .await;
        shadowed.staging.glance.set_fault(Fault::Hang);
        let scene = Scene::new(&shadowed.gate);
        reads(&shadowed, &scene, 2).await;
        shadowed.gate.wait_for_metric("glance_gate_shadow_in_flight_copies", 2).await;
        reads(&shadowed, &scene, 10).await;
        // the first that waits keeps its place while it waits for room
        shadowed.wait_for_dropped("queue_full", 7).await;
        shadowed.gate.wait_for_metric("glance_gate_shadow_waiting_copies", 3).await;
        shadowed.wait_for_dropped("too_old", 3).await;
        assert_eq!(shadowed.staging.seen().len(), 2);
        wait_for_outcome(&shadowed, "timed_out", 2).await;
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn copies_take_no_more_memory_than_they_may_and_give_it_back() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.shadow.limits.bytes = 40_000;
            config.shadow.limits.answer_bytes = 8_000;
            config.shadow.limits.call_timeout = Duration::from_secs(1);
        })
        .await;
        shadowed.staging.glance.set_fault(Fault::Hang);
        let scene = Scene::new(&shadowed.gate);
        reads(&shadowed, &scene, 40).await;
        eventually("some are dropped", || async {
            shadowed.gate.metrics().await.contains("glance_gate_shadow_dropped_total{reason=\"bytes_full\"}")
        })
        .await;
        let metrics = shadowed.gate.metrics().await;
        let held = metrics.lines().find_map(|line| line.strip_prefix("glance_gate_shadow_held_bytes "));
        let held: u64 = held.expect("the metric").parse().expect("a number");
        assert!((8_000..=40_000).contains(&held), "{held}");
        shadowed.wait_for_rest().await;
        shadowed.staging.glance.set_fault(Fault::None);
        let before = shadowed.staging.seen().len();
        reads(&shadowed, &scene, 1).await;
        shadowed.staging.wait_for(before + 1).await;
    });
}

#[test]
fn answers_that_are_too_large_or_break_off_are_not_copied() {
    run(async {
        let shadowed = Shadowed::start(|config| config.shadow.limits.answer_bytes = 1000).await;
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        for _ in 0..20 {
            drop(gate.glance.add_image(glance_gate::demo::glance::ImageSpec::owned_by(crate::scene::OWNER)));
        }
        let reply = gate.call("GET", "/v2/images").token(&scene.owner).send().await;
        assert!(reply.status == 200 && reply.is_whole && reply.body.len() > 1000);
        shadowed.wait_for_dropped("answer_too_large", 1).await;
        // of a length that nobody said before
        gate.glance.set_fault_on("/v2/images", Fault::Huge(50_000));
        let reply = gate.call("GET", "/v2/images").token(&scene.owner).send().await;
        assert!(reply.status == 200 && reply.is_whole && reply.body.len() >= 50_000);
        shadowed.wait_for_dropped("answer_too_large", 2).await;
        gate.glance.set_fault_on("/v2/images", Fault::TruncateBody);
        // it may break off before the head has gone out
        let reply = gate.call("GET", "/v2/images").token(&scene.owner).try_send().await;
        assert!(reply.is_none_or(|reply| !reply.is_whole));
        shadowed.wait_for_dropped("answer_broken", 1).await;
        gate.glance.set_fault_on("/v2/images", Fault::Reset);
        let reply = gate.call("GET", "/v2/images").token(&scene.owner).send().await;
        assert_eq!(reply.status, 503);
        shadowed.wait_for_dropped("no_answer", 1).await;
        shadowed.wait_for_rest().await;
        assert!(shadowed.staging.seen().is_empty());
    });
}

#[test]
fn a_client_that_hangs_up_leaves_no_copy() {
    run(async {
        let shadowed = Shadowed::start(|_| {}).await;
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        gate.glance.set_fault_on("/v2/images", Fault::Hang);
        let mut connection = Connection::open(gate.address).await;
        connection.send(gate.call("GET", &scene.image_target()).token(&scene.owner).bytes()).await;
        eventually("the call is under way", || async { gate.seen().len() == 1 }).await;
        drop(connection);
        shadowed.wait_for_dropped("client_gone", 1).await;
        shadowed.wait_for_rest().await;
        assert!(shadowed.staging.seen().is_empty());
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_is_not_copied() {
    run(async {
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        let primary = Upstream::start(move |_| Act::Early(answer.into())).await;
        let shadowed = Shadowed::start(|config| {
            config.upstream.servers = vec![primary.url.clone()];
            config.shadow.writes = vec![(Method::POST, "/v2/images")];
        })
        .await;
        let mut connection = Connection::open(shadowed.gate.address).await;
        let head =
            "POST /v2/images HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{";
        connection.send(head).await;
        let reply = connection.reply("POST").await;
        assert_eq!((reply.status, reply.text().as_str()), (403, "{}"));
        shadowed.wait_for_dropped("request_unread", 1).await;
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn a_reload_turns_copies_to_another_staging_and_drops_those_that_wait() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.shadow.limits.in_flight = 1;
            config.shadow.limits.call_timeout = Duration::from_secs(4);
        })
        .await;
        let other = Staging::start().await;
        let scene = Scene::new(&shadowed.gate);
        shadowed.staging.glance.set_fault(Fault::Hang);
        reads(&shadowed, &scene, 4).await;
        shadowed.gate.wait_for_metric("glance_gate_shadow_waiting_copies", 3).await;
        let url = other.glance.url();
        shadowed.gate.reload(|config| config.shadow.target = url).await.expect("a good configuration");
        reads(&shadowed, &scene, 2).await;
        other.wait_for(2).await;
        shadowed.wait_for_dropped("reloaded", 3).await;
        // what is the same goes on
        shadowed.gate.reload(|config| config.overload.max_in_flight += 1).await.expect("a good configuration");
        reads(&shadowed, &scene, 1).await;
        other.wait_for(3).await;
        shadowed.gate.reload(|config| config.shadow.target.clear()).await.expect("a good configuration");
        reads(&shadowed, &scene, 1).await;
        shadowed.wait_for_rest().await;
        assert_eq!((shadowed.staging.seen().len(), other.seen().len()), (1, 3));
    });
}

#[test]
fn the_last_copies_are_sent_and_a_hung_staging_is_not_waited_for() {
    run(async {
        for fault in [Fault::Slow(Duration::from_millis(10)), Fault::Hang] {
            let mut shadowed = Shadowed::start(|config| {
                config.shadow.limits.in_flight = 1;
                config.server.drain_timeout = Duration::from_secs(if fault == Fault::Hang { 0 } else { 30 });
            })
            .await;
            let scene = Scene::new(&shadowed.gate);
            shadowed.staging.glance.set_fault(fault);
            reads(&shadowed, &scene, 8).await;
            let app = shadowed.gate.take_app();
            let stopped = tokio::task::spawn_blocking(move || app.stop()).await.expect("no panic");
            assert_eq!(stopped.expect("no thread panicked"), 0);
            let seen = shadowed.staging.seen().len();
            assert!(if fault == Fault::Hang { seen <= 1 } else { seen == 8 }, "{fault:?}: {seen}");
        }
    });
}

#[test]
fn writes_keep_their_order_and_are_sent_once_whatever_becomes_of_them() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            let route = "/v2/images/{image_id}/members/{member_id}";
            config.shadow.writes = vec![(Method::PUT, route)];
        })
        .await;
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        shadowed.staging.glance.set_fault(Fault::Status(200));
        let words = ["accepted", "rejected", "pending", "accepted", "rejected", "accepted"];
        for word in words {
            let body = format!("{{\"status\": \"{word}\"}}");
            let reply = gate.call("PUT", &scene.target).token(&scene.member).json(&body).send().await;
            assert_eq!(reply.status, 200);
        }
        let bodies: Vec<String> =
            shadowed.staging.wait_for(6).await.iter().map(glance_gate::demo::record::Seen::body_text).collect();
        assert_eq!(bodies, words.map(|word| CANONICAL.replace("accepted", word)));
        // a connection that breaks after the write was sent
        shadowed.staging.glance.set_fault(Fault::Reset);
        scene.accept(gate).token(&scene.member).send().await;
        wait_for_outcome(&shadowed, "broken", 1).await;
        assert_eq!(shadowed.staging.seen().len(), 7);
    });
}

#[test]
fn reads_are_asked_twice_where_that_is_wanted() {
    run(async {
        for twice in [Twice::Primary, Twice::Staging] {
            let control = Staging::start().await;
            let url = control.glance.url();
            let shadowed = Shadowed::start(|config| {
                config.shadow.twice = twice;
                config.shadow.twice_percent = 100;
                config.shadow.control = url;
                config.shadow.writes = vec![(Method::PUT, "/v2/images/{image_id}/members/{member_id}")];
            })
            .await;
            let scene = Scene::new(&shadowed.gate);
            reads(&shadowed, &scene, 3).await;
            shadowed.gate.wait_for_metric("glance_gate_shadow_repeated_total{outcome=\"learned\"}", 3).await;
            let again = shadowed.gate.glance.count(|seen| seen.header("x-glance-gate-shadow").is_some());
            let as_caller = shadowed.gate.glance.count(|seen| {
                seen.header("x-glance-gate-shadow").is_some() && seen.header("x-auth-token") == Some(&scene.owner)
            });
            let expected = if twice == Twice::Primary { (3, 3, 0) } else { (0, 0, 3) };
            assert_eq!((again, as_caller, control.seen().len()), expected);
            // a write is never asked twice
            scene.accept(&shadowed.gate).token(&scene.member).send().await;
            shadowed.wait_for_sent(4).await;
            shadowed.wait_for_rest().await;
            assert_eq!(
                shadowed.gate.count("PUT", &scene.target) + control.glance.count(|seen| seen.method == "PUT"),
                1
            );
            control.expect_nowhere(&scene.owner);
            shadowed.staging.expect_nowhere(&scene.owner);
        }
    });
}
