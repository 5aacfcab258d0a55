//! The other calls on members, where `guard` names them: who may, what passes, what is refused, and what Glance sees.

use glance_gate::config::Config;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::glance::Visibility;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::glance::LookupAs;
use glance_gate::member_update::guard::Guard;
use glance_gate::openstack::member_action::Action;
use glance_gate::rules::setting::Setting;

use crate::client::Call;
use crate::client::Connection;
use crate::explain::explained;
use crate::harness::Gate;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::scene::Scene;

pub fn all(config: &mut Config) {
    config.guard = Guard::of(&Action::ALL);
}

pub fn members_target(scene: &Scene) -> String {
    format!("{}/members", scene.image_target())
}

fn share(gate: &Gate, scene: &Scene, body: &str) -> Call {
    gate.call("POST", &members_target(scene)).header("Accept", "application/json").json(body)
}

fn with_stranger() -> String {
    format!(r#"{{"member": "{STRANGER}"}}"#)
}

#[test]
fn the_owner_shares_an_image_and_what_was_checked_is_what_glance_gets() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let body = format!(r#" {{"x": [1], "\u006dember": "{STRANGER}", "status": "accepted"}} "#);
        let reply = share(&gate, &scene, &body).token(&scene.owner).send().await;
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("pending")), "{}", reply.text());
        let seen = gate.seen().pop().expect("the call");
        assert_eq!((seen.method.as_str(), seen.target.clone()), ("POST", members_target(&scene)));
        assert_eq!(seen.body_text(), format!(r#"{{"member":"{STRANGER}"}}"#));
        assert_eq!(seen.header_values("content-type"), ["application/json"]);
        gate.wait_for_metric(
            "glance_gate_requests_total{branch=\"member_create\",verdict=\"permitted\",code=\"200\"}",
            1,
        )
        .await;
    });
}

#[test]
fn who_is_a_member_already_is_glances_to_say_and_no_disagreement() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let again = format!(r#"{{"member": "{MEMBER}"}}"#);
        assert_eq!(share(&gate, &scene, &again).token(&scene.owner).send().await.status, 409);
        let full = (0..128).fold(ImageSpec::owned_by(OWNER), |spec, number| spec.member(&format!("m{number}")));
        let full = Scene::with(&gate, full);
        assert_eq!(share(&gate, &full, &again).token(&full.owner).send().await.status, 413);
        for status in [409, 413] {
            let drift = format!(
                "glance_gate_drift_total{{rule=\"none\",verdict=\"permitted\",status=\"{status}\",agree=\"unknown\"}}"
            );
            gate.wait_for_metric(&drift, 1).await;
        }
    });
}

#[test]
fn only_the_owner_shares_and_who_sees_nothing_is_told_nothing() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let reply = share(&gate, &scene, &with_stranger()).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "not_the_owner").await;
        let told = format!("Not allowed to create members for image {}.<br /><br />\n\n\n", scene.image);
        assert_eq!(reply.json()["message"].as_str(), Some(told.as_str()));
        let reply = share(&gate, &scene, &with_stranger()).token(&scene.stranger).send().await;
        gate.expect_refusal(&reply, "image_not_found").await;
        let reply = share(&gate, &scene, &with_stranger()).send().await;
        gate.expect_refusal(&reply, "token_missing").await;
        assert_eq!(gate.count("POST", &members_target(&scene)), 0);
    });
}

