//! What Glance is asked once about an image, when it is asked again, and who shares the answer.

use std::time::Duration;

use futures_util::future::join_all;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::glance::LookupAs;

use crate::client::Reply;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::STRANGER;
use crate::scene::Scene;

async fn accept(gate: &Gate, scene: &Scene, token: &str) -> Reply {
    scene.accept(gate).token(token).send().await
}

fn looks(gate: &Gate, scene: &Scene) -> usize {
    gate.count("GET", &scene.image_target())
}

#[test]
fn glance_is_asked_once_who_owns_an_image() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for _ in 0..5 {
            assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
        }
        // another token of the same project and roles sees with the same eyes
        let other = gate.keystone.issue(TokenSpec::new("somebody-else").project(MEMBER).roles(["reader", "member"]));
        assert_eq!(accept(&gate, &scene, &other).await.status, 200);
        assert_eq!((looks(&gate, &scene), gate.count("PUT", &scene.target)), (1, 6));
        let look = gate.seen().into_iter().find(|seen| seen.method == "GET").expect("a look-up");
        assert_eq!(look.header_values("x-auth-token"), [scene.member.as_str()]);

        for _ in 0..3 {
            assert_eq!(accept(&gate, &scene, &scene.owner).await.status, 403);
            assert_eq!(accept(&gate, &scene, &scene.stranger).await.status, 404);
        }
        assert_eq!(looks(&gate, &scene), 3, "one for each of the three projects");
    });
}

#[test]
fn calls_at_the_same_time_share_one_look_up() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/v2/images/", Fault::Slow(Duration::from_millis(500)));
        let replies = join_all((0..20).map(|_| accept(&gate, &scene, &scene.member))).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert_eq!((looks(&gate, &scene), gate.count("PUT", &scene.target)), (1, 20));
    });
}

#[test]
fn what_one_caller_may_not_see_is_not_hidden_from_another() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        // another project, and the same project with roles that do not let it see
        let blind = gate.keystone.issue(TokenSpec::member(MEMBER).roles(["auditor"]));
        for token in [&scene.stranger, &blind] {
            let reply = accept(&gate, &scene, token).await;
            gate.expect_refusal(&reply, "image_not_found").await;
        }
        assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
        for token in [&scene.stranger, &blind] {
            let reply = accept(&gate, &scene, token).await;
            gate.expect_refusal(&reply, "image_not_found").await;
        }
        let reply = accept(&gate, &scene, &scene.owner).await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
    });
}

#[test]
fn a_change_that_passes_by_makes_the_gate_ask_again() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let patch = r#"[{"op": "replace", "path": "/name", "value": "n"}]"#;
        let members = format!("{}/members", scene.image_target());
        let other = format!("{members}/{STRANGER}");
        let kind = "application/openstack-images-v2.1-json-patch";
        let add = format!(r#"{{"member": "{STRANGER}"}}"#);
        let changes = [
            ("PATCH", scene.image_target(), kind, patch.to_owned(), 200),
            ("PATCH", format!("/v2.9/images/{}?x=1", scene.image), kind, patch.to_owned(), 200),
            ("POST", members.clone(), "application/json", add, 200),
            ("DELETE", other, "application/json", String::new(), 204),
            // also when Glance refuses: forgetting too often does no harm
            ("PATCH", scene.image_target(), "text/plain", "x".into(), 415),
        ];
        assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
        for (asked, (method, target, kind, body, status)) in (2..).zip(changes) {
            let call = gate.call(method, &target).token(&scene.owner).header("Content-Type", kind).body(body);
            let reply = call.send().await;
            assert_eq!(reply.status, status, "{method} {target}: {}", reply.text());
            assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
            assert_eq!(looks(&gate, &scene), asked, "{method} {target}");
        }
        gate.wait_for_metric(r#"glance_gate_cache_requests_total{cache="ownership",result="stale"}"#, 5).await;
    });
}

#[test]
fn what_does_not_change_an_image_leaves_it_remembered() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
        for (method, target) in [
            ("GET", format!("{}/members", scene.image_target())),
            ("GET", scene.target.clone()),
            ("GET", format!("{}/file", scene.image_target())),
            ("PUT", scene.target.clone()),
            ("DELETE", "/v2/images/11111111-2222-4333-8444-555555555555".into()),
        ] {
            let call = gate.call(method, &target).token(&scene.member);
            call.json(if method == "PUT" { crate::scene::ACCEPT } else { "" }).send().await;
        }
        assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
        assert_eq!(looks(&gate, &scene), 1);
    });
}

