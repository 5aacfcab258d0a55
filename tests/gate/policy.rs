//! The operator's own policy.yaml: who may do what by it, and what becomes of a change of the file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::glance::Policy as StandIn;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::glance::LookupAs;
use glance_gate::glance::policy;
use glance_gate::glance::policy::Scopes;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;
use glance_gate::oslo_policy::files::Places;

use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

fn by_file(config: &mut Config, file: &Path, defaults: PolicyDefaults) {
    config.profile = Profile::Glance(defaults);
    let places = Places { file: file.into(), directories: Vec::new() };
    let read = policy::Config::read(places, Scopes::Enforced).expect("a good file");
    config.policy = policy::Config { check_interval: Duration::from_millis(10), ..read };
}

/// Starts a gate with these rules, before a Glance that lets everybody do everything but what the gate refuses.
async fn start(directory: &Directory, rules: &str) -> Gate {
    let file = directory.write("policy.yaml", rules);
    let gate = Gate::start(|config| by_file(config, &file, PolicyDefaults::New)).await;
    gate.glance.set_policy(StandIn::Legacy);
    gate
}

/// Puts another file in the place of the first, at once.
fn replace(directory: &Directory, rules: &str) {
    let new = directory.write("policy.yaml.new", rules);
    fs::rename(new, directory.path().join("policy.yaml")).expect("a writable directory");
}

fn member(gate: &Gate, role: &'static str) -> String {
    gate.keystone.issue(TokenSpec::member(MEMBER).roles(["reader", role]))
}

#[test]
fn a_rule_of_the_operators_stands_in_the_place_of_the_default() {
    run(async {
        let directory = Directory::new();
        let rules = "modify_member: role:approver and project_id:%(member_id)s\n";
        let gate = start(&directory, rules).await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 403);
        gate.expect_refusal(&reply, "role_forbidden").await;
        assert_eq!(gate.count("PUT", &scene.target), 0);
        let reply = scene.accept(&gate).token(&member(&gate, "Approver")).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (200, 1));
        gate.wait_for_metric(
            "glance_gate_requests_total{branch=\"member_update\",verdict=\"permitted\",code=\"200\"}",
            1,
        )
        .await;
    });
}

#[test]
fn who_is_an_administrator_is_what_the_operator_says() {
    run(async {
        let directory = Directory::new();
        let gate = start(&directory, "context_is_admin: role:cloud_admin\n").await;
        let scene = Scene::new(&gate);
        // no administrator there: a reader, who may not update
        let reply = scene.accept(&gate).token(&member(&gate, "admin")).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (403, 0));
        gate.expect_refusal(&reply, "role_forbidden").await;
        // and one who is, whatever the image is
        let reply = scene.accept(&gate).token(&member(&gate, "cloud_admin")).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (200, 1));
        gate.wait_for_metric("glance_gate_requests_total{branch=\"member_update\",verdict=\"asked\",code=\"200\"}", 1)
            .await;
    });
}

#[test]
fn what_the_gate_does_not_know_is_asked_of_glance() {
    run(async {
        let directory = Directory::new();
        let unknown = [
            "modify_member: \"'yes':%(may_share)s\"\n",
            "modify_member: user_domain_id:default\n",
            "modify_member: http://127.0.0.1:1/ask\n",
            "get_member: '!'\n",
            "get_image: role:nobody\n",
            "context_is_admin: is_admin_project:True\n",
        ];
        for rules in unknown {
            let gate = start(&directory, rules).await;
            let scene = Scene::new(&gate);
            let reply = scene.accept(&gate).token(&scene.member).send().await;
            assert_eq!((reply.status, gate.count("PUT", &scene.target)), (200, 1), "{rules}");
        }
        // what decides before that is decided
        let gate = start(&directory, "modify_member: \"role:nobody and 'yes':%(may_share)s\"\n").await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "role_forbidden").await;
    });
}

#[test]
fn an_image_that_is_not_shown_may_only_lack_a_role() {
    run(async {
        let directory = Directory::new();
        let gate = start(&directory, "get_image: role:viewer\n").await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.stranger).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (404, 1), "Glance is asked");
        let viewer = gate.keystone.issue(TokenSpec::member(crate::scene::STRANGER).roles(["viewer"]));
        let reply = scene.accept(&gate).token(&viewer).send().await;
        gate.expect_refusal(&reply, "image_not_found").await;
        assert_eq!(gate.count("PUT", &scene.target), 1);
    });
}

