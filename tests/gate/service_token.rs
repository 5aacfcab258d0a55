//! The gate's own token: how it logs in, and that it notices when the token has gone.

use std::time::Duration;

use glance_gate::demo::keystone::SERVICE_CREDENTIAL_ID;
use glance_gate::demo::keystone::SERVICE_CREDENTIAL_SECRET;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::keystone::config::Credentials;
use glance_gate::secret::Secret;

use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

#[test]
fn the_gate_logs_in_before_the_first_call_and_only_once() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        assert_eq!(gate.logins(), 1);
        let scene = Scene::new(&gate);
        for token in [&scene.member, &scene.owner, &scene.stranger] {
            scene.accept(&gate).token(token).send().await;
        }
        assert_eq!((gate.logins(), gate.questions()), (1, 3));
        let login = gate.keystone.requests().into_iter().find(|seen| seen.method == "POST").expect("a login");
        let body: serde_json::Value = serde_json::from_slice(&login.body).expect("JSON");
        assert_eq!(body["auth"]["identity"]["methods"][0], "password");
        assert_eq!(body["auth"]["identity"]["password"]["user"]["domain"]["id"], "default");
        assert_eq!(body["auth"]["scope"]["project"]["name"], "service");
        assert_eq!(login.header("x-auth-token"), None);
    });
}

#[test]
fn a_token_of_the_gate_that_has_gone_is_fetched_anew_unnoticed() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        for round in 1..4 {
            gate.keystone.expire_service_tokens();
            let token = gate.keystone.issue(TokenSpec::member(MEMBER));
            let reply = scene.accept(&gate).token(&token).send().await;
            assert_eq!((reply.status, gate.logins()), (200, 1 + round), "{}", reply.text());
            // asked, refused, logged in, asked again
            assert_eq!(gate.questions(), 2 * round);
        }
    });
}

#[test]
fn a_token_of_the_gate_is_renewed_before_it_ends() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.set_service_token_lifetime(Duration::from_secs(3));
        let gate = Gate::between((keystone, glance), |_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        eventually("the gate logs in again", || async {
            let token = gate.keystone.issue(TokenSpec::member(MEMBER));
            assert_eq!(scene.accept(&gate).token(&token).send().await.status, 200);
            gate.logins() >= 2
        })
        .await;
    });
}

#[test]
fn the_gate_logs_in_with_an_application_credential() {
    run(async {
        let gate = Gate::start(|config| {
            config.keystone.credentials = Credentials::ApplicationCredential {
                id: SERVICE_CREDENTIAL_ID.into(),
                secret: Secret::new(SERVICE_CREDENTIAL_SECRET.into()),
            };
        })
        .await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, gate.logins()), (200, 1), "{}", reply.text());
        let login = gate.keystone.requests().into_iter().find(|seen| seen.method == "POST").expect("a login");
        let body: serde_json::Value = serde_json::from_slice(&login.body).expect("JSON");
        assert_eq!(body["auth"]["identity"]["methods"][0], "application_credential");
        assert_eq!(body["auth"]["identity"]["application_credential"]["id"], SERVICE_CREDENTIAL_ID);
        assert_eq!(body["auth"].get("scope"), None, "Keystone refuses a scope with it");
    });
}

#[test]
fn a_wrong_password_is_an_outage_and_not_tried_with_every_call() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.register_user("glance-gate", "another-password", ["service"]);
        let gate = Gate::between((keystone, glance), |_| {}).await;
        let scene = Scene::new(&gate);
        for _ in 0..10 {
            let reply = scene.accept(&gate).token(&scene.member).send().await;
            assert_eq!(reply.status, 503);
            gate.expect_refusal(&reply, "keystone_unavailable").await;
        }
        gate.expect_unseen();
        // Keystone locks accounts that try too often; how long ten calls take is not ours to say
        assert!(gate.logins() <= 3, "{} logins", gate.logins());
        assert_eq!(gate.questions(), 0);
    });
}