#[test]
fn a_new_owner_is_known_at_once_when_the_change_passes_by() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        assert_eq!(accept(&gate, &scene, &scene.member).await.status, 200);
        // the member becomes the owner behind the gate's back, and something of the image changes before its eyes
        gate.glance.set_owner(&scene.image, MEMBER);
        assert_eq!(accept(&gate, &scene, &scene.member).await.status, 403, "by Glance itself");
        let before = gate.count("PUT", &scene.target);
        let kind = "application/openstack-images-v2.1-json-patch";
        let patch = gate.call("PATCH", &scene.image_target()).token(&scene.member).header("Content-Type", kind);
        let body = r#"[{"op": "replace", "path": "/name", "value": "n"}]"#;
        assert_eq!(patch.body(body).send().await.status, 200);
        let reply = accept(&gate, &scene, &scene.member).await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        assert_eq!(gate.count("PUT", &scene.target), before);
    });
}

#[test]
fn a_deleted_image_is_gone_and_a_new_member_may_come_at_once() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let target = format!("{}/members", scene.image_target());
        let own = format!("{target}/{STRANGER}");
        let call = || gate.call("PUT", &own).token(&scene.stranger).json(crate::scene::ACCEPT);
        let reply = call().send().await;
        gate.expect_refusal(&reply, "image_not_found").await;
        let add = gate.call("POST", &target).token(&scene.owner).json(format!(r#"{{"member": "{STRANGER}"}}"#));
        assert_eq!(add.send().await.status, 200);
        assert_eq!(call().send().await.status, 200, "the remembered 404 is forgotten");

        let delete = gate.call("DELETE", &scene.image_target()).token(&scene.owner).send().await;
        assert_eq!(delete.status, 204);
        let reply = call().send().await;
        gate.expect_refusal(&reply, "image_not_found").await;
    });
}

#[test]
fn a_hidden_image_is_remembered_for_a_while() {
    run(async {
        let gate = Gate::start(|config| config.ownership.negative_cache_time = Duration::from_hours(1)).await;
        let scene = Scene::new(&gate);
        for _ in 0..5 {
            let reply = accept(&gate, &scene, &scene.stranger).await;
            gate.expect_refusal(&reply, "image_not_found").await;
        }
        assert_eq!(looks(&gate, &scene), 1);
    });
}

#[test]
fn answers_end_with_their_cache_times() {
    run(async {
        let gate = Gate::start(|config| {
            config.ownership.cache_time = Duration::from_millis(50);
            config.ownership.negative_cache_time = Duration::from_millis(50);
        })
        .await;
        let scene = Scene::new(&gate);
        for (token, status) in [(&scene.member, 200), (&scene.stranger, 404)] {
            gate.glance.clear();
            eventually("Glance is asked again", || async {
                assert_eq!(accept(&gate, &scene, token).await.status, status);
                looks(&gate, &scene) >= 2
            })
            .await;
        }
    });
}

#[test]
fn looking_up_as_service_is_once_for_all_callers() {
    run(async {
        let (keystone, glance) = crate::harness::neighbours().await;
        keystone.register_user("glance-gate", "gate-password", ["admin", "service"]);
        let gate = Gate::between((keystone, glance), |config| config.ownership.lookup_as = LookupAs::Service).await;
        let scene = Scene::new(&gate);
        let replies = [
            (accept(&gate, &scene, &scene.member).await, None),
            (accept(&gate, &scene, &scene.owner).await, Some("owner_forbidden")),
            (accept(&gate, &scene, &scene.stranger).await, Some("not_the_member")),
        ];
        for (reply, reason) in replies {
            match reason {
                None => assert_eq!(reply.status, 200),
                Some(reason) => gate.expect_refusal(&reply, reason).await,
            }
        }
        assert_eq!(looks(&gate, &scene), 1);
        let look = gate.seen().into_iter().find(|seen| seen.method == "GET").expect("a look-up");
        let token = gate.keystone.look_up(look.header("x-auth-token").expect("a token")).expect("an issued token");
        assert!(token.for_service && token.has_role("admin"));
    });
}
