//! Who may not even ask: tokens that are missing, doubled, malformed or unknown, and access rules.

use glance_gate::demo::keystone::AccessRule;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Call;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

/// Puts tokens on a call.
type Change<'a> = Box<dyn Fn(Call) -> Call + 'a>;

#[test]
fn a_call_needs_exactly_one_well_formed_token() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let good = scene.member.as_str();
        let long = "g".repeat(8 * 1024 + 1);
        let cases: Vec<(&str, Change<'_>)> = vec![
            ("token_missing", Box::new(|call| call)),
            ("token_missing", Box::new(|call| call.header("X-Auth-Token", ""))),
            ("token_missing", Box::new(|call| call.header("X-Auth-Token", "   "))),
            ("token_missing", Box::new(|call| call.header("Authorization", format!("Bearer {good}")))),
            // this one is asked about, and is no service's
            ("token_missing", Box::new(|call| call.header("X-Service-Token", good))),
            ("token_missing", Box::new(|call| call.header("X-Subject-Token", good))),
            ("token_ambiguous", Box::new(|call| call.token(good).token(good))),
            ("token_ambiguous", Box::new(|call| call.token("other").token(good))),
            ("token_ambiguous", Box::new(|call| call.token("").token(good))),
            ("token_ambiguous", Box::new(|call| call.header("X-Storage-Token", good))),
            ("token_ambiguous", Box::new(|call| call.token(good).header("X-Storage-Token", good))),
            ("token_malformed", Box::new(|call| call.token(&format!("{good} {good}")))),
            ("token_malformed", Box::new(|call| call.token(&format!("{good}, {good}")))),
            ("token_malformed", Box::new(|call| call.token(&format!("{good}\u{e4}")))),
            ("token_malformed", Box::new(|call| call.token(&format!("{good}\t.")))),
            ("token_malformed", Box::new(|call| call.token(&long))),
            ("token_invalid", Box::new(|call| call.token("gAAAAABnever-issued"))),
            ("token_invalid", Box::new(|call| call.token(&good[1..]))),
            ("token_invalid", Box::new(|call| call.token(&good.to_lowercase()))),
        ];
        for (reason, change) in cases {
            let reply = change(scene.accept(&gate)).send().await;
            assert_eq!(reply.status, 401);
            gate.expect_refusal(&reply, reason).await;
        }
        gate.expect_unseen();
        assert_eq!(scene.status(&gate).as_deref(), Some("pending"));
        // only the three that could be tokens, and the one that could be a service's, were worth a question
        assert_eq!(gate.questions(), 4);
    });
}

#[test]
fn a_revoked_or_ended_token_is_refused_in_keystones_name() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        gate.keystone.revoke(&scene.member);
        let ended = gate.keystone.issue(TokenSpec::member(MEMBER).expired());
        for token in [&scene.member, &ended] {
            let reply = scene.accept(&gate).token(token).send().await;
            assert_eq!(reply.status, 401);
            gate.expect_refusal(&reply, "token_invalid").await;
        }
        gate.expect_unseen();
    });
}

#[test]
fn access_rules_that_do_not_name_the_call_forbid_it() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let rules = |rules: Vec<AccessRule>| TokenSpec::member(MEMBER).application_credential(rules);
        let other_service =
            AccessRule { service: "compute".into(), ..AccessRule::image("PUT", "/v2/images/*/members/*") };
        for rule in [
            AccessRule::image("GET", "/v2/images/**"),
            AccessRule::image("PUT", "/v2/images/*"),
            AccessRule::image("PUT", "/v2/images/*/members"),
            AccessRule::image("PUT", &format!("/v2/images/{}/members/{}", scene.image, "other")),
            other_service,
        ] {
            let token = gate.keystone.issue(rules(vec![rule.clone()]));
            let reply = scene.accept(&gate).token(&token).send().await;
            assert_eq!(reply.status, 401, "{rule:?}");
            gate.expect_refusal(&reply, "access_rule_forbids").await;
            // Glance itself looks at no rules once there is any service token
            let reply = scene.accept(&gate).token(&token).header("X-Service-Token", "garbage").send().await;
            gate.expect_refusal(&reply, "access_rule_forbids").await;
        }
        gate.expect_unseen();
    });
}

#[test]
fn access_rules_that_name_the_call_allow_it_under_every_version() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for (rules, version) in [
            (vec![], "v2"),
            (vec![AccessRule::image("PUT", "/v2/images/*/members/*")], "v2"),
            (vec![AccessRule::image("PUT", "/v2/images/{image_id}/members/{member_id}")], "v2.9"),
            (vec![AccessRule::image("GET", "/v2/images/**"), AccessRule::image("PUT", "/v2/images/**")], "v2.0"),
        ] {
            // the look-up of the owner is the caller's as well
            let mut rules = rules;
            if !rules.is_empty() {
                rules.push(AccessRule::image("GET", "/v2/images/*"));
            }
            let token = gate.keystone.issue(TokenSpec::member(MEMBER).application_credential(rules));
            let target = scene.target.replace("/v2/", &format!("/{version}/"));
            let call = gate.call("PUT", &target).token(&token).json(r#"{"status": "accepted"}"#);
            let reply = call.send().await;
            assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("accepted")), "{version}");
            assert_eq!(gate.count("PUT", &target), 1);
            gate.glance.clear();
        }
    });
}
