//! The second credential: a service's token goes on, and a user's token that has ended may ride on it.

use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::AccessRule;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::demo::record::Seen;

use crate::harness::Gate;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

const NAME: &str = "x-service-token";

fn last(gate: &Gate, method: &str) -> Seen {
    gate.seen().into_iter().rfind(|seen| seen.method == method).expect("Glance saw it")
}

#[test]
fn a_services_token_goes_on_and_any_other_is_removed() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let service = gate.keystone.issue(TokenSpec::service("nova"));
        let ended = gate.keystone.issue(TokenSpec::service("nova").expired());
        for (token, goes_on) in [
            (&*service, true),
            (&*scene.owner, false),
            (&*ended, false),
            ("garbage", false),
            ("a b", false),
            ("", false),
        ] {
            for (method, target) in [("GET", "/v2/images"), ("PUT", &*scene.target)] {
                let mut call = gate.call(method, target).token(&scene.member).header(NAME, token);
                if method == "PUT" {
                    call = call.json(r#"{"status": "accepted"}"#);
                }
                assert_eq!(call.send().await.status, 200, "{method} with {token:?}");
                let seen = last(&gate, method);
                let expected: &[&str] = if goes_on { &[token] } else { &[] };
                assert_eq!(seen.header_values(NAME), expected, "{method} with {token:?}");
            }
        }
    });
}

#[test]
fn two_service_tokens_are_ambiguous() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let service = gate.keystone.issue(TokenSpec::service("nova"));
        let call = gate.call("GET", "/v2/images").token(&scene.member).header(NAME, &service).header(NAME, &service);
        gate.expect_refusal(&call.send().await, "token_ambiguous").await;
        gate.expect_unseen();
    });
}

#[test]
fn an_ended_token_rides_on_a_services_and_on_no_other() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let service = gate.keystone.issue(TokenSpec::service("nova"));
        let ended = gate.keystone.issue(TokenSpec::member(MEMBER).expired());
        let accept = |service: &str| scene.accept(&gate).token(&ended).header(NAME, service).send();
        gate.expect_refusal(&scene.accept(&gate).token(&ended).send().await, "token_invalid").await;
        gate.expect_refusal(&accept(&scene.owner).await, "token_invalid").await;
        gate.expect_refusal(&accept("garbage").await, "token_invalid").await;
        let reply = accept(&service).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(last(&gate, "PUT").header_values(NAME), [&service]);
        // the look-up needed it as well, and what it found is the caller's: the owner is still told no
        let owner = gate.keystone.issue(TokenSpec::member(crate::scene::OWNER).expired());
        let reply = scene.accept(&gate).token(&owner).header(NAME, &service).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
    });
}

#[test]
fn a_revoked_token_does_not_ride() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let service = gate.keystone.issue(TokenSpec::service("nova"));
        gate.keystone.revoke(&scene.member);
        let reply = scene.accept(&gate).token(&scene.member).header(NAME, &service).send().await;
        gate.expect_refusal(&reply, "token_invalid").await;
        gate.expect_unseen();
    });
}

#[test]
fn access_rules_hold_beside_a_service_token() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let service = gate.keystone.issue(TokenSpec::service("nova"));
        let rules = vec![AccessRule::image("GET", "/v2/images")];
        let restricted = gate.keystone.issue(TokenSpec::member(MEMBER).application_credential(rules));
        for token in [&*service, "garbage"] {
            let reply = scene.accept(&gate).token(&restricted).header(NAME, token).send().await;
            gate.expect_refusal(&reply, "access_rule_forbids").await;
        }
        // elsewhere Glance looks at the rules, which garbage can no longer switch off
        let reply = gate.call("GET", &scene.image_target()).token(&restricted).header(NAME, "garbage").send().await;
        assert_eq!(reply.status, 401);
    });
}

#[test]
fn an_outage_of_keystone_is_no_reason_to_drop_a_service_token() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let service = gate.keystone.issue(TokenSpec::service("nova"));
        gate.keystone.set_fault(Fault::Reset);
        let call = gate.call("GET", "/v2/images").token(&scene.member).header(NAME, &service);
        gate.expect_refusal(&call.send().await, "keystone_unavailable").await;
        gate.expect_unseen();
    });
}
