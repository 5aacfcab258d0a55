//! Hostile spellings of the path of all members, where creating or listing is guarded, and other ways around (T5 to T7).

use crate::harness::Gate;
use crate::harness::run;
use crate::member_family::all;
use crate::scene::STRANGER;
use crate::scene::Scene;

/// Spellings of the members' resource that some server takes for it.
const TARGETS: [&str; 24] = [
    "//v2/images/«image»/members",
    "/v2//images/«image»/members",
    "/v2/images//«image»/members",
    "/v2/images/«image»//members",
    "/v2/images/«image»/members/",
    "/v2/images/«image»/members//",
    "/v2/images/«image»/members/.",
    "/v2/./images/«image»/members",
    "/v2/images/x/../«image»/members",
    "/v2/images/«image»/m/../members",
    "/v2/images/«image»%2Fmembers",
    "/v2/images/«image»%2fmembers%2f",
    "/v2/images/«image»/%6dembers",
    "/v2/%69mages/«image»/members",
    "/%76%32/images/«image»/members",
    "/v2/images/%34«image»/members",
    "/v2/images/«image»/members%0a",
    "/v2/images/«image»/members;x=1",
    "/v2/IMAGES/«image»/Members",
    "/images/«image»/members",
    "/v3/images/«image»/members",
    "/V2/images/«image»/members",
    "/v2.0000/images/«image»/members",
    "http://gate/v2/images/«image»/members",
];

/// Ways to another method, or to another version, than what stands there.
const AROUND: [(&str, &str, &str, &str); 8] = [
    ("GET", "?_method=POST", "", "target_ambiguous"),
    ("GET", "/x?_method=DELETE", "", "target_ambiguous"),
    ("PUT", "?%5fmethod=POST", "", "target_ambiguous"),
    ("POST", "?a=1;_METHOD=GET", "", "target_ambiguous"),
    ("POST", "", "Accept: application/vnd.openstack.images-v2.3", "vendor_accept"),
    ("POST", "", "Content-Type: application/x-www-form-urlencoded", "form_body"),
    ("DELETE", "/x", "X_Auth_Token: «token»", "header_ambiguous"),
    ("TRACE", "", "", "method_unsupported"),
];

async fn expect_refused(gate: &Gate, scene: &Scene, method: &str, target: &str, line: &str, reason: &str) {
    let fill = |text: &str| text.replace("«image»", &scene.image).replace("«token»", &scene.owner);
    let mut call = gate.call(method, &fill(target)).token(&scene.owner);
    if let Some((name, value)) = line.split_once(": ") {
        call = call.header(name, fill(value));
    }
    let body = format!(r#"{{"member": "{STRANGER}"}}"#);
    let reply = if method == "POST" { call.body(body) } else { call }.send().await;
    assert!(reply.status >= 400, "{method} {target} {line}: {}", reply.status);
    gate.expect_refusal(&reply, reason).await;
    gate.expect_unseen();
}

#[test]
fn odd_spellings_of_the_members_never_reach_glance() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        for target in TARGETS {
            for method in ["POST", "GET", "PATCH"] {
                expect_refused(&gate, &scene, method, target, "", "target_ambiguous").await;
            }
        }
    });
}

#[test]
fn no_other_method_is_read_into_a_guarded_call() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        for (method, behind, line, reason) in AROUND {
            let target = format!("/v2/images/«image»/members{behind}");
            expect_refused(&gate, &scene, method, &target, line, reason).await;
        }
    });
}

#[test]
fn every_version_of_the_path_is_guarded_and_methods_nobody_knows_are_glances() {
    run(async {
        let gate = Gate::start(all).await;
        let scene = Scene::new(&gate);
        let body = format!(r#"{{"member": "{STRANGER}"}}"#);
        for version in ["v2", "v2.0", "v2.9", "v2.17"] {
            let target = format!("/{version}/images/{}/members?limit=1", scene.image);
            let reply = gate.call("POST", &target).token(&scene.member).json(&body).send().await;
            gate.expect_refusal(&reply, "not_the_owner").await;
        }
        let target = format!("/v2/images/{}/members", scene.image);
        for (method, status) in [("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("HEAD", 405), ("OPTIONS", 200)] {
            let reply = gate.call(method, &target).token(&scene.owner).send().await;
            assert_eq!((reply.status, gate.count(method, &target)), (status, 1), "{method}");
        }
        assert_eq!(gate.glance.member_status(&scene.image, STRANGER), None);
    });
}
