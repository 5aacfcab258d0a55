//! What single rules are set to, what they earn, and the one switch that turns them all to observing.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::openstack::identity::ProjectId;
use glance_gate::refusal::Refusal;
use glance_gate::rules::earned::EnforceAfter;
use glance_gate::rules::setting::Setting;
use glance_gate::rules::setting::Share;

use crate::client::Call;
use crate::client::Reply;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::Scene;

fn set(config: &mut Config, refusal: Refusal, setting: Setting) {
    config.rules.settings.insert(refusal.reason(), setting);
}

fn drift(rule: &str, verdict: &str, status: u16, agree: &str) -> String {
    format!("glance_gate_drift_total{{rule=\"{rule}\",verdict=\"{verdict}\",status=\"{status}\",agree=\"{agree}\"}}")
}

async fn by_owner(gate: &Gate, scene: &Scene) -> Reply {
    scene.accept(gate).token(&scene.owner).send().await
}

async fn order(gate: &Gate, target: &str) -> Reply {
    Call::new(gate.admin_address, "POST", target).header("X-Glance-Gate-Order", "1").send().await
}

#[test]
fn each_rule_does_what_it_is_set_to() {
    run(async {
        let gate = Gate::start(|config| {
            set(config, Refusal::OwnerForbidden, Setting::Observe);
            set(config, Refusal::BodyMalformed, Setting::Off);
        })
        .await;
        let scene = Scene::new(&gate);
        assert_eq!(by_owner(&gate, &scene).await.status, 403, "by Glance");
        gate.expect_count("owner_forbidden", "observed").await;
        gate.wait_for_metric(&drift("owner_forbidden", "would_refuse", 403, "yes"), 1).await;
        let odd = gate.call("PUT", &scene.target).token(&scene.member).json("{").send().await;
        assert_eq!(odd.status, 400, "by Glance");
        gate.expect_count("body_malformed", "off").await;
        let stranger = scene.accept(&gate).token(&scene.stranger).send().await;
        gate.expect_refusal(&stranger, "image_not_found").await;
        assert_eq!(gate.count("PUT", &scene.target), 2);
        let metrics = gate.metrics().await;
        assert!(!metrics.contains("rule=\"body_malformed\",verdict"), "what is off is not compared: {metrics}");
        for (rule, mode) in [("owner_forbidden", "observe"), ("body_malformed", "off"), ("image_not_found", "enforce")]
        {
            gate.wait_for_metric(&format!("glance_gate_rule_mode{{rule=\"{rule}\",mode=\"{mode}\"}}"), 1).await;
        }
        let told = gate.admin("/readyz?verbose").await.text();
        for line in ["[i] kill switch: off", "[i] rules: observe: owner_forbidden", "[i] rules: off: body_malformed"] {
            assert!(told.lines().any(|known| known == line), "{line} is not in {told}");
        }
    });
}

#[test]
fn a_rule_is_enforced_for_some_projects_only() {
    run(async {
        let gate = Gate::start(|config| {
            config.rules.projects = [ProjectId::new(MEMBER)].into();
            config.rules.default = Setting::Enforce(Share::Listed);
        })
        .await;
        let scene = Scene::new(&gate);
        by_owner(&gate, &scene).await;
        gate.expect_count("owner_forbidden", "observed").await;
        let listed = gate.call("PUT", &scene.target).token(&scene.member).json("[]").send().await;
        gate.expect_refusal(&listed, "body_not_object").await;
        let nobody = gate.call("PUT", &scene.target).json(ACCEPT).send().await;
        assert_eq!(nobody.status, 401, "by Glance");
        gate.expect_count("token_missing", "observed").await;
        for (percent, mode) in [(0, "observed"), (100, "enforced")] {
            let setting = Setting::Enforce(Share::Percent(percent));
            gate.reload(|config| set(config, Refusal::OwnerForbidden, setting)).await.expect("a good configuration");
            if mode == "observed" {
                by_owner(&gate, &scene).await;
                gate.expect_count("owner_forbidden", mode).await;
            } else {
                let refused = by_owner(&gate, &scene).await;
                gate.expect_refusal(&refused, "owner_forbidden").await;
            }
        }
    });
}

