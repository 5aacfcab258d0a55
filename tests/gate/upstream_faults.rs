//! One upstream of two fails: safe requests do not notice, nothing is done twice, and it comes back by itself.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::Glance;
use glance_gate::upstream::retry;
use glance_gate::upstream::rules::AllOpen;
use glance_gate::upstream::select::Strategy;

use crate::balance::Pair;
use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::Scene;

/// Breakers that open after three failures, for a time that no test waits for.
fn for_good(config: &mut Config) {
    config.upstream.rules.strategy = Strategy::RoundRobin;
    config.upstream.rules.slow_start = Duration::ZERO;
    config.upstream.rules.breaker.failures = 3;
    config.upstream.rules.breaker.open_time = Duration::from_hours(1);
    config.upstream.rules.breaker.max_open_time = Duration::from_hours(1);
}

/// Breakers that find out quickly whether the fault is over.
fn for_a_moment(config: &mut Config) {
    for_good(config);
    config.upstream.rules.breaker.open_time = Duration::from_millis(50);
    config.upstream.rules.breaker.max_open_time = Duration::from_millis(100);
    config.upstream.rules.retry = retry::Rules { percent: 100, per_second: 1000 };
    config.upstream.connections.response_timeout = Duration::from_millis(200);
}

async fn wait_for_state(gate: &Gate, glance: &Glance, state: &str) {
    let metric = format!("glance_gate_upstream_state{{upstream=\"{}\",state=\"{state}\"}}", glance.url());
    gate.wait_for_metric(&metric, 1).await;
}

async fn is_state(gate: &Gate, glance: &Glance, state: &str) -> bool {
    let line = format!("glance_gate_upstream_state{{upstream=\"{}\",state=\"{state}\"}} 1", glance.url());
    gate.metrics().await.lines().any(|known| known == line)
}

/// Sends requests until the breaker of the other upstream is open; returns how many were not answered well.
async fn trip(pair: &Pair) -> usize {
    let mut failed = 0;
    for _ in 0..100 {
        failed += usize::from(pair.get("/v2/images").await != 200);
        if is_state(&pair.gate, &pair.other, "open").await {
            return failed;
        }
    }
    panic!("the breaker does not open");
}

#[test]
fn an_upstream_that_fails_in_a_row_gets_nothing_more() {
    for fault in [Fault::Reset, Fault::Garbage, Fault::ConflictingLength, Fault::Hang] {
        run(async {
            let pair = Pair::start(|config| {
                for_good(config);
                config.upstream.connections.response_timeout = Duration::from_millis(200);
            })
            .await;
            pair.other.set_fault_on("/v2", fault);
            let failed = trip(&pair).await;
            // what was reset before a byte of an answer goes to the other one
            assert_eq!(failed, if fault == Fault::Reset { 0 } else { 3 }, "{fault:?}");
            let before = pair.other.requests().len();
            for _ in 0..20 {
                assert_eq!(pair.get("/v2/schemas/member").await, 200, "{fault:?}");
            }
            assert_eq!(pair.other.requests().len(), before, "{fault:?}");
            let verbose = pair.gate.admin("/readyz?verbose").await;
            assert_eq!(verbose.status, 200);
            assert!(verbose.text().contains("[-] all upstreams in use (told only)"), "{}", verbose.text());
        });
    }
}

#[test]
fn nobody_notices_an_upstream_that_is_out_and_it_comes_back_by_itself() {
    for fault in [Fault::Reset, Fault::Garbage, Fault::ConflictingLength, Fault::Hang] {
        run(async {
            let pair = Pair::start(for_a_moment).await;
            pair.other.set_fault_on("/v2", fault);
            trip(&pair).await;
            // while it is tried again and again, each time with one of these requests
            let before = pair.other.requests().len();
            eventually("it is tried again", || async {
                assert_eq!(pair.get("/v2/images").await, 200, "{fault:?}");
                pair.other.requests().len() >= before + 3
            })
            .await;
            pair.other.set_fault(Fault::None);
            eventually("it is back", || async {
                assert_eq!(pair.get("/v2/images").await, 200, "{fault:?}");
                is_state(&pair.gate, &pair.other, "closed").await
            })
            .await;
            let before = pair.counts("/v2/schemas");
            for _ in 0..10 {
                assert_eq!(pair.get("/v2/schemas/member").await, 200, "{fault:?}");
            }
            assert_eq!(pair.counts("/v2/schemas"), [before[0] + 5, before[1] + 5], "{fault:?}");
        });
    }
}

