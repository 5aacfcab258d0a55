//! Glance does not tell who owns the image: nothing is guessed, and the outage is not remembered.

use std::time::Duration;

use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::glance::LookupAs;

use crate::harness::Gate;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

#[test]
fn an_answer_that_is_not_glances_about_the_image_is_an_outage() {
    run(async {
        let gate = Gate::start(|config| config.ownership.lookup_timeout = Duration::from_millis(300)).await;
        let scene = Scene::new(&gate);
        for fault in [
            Fault::HtmlPortal,
            Fault::EmptyObject,
            Fault::Huge(2 * 1024 * 1024),
            Fault::Status(500),
            Fault::Status(502),
            Fault::Status(403),
            // a 404 of somebody else says nothing of the image
            Fault::Status(404),
            Fault::Status(204),
            Fault::Status(302),
            Fault::Reset,
            Fault::ResetAfterHead,
            Fault::TruncateBody,
            Fault::Garbage,
            Fault::ConflictingLength,
            Fault::Hang,
        ] {
            gate.glance.set_fault_on(&scene.image_target(), fault);
            for token in [&scene.member, &scene.owner, &scene.stranger] {
                let reply = scene.accept(&gate).token(token).send().await;
                assert_eq!(reply.status, 503, "{fault:?}");
                gate.expect_refusal(&reply, "ownership_unavailable").await;
            }
            assert_eq!(gate.count("PUT", &scene.target), 0, "{fault:?}");
        }
        gate.glance.set_fault(Fault::None);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_token_that_glance_no_longer_takes_is_invalid() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let (known, new) = (Scene::new(&gate), Scene::new(&gate));
        assert_eq!(known.accept(&gate).token(&known.member).send().await.status, 200);
        gate.keystone.revoke(&known.member);
        // the gate still remembers the token, but must look the owner of this image up with it
        let reply = new.accept(&gate).token(&known.member).send().await;
        assert_eq!(reply.status, 401);
        gate.expect_refusal(&reply, "token_invalid").await;
        assert_eq!((gate.questions(), gate.count("PUT", &new.target)), (1, 0));

        // somebody else of the project is not refused for it
        let other = gate.keystone.issue(TokenSpec::member(MEMBER));
        assert_eq!(new.accept(&gate).token(&other).send().await.status, 200);
    });
}

#[test]
fn looking_up_as_service_needs_an_admin() {
    run(async {
        // the stand-in's service user has the role service only, and would not see other projects' images
        let gate = Gate::start(|config| config.ownership.lookup_as = LookupAs::Service).await;
        let scene = Scene::new(&gate);
        for token in [&scene.member, &scene.owner] {
            let reply = scene.accept(&gate).token(token).send().await;
            assert_eq!(reply.status, 503);
            gate.expect_refusal(&reply, "ownership_unavailable").await;
        }
        gate.expect_unseen();
    });
}

#[test]
fn the_gates_own_token_is_renewed_when_glance_refuses_it() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.register_user("glance-gate", "gate-password", ["admin"]);
        let gate = Gate::between((keystone, glance), |config| config.ownership.lookup_as = LookupAs::Service).await;
        let (known, new) = (Scene::new(&gate), Scene::new(&gate));
        assert_eq!(known.accept(&gate).token(&known.member).send().await.status, 200);
        gate.keystone.expire_service_tokens();
        let reply = new.accept(&gate).token(&known.member).send().await;
        assert_eq!((reply.status, gate.logins()), (200, 2), "{}", reply.text());
        // refused once, then asked with the new token
        assert_eq!(gate.count("GET", &new.image_target()), 2);
    });
}

#[test]
fn the_owner_is_not_looked_up_for_a_caller_who_is_an_admin() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let admin = gate.keystone.issue(TokenSpec::admin("admins"));
        gate.glance.set_fault(Fault::Status(500));
        let reply = scene.accept(&gate).token(&admin).send().await;
        assert_eq!(reply.status, 500, "Glance's own answer");
        assert_eq!(gate.seen().len(), 1);
    });
}
