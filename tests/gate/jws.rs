//! Signed tokens: what their signature proves here, and what Keystone is still asked.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::keystone::AccessRule;
use glance_gate::demo::keystone::Kind;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::keystone::config::JwsMode;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;

use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

/// Starts a gate with Keystone's keys in a directory; its scene's tokens are signed.
pub async fn start(mode: JwsMode, adjust: impl FnOnce(&mut Config)) -> (Gate, Directory) {
    let directory = Directory::new();
    let (keystone, glance) = neighbours().await;
    keystone.set_kind(Kind::Jws);
    directory.write("public.pem", &keystone.public_key_pem());
    let gate = Gate::between((keystone, glance), |config| {
        config.keystone.jws = mode;
        config.keystone.jws_public_key_repository = directory.path().into();
        adjust(config);
    });
    (gate.await.warm().await, directory)
}

/// Writes a byte of one part of a token anew: the header, the claims or the signature.
fn tampered(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let first = if parts[part].starts_with('A') { "B" } else { "A" };
    parts[part].replace_range(..1, first);
    parts.join(".")
}

/// Returns bad tokens that look good, and why they are refused.
fn bad_tokens(gate: &Gate) -> Vec<(String, &'static str)> {
    let good = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let (_, claims) = signed.split_once('.').expect("claims");
    // {"alg":"none","typ":"JWT"} and {"alg":"HS256","typ":"JWT"}
    let (none, hmac) = ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9");
    vec![
        (gate.keystone.foreign_jws(TokenSpec::member(MEMBER)), "token_forged"),
        (gate.keystone.foreign_jws(TokenSpec::admin("admins")), "token_forged"),
        (gate.keystone.foreign_jws(TokenSpec::member(MEMBER).expired()), "token_forged"),
        (tampered(&good, 0), "token_forged"),
        (tampered(&good, 1), "token_forged"),
        (tampered(&good, 2), "token_forged"),
        (format!("{signed}."), "token_forged"),
        (format!("{none}.{claims}."), "token_forged"),
        (format!("{none}.{claims}.{signature}"), "token_forged"),
        (format!("{hmac}.{claims}.{signature}"), "token_forged"),
        ("..".into(), "token_forged"),
        ("a.b.c".into(), "token_forged"),
        (gate.keystone.issue(TokenSpec::member(MEMBER).jws().expired()), "token_expired"),
    ]
}

#[test]
fn forged_and_ended_tokens_cost_keystone_nothing() {
    run(async {
        for mode in [JwsMode::Verify, JwsMode::Offline] {
            let (gate, _keys) = start(mode, |_| {}).await;
            let scene = Scene::new(&gate);
            for (token, reason) in bad_tokens(&gate) {
                let reply = scene.accept(&gate).token(&token).send().await;
                assert_eq!(reply.status, 401, "{mode:?} {token}");
                gate.expect_refusal(&reply, reason).await;
            }
            assert_eq!(gate.questions(), 0);
            gate.expect_unseen();
        }
    });
}

#[test]
fn a_good_signature_is_still_asked_about_when_verifying() {
    run(async {
        let (gate, _keys) = start(JwsMode::Verify, |_| {}).await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, gate.questions()), (200, 1), "{}", reply.text());
        let revoked = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
        gate.keystone.revoke(&revoked);
        let reply = scene.accept(&gate).token(&revoked).send().await;
        gate.expect_refusal(&reply, "token_invalid").await;
        // opaque ones are asked about as ever
        let opaque = gate.keystone.issue(TokenSpec::member(MEMBER).kind(Kind::Opaque));
        assert_eq!(scene.accept(&gate).token(&opaque).send().await.status, 200);
        assert_eq!(gate.questions(), 3);
    });
}

#[test]
fn signed_tokens_are_as_opaque_as_others_when_it_is_off() {
    run(async {
        let (gate, _keys) = start(JwsMode::Off, |_| {}).await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        let forged = gate.keystone.foreign_jws(TokenSpec::member(MEMBER));
        let reply = scene.accept(&gate).token(&forged).send().await;
        gate.expect_refusal(&reply, "token_invalid").await;
        assert_eq!(gate.questions(), 2);
    });
}

