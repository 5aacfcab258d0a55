//! Access tokens of an issuer beside Keystone's tokens, and a Glance that is told who asks by headers.

use glance_gate::config::Config;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::GlanceOptions;
use glance_gate::demo::issuer::AUDIENCE;
use glance_gate::demo::issuer::Issuer;
use glance_gate::demo::keystone::AccessRule;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::oidc::Algorithm;
use glance_gate::oidc::IssuerConfig;
use glance_gate::rules::setting::Setting;
use glance_gate::vouch::Telling;
use serde_json::json;

use crate::client::Call;
use crate::harness::Gate;
use crate::harness::STARTING;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::scene::Scene;

fn with_issuer(config: &mut Config, issuer: &Issuer) {
    config.oidc.issuers = vec![IssuerConfig {
        issuer: issuer.name().into(),
        audience: AUDIENCE.into(),
        jwks_url: issuer.jwks_url(),
        algorithms: vec![Algorithm::Es256],
        ..IssuerConfig::default()
    }];
}

/// Starts a gate before a Glance without `auth_token`, beside an issuer.
async fn believing() -> (Gate, Issuer) {
    let (keystone, glance, issuer) = {
        let _alone = STARTING.lock().await;
        let keystone = Keystone::start().await.expect("a Keystone");
        let options = GlanceOptions { believes_headers: true, ..GlanceOptions::new(keystone.clone()) };
        let glance = Glance::start(options).await.expect("a Glance");
        (keystone, glance, Issuer::start().await.expect("an issuer"))
    };
    let gate = Gate::between((keystone, glance), |config| {
        config.telling = Telling::Headers;
        with_issuer(config, &issuer);
    })
    .await;
    (gate, issuer)
}

fn bearer(call: Call, token: &str) -> Call {
    call.header("Authorization", format!("Bearer {token}"))
}

#[test]
fn an_access_token_is_decided_like_any_other() {
    run(async {
        let (gate, issuer) = believing().await;
        let scene = Scene::new(&gate);
        let token = |project| issuer.issue("u", project, &["Member", "reader"]);
        let reply = bearer(scene.accept(&gate), &token(MEMBER)).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(scene.status(&gate).as_deref(), Some("accepted"));
        gate.expect_refusal(&bearer(scene.accept(&gate), &token(OWNER)).send().await, "owner_forbidden").await;
        gate.expect_refusal(&bearer(scene.accept(&gate), &token(STRANGER)).send().await, "image_not_found").await;
        // Keystone has no part in it
        assert_eq!(gate.questions(), 0);
    });
}

#[test]
fn glance_is_told_by_headers_who_asks() {
    run(async {
        let (gate, issuer) = believing().await;
        let scene = Scene::new(&gate);
        let token = issuer.issue("somebody", MEMBER, &["member", "reader"]);
        let forged = [("X-Roles", "admin"), ("X-Project-Id", OWNER), ("X-Identity-Status", "Confirmed")];
        for (method, target) in [("PUT", &*scene.target), ("GET", "/v2/images"), ("GET", &*scene.image_target())] {
            let mut call = bearer(gate.call(method, target), &token);
            for (name, value) in forged {
                call = call.header(name, value);
            }
            let reply = if method == "PUT" { call.json(ACCEPT).send().await } else { call.send().await };
            assert_eq!(reply.status, 200, "{method} {target}: {}", reply.text());
        }
        let seen = gate.seen();
        assert_eq!(seen.len(), 4, "three calls and a look-up");
        for seen in seen {
            for (name, value) in [
                ("x-identity-status", "Confirmed"),
                ("x-user-id", "somebody"),
                ("x-project-id", MEMBER),
                ("x-roles", "member,reader"),
            ] {
                assert_eq!(seen.header_values(name), [value], "{name} at {} {}", seen.method, seen.target);
            }
        }
    });
}

#[test]
fn what_nobody_vouches_for_does_not_reach_a_glance_that_believes() {
    run(async {
        let (gate, issuer) = believing().await;
        let scene = Scene::new(&gate);
        let ended = issuer.sign(&json!({"iss": issuer.name(), "aud": AUDIENCE, "client_id": "u", "project_id": MEMBER,
                                         "roles": ["member"], "exp": 1}));
        let another = Issuer::start().await.expect("an issuer");
        let foreign = another.issue("u", MEMBER, &["member"]);
        for (token, reason) in [(&*ended, "token_expired"), (&*foreign, "token_forged"), ("x", "token_malformed")] {
            gate.expect_refusal(&bearer(scene.accept(&gate), token).send().await, reason).await;
            gate.expect_refusal(&bearer(gate.call("GET", "/v2/images"), token).send().await, reason).await;
        }
        gate.expect_refusal(&gate.call("GET", "/v2/images").token("garbage").send().await, "token_invalid").await;
        gate.expect_unseen();
        // without a credential Glance says itself what may be had
        assert_eq!(gate.call("GET", "/versions").send().await.status, 200);
        let reply = gate.call("GET", "/v2/images").header("X-Identity-Status", "Confirmed").send().await;
        assert_eq!(reply.status, 401);
    });
}

