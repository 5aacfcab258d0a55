//! Owner, member, stranger and roles as the Glance behind the gate decides, in both generations of policies.

use glance_gate::config::Config;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::glance::Policy;
use glance_gate::demo::glance::Visibility;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::glance::LookupAs;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;

use crate::client::Call;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

async fn start(defaults: PolicyDefaults) -> Gate {
    let gate = Gate::start(|config: &mut Config| config.profile = Profile::Glance(defaults)).await;
    gate.glance.set_policy(match defaults {
        PolicyDefaults::New => Policy::New,
        PolicyDefaults::Legacy => Policy::Legacy,
    });
    gate
}

#[test]
fn an_image_that_is_not_shared_has_no_members_to_update() {
    run(async {
        for defaults in [PolicyDefaults::New, PolicyDefaults::Legacy] {
            let gate = start(defaults).await;
            for visibility in [Visibility::Public, Visibility::Community] {
                let scene = Scene::visible(&gate, visibility);
                for token in [&scene.owner, &scene.member, &scene.stranger] {
                    let reply = scene.accept(&gate).token(token).send().await;
                    assert_eq!(reply.status, 403);
                    gate.expect_refusal(&reply, "image_not_shared").await;
                }
                assert_eq!(gate.count("PUT", &scene.target), 0);
            }
            let scene = Scene::visible(&gate, Visibility::Private);
            gate.expect_refusal(&scene.accept(&gate).token(&scene.owner).send().await, "image_not_shared").await;
            gate.expect_refusal(&scene.accept(&gate).token(&scene.member).send().await, "image_not_found").await;
        }
    });
}

#[test]
fn under_legacy_policies_the_owner_is_refused_here() {
    run(async {
        let gate = start(PolicyDefaults::Legacy).await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        assert_eq!(gate.count("PUT", &scene.target), 0);
    });
}

#[test]
fn under_new_policies_the_owner_gets_what_glance_says() {
    run(async {
        let gate = start(PolicyDefaults::New).await;
        let scene = Scene::new(&gate);
        let listed = scene.accept(&gate).token(&scene.owner).send().await;
        assert_eq!((listed.status, gate.count("PUT", &scene.target)), (403, 1));
        let target = format!("/v2/images/{}/members/{OWNER}", scene.image);
        let unlisted = gate.call("PUT", &target).token(&scene.owner).json(ACCEPT).send().await;
        assert_eq!((unlisted.status, gate.count("PUT", &target)), (404, 1));
    });
}

#[test]
fn under_new_policies_a_reader_may_not_update() {
    run(async {
        let gate = start(PolicyDefaults::New).await;
        let scene = Scene::new(&gate);
        let reader = gate.keystone.issue(TokenSpec::member(MEMBER).roles(["reader"]));
        let reply = scene.accept(&gate).token(&reader).send().await;
        assert_eq!(reply.status, 403);
        gate.expect_refusal(&reply, "role_forbidden").await;
        assert_eq!(gate.count("PUT", &scene.target), 0);

        // whose role says nothing gets what Glance says
        let nobody = gate.keystone.issue(TokenSpec::member(MEMBER).roles(["auditor"]));
        let reply = scene.accept(&gate).token(&nobody).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (404, 1));
    });
}

#[test]
fn under_legacy_policies_roles_do_not_count() {
    run(async {
        let gate = start(PolicyDefaults::Legacy).await;
        let scene = Scene::new(&gate);
        let nobody = gate.keystone.issue(TokenSpec::member(MEMBER).roles(["auditor"]));
        let reply = scene.accept(&gate).token(&nobody).send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("accepted")));
    });
}

