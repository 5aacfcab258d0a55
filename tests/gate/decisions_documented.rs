//! Owner, member, stranger and admin under the documented contract.

use glance_gate::demo::glance::Visibility;
use glance_gate::demo::keystone::TokenSpec;

use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::scene::member_target;

const EVERY: [Visibility; 4] = [Visibility::Public, Visibility::Community, Visibility::Shared, Visibility::Private];

#[test]
fn owner_may_not_change_member_status() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        for visibility in EVERY {
            let scene = Scene::visible(&gate, visibility);
            let reply = scene.accept(&gate).token(&scene.owner).send().await;
            assert_eq!(reply.status, 403, "{visibility:?}");
            let message = format!("Not allowed to update members for image {}.<br /><br />\n\n\n", scene.image);
            assert_eq!(reply.json()["message"], message);
            gate.expect_refusal(&reply, "owner_forbidden").await;
            assert_eq!((gate.count("PUT", &scene.target), scene.status(&gate).as_deref()), (0, Some("pending")));
        }
    });
}

#[test]
fn owner_may_not_change_its_own_membership_either() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let target = format!("/v2/images/{}/members/{OWNER}", scene.image);
        let reply = gate.call("PUT", &target).token(&scene.owner).json(ACCEPT).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        assert_eq!(gate.count("PUT", &target), 0);
    });
}

#[test]
fn a_stranger_is_told_that_there_is_no_image() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let hidden = scene.accept(&gate).token(&scene.stranger).send().await;
        assert_eq!(hidden.status, 404);
        assert_eq!(hidden.json()["message"], format!("Image {} not found.<br /><br />\n\n\n", scene.image));
        gate.expect_refusal(&hidden, "image_not_found").await;

        let target = member_target("11111111-2222-4333-8444-555555555555");
        let absent = gate.call("PUT", &target).token(&scene.member).json(ACCEPT).send().await;
        gate.expect_refusal(&absent, "image_not_found").await;
        assert_eq!(gate.seen().iter().filter(|seen| seen.method == "PUT").count(), 0);
    });
}

#[test]
fn an_id_that_no_image_can_have_is_not_looked_up() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for image in ["1", "not-a-uuid", &scene.image.to_uppercase(), &scene.image.replace('-', "")] {
            let call = gate.call("PUT", &member_target(image)).token(&scene.member).json(ACCEPT);
            let reply = call.send().await;
            assert_eq!(reply.status, 404, "{image}");
            gate.expect_refusal(&reply, "image_not_found").await;
        }
        gate.expect_unseen();
    });
}

#[test]
fn who_is_not_the_member_is_told_that_there_is_none() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        // everybody sees a public image, so that only the member id is left to decide
        for visibility in [Visibility::Public, Visibility::Community] {
            let scene = Scene::visible(&gate, visibility);
            let reply = scene.accept(&gate).token(&scene.stranger).send().await;
            assert_eq!(reply.status, 404);
            gate.expect_refusal(&reply, "not_the_member").await;
        }
        let scene = Scene::new(&gate);
        for other in ["other", &MEMBER.to_uppercase(), &MEMBER[1..], OWNER] {
            let target = format!("/v2/images/{}/members/{other}", scene.image);
            let call = gate.call("PUT", &target).token(&scene.member).header("Accept", "application/json");
            let reply = call.json(ACCEPT).send().await;
            // the same answer as for an image that does not exist
            let message = format!("Image {} not found.", scene.image);
            assert_eq!(reply.json()["message"], format!("{message}<br /><br />\n\n\n"));
            gate.expect_refusal(&reply, "not_the_member").await;
        }
        assert_eq!(gate.seen().iter().filter(|seen| seen.method == "PUT").count(), 0);
    });
}

#[test]
fn what_the_contract_does_not_say_is_asked_of_glance() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let reader = gate.keystone.issue(TokenSpec::member(MEMBER).roles(["reader"]));
        let reply = scene.accept(&gate).token(&reader).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (403, 1));
        assert!(reply.text().contains("modify_member"), "{}", reply.text());

        let public = Scene::visible(&gate, Visibility::Public);
        let reply = public.accept(&gate).token(&public.member).send().await;
        assert_eq!((reply.status, gate.count("PUT", &public.target)), (403, 1));
        let asked = r#"glance_gate_requests_total{branch="member_update",verdict="asked",code="403"}"#;
        gate.wait_for_metric(asked, 2).await;
    });
}

#[test]
fn an_admin_is_asked_of_glance_but_not_with_an_unknown_status() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let admin = gate.keystone.issue(TokenSpec::admin("admins"));
        let reply = scene.accept(&gate).token(&admin).body(r#"{"status": "perhaps"}"#).send().await;
        gate.expect_refusal(&reply, "status_unknown").await;
        gate.expect_unseen();

        let reply = scene.accept(&gate).token(&admin).send().await;
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("accepted")));
        // nobody looked the owner up
        assert_eq!(gate.seen().len(), 1);
        gate.wait_for_metric(r#"glance_gate_requests_total{branch="member_update",verdict="asked",code="200"}"#, 1)
            .await;
    });
}

#[test]
fn tokens_of_no_project_are_asked_of_glance() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let specs = [
            TokenSpec::new("x").unscoped(),
            TokenSpec::new("x").domain("default").roles(["member", "reader"]),
            TokenSpec::new("x").system().roles(["reader"]),
        ];
        for (forwarded, spec) in (1..).zip(specs) {
            let token = gate.keystone.issue(spec);
            let reply = scene.accept(&gate).token(&token).send().await;
            assert!((400..500).contains(&reply.status), "{}", reply.status);
            assert_eq!(gate.count("PUT", &scene.target), forwarded);
            assert_eq!(scene.status(&gate).as_deref(), Some("pending"));
        }
    });
}