#[test]
fn what_protects_the_neighbours_waits_for_no_project() {
    run(async {
        let gate = Gate::start(|config| {
            config.rules.default = Setting::Enforce(Share::Percent(100));
            config.member_limit.max_in_flight = 0;
        })
        .await;
        let scene = Scene::new(&gate);
        let refused = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&refused, "overloaded").await;
        gate.expect_unseen();
    });
}

#[test]
fn glances_answers_are_compared_with_the_verdicts() {
    run(async {
        let gate = Gate::start(|config| config.rules.default = Setting::Observe).await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        gate.wait_for_metric(&drift("none", "permitted", 200, "yes"), 1).await;
        by_owner(&gate, &scene).await;
        gate.wait_for_metric(&drift("owner_forbidden", "would_refuse", 403, "yes"), 1).await;
        // the contract asks for JSON, Glance does not look
        let plain = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", "text/plain");
        plain.body(ACCEPT).send().await;
        gate.wait_for_metric(&drift("media_type_unsupported", "would_refuse", 200, "no"), 1).await;
        gate.glance.set_fault(Fault::Status(403));
        scene.accept(&gate).token(&scene.member).send().await;
        gate.wait_for_metric(&drift("none", "permitted", 403, "no"), 1).await;
        gate.glance.set_fault(Fault::Status(503));
        by_owner(&gate, &scene).await;
        gate.wait_for_metric(&drift("owner_forbidden", "would_refuse", 503, "unknown"), 1).await;
    });
}

#[test]
fn any_of_three_hands_turns_all_rules_to_observing() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("observe_all");
        let gate = Gate::start(|config| {
            config.rules.kill_switch_file = file.clone();
            set(config, Refusal::NotTheMember, Setting::Off);
        })
        .await;
        let scene = Scene::new(&gate);
        let refused = by_owner(&gate, &scene).await;
        gate.expect_refusal(&refused, "owner_forbidden").await;
        let observes = async |hand: &str| {
            gate.wait_for_metric("glance_gate_kill_switch", 1).await;
            by_owner(&gate, &scene).await;
            gate.expect_count("owner_forbidden", "observed").await;
            let told = gate.admin("/readyz?verbose").await.text();
            assert!(told.contains(&format!("[i] kill switch: on, held by {hand}: all rules only observe\n")), "{told}");
            assert!(told.contains("[i] rules: off: not_the_member\n") && !told.contains("rules: enforce"), "{told}");
        };
        let enforces = async || {
            gate.wait_for_metric("glance_gate_kill_switch", 0).await;
            let refused = by_owner(&gate, &scene).await;
            gate.expect_refusal(&refused, "owner_forbidden").await;
        };

        std::fs::write(&file, "").expect("a writable folder");
        observes("file").await;
        std::fs::remove_file(&file).expect("the file");
        enforces().await;

        assert_eq!(order(&gate, "/kill-switch/on").await.status, 200);
        observes("operator").await;
        // a reload does not take the operator's hand away
        gate.reload(|config| config.rules.kill_switch = true).await.expect("a good configuration");
        observes("config and operator").await;
        let told = order(&gate, "/kill-switch/off").await.text();
        assert_eq!(told, "kill switch: on, held by config: all rules only observe\n");
        observes("config").await;
        gate.reload(|config| config.rules.kill_switch = false).await.expect("a good configuration");
        enforces().await;
    });
}