#[test]
fn member_updates_that_are_given_up_open_the_breaker() {
    run(async {
        let gate = Gate::start(|config| {
            for_good(config);
            config.upstream.rules.all_open = AllOpen::Refuse;
            config.upstream.rules.breaker.given_up_after = Duration::from_millis(100);
            config.member_limit.timeout = Duration::from_millis(500);
            config.upstream.health_check_interval = Duration::from_hours(1);
        })
        .await;
        let scene = Scene::new(&gate);
        // the owner is known, so that only the last step meets the fault
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.glance.set_fault_on("/members/", Fault::Hang);
        let before = gate.seen().len();
        for _ in 0..3 {
            let reply = scene.accept(&gate).token(&scene.member).send().await;
            gate.expect_refusal(&reply, "member_update_too_slow").await;
        }
        wait_for_state(&gate, &gate.glance, "open").await;
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "upstream_unavailable").await;
        assert_eq!(gate.seen().len(), before + 3);
    });
}

#[test]
fn a_burst_of_503_takes_an_upstream_out_and_single_ones_do_not() {
    run(async {
        let pair = Pair::start(|config| {
            for_good(config);
            config.upstream.rules.breaker.window_requests = 10;
            config.upstream.rules.breaker.window = Duration::from_hours(1);
        })
        .await;
        for status in [500, 404, 401] {
            pair.other.set_fault_on("/v2", Fault::Status(status));
            for _ in 0..30 {
                pair.get("/v2/images").await;
            }
            assert!(is_state(&pair.gate, &pair.other, "closed").await, "{status} is an answer");
        }
        pair.other.set_fault_on("/v2", Fault::Status(503));
        assert_eq!(trip(&pair).await, 10, "Glance's own answer goes to the client");
        for _ in 0..10 {
            assert_eq!(pair.get("/v2/images").await, 200);
        }
    });
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    run(async {
        for method in ["PUT", "POST", "PATCH", "DELETE"] {
            let pair = Pair::start(for_good).await;
            for glance in pair.both() {
                glance.set_fault_on("/v2/", Fault::Reset);
            }
            for body in ["", "some bytes"] {
                let call = pair.gate.call(method, "/v2/images/x/file").token(&pair.token);
                let reply = call.header("Content-Type", "application/octet-stream").body(body).send().await;
                pair.gate.expect_refusal(&reply, "upstream_unavailable").await;
            }
            assert_eq!(pair.counts("/v2/images/x/file").iter().sum::<usize>(), 2, "{method}");
        }
    });
}

#[test]
fn a_safe_request_is_repeated_once_elsewhere_within_the_budget() {
    run(async {
        let pair = Pair::start(for_good).await;
        for glance in pair.both() {
            glance.set_fault_on("/v2/", Fault::Reset);
        }
        let reply = pair.gate.call("GET", "/v2/images").token(&pair.token).send().await;
        pair.gate.expect_refusal(&reply, "upstream_unavailable").await;
        assert_eq!(pair.counts("/v2/images"), [1, 1]);
        // a GET with a body is not repeated
        let reply = pair.gate.call("GET", "/v2/tasks").token(&pair.token).body("x").send().await;
        pair.gate.expect_refusal(&reply, "upstream_unavailable").await;
        assert_eq!(pair.counts("/v2/tasks").iter().sum::<usize>(), 1);
        pair.gate.wait_for_metric("glance_gate_upstream_retries_total{outcome=\"repeated\"}", 1).await;

        let pair = Pair::start(|config| {
            for_good(config);
            config.upstream.rules.retry = retry::Rules { percent: 0, per_second: 0 };
        })
        .await;
        for glance in pair.both() {
            glance.set_fault_on("/v2/", Fault::Reset);
        }
        let reply = pair.gate.call("GET", "/v2/images").token(&pair.token).send().await;
        pair.gate.expect_refusal(&reply, "upstream_unavailable").await;
        assert_eq!(pair.counts("/v2/images").iter().sum::<usize>(), 1);
        pair.gate.wait_for_metric("glance_gate_upstream_retries_total{outcome=\"no_budget\"}", 1).await;
    });
}

