//! Why a request was answered as it was, and what would become of a call: asked of the gate, and by the command.

use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::glance::LookupAs;
use glance_gate::refusal::Refusal;
use glance_gate::review::query::Asked;
use glance_gate::rules::decision_log::Destination;
use glance_gate::rules::setting::Setting;
use serde_json::Value;

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Ended;
use crate::process::Process;
use crate::reload_command::text;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::scene::Scene;

/// Waits until the gate can explain the request, and returns the explanation.
pub async fn explained(gate: &Gate, id: &str) -> Value {
    let target = format!("/explain?request_id={id}");
    eventually("the request is explained", || async { gate.admin(&target).await.status == 200 }).await;
    let reply = gate.admin(&target).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    reply.json()["found"][0].clone()
}

/// Returns each step as `name: result`.
fn results(explanation: &Value) -> Vec<String> {
    let word = |step: &Value, name: &str| step[name].as_str().expect("a word").to_owned();
    let steps = explanation["steps"].as_array().expect("steps");
    steps.iter().map(|step| format!("{}: {}", word(step, "name"), word(step, "result"))).collect()
}

fn says(explanation: &Value, name: &str) -> String {
    let steps = explanation["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["name"] == name).expect("the step");
    step["says"].as_str().expect("words").to_owned()
}

async fn sent(call: Call) -> String {
    call.send().await.header("x-openstack-request-id").expect("a request id").to_owned()
}

#[test]
fn a_refused_request_is_explained_step_by_step() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let id = sent(scene.accept(&gate).token(&scene.owner)).await;
        let explanation = explained(&gate, &id).await;
        assert_eq!(explanation["headline"], "403 owner_forbidden, answered by the gate");
        let expected = [
            "request: passed",
            "limits: passed",
            "token: passed",
            "access rules: passed",
            "method: passed",
            "media type: passed",
            "body: passed",
            "identity: passed",
            "ownership: passed",
            "decision: decided",
            "rule: follows",
            "client: follows",
            "Glance: follows",
        ];
        assert_eq!(results(&explanation), expected);
        assert!(says(&explanation, "token").starts_with(&format!("project {OWNER}, user ")));
        assert_eq!(says(&explanation, "ownership"), format!("owner {OWNER}, shared; seen with the caller's token"));
        assert_eq!(says(&explanation, "rule"), "owner_forbidden is set to \"enforce\": the refusal is answered");
        assert_eq!(says(&explanation, "Glance"), "was not asked, or did not answer");
        let step =
            |name: &str| explanation["steps"].as_array().expect("steps").iter().find(|step| step["name"] == name);
        assert!(step("ownership").is_some_and(|step| step["age_ms"].is_u64()));
        let forecasts = &explanation["forecasts"];
        assert_eq!(
            forecasts[0]["says"], "not to be told from what the gate knows",
            "new policies: the member list decides"
        );
        assert_eq!(forecasts[1]["says"], "403 owner_forbidden");
        assert!(explanation["advice"].to_string().contains("The member does it, with a token of its project."));

        let early = sent(gate.call("PUT", &scene.target).json(ACCEPT)).await;
        let explanation = explained(&gate, &early).await;
        assert_eq!(results(&explanation)[2..5], ["token: decided", "access rules: not_reached", "method: not_reached"]);
        let text = gate.admin(&format!("/explain?request_id={early}&as=text")).await;
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(text.text().contains("\n>>  token         no: No X-Auth-Token, or an empty one.\n"), "{}", text.text());
    });
}

#[test]
fn what_glance_said_otherwise_is_explained() {
    run(async {
        let gate = Gate::start(|config| config.rules.default = Setting::Observe).await;
        let scene = Scene::new(&gate);
        let plain = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", "text/plain");
        let explanation = explained(&gate, &sent(plain.body(ACCEPT)).await).await;
        assert_eq!(
            explanation["headline"],
            "200, answered by Glance; the gate would say 415 media_type_unsupported, but the rule only observes"
        );
        assert_eq!(says(&explanation, "Glance"), "answered 200, which is NOT what the gate said");
        assert!(explanation["differs_because"].to_string().contains("does not look at the media type"));
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.glance.set_fault(Fault::Status(404));
        let explanation = explained(&gate, &sent(scene.accept(&gate).token(&scene.member)).await).await;
        let reasons = explanation["differs_because"].to_string();
        assert!(reasons.contains("ownership.cache_time") && reasons.contains("token_cache_time"), "{reasons}");
        assert_eq!(results(&explanation)[9], "decision: decided");
        gate.glance.set_fault(Fault::None);
        // the profile keeps the documentation, and this Glance hides the image from whoever is not its member
        let other = gate.call("PUT", &scene.target.replace(MEMBER, STRANGER)).token(&scene.member).json(ACCEPT);
        let explanation = explained(&gate, &sent(other).await).await;
        assert_eq!(explanation["record"]["rule"], "not_the_member");
        assert_eq!(explanation["differs_because"].as_array().map(Vec::len), Some(0), "both say 404");
    });
}

