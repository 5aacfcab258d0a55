//! What load balancers and operators see.

use std::time::Duration;

use glance_gate::demo::fault::Fault;

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::Scene;

#[test]
fn the_health_check_answers_for_the_gate() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let reply = gate.call("GET", "/healthcheck").send().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "OK"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=UTF-8"));
        let reply = gate.call("HEAD", "/healthcheck?x=1").send().await;
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(gate.seen().len(), 0);
        // other methods on it are Glance's business
        assert_eq!(gate.call("OPTIONS", "/healthcheck").send().await.status, 200);
        assert_eq!(gate.glance.count(|seen| seen.method == "OPTIONS"), 1);
    });
}

#[test]
fn a_file_takes_the_gate_out() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("disable");
        let gate = Gate::start(|config| config.server.healthcheck_disable_file = file.clone()).await;
        let scene = Scene::new(&gate);
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 200);
        directory.write("disable", "");
        let reply = gate.call("GET", "/healthcheck").send().await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "DISABLED BY FILE"));
        // who comes all the same is served
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        std::fs::remove_file(file).expect("the file");
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 200);
    });
}

#[test]
fn a_gate_without_a_healthy_upstream_is_not_healthy() {
    run(async {
        let gate = Gate::start(|config| config.upstream.health_check_interval = Duration::from_millis(20)).await;
        let scene = Scene::new(&gate);
        let healthy = format!("glance_gate_upstream_healthy{{upstream=\"{}\"}}", gate.glance.url());
        gate.wait_for_metric(&healthy, 1).await;
        gate.glance.set_healthy(false);
        eventually("the gate is not healthy", || async {
            gate.call("GET", "/healthcheck").send().await.text() == "NO UPSTREAM"
        })
        .await;
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 503);
        gate.wait_for_metric(&healthy, 0).await;
        let ready = gate.admin("/readyz").await;
        assert_eq!((ready.status, ready.text().contains("[-] upstream")), (503, true), "{}", ready.text());
        // a check that fails everywhere locks nobody out
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);

        gate.glance.set_healthy(true);
        eventually("the gate is healthy again", || async {
            gate.call("GET", "/healthcheck").send().await.status == 200 && gate.admin("/readyz").await.status == 200
        })
        .await;
        gate.wait_for_metric(&healthy, 1).await;
    });
}

#[test]
fn an_upstream_that_hangs_is_not_healthy() {
    run(async {
        let gate = Gate::start(|config| {
            config.upstream.health_check_interval = Duration::from_millis(20);
            config.upstream.connections.connect_timeout = Duration::from_millis(100);
        })
        .await;
        gate.glance.set_fault_on("/healthcheck", Fault::Hang);
        eventually("the gate is not healthy", || async { gate.call("GET", "/healthcheck").send().await.status == 503 })
            .await;
    });
}

#[test]
fn operators_have_a_listener_of_their_own() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        for (target, status, start) in [
            ("/livez", 200, "ok\n"),
            ("/readyz", 200, "ready\n"),
            ("/readyz?verbose", 200, "[+] upstream\n"),
            ("/metrics", 200, "# HELP glance_gate_"),
            ("/v2/images", 404, "try / in a browser"),
        ] {
            let reply = gate.admin(target).await;
            assert_eq!(reply.status, status, "{target}");
            assert!(reply.text().starts_with(start), "{target}: {}", reply.text());
        }
        let verbose = gate.admin("/readyz?verbose").await.text();
        for line in ["[+] upstream", "[+] not draining", "[+] own keystone token (told only)", "ready"] {
            assert!(verbose.lines().any(|known| known == line), "{line} not in {verbose}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(Call::new(gate.admin_address, method, "/livez").send().await.status, 405, "{method}");
        }
        assert_eq!(Call::new(gate.admin_address, "HEAD", "/livez").send().await.body.len(), 0);
        // and it is not on the clients' side: there these paths are Glance's
        for target in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(gate.call("GET", target).send().await.status, 300, "{target}");
            assert_eq!(gate.count("GET", target), 1);
        }
    });
}

#[test]
fn the_metrics_are_open_metrics_and_hold_no_client_words() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        gate.call("BREW", "/v2/client-chosen").token(&scene.member).send().await;
        gate.wait_for_metric(r#"glance_gate_requests_total{branch="member_update",verdict="permitted",code="200"}"#, 1)
            .await;
        gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
        let reply = gate.admin("/metrics").await;
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(reply.header("content-type"), Some(kind));
        let text = reply.text();
        assert!(text.ends_with("# EOF\n"));
        for name in [
            "glance_gate_requests_total",
            "glance_gate_request_duration_seconds_bucket",
            "glance_gate_in_flight_requests 0",
            "glance_gate_connections",
            "glance_gate_cache_requests_total",
            "glance_gate_neighbour_requests_total{neighbour=\"keystone\",outcome=\"ok\"} 1",
            "glance_gate_upstream_healthy",
            "glance_gate_build_info{version=",
        ] {
            assert!(text.contains(name), "{name} not in {text}");
        }
        for word in ["BREW", "client-chosen", &scene.image, &scene.member] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    });
}
