//! Answers about members are checked against the schema that Glance serves: counted and told of, and never held back.

use std::time::Duration;

use glance_gate::contract::Answers;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;
use http::Method;
use http::StatusCode;

use crate::between::Between;
use crate::client::Call;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::shadow_scene::Shadowed;
use crate::shadow_scene::Staging;

const MEMBER_ROUTE: &str = "/v2/images/{image_id}/members/{member_id}";
const MEMBERS_ROUTE: &str = "/v2/images/{image_id}/members";

fn answers(route: &str, outcome: &str) -> String {
    format!("glance_gate_contract_answers_total{{route=\"{route}\",outcome=\"{outcome}\"}}")
}

async fn wait_for_schemas(gate: &Gate, outcome: &str, count: u64) {
    for schema in ["member", "members"] {
        let metric = format!("glance_gate_contract_schemas_total{{schema=\"{schema}\",outcome=\"{outcome}\"}}");
        gate.wait_for_metric(&metric, count).await;
    }
}

/// Answers a list of members with a status that Glance's schema does not know.
async fn inventive(glance: &Glance) -> Between {
    Between::answers(glance, |method, answer| {
        if *method == Method::GET && answer.status == StatusCode::OK {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            answer.body = text.replace("\"status\": \"pending\"", "\"status\": \"waiting\"").into();
        }
    })
    .await
}

#[test]
fn good_answers_are_valid_and_refusals_and_other_documents_are_not_looked_at() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.contract.answers = Answers::Observe;
            config.shadow.writes = vec![(Method::PUT, MEMBER_ROUTE)];
        })
        .await;
        let gate = &shadowed.gate;
        wait_for_schemas(gate, "taken", 1).await;
        let scene = Scene::new(gate);
        let members = format!("{}/members", scene.image_target());
        for (method, target, status) in [
            ("GET", members.as_str(), 200),
            ("GET", scene.target.as_str(), 200),
            ("GET", "/v2/images/00000000-0000-4000-8000-000000000000/members", 404),
            ("GET", scene.image_target().as_str(), 200),
        ] {
            let reply = gate.call(method, target).token(&scene.member).send().await;
            assert_eq!(reply.status, status, "{method} {target}: {}", reply.text());
        }
        let reply = scene.accept(gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        shadowed.wait_for_sent(5).await;
        gate.wait_for_metric(&answers(MEMBERS_ROUTE, "valid"), 1).await;
        gate.wait_for_metric(&answers(MEMBER_ROUTE, "valid"), 2).await;
        let metrics = gate.metrics().await;
        let lines = metrics.lines().filter(|line| line.starts_with("glance_gate_contract_answers_total")).count();
        assert_eq!(lines, 2, "{metrics}");
        // with a token of the gate's own, and once each
        let asked = gate.seen().into_iter().filter(|seen| seen.target.starts_with("/v2/schemas/"));
        let asked: Vec<(String, bool)> =
            asked.map(|seen| (seen.target.clone(), seen.header("x-auth-token") == Some(&scene.member))).collect();
        assert_eq!(asked, [("/v2/schemas/member".to_owned(), false), ("/v2/schemas/members".to_owned(), false)]);
    });
}

#[test]
fn an_answer_that_breaks_its_schema_is_told_of_without_its_values() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let (between, staging, directory) = (inventive(&glance).await, Staging::start().await, Directory::new());
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[upstream]\nservers = [\"{}\"]\n\
             [keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\n[shadow]\ntarget = \"{}\"\n[contract]\nanswers = \"observe\"\n",
            between.url,
            keystone.url(),
            staging.glance.url(),
        );
        let config = directory.write("gate.toml", &text);
        let password = ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", SERVICE_PASSWORD);
        let (process, address, admin) = Process::serve(&config, &[password]).await;
        let metrics = async || Call::new(admin, "GET", "/metrics").send().await.text();
        eventually("the schemas are there", || async {
            metrics().await.matches("glance_gate_contract_schemas_total{").count() == 2
        })
        .await;
        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let token = keystone.issue(TokenSpec::member(OWNER));
        let members = format!("/v2/images/{image}/members");
        let reply = Call::new(address, "GET", &members).token(&token).send().await;
        // the client gets it all the same
        assert_eq!((reply.status, reply.json()["members"][0]["status"].as_str()), (200, Some("waiting")));
        process.says("an answer breaks the schema that glance serves").await;
        let log = process.written();
        let line = log.lines().find(|line| line.contains("breaks the schema")).expect("a line");
        for told in ["\"at\":\"/members/0/status\"", "\"rule\":\"enum\"", &format!("\"route\":\"{MEMBERS_ROUTE}\"")] {
            assert!(line.contains(told), "{told}: {line}");
        }
        assert!(!log.contains("waiting"), "{log}");
        let counted = format!("{} 1", answers(MEMBERS_ROUTE, "invalid"));
        eventually(&counted, || async { metrics().await.lines().any(|line| line == counted) }).await;
        assert_eq!(process.terminate().await.code, Some(0));
    });
}

#[test]
fn without_a_schema_answers_are_not_checked_and_a_reload_asks_again() {
    run(async {
        let (keystone, glance) = neighbours().await;
        glance.set_fault_on("/v2/schemas/", Fault::HtmlPortal);
        let staging = Staging::start().await;
        let url = staging.glance.url();
        let gate = Gate::between((keystone, glance), |config| {
            config.shadow.target = url;
            config.contract.answers = Answers::Observe;
        })
        .await;
        wait_for_schemas(&gate, "failed", 1).await;
        let scene = Scene::new(&gate);
        let reply = gate.call("GET", &scene.target).token(&scene.member).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        gate.wait_for_metric(&answers(MEMBER_ROUTE, "unchecked"), 1).await;
        gate.glance.set_fault(Fault::None);
        gate.reload(|config| config.contract.schema_ttl = Duration::from_mins(5)).await.expect("a good configuration");
        wait_for_schemas(&gate, "taken", 1).await;
        gate.call("GET", &scene.target).token(&scene.member).send().await;
        gate.wait_for_metric(&answers(MEMBER_ROUTE, "valid"), 1).await;
        // and no more once it is off
        gate.reload(|config| config.contract.answers = Answers::Off).await.expect("a good configuration");
        gate.call("GET", &scene.target).token(&scene.member).send().await;
        gate.wait_for_metric("glance_gate_shadow_copies_total{outcome=\"sent\"}", 3).await;
        gate.wait_for_metric(&answers(MEMBER_ROUTE, "valid"), 1).await;
    });
}