#[test]
fn only_operators_ask_and_what_is_unknown_is_said() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let unknown = "/explain?request_id=req-11111111-2222-4333-8444-555555555555";
        let reply = gate.admin(unknown).await;
        assert_eq!((reply.status, reply.json()["problems"].as_array().map(Vec::len)), (404, Some(5)));
        let rebound = Call::new(gate.admin_address, "GET", unknown).header("Host", "rebound.example:9294");
        assert_eq!(rebound.send().await.status, 403);
        assert_eq!(Call::new(gate.admin_address, "POST", unknown).send().await.status, 405);
        for query in ["", "?colour=red", "?member=m&status=accepted"] {
            let reply = gate.admin(&format!("/explain{query}")).await;
            assert_eq!((reply.status, reply.json()["found"].as_array().map(Vec::len)), (400, Some(0)), "{query}");
        }
        assert_ne!(gate.call("GET", unknown).send().await.status, 200, "clients are told nothing");
    });
}

fn hypothetical(scene: &Scene, project: &str, roles: &str) -> String {
    let image = &scene.image;
    format!("/explain?project={project}&roles={roles}&image={image}&member={MEMBER}&status=accepted")
}

#[test]
fn the_gate_looks_at_the_image_of_a_call_that_nobody_made() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.register_user("glance-gate", SERVICE_PASSWORD, ["admin", "service"]);
        let gate = Gate::between((keystone, glance), |config| config.ownership.lookup_as = LookupAs::Service).await;
        let scene = Scene::new(&gate);
        let target = hypothetical(&scene, OWNER, "member,reader");
        // a page in a browser can not make the gate ask
        assert_eq!(gate.admin(&target).await.status, 422);
        assert_eq!(gate.count("GET", &scene.image_target()), 0);
        let meant = |target: &str| Call::new(gate.admin_address, "GET", target).header("X-Glance-Gate-Order", "1");
        let reply = meant(&target).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let explanation = reply.json()["found"][0].clone();
        assert_eq!(explanation["headline"], "403 owner_forbidden, the gate would answer");
        assert_eq!(says(&explanation, "ownership"), format!("owner {OWNER}, shared; seen with the gate's own token"));
        // now it is remembered, and the live settings count
        gate.reload(|config| config.rules.kill_switch = true).await.expect("a good configuration");
        let explanation = gate.admin(&target).await.json()["found"][0].clone();
        assert!(says(&explanation, "rule").ends_with("(the kill switch is on)"), "{explanation:#}");
        assert_eq!(gate.count("GET", &scene.image_target()), 1);
        assert_eq!(gate.count("PUT", &scene.target), 0, "nobody made the call");
        let odd = gate.admin(&target.replace(&scene.image, "odd")).await.json()["found"][0].clone();
        assert_eq!(odd["record"]["inputs"]["seen"], "impossible");
        let admin = gate.admin(&target.replace("member,reader", "admin")).await.json()["found"][0].clone();
        assert_eq!(results(&admin)[7], "identity: decided");
    });
}

#[test]
fn with_callers_tokens_the_gate_knows_what_it_has_seen() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let target = hypothetical(&scene, MEMBER, "reader,MEMBER");
        let unseen = gate.admin(&target).await;
        assert!(unseen.status == 422 && unseen.text().contains("only a caller's token may look"), "{}", unseen.text());
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        let explanation = gate.admin(&target).await.json()["found"][0].clone();
        assert_eq!(explanation["headline"], "the gate would permit the call", "{explanation:#}");
        assert_eq!(gate.count("GET", &scene.image_target()), 1);
    });
}