#[test]
fn the_kill_switch_takes_no_orders_from_strangers() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let plain = Call::new(gate.admin_address, "POST", "/kill-switch/on");
        assert_eq!(plain.clone().send().await.status, 403);
        let rebound = plain.header("X-Glance-Gate-Order", "1").header("Host", "rebound.example:9294");
        assert_eq!(rebound.send().await.status, 403);
        assert_eq!(gate.admin("/kill-switch/on").await.status, 405);
        gate.wait_for_metric("glance_gate_kill_switch", 0).await;
    });
}

fn earning(config: &mut Config) {
    set(config, Refusal::OwnerForbidden, Setting::Earn);
    config.rules.enforce_after = EnforceAfter { samples: 3, period: Duration::ZERO, max_disagreements: 0 };
    config.rules.probe_percent = 50;
}

#[test]
fn a_rule_earns_its_enforcement_and_loses_it_when_glance_disagrees() {
    run(async {
        let gate = Gate::start(earning).await;
        let scene = Scene::new(&gate);
        for _ in 0..3 {
            by_owner(&gate, &scene).await;
            gate.expect_count("owner_forbidden", "observed").await;
        }
        let changes =
            |change| format!("glance_gate_rule_changes_total{{rule=\"owner_forbidden\",change=\"{change}\"}}");
        gate.wait_for_metric(&changes("promoted"), 1).await;
        gate.wait_for_metric("glance_gate_rule_mode{rule=\"owner_forbidden\",mode=\"enforce\"}", 1).await;
        let told = gate.admin("/readyz?verbose").await.text();
        assert!(told.contains("[i] rules: enforce (earns its enforcement): owner_forbidden\n"), "{told}");
        // every second one is still judged by Glance
        by_owner(&gate, &scene).await;
        gate.expect_count("owner_forbidden", "observed").await;
        let refused = by_owner(&gate, &scene).await;
        gate.expect_refusal(&refused, "owner_forbidden").await;
        gate.glance.set_fault(Fault::Status(404));
        assert_eq!(by_owner(&gate, &scene).await.status, 404, "by Glance");
        gate.expect_count("owner_forbidden", "observed").await;
        gate.wait_for_metric(&changes("demoted"), 1).await;
        gate.wait_for_metric("glance_gate_rule_mode{rule=\"owner_forbidden\",mode=\"observe\"}", 1).await;
        for _ in 0..2 {
            assert_eq!(by_owner(&gate, &scene).await.status, 404, "by Glance");
            gate.expect_count("owner_forbidden", "observed").await;
        }
    });
}

#[test]
fn what_a_rule_has_earned_survives_a_restart() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("rules.json");
        let mut gate = Gate::start(|config| {
            earning(config);
            config.rules.probe_percent = 0;
            config.rules.state_file = file.clone();
        })
        .await;
        let scene = Scene::new(&gate);
        for _ in 0..3 {
            by_owner(&gate, &scene).await;
        }
        gate.wait_for_metric("glance_gate_rule_mode{rule=\"owner_forbidden\",mode=\"enforce\"}", 1).await;
        let app = gate.take_app();
        tokio::task::spawn_blocking(|| app.stop()).await.expect("no panic").expect("a clean end");
        let start = async || {
            Gate::between(neighbours().await, |config| {
                earning(config);
                config.rules.probe_percent = 0;
                config.rules.state_file = file.clone();
            })
            .await
        };
        let again = start().await;
        let scene = Scene::new(&again);
        let refused = by_owner(&again, &scene).await;
        again.expect_refusal(&refused, "owner_forbidden").await;
        directory.write("rules.json", "no state of ours");
        let anew = start().await;
        let scene = Scene::new(&anew);
        by_owner(&anew, &scene).await;
        anew.expect_count("owner_forbidden", "observed").await;
    });
}

#[test]
fn nothing_ambiguous_is_ever_a_rule() {
    for refusal in [Refusal::TargetAmbiguous, Refusal::HeaderAmbiguous, Refusal::RequestMalformed, Refusal::Internal] {
        assert!(!refusal.is_rule(), "{refusal:?}");
    }
}