#[test]
fn the_body_of_a_creation_names_one_member() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let long = format!(r#"{{"member": "{}"}}"#, "x".repeat(256));
        for (body, reason) in [
            ("", "body_missing"),
            ("{\"member\": ", "body_malformed"),
            (r#"{"member": "a", "member": "b"}"#, "body_ambiguous"),
            (r#"{"member": 123456789012345678901234567890}"#, "body_ambiguous"),
            (r#"[{"member": "a"}]"#, "body_not_object"),
            (r#""member""#, "body_not_container"),
            (r#"{"status": "accepted"}"#, "member_missing"),
            (r#"{"member": ""}"#, "member_empty"),
            (r#"{"member": null}"#, "member_empty"),
            (r#"{"member": 7}"#, "member_unfit"),
            (r#"{"member": "a/b"}"#, "member_unfit"),
            (&long, "member_unfit"),
        ] {
            let reply = share(&gate, &scene, body).token(&scene.owner).send().await;
            gate.expect_refusal(&reply, reason).await;
            if reason == "body_not_object" {
                let told = "Expected a member in the form: {\"member\": \"image_id\"}";
                assert!(
                    reply.json()["message"].as_str().is_some_and(|text| text.starts_with(told)),
                    "{}",
                    reply.text()
                );
            }
        }
        let large = format!(r#"{{"member": "a", "x": "{}"}}"#, "x".repeat(64 * 1024));
        let reply = share(&gate, &scene, &large).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "body_too_large").await;
        assert!(reply.text().contains("The body of a member creation is over the limit."), "{}", reply.text());
        let form = gate.call("POST", &members_target(&scene)).token(&scene.owner).header("Content-Type", "text/plain");
        gate.expect_refusal(&form.body(with_stranger()).send().await, "media_type_unsupported").await;
        gate.expect_unseen();
    });
}

#[test]
fn the_owner_removes_a_member_and_nobody_else_does() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let remove = || gate.call("DELETE", &scene.target).header("Accept", "application/json");
        let reply = remove().token(&scene.member).send().await;
        gate.expect_refusal(&reply, "not_the_owner").await;
        assert!(reply.text().contains("Not allowed to delete members for image"), "{}", reply.text());
        gate.expect_refusal(&remove().token(&scene.stranger).send().await, "image_not_found").await;
        gate.expect_refusal(&remove().send().await, "token_missing").await;
        let reply = remove().token(&scene.owner).json("{}").send().await;
        gate.expect_refusal(&reply, "body_unexpected").await;
        assert_eq!(gate.count("DELETE", &scene.target), 0);
        assert_eq!(remove().token(&scene.owner).send().await.status, 204);
        assert_eq!(scene.status(&gate), None);
        // whether there is such a member only Glance knows
        assert_eq!(remove().token(&scene.owner).send().await.status, 404);
    });
}

#[test]
fn a_member_sees_itself_and_the_owner_sees_all() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::with(&gate, ImageSpec::owned_by(OWNER).member(MEMBER).member("another"));
        let other = format!("{}/another", members_target(&scene));
        let get =
            |target: &str, token: &str| gate.call("GET", target).header("Accept", "application/json").token(token);
        for (token, known) in [(&scene.owner, 2), (&scene.member, 1)] {
            let reply = get(&members_target(&scene), token).send().await;
            assert_eq!((reply.status, reply.json()["members"].as_array().map(Vec::len)), (200, Some(known)));
            assert_eq!(get(&scene.target, token).send().await.json()["member_id"].as_str(), Some(MEMBER));
        }
        assert_eq!(get(&other, &scene.owner).send().await.status, 200);
        let before = gate.count("GET", &other);
        let reply = get(&other, &scene.member).send().await;
        gate.expect_refusal(&reply, "member_not_found").await;
        assert!(reply.text().contains("another not found in the member list of the image"), "{}", reply.text());
        for target in [members_target(&scene), scene.target.clone()] {
            let before = gate.count("GET", &target);
            gate.expect_refusal(&get(&target, &scene.stranger).send().await, "image_not_found").await;
            gate.expect_refusal(&gate.call("GET", &target).send().await, "token_missing").await;
            let reply = get(&target, &scene.owner).json("{}").send().await;
            gate.expect_refusal(&reply, "body_unexpected").await;
            assert_eq!(gate.count("GET", &target), before);
        }
        assert_eq!(gate.count("GET", &other), before);
    });
}

#[test]
fn an_empty_chunked_body_is_no_body_and_another_one_is() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let head = format!(
            "DELETE {} HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            scene.target, scene.owner
        );
        let mut connection = Connection::open(gate.address).await;
        connection.send(format!("{head}2\r\n{{}}\r\n0\r\n\r\n")).await;
        gate.expect_refusal(&connection.reply("DELETE").await, "body_unexpected").await;
        assert_eq!(gate.count("DELETE", &scene.target), 0);
        connection.send(format!("{head}0\r\n\r\n")).await;
        assert_eq!(connection.reply("DELETE").await.status, 204);
        let seen = gate.seen().pop().expect("the call");
        assert_eq!((seen.method.as_str(), seen.header("transfer-encoding")), ("DELETE", None));
    });
}

#[test]
fn without_being_named_the_calls_stream_through() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let odd = format!("{}/", members_target(&scene));
        assert_eq!(gate.call("GET", &odd).token(&scene.owner).send().await.status, 404);
        assert_eq!(gate.count("GET", &odd), 1);
        for (method, target, body) in [
            ("POST", members_target(&scene), with_stranger()),
            ("GET", members_target(&scene), String::new()),
            ("GET", scene.target.clone(), String::new()),
            ("DELETE", scene.target.clone(), String::new()),
        ] {
            let reply = gate.call(method, &target).token(&scene.owner).json(&body).send().await;
            assert!(reply.status < 300, "{method} {target}: {}", reply.text());
            assert_eq!(gate.count(method, &target), 1);
        }
        assert_eq!(gate.questions(), 0, "what passes through is for Glance to check");
    });
}

#[test]
fn each_call_is_guarded_by_its_own_name() {
    run(async {
        for (action, method) in
            [(Action::Create, "POST"), (Action::Delete, "DELETE"), (Action::List, "GET"), (Action::Show, "GET")]
        {
            let gate = Gate::start(|config| config.guard = Guard::of(&[action])).await;
            let scene = Scene::new(&gate);
            for (tried, tried_method, target) in [
                (Action::Create, "POST", members_target(&scene)),
                (Action::Delete, "DELETE", scene.target.clone()),
                (Action::List, "GET", members_target(&scene)),
                (Action::Show, "GET", scene.target.clone()),
            ] {
                let reply = gate.call(tried_method, &target).send().await;
                assert_eq!(reply.status, 401, "{action:?} {tried:?}");
                let passed = gate.count(tried_method, &target);
                assert_eq!(passed, usize::from(tried != action), "{action:?}, {method}: {tried:?}");
            }
        }
    });
}

