//! The whole family in the `glance` profile: whatever the gate decides itself reads as Glance's own answer.

use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::glance::Policy;
use glance_gate::demo::glance::Visibility;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::glance::LookupAs;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;

use crate::client::Call;
use crate::harness::Gate;
use crate::harness::neighbours;
use crate::harness::run;
use crate::member_family::all;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::scene::Scene;

const ROLES: [&[&str]; 5] = [&["member", "reader"], &["reader"], &["member"], &["auditor"], &["admin"]];
/// What an image is, and whether it has members.
const IMAGES: [(Visibility, bool); 4] =
    [(Visibility::Public, true), (Visibility::Shared, true), (Visibility::Shared, false), (Visibility::Private, true)];

async fn start(defaults: PolicyDefaults, lookup_as: LookupAs) -> Gate {
    let (keystone, glance) = neighbours().await;
    keystone.register_user("glance-gate", "gate-password", ["admin", "service", "member", "reader"]);
    let gate = Gate::between((keystone, glance), |config| {
        all(config);
        config.profile = Profile::Glance(defaults);
        config.ownership.lookup_as = lookup_as;
    })
    .await;
    gate.glance.set_policy(if defaults == PolicyDefaults::New { Policy::New } else { Policy::Legacy });
    gate
}

/// Sends every call of every caller to the gate and to the Glance behind it, each to an image of its own.
async fn compare(defaults: PolicyDefaults, lookup_as: LookupAs) {
    let gate = start(defaults, lookup_as).await;
    for (visibility, listed) in IMAGES {
        // where there are members, roles count
        let roles = if (visibility, listed) == (Visibility::Shared, true) { &ROLES[..] } else { &ROLES[..1] };
        for (project, roles) in
            [OWNER, MEMBER, "other"].into_iter().flat_map(|project| roles.iter().map(move |roles| (project, *roles)))
        {
            let token = gate.keystone.issue(TokenSpec::new("u").project(project).roles(roles.iter().copied()));
            for (method, named, body) in calls(project) {
                let spec = ImageSpec::owned_by(OWNER).visibility(visibility);
                let spec = if listed { spec.member(MEMBER) } else { spec };
                let image = || gate.glance.add_image(spec.clone());
                let ours = send(gate.address, method, &image(), named, &token, &body).await;
                let theirs = send(gate.glance.address(), method, &image(), named, &token, &body).await;
                let what = format!("{visibility:?} listed={listed} {project} {roles:?} {method} {named} {body}");
                assert_eq!(ours, theirs, "{what}");
            }
        }
    }
}

fn calls(project: &str) -> [(&'static str, &str, String); 11] {
    let member = |id: &str| format!(r#"{{"member": "{id}"}}"#);
    [
        ("POST", "", member(STRANGER)),
        ("POST", "", member(MEMBER)),
        ("POST", "", member("a/b")),
        ("POST", "", member("")),
        ("POST", "", "{}".into()),
        ("DELETE", MEMBER, String::new()),
        ("DELETE", project, String::new()),
        ("GET", MEMBER, String::new()),
        ("GET", project, String::new()),
        ("GET", "", String::new()),
        ("DELETE", MEMBER, "{}".into()),
    ]
}

/// Sends a call, and returns the answer without the id of the image and moments in time.
async fn send(
    address: std::net::SocketAddr,
    method: &str,
    image: &str,
    named: &str,
    token: &str,
    body: &str,
) -> (u16, String) {
    let joint = if named.is_empty() { "" } else { "/" };
    let call = Call::new(address, method, &format!("/v2/images/{image}/members{joint}{named}")).token(token).json(body);
    let reply = call.header("Accept", "application/json").send().await;
    let text: Vec<String> = reply.text().replace(image, "I").split('"').map(without_moment).collect();
    (reply.status, text.join("\""))
}

fn without_moment(part: &str) -> String {
    if part.len() == 20 && part.starts_with("20") && part.ends_with('Z') { "M".into() } else { part.into() }
}

#[test]
fn with_new_policies_every_answer_is_glances_own() {
    run(async { compare(PolicyDefaults::New, LookupAs::Caller).await });
}

#[test]
fn with_new_policies_and_the_gates_eyes_every_answer_is_glances_own() {
    run(async { compare(PolicyDefaults::New, LookupAs::Service).await });
}

#[test]
fn with_legacy_policies_every_answer_is_glances_own() {
    run(async { compare(PolicyDefaults::Legacy, LookupAs::Caller).await });
}

#[test]
fn with_legacy_policies_and_the_gates_eyes_every_answer_is_glances_own() {
    run(async { compare(PolicyDefaults::Legacy, LookupAs::Service).await });
}

#[test]
fn what_is_refused_here_does_not_reach_glance() {
    run(async {
        let gate = start(PolicyDefaults::New, LookupAs::Caller).await;
        let scene = Scene::new(&gate);
        let members = format!("{}/members", scene.image_target());
        let body = format!(r#"{{"member": "{STRANGER}"}}"#);
        let reader = gate.keystone.issue(TokenSpec::member(OWNER).roles(["reader"]));
        for (token, reason) in [(&scene.member, "owner_only"), (&reader, "role_forbidden")] {
            let reply = gate.call("POST", &members).token(token).json(&body).send().await;
            gate.expect_refusal(&reply, reason).await;
            assert!(reply.text().contains("You are not authorized to complete add_member action."), "{}", reply.text());
        }
        let other = format!("{members}/other");
        for (method, target, reason) in [
            ("DELETE", &scene.target, "owner_only"),
            ("DELETE", &other, "member_not_found"),
            ("GET", &other, "member_not_found"),
        ] {
            let reply = gate.call(method, target).token(&scene.member).send().await;
            gate.expect_refusal(&reply, reason).await;
        }
        let open = Scene::visible(&gate, Visibility::Public);
        let members_of_open = format!("{}/members", open.image_target());
        for (method, target, reason) in [
            ("POST", &members_of_open, "image_not_shared"),
            ("DELETE", &open.target, "image_not_shared"),
            ("GET", &members_of_open, "members_not_listed"),
            ("GET", &open.target, "image_has_no_members"),
        ] {
            let call = gate.call(method, target).token(&open.owner);
            let reply = if method == "POST" { call.json(&body) } else { call }.send().await;
            gate.expect_refusal(&reply, reason).await;
        }
        assert!(gate.seen().iter().all(|seen| seen.method == "GET" && !seen.target.contains("members")));
    });
}