#[test]
fn a_half_open_breaker_sends_exactly_one_request() {
    run(async {
        let gate = Gate::start(|config| {
            for_a_moment(config);
            config.upstream.rules.all_open = AllOpen::Refuse;
            config.upstream.connections.response_timeout = Duration::from_secs(20);
            config.upstream.health_check_interval = Duration::from_hours(1);
        })
        .await;
        let call = || gate.call("GET", "/v2/versions");
        gate.glance.set_fault_on("/v2", Fault::Reset);
        for _ in 0..3 {
            gate.expect_refusal(&call().send().await, "upstream_unavailable").await;
        }
        wait_for_state(&gate, &gate.glance, "open").await;
        gate.glance.set_fault_on("/v2", Fault::Hang);
        // one of these finds the breaker half-open and hangs; all others are refused at once
        let mut probe = None;
        while probe.is_none() {
            let before = gate.seen().len();
            let mut connection = Connection::open(gate.address).await;
            connection.send(call().bytes()).await;
            tokio::select! {
                reply = connection.reply("GET") => assert_eq!(reply.status, 503),
                () = eventually("it is there", || async { gate.seen().len() > before }) => {}
            }
            if gate.seen().len() > before {
                probe = Some(connection);
            }
        }
        wait_for_state(&gate, &gate.glance, "half_open").await;
        let before = gate.seen().len();
        for _ in 0..20 {
            let reply = call().send().await;
            assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
        }
        assert_eq!(gate.seen().len(), before, "nobody but the probe gets there");
        // its client hangs up: the next request is the probe
        drop(probe);
        gate.glance.set_fault(Fault::None);
        eventually("the breaker is closed", || async { call().send().await.status != 503 }).await;
        wait_for_state(&gate, &gate.glance, "closed").await;
    });
}

#[test]
fn with_all_breakers_open_requests_are_tried_all_the_same() {
    run(async {
        let pair = Pair::start(for_good).await;
        for glance in pair.both() {
            glance.set_fault_on("/v2", Fault::Reset);
        }
        for _ in 0..6 {
            assert_eq!(pair.get("/v2/images").await, 503);
        }
        for glance in pair.both() {
            wait_for_state(&pair.gate, glance, "open").await;
            glance.set_fault(Fault::None);
        }
        // the end of the fault is the end of the outage
        for _ in 0..4 {
            assert_eq!(pair.get("/v2/images").await, 200);
        }
    });
}

#[test]
fn an_upstream_that_flaps_is_out_for_longer_each_time_and_harms_nobody() {
    run(async {
        let pair = Pair::start(for_a_moment).await;
        for _ in 0..5 {
            pair.other.set_fault_on("/v2", Fault::Reset);
            assert_eq!(trip(&pair).await, 0);
            pair.other.set_fault(Fault::None);
            eventually("it is back", || async {
                assert_eq!(pair.get("/v2/images").await, 200);
                is_state(&pair.gate, &pair.other, "closed").await
            })
            .await;
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_never_whole_and_never_repeated() {
    run(async {
        let pair = Pair::start(for_good).await;
        for glance in pair.both() {
            glance.set_fault_on("/v2/images", Fault::TruncateBody);
        }
        for number in 1..=10 {
            let reply = pair.gate.call("GET", "/v2/images").token(&pair.token).try_send().await;
            assert!(reply.is_none_or(|reply| !reply.is_whole || reply.status >= 500));
            assert_eq!(pair.counts("/v2/images").iter().sum::<usize>(), number);
        }
        for glance in pair.both() {
            pair.wait_for_in_flight(glance, 0).await;
        }
    });
}