#[test]
fn the_command_explains_a_request_of_the_gate_that_runs() {
    run(async {
        let directory = Directory::new();
        let gate = Gate::start(|config| {
            config.rules.log.destination = Destination::File(directory.path().join("decisions.jsonl"));
        })
        .await;
        let scene = Scene::new(&gate);
        let id = sent(scene.accept(&gate).token(&scene.stranger)).await;
        explained(&gate, &id).await;
        gate.wait_for_metric("glance_gate_decision_lines_total{outcome=\"written\"}", 1).await;
        let admin = gate.admin_address.to_string();
        let command = async |id: &str, more: &[&str]| -> Ended {
            Process::run(&[&["explain", "--request-id", id, "--admin", &admin], more].concat(), &[]).await
        };
        let told = command(&id, &[]).await;
        assert_eq!((told.code, told.errors.as_str()), (Some(0), ""));
        for line in [
            "404 image_not_found, answered by the gate",
            "    ownership     Glance shows no such image to the caller's token",
            ">>  decision      no: there is no such image for this caller",
            "    rule          image_not_found is set to \"enforce\": the refusal is answered",
            "    Glance        was not asked, or did not answer",
            "   - deploy/RUNBOOK.md, row image_not_found of the table of reasons.",
        ] {
            assert!(told.out.lines().any(|known| known == line), "{line} is not in\n{}", told.out);
        }
        let json: Value = serde_json::from_str(&command(&id, &["--json"]).await.out).expect("JSON");
        assert_eq!(json["found"][0]["record"]["request_id"], id.as_str());
        let written = directory.path().join("decisions.jsonl").display().to_string();
        for (id, code) in [(id.as_str(), 0), ("req-11111111-2222-4333-8444-555555555555", 1)] {
            let told = Process::run(&["explain", "--request-id", id, "--decisions", &written], &[]).await;
            assert_eq!(told.code, Some(code), "{}", told.errors);
            assert_eq!(told.out.starts_with("404 image_not_found, answered by the gate\n"), code == 0, "{}", told.out);
        }
        let unknown = command("req-11111111-2222-4333-8444-555555555555", &[]).await;
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.out.starts_with("The gate knows nothing of it."), "{}", unknown.out);
        let clients = gate.address.to_string();
        let wrong = Process::run(&["explain", "--request-id", &id, "--admin", &clients], &[]).await;
        assert_eq!(wrong.code, Some(2), "{}", wrong.errors);
    });
}

#[test]
fn the_command_explains_a_call_by_a_configuration_alone() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let write = |more: &str| directory.write("gate.toml", &text(&keystone, &glance, more)).display().to_string();
        // the gate's password is not needed to look at what it decides
        let path = write("profile = \"glance\"\nenforcement = \"enforce 0%\"");
        let command = async |more: &str| -> Ended {
            let line = format!("explain --config {path} --member m --status accepted {more}");
            Process::run(&line.split(' ').collect::<Vec<_>>(), &[]).await
        };
        for (more, code, headline) in [
            (
                "--project m --roles member,reader --image-owner o --visibility shared",
                0,
                "the gate would permit the call",
            ),
            (
                "--project o --roles member,reader --image-owner o --visibility shared",
                0,
                "Glance would be asked, because only it can tell",
            ),
            (
                "--project m --roles reader --image-owner o --visibility shared",
                0,
                "Glance would answer; the gate would say 403 role_forbidden, but the rule only observes",
            ),
            (
                "--project m --roles member,reader --image-owner o --visibility private",
                0,
                "Glance would answer; the gate would say 404 image_not_found, but the rule only observes",
            ),
            (
                "--project m --roles member,reader --not-visible",
                0,
                "Glance would answer; the gate would say 404 image_not_found, but the rule only observes",
            ),
            ("--system-scoped --roles reader", 0, "Glance would be asked, because only it can tell"),
            ("--project m --roles member", 2, ""),
            ("--project m --roles member --image-owner o --visibility odd", 2, ""),
            ("--not-visible", 2, ""),
            ("--project m --system-scoped --not-visible", 2, ""),
            ("--request-id req-1", 2, ""),
        ] {
            let told = command(more).await;
            assert_eq!(told.code, Some(code), "{more}: {} {}", told.out, told.errors);
            assert_eq!(told.out.lines().next().unwrap_or_default(), headline, "{more}");
            assert_eq!(told.errors.is_empty(), code == 0, "{more}: {}", told.errors);
        }
        let told = command("--project m --roles reader --image-owner o --visibility shared").await.out;
        assert!(told.contains("   new default policies     403 role_forbidden\n"), "{told}");
        assert!(told.contains("   legacy default policies  200, it lets the call pass\n"), "{told}");
        assert!(told.contains("the project's number is "), "{told}");
        write("profil = 1");
        assert_eq!(command("--project m --not-visible").await.code, Some(2));
    });
}

#[test]
fn no_rule_goes_unexplained() {
    // what the command sends is what the gate reads
    for refusal in Refusal::rules() {
        assert_eq!(
            Asked::parse(&format!("request_id={}", refusal.reason())),
            Ok(Asked::Request(refusal.reason().into()))
        );
        assert!(glance_gate::review::runbook::row(refusal).is_some(), "{refusal:?}");
    }
}