#[test]
fn a_change_of_the_members_makes_the_gate_look_again() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let stranger = format!("{}/{STRANGER}", members_target(&scene));
        let show = || gate.call("GET", &stranger).token(&scene.stranger).send();
        gate.expect_refusal(&show().await, "image_not_found").await;
        assert_eq!(share(&gate, &scene, &with_stranger()).token(&scene.owner).send().await.status, 200);
        assert_eq!(show().await.status, 200);
        assert_eq!(gate.call("DELETE", &stranger).token(&scene.owner).send().await.status, 204);
        gate.expect_refusal(&show().await, "image_not_found").await;
    });
}

#[test]
fn what_only_observes_is_forwarded_as_it_came_told_and_compared() {
    run(async {
        let gate = Gate::start(|config| {
            all(config);
            config.rules.default = Setting::Observe;
        })
        .await;
        let scene = Scene::new(&gate);
        let odd = r#"{"member": "a/b",  "x": 1}"#;
        let reply = share(&gate, &scene, odd).token(&scene.owner).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        gate.expect_count("member_unfit", "observed").await;
        assert_eq!(gate.seen().pop().expect("the call").body_text(), odd);
        let reply = gate.call("DELETE", &scene.target).token(&scene.member).send().await;
        assert_eq!(reply.status, 403);
        gate.expect_count("not_the_owner", "observed").await;
        let drift = |rule: &str, status: u16, agree: &str| {
            format!(
                "glance_gate_drift_total{{rule=\"{rule}\",verdict=\"would_refuse\",status=\"{status}\",agree=\"{agree}\"}}"
            )
        };
        gate.wait_for_metric(&drift("member_unfit", 200, "no"), 1).await;
        gate.wait_for_metric(&drift("not_the_owner", 403, "yes"), 1).await;
        // a change that was only observed is one as well
        let stranger = format!("{}/{STRANGER}", members_target(&scene));
        let show = || gate.call("GET", &stranger).token(&scene.stranger).send();
        assert_eq!(show().await.status, 404);
        let duplicate = format!(r#"{{"member": "x", "member": "{STRANGER}"}}"#);
        assert_eq!(share(&gate, &scene, &duplicate).token(&scene.owner).send().await.status, 200);
        gate.expect_count("body_ambiguous", "observed").await;
        assert_eq!(show().await.status, 200);
    });
}

#[test]
fn a_decision_says_which_call_it_was_and_is_explained() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let reply = share(&gate, &scene, &with_stranger()).token(&scene.member).send().await;
        let id = reply.header("x-openstack-request-id").expect("an id").to_owned();
        let target = format!("/explain?request_id={id}");
        let explained = explained(&gate, &id).await;
        let record = &explained["record"];
        assert_eq!(record["version"], 2, "{explained}");
        let inputs = &record["inputs"];
        assert_eq!((inputs["action"].as_str(), inputs["member"].as_str()), (Some("create"), Some(STRANGER)));
        let text = gate.admin(&format!("{target}&as=text")).await.text();
        for part in [
            "403 not_the_owner, answered by the gate",
            &format!("asks for the member {STRANGER}"),
            "only the owner shares it",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let asked = format!(
            "/explain?as=text&project={OWNER}&roles=member,reader&action=delete&member={MEMBER}&owner={OWNER}&visibility=shared"
        );
        let text = gate.admin(&asked).await.text();
        assert!(text.contains("whether there is such a member only Glance knows"), "{text}");
    });
}

#[test]
fn with_the_gates_own_eyes_nothing_is_told_of_what_the_caller_may_not_see() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.register_user("glance-gate", "gate-password", ["admin", "service", "member", "reader"]);
        let gate = Gate::between((keystone, glance), |config| {
            all(config);
            config.ownership.lookup_as = LookupAs::Service;
        })
        .await;
        let scene = Scene::visible(&gate, Visibility::Private);
        for (method, target, body) in [
            ("POST", members_target(&scene), with_stranger()),
            ("DELETE", scene.target.clone(), String::new()),
            ("GET", members_target(&scene), String::new()),
            ("GET", scene.target.clone(), String::new()),
        ] {
            let call = || gate.call(method, &target).json(&body);
            gate.expect_refusal(&call().token(&scene.stranger).send().await, "image_not_found").await;
            assert_eq!(gate.count(method, &target), 0, "{method} {target}");
            // admins are Glance's to judge
            let admin = gate.keystone.issue(TokenSpec::admin("admins"));
            call().token(&admin).send().await;
            assert_eq!(gate.count(method, &target), 1, "{method} {target}");
        }
    });
}