#[test]
fn a_good_signature_is_enough_offline() {
    run(async {
        let (gate, _keys) = start(JwsMode::Offline, |_| {}).await;
        let scene = Scene::new(&gate);
        gate.keystone.stop();
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        let reply = scene.accept(&gate).token(&scene.stranger).send().await;
        gate.expect_refusal(&reply, "image_not_found").await;
        assert_eq!(gate.count("PUT", &scene.target), 0);
        // the roles are not in the token: Glance has the last word
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("accepted")), "{}", reply.text());
        gate.wait_for_metric(r#"glance_gate_requests_total{branch="member_update",verdict="asked",code="200"}"#, 1)
            .await;
        assert_eq!(gate.questions(), 0);
    });
}

#[test]
fn an_admins_token_is_asked_of_glance_offline_in_the_glance_profile() {
    run(async {
        let profile = Profile::Glance(PolicyDefaults::Legacy);
        let (gate, _keys) = start(JwsMode::Offline, |config| config.profile = profile).await;
        gate.glance.set_policy(glance_gate::demo::glance::Policy::Legacy);
        let scene = Scene::new(&gate);
        let admin = gate.keystone.issue(TokenSpec::admin(OWNER).jws());
        let reply = scene.accept(&gate).token(&admin).send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("accepted")), "{}", reply.text());
    });
}

#[test]
fn an_opaque_token_is_asked_about_offline_as_well() {
    run(async {
        let (gate, _keys) = start(JwsMode::Offline, |_| {}).await;
        let scene = Scene::new(&gate);
        let opaque = gate.keystone.issue(TokenSpec::member(MEMBER).kind(Kind::Opaque));
        assert_eq!(scene.accept(&gate).token(&opaque).send().await.status, 200);
        assert_eq!(gate.questions(), 1);
        let reply = scene.accept(&gate).token("never-issued").send().await;
        gate.expect_refusal(&reply, "token_invalid").await;
    });
}

#[test]
fn access_rules_are_asked_for_offline() {
    run(async {
        let (gate, _keys) = start(JwsMode::Offline, |_| {}).await;
        let scene = Scene::new(&gate);
        let rules = vec![AccessRule::image("GET", "/v2/images/**")];
        let token = gate.keystone.issue(TokenSpec::member(MEMBER).application_credential(rules).jws());
        let reply = scene.accept(&gate).token(&token).send().await;
        assert_eq!(gate.questions(), 1);
        gate.expect_refusal(&reply, "access_rule_forbids").await;
        gate.expect_unseen();
    });
}

#[test]
fn a_new_key_is_noticed() {
    run(async {
        let (gate, keys) = start(JwsMode::Verify, |config| {
            config.keystone.jws_key_refresh = Duration::from_millis(20);
            config.keystone.negative_cache_time = Duration::from_millis(1);
        })
        .await;
        let scene = Scene::new(&gate);
        let new = gate.keystone.foreign_jws(TokenSpec::member(MEMBER));
        let reply = scene.accept(&gate).token(&new).send().await;
        gate.expect_refusal(&reply, "token_forged").await;
        assert_eq!(gate.questions(), 0);

        // a file that is no key leaves the keys as they are
        keys.write("broken.pem", "no key");
        keys.write("new.pem", &gate.keystone.foreign_public_key_pem());
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 200);

        std::fs::remove_file(keys.path().join("broken.pem")).expect("the file");
        eventually("Keystone is asked about a token of the new key", || async {
            assert_eq!(scene.accept(&gate).token(&new).send().await.status, 401);
            gate.questions() >= 2
        })
        .await;
    });
}

#[test]
fn a_key_that_is_taken_away_is_no_longer_believed() {
    run(async {
        let (gate, keys) = start(JwsMode::Verify, |config| {
            config.keystone.jws_key_refresh = Duration::from_millis(20);
        })
        .await;
        let scene = Scene::new(&gate);
        let remembered = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
        assert_eq!(scene.accept(&gate).token(&remembered).send().await.status, 200);
        keys.write("public.pem", &gate.keystone.foreign_public_key_pem());
        eventually("the old key is dropped", || async {
            let token = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
            scene.accept(&gate).token(&token).send().await.status == 401
        })
        .await;
        let refused = r#"glance_gate_refusals_total{reason="token_forged",mode="enforced"}"#;
        gate.wait_for_metric(refused, 1).await;
        // nor is a verdict that rested on it
        assert_eq!(scene.accept(&gate).token(&remembered).send().await.status, 401);
    });
}