#[test]
fn the_gates_own_look_leaves_to_glance_what_hangs_on_the_member_list() {
    run(async {
        let directory = Directory::new();
        let file = directory.write("policy.yaml", "modify_member: role:approver\n");
        let neighbours = crate::harness::neighbours().await;
        neighbours.0.register_user("glance-gate", "gate-password", ["admin", "service"]);
        let gate = Gate::between(neighbours, |config| {
            by_file(config, &file, PolicyDefaults::New);
            config.ownership.lookup_as = LookupAs::Service;
        })
        .await;
        gate.glance.set_policy(StandIn::Legacy);
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (200, 1));
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (403, 2), "the owner is asked of Glance");
        let reply = scene.accept(&gate).token(&scene.stranger).send().await;
        gate.expect_refusal(&reply, "image_not_found").await;
    });
}

#[test]
fn the_documented_profile_proves_by_the_operators_rules_too() {
    run(async {
        let directory = Directory::new();
        let file = directory.write("policy.yaml", "modify_member: role:approver\n");
        let gate = Gate::start(|config| {
            by_file(config, &file, PolicyDefaults::New);
            config.profile = Profile::Documented;
        })
        .await;
        gate.glance.set_policy(StandIn::Legacy);
        let scene = Scene::new(&gate);
        let metric = |verdict| {
            format!("glance_gate_requests_total{{branch=\"member_update\",verdict=\"{verdict}\",code=\"200\"}}")
        };
        scene.accept(&gate).token(&scene.member).send().await;
        gate.wait_for_metric(&metric("asked"), 1).await;
        scene.accept(&gate).token(&member(&gate, "approver")).send().await;
        gate.wait_for_metric(&metric("permitted"), 1).await;
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
    });
}

#[test]
fn a_changed_file_is_put_to_use_without_being_told() {
    run(async {
        let directory = Directory::new();
        let gate = start(&directory, "modify_member: role:approver\n").await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "role_forbidden").await;
        replace(&directory, "modify_member: role:member\n");
        gate.wait_for_metric("glance_gate_policy_loads_total{outcome=\"applied\"}", 1).await;
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (200, 1));
        gate.wait_for_metric("glance_gate_config_generation", 2).await;
    });
}

#[test]
fn with_a_bad_file_the_last_good_one_stays_in_use() {
    run(async {
        let directory = Directory::new();
        let gate = start(&directory, "modify_member: role:approver\n").await;
        let scene = Scene::new(&gate);
        let line = |passes: &str| format!("[{passes}] policy files in use (told only)\n");
        assert!(gate.admin("/readyz?verbose").await.text().contains(&line("+")));
        let bad = ["modify_member: [\n", "a: rule:b\nb: rule:a\n", "modify_member: role:x\nb: 7\n"];
        for (bad, count) in bad.into_iter().zip(1..) {
            replace(&directory, bad);
            gate.wait_for_metric("glance_gate_policy_loads_total{outcome=\"refused\"}", count).await;
        }
        let ready = gate.admin("/readyz?verbose").await;
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains(&line("-")), "{}", ready.text());
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "role_forbidden").await;
        replace(&directory, "modify_member: role:member\n");
        gate.wait_for_metric("glance_gate_policy_loads_total{outcome=\"applied\"}", 1).await;
        assert!(gate.admin("/readyz?verbose").await.text().contains(&line("+")));
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn the_owner_is_refused_where_no_look_is_needed_by_legacy_defaults_beside_a_file() {
    run(async {
        let directory = Directory::new();
        let file = directory.write("policy.yaml", "modify_member: rule:default and role:approver\n");
        let gate = Gate::start(|config| by_file(config, &file, PolicyDefaults::Legacy)).await;
        gate.glance.set_policy(StandIn::Legacy);
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        let auditor = gate.keystone.issue(TokenSpec::member(OWNER).roles(["approver"]));
        gate.expect_refusal(&scene.accept(&gate).token(&auditor).send().await, "owner_forbidden").await;
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "role_forbidden").await;
    });
}