#[test]
fn two_kinds_of_credential_are_ambiguous() {
    run(async {
        let (gate, issuer) = believing().await;
        let scene = Scene::new(&gate);
        let token = issuer.issue("u", MEMBER, &["member", "reader"]);
        for call in [
            bearer(scene.accept(&gate), &token).token(&scene.member),
            bearer(bearer(scene.accept(&gate), &token), &token),
            bearer(scene.accept(&gate), "garbage").token(&scene.member),
        ] {
            gate.expect_refusal(&call.send().await, "token_ambiguous").await;
        }
        gate.expect_unseen();
    });
}

#[test]
fn no_family_speaks_for_the_other() {
    run(async {
        let (gate, issuer) = believing().await;
        let scene = Scene::new(&gate);
        let access_token = issuer.issue("u", MEMBER, &["member", "reader"]);
        gate.expect_refusal(&scene.accept(&gate).token(&access_token).send().await, "token_invalid").await;
        let keystones = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
        gate.expect_refusal(&bearer(scene.accept(&gate), &keystones).send().await, "token_forged").await;
        gate.expect_unseen();
    });
}

#[test]
fn an_issuer_without_keys_is_an_outage() {
    run(async {
        let gate = Gate::start(|config| {
            config.oidc.issuers = vec![IssuerConfig {
                issuer: "https://issuer.example".into(),
                audience: AUDIENCE.into(),
                jwks_url: "http://127.0.0.1:1/keys".into(),
                algorithms: vec![Algorithm::Es256],
                ..IssuerConfig::default()
            }];
        })
        .await;
        let scene = Scene::new(&gate);
        let issuer = Issuer::start().await.expect("an issuer");
        let token = issuer.sign(&json!({"iss": "https://issuer.example", "aud": AUDIENCE, "exp": 4_000_000_000_u64}));
        gate.expect_refusal(&bearer(scene.accept(&gate), &token).send().await, "issuer_unavailable").await;
        gate.expect_unseen();
    });
}

#[test]
fn without_an_issuer_the_header_means_nothing() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let issuer = Issuer::start().await.expect("an issuer");
        let token = issuer.issue("u", MEMBER, &["member", "reader"]);
        gate.expect_refusal(&bearer(scene.accept(&gate), &token).send().await, "token_missing").await;
        let reply = bearer(scene.accept(&gate), &token).token(&scene.member).send().await;
        assert_eq!(reply.status, 200);
    });
}

#[test]
fn keystones_tokens_are_told_by_headers_with_their_scope_and_rules() {
    run(async {
        let (gate, _issuer) = believing().await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        // an admin of a domain must not be taken for an admin of a project
        let admin = gate.keystone.issue(TokenSpec::admin(OWNER).domain("default"));
        gate.call("GET", "/v2/images").token(&admin).send().await;
        let seen = gate.seen().pop().expect("the call");
        assert_eq!((seen.header("x-domain-id"), seen.header("x-project-id")), (Some("default"), None));
        // nobody behind the gate looks at access rules
        let rules = vec![AccessRule::image("GET", "/v2/images")];
        let restricted = gate.keystone.issue(TokenSpec::member(MEMBER).application_credential(rules));
        assert_eq!(gate.call("GET", "/v2.9/images").token(&restricted).send().await.status, 200);
        let reply = gate.call("GET", &scene.image_target()).token(&restricted).send().await;
        gate.expect_refusal(&reply, "access_rule_forbids").await;
    });
}

#[test]
fn where_the_gate_vouches_no_call_goes_on_whose_caller_is_unknown() {
    run(async {
        let (gate, issuer) = believing().await;
        let scene = Scene::new(&gate);
        let token = |project| issuer.issue("u", project, &["Member", "reader"]);
        let observing = |config: &mut Config| {
            config.rules.default = Setting::Observe;
            config.rates.per_project = 1;
        };
        gate.reload(observing).await.expect("a good configuration");
        let order = Call::new(gate.admin_address, "POST", "/kill-switch/on").header("X-Glance-Gate-Order", "1");
        assert_eq!(order.send().await.status, 200);
        let owner = bearer(scene.accept(&gate), &token(OWNER));
        assert_eq!(owner.clone().send().await.status, 403, "by Glance, which was told who asks");
        gate.expect_count("owner_forbidden", "observed").await;
        // Glance was not told, and would answer 401 to a good token
        gate.expect_refusal(&owner.send().await, "rate_limited").await;
        let nobody = bearer(scene.accept(&gate), "no-token").send().await;
        assert_eq!(nobody.status, 401);
        assert_eq!(gate.count("PUT", &scene.target), 1);
        let told = gate.admin("/readyz?verbose").await.text();
        let enforced = told.lines().find(|line| line.starts_with("[i] rules: enforce: ")).unwrap_or_default();
        for rule in ["token_missing", "access_rule_forbids", "keystone_unavailable", "rate_limited", "overloaded"] {
            assert!(enforced.contains(rule), "{rule} is not in {told}");
        }
    });
}