#[test]
fn stranger_and_other_member_get_404_and_the_status_is_looked_at_last() {
    run(async {
        for defaults in [PolicyDefaults::New, PolicyDefaults::Legacy] {
            let gate = start(defaults).await;
            let scene = Scene::new(&gate);
            let perhaps = r#"{"status": "perhaps"}"#;
            let reply = scene.accept(&gate).token(&scene.stranger).body(perhaps).send().await;
            gate.expect_refusal(&reply, "image_not_found").await;
            let target = format!("/v2/images/{}/members/other", scene.image);
            let reply = gate.call("PUT", &target).token(&scene.member).json(perhaps).send().await;
            gate.expect_refusal(&reply, "member_not_found").await;
            let reply = scene.accept(&gate).token(&scene.member).body(perhaps).send().await;
            gate.expect_refusal(&reply, "status_unknown").await;
            assert_eq!(gate.seen().iter().filter(|seen| seen.method == "PUT").count(), 0);
        }
    });
}

#[test]
fn an_admin_is_always_asked_of_glance() {
    run(async {
        let gate = start(PolicyDefaults::New).await;
        let scene = Scene::new(&gate);
        let admin = gate.keystone.issue(TokenSpec::admin("admins"));
        let reply = scene.accept(&gate).token(&admin).body(r#"{"status": "perhaps"}"#).send().await;
        assert_eq!((reply.status, gate.count("PUT", &scene.target)), (400, 1));
        assert_eq!(gate.seen()[0].body_text(), r#"{"status":"perhaps"}"#);
    });
}

/// The gate and the Glance behind it are asked the same; whatever the gate decides itself must read the same.
#[test]
fn in_the_glance_profile_every_answer_is_glances_own() {
    run(async {
        for defaults in [PolicyDefaults::New, PolicyDefaults::Legacy] {
            for lookup_as in [LookupAs::Caller, LookupAs::Service] {
                compare(defaults, lookup_as).await;
            }
        }
    });
}

async fn compare(defaults: PolicyDefaults, lookup_as: LookupAs) {
    let (keystone, glance) = crate::harness::neighbours().await;
    keystone.register_user("glance-gate", "gate-password", ["admin", "service", "member", "reader"]);
    let gate = Gate::between((keystone, glance), |config| {
        config.profile = Profile::Glance(defaults);
        config.ownership.lookup_as = lookup_as;
    })
    .await;
    gate.glance.set_policy(if defaults == PolicyDefaults::New { Policy::New } else { Policy::Legacy });
    let roles = [&["member", "reader"][..], &["reader"], &["member"], &["auditor"], &["admin"]];
    for visibility in [Visibility::Public, Visibility::Community, Visibility::Shared, Visibility::Private] {
        for listed in [true, false] {
            let spec = ImageSpec::owned_by(OWNER).visibility(visibility);
            let image = gate.glance.add_image(if listed { spec.member(MEMBER) } else { spec });
            for project in [OWNER, MEMBER, "other"] {
                for (roles, named) in roles.iter().flat_map(|roles| [(roles, MEMBER), (roles, project)]) {
                    let token = gate.keystone.issue(with_roles(TokenSpec::new("u").project(project), roles));
                    for body in [r#"{"status": "pending"}"#, r#"{"status": "perhaps"}"#] {
                        let target = format!("/v2/images/{image}/members/{named}");
                        let call = |address| {
                            let call = Call::new(address, "PUT", &target).token(&token).json(body);
                            call.header("Accept", "application/json").send()
                        };
                        let (ours, theirs) = (call(gate.address).await, call(gate.glance.address()).await);
                        let what = format!(
                            "{defaults:?} {lookup_as:?} {visibility:?} listed={listed} {project} {roles:?} {named} {body}"
                        );
                        assert_eq!((ours.status, ours.text()), (theirs.status, theirs.text()), "{what}");
                    }
                }
            }
        }
    }
}

fn with_roles(spec: TokenSpec, roles: &[&'static str]) -> TokenSpec {
    match *roles {
        [one] => spec.roles([one]),
        [one, two] => spec.roles([one, two]),
        _ => panic!("one role or two"),
    }
}
