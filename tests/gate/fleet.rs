//! A gate that is to share with others, and can not: what it tells of that, and that nobody else notices.
//!
//! What gates tell each other is tested with the real servers, in `tests/bus`.

use std::time::Duration;

use glance_gate::secret::Secret;
use tokio::net::TcpListener;

use crate::harness::DeadPort;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::Scene;

/// A port that takes connections and never answers.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    (listener, port)
}

async fn conditions(gate: &Gate) -> String {
    gate.admin("/readyz?verbose").await.text()
}

#[test]
fn a_gate_that_can_reach_no_other_goes_on_by_itself() {
    run(async {
        let dead = DeadPort::new();
        let (_listener, port) = silent().await;
        let gate = Gate::start(|config| {
            config.redis.url = dead.url().replace("http:", "redis:");
            config.notifications.transport_url = Secret::new(format!("rabbit://gate:planted@127.0.0.1:{port}/"));
            config.notifications.connect_timeout = Duration::from_millis(50);
            config.rates.per_client = 1_000;
        })
        .await
        .warm()
        .await;
        for link in ["redis", "notifications"] {
            gate.wait_for_metric(&format!("glance_gate_fleet_connected{{link=\"{link}\"}}"), 0).await;
        }
        let told = conditions(&gate).await;
        for line in ["[-] other gates, if any (told only)", "[-] notifications, if any (told only)", "ready"] {
            assert!(told.lines().any(|known| known == line), "{line} not in {told}");
        }
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        assert!(!gate.metrics().await.contains("planted"));
    });
}

#[test]
fn a_gate_on_its_own_tells_of_no_link() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let told = conditions(&gate).await;
        assert!(told.contains("[+] other gates, if any (told only)"), "{told}");
        assert!(told.contains("[+] notifications, if any (told only)"), "{told}");
        assert!(!gate.metrics().await.contains("glance_gate_fleet_connected{"));
    });
}

#[test]
fn a_reload_turns_a_link_on_and_off() {
    run(async {
        let dead = DeadPort::new();
        let gate = Gate::start(|_| {}).await;
        let connected = "glance_gate_fleet_connected{link=\"redis\"}";
        gate.reload(|config| config.redis.url = dead.url().replace("http:", "redis:")).await.expect("a good address");
        gate.wait_for_metric(connected, 0).await;
        assert!(conditions(&gate).await.contains("[-] other gates, if any"));
        gate.reload(|config| config.redis.url = String::new()).await.expect("a good configuration");
        eventually("it is told no more", || async { !gate.metrics().await.contains(connected) }).await;
        assert!(conditions(&gate).await.contains("[+] other gates, if any"));
        // what can not be used is refused, and nothing changes
        let refused = gate.reload(|config| config.redis.url = "redis://host/x".into()).await;
        assert!(refused.is_err());
        let missing = gate
            .reload(|config| {
                config.redis.url = "rediss://127.0.0.1".into();
                config.redis.cafile = Some("/nonexistent/ca.pem".into());
            })
            .await;
        assert!(missing.is_err());
    });
}

#[test]
fn a_gate_that_waits_for_a_silent_server_ends_at_once() {
    run(async {
        let (_listener, port) = silent().await;
        let mut gate = Gate::start(|config| {
            config.redis.url = format!("redis://127.0.0.1:{port}");
            config.redis.connect_timeout = Duration::from_hours(1);
            config.notifications.transport_url = Secret::new(format!("rabbit://127.0.0.1:{port}"));
            config.notifications.connect_timeout = Duration::from_hours(1);
        })
        .await;
        let app = gate.take_app();
        let ended = tokio::task::spawn_blocking(move || app.stop()).await.expect("no panic");
        assert_eq!(ended.expect("a clean end"), 0);
    });
}
