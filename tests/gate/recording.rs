//! Copies that are written down, and asked again of a staging later.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use glance_gate::demo::glance::ImageSpec;
use glance_gate::telemetry::line_log::Destination;
use http::Method;
use serde_json::Value;

use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::run;
use crate::process::Ended;
use crate::process::Process;
use crate::reload_command::text;
use crate::scene::CANONICAL;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::shadow_scene::Staging;
use crate::shadow_scene::private;

const MEMBER_ROUTE: &str = "/v2/images/{image_id}/members/{member_id}";

/// Lets a gate without a staging write down four calls, and returns it with what it knows of them.
async fn recorded(path: &Path) -> (Gate, Scene) {
    let file = path.to_owned();
    let mut gate = Gate::start(|config| {
        config.recording.destination = Destination::File(file);
        config.shadow.writes = vec![(Method::PUT, MEMBER_ROUTE)];
    })
    .await;
    let scene = Scene::new(&gate);
    for (call, status) in [
        (gate.call("GET", &scene.image_target()).token(&scene.owner), 200),
        (scene.accept(&gate).token(&scene.member), 200),
        (gate.call("GET", &scene.image_target()).token(&scene.stranger), 404),
        (gate.call("GET", "/v2/images?limit=1"), 401),
        // the gate's own answer is nobody's to repeat
        (scene.accept(&gate).token(&scene.owner), 403),
    ] {
        assert_eq!(call.header("Cookie", "session=chocolate").send().await.status, status);
    }
    gate.wait_for_metric("glance_gate_shadow_copies_total{outcome=\"kept\"}", 4).await;
    let app = gate.take_app();
    tokio::task::spawn_blocking(|| app.stop()).await.expect("no panic").expect("a clean end");
    (gate, scene)
}

/// Reads the calls, sorted by status and method: several may be written at once.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a recording");
    let mut calls: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    calls.sort_by_key(|call| (call["answer"]["status"].as_u64(), call["method"].to_string()));
    calls
}

#[test]
fn calls_are_written_down_without_credentials_and_without_a_staging() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join("calls.jsonl");
        let (_, scene) = recorded(&path).await;
        let whole = fs::read_to_string(&path).expect("a recording");
        for secret in [&scene.owner, &scene.member, &scene.stranger, "chocolate"] {
            assert!(!whole.contains(secret), "{secret} was written down");
        }
        let calls = lines(&path);
        let told: Vec<(&str, u64, bool)> = calls
            .iter()
            .map(|call| {
                let status = call["answer"]["status"].as_u64().expect("a status");
                (call["method"].as_str().expect("a method"), status, call["had_token"] == true)
            })
            .collect();
        assert_eq!(told, [("GET", 200, true), ("PUT", 200, true), ("GET", 401, false), ("GET", 404, true)]);
        assert_eq!((&calls[0]["project"], &calls[1]["project"]), (&OWNER.into(), &MEMBER.into()));
        assert_eq!((&calls[1]["target"], &calls[1]["body"]), (&scene.target.clone().into(), &CANONICAL.into()));
        assert_eq!((&calls[2]["user"], &calls[2]["target"]), (&Value::Null, &"/v2/images?limit=1".into()));
        let answer = calls[1]["answer"]["body"]["whole"].as_str().expect("a body");
        assert_eq!(serde_json::from_str::<Value>(answer).expect("JSON")["status"], "accepted");
    });
}

/// A staging that knows the image under another id, and its users by credentials of its own.
struct Stage {
    staging: Staging,
    directory: Directory,
    image: String,
}

impl Stage {
    async fn start(scene: &Scene, directory: Directory) -> Self {
        let staging = Staging::start().await;
        let image = staging.glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        directory.write("ids.toml", &format!("[images]\n\"{}\" = \"{image}\"\n", scene.image));
        let mut file = format!("auth_url = \"{}\"\n", staging.keystone.url());
        for project in [OWNER, MEMBER, crate::scene::STRANGER] {
            staging.keystone.register_credential_in(project, project, "secret-of-staging", ["member", "reader"]);
            writeln!(
                file,
                "[[credential]]\nproject = \"{project}\"\napplication_credential_id = \"{project}\"\n\
                 application_credential_secret = \"secret-of-staging\""
            )
            .expect("a string takes all");
        }
        private(&directory, "exchange.toml", &file);
        Self { staging, directory, image }
    }

    /// Asks the recorded calls again.
    async fn replay(&self, gate: &Gate, out: &str, more: &[&str]) -> Ended {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let section = format!(
            "[shadow]\nwrites = [\"PUT {MEMBER_ROUTE}\"]\ncredentials = \"exchange\"\nexchange_file = \"{}\"\n\
             ids_file = \"{}\"\n",
            path("exchange.toml"),
            path("ids.toml")
        );
        let config = self.directory.write("gate.toml", &text(&gate.keystone, &gate.glance, &section));
        let (config, url) = (config.display().to_string(), self.staging.glance.url());
        let (calls, out) = (path("calls.jsonl"), path(out));
        let arguments =
            ["shadow", "replay", &calls, "--config", &config, "--to", &url, "--rate", "1000", "--out", &out];
        let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "x")];
        Process::run(&[&arguments[..], more].concat(), &environment).await
    }
}

#[test]
fn recorded_calls_are_asked_again_by_those_who_asked_and_differ_only_where_staging_does() {
    run(async {
        let directory = Directory::new();
        let (gate, scene) = recorded(&directory.path().join("calls.jsonl")).await;
        let stage = Stage::start(&scene, directory).await;
        let same = stage.replay(&gate, "same.jsonl", &[]).await;
        assert_eq!(same.code, Some(0), "{}\n{}", same.out, same.errors);
        assert!(same.errors.contains("4 calls asked again"), "{}", same.errors);
        assert_eq!(stage.staging.glance.member_status(&stage.image, MEMBER).as_deref(), Some("accepted"));
        for secret in [&scene.owner, &scene.member, &scene.stranger] {
            stage.staging.expect_nowhere(secret);
        }
        stage.staging.glance.remove_image(&stage.image);
        let other = stage.replay(&gate, "other.jsonl", &[]).await;
        assert_eq!(other.code, Some(1), "{}\n{}", other.out, other.errors);
        assert!(other.out.contains("200") && other.out.contains("404"), "{}", other.out);
        let two = stage.replay(&gate, "two.jsonl", &["--max-differences", "2"]).await;
        assert_eq!(two.code, Some(0), "{}\n{}", two.out, two.errors);
        let again = stage.replay(&gate, "two.jsonl", &[]).await;
        assert_eq!(again.code, Some(2));
        assert!(again.errors.contains("is there already: name another file with --out"), "{}", again.errors);
    });
}

#[test]
fn what_is_no_recorded_call_and_what_may_not_be_written_is_told_and_skipped() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join("calls.jsonl");
        let (gate, scene) = recorded(&path).await;
        let whole = fs::read_to_string(&path).expect("a recording");
        let unnamed =
            whole.lines().find(|line| line.contains("\"PUT\"")).expect("the write").replace("\"PUT\"", "\"DELETE\"");
        directory.write("calls.jsonl", &format!("{whole}{unnamed}\n{{\"version\":1}}\nnonsense\n"));
        let stage = Stage::start(&scene, directory).await;
        let ended = stage.replay(&gate, "differences.jsonl", &[]).await;
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.errors);
        assert!(ended.errors.contains("calls.jsonl:6: no recorded call: missing field"), "{}", ended.errors);
        assert!(ended.errors.contains("calls.jsonl:7: no recorded call"), "{}", ended.errors);
        let told = "4 calls asked again; not asked: 1 writes that [shadow] writes does not name, \
                    0 that can not be asked again, 2 lines that are none";
        assert!(ended.errors.contains(told), "{}", ended.errors);
        assert!(stage.staging.seen().iter().all(|seen| seen.method != "DELETE"));
    });
}

#[test]
fn a_replay_proves_nothing_about_calls_that_were_not_compared() {
    run(async {
        let directory = Directory::new();
        let (gate, scene) = recorded(&directory.path().join("calls.jsonl")).await;
        let stage = Stage::start(&scene, directory).await;
        let known = fs::read_to_string(stage.directory.path().join("exchange.toml")).expect("the credentials");
        let (others, rest) = known.rsplit_once("secret-of-staging").expect("the stranger's secret");
        private(&stage.directory, "exchange.toml", &format!("{others}wrong{rest}"));
        let ended = stage.replay(&gate, "differences.jsonl", &[]).await;
        assert_eq!(ended.code, Some(2), "{}\n{}", ended.out, ended.errors);
        assert!(ended.errors.contains("1 of them were not compared: login_failed 1"), "{}", ended.errors);
    });
}

#[test]
fn a_replay_that_can_not_be_one_asks_nobody() {
    run(async {
        let directory = Directory::new();
        let (gate, scene) = recorded(&directory.path().join("calls.jsonl")).await;
        let stage = Stage::start(&scene, directory).await;
        let calls = stage.directory.path().join("calls.jsonl").display().to_string();
        let section = "[shadow]\ncredentials = \"keep\"\nkeep_credentials = \"staging may have production tokens\"\n";
        let config = stage.directory.write("keep.toml", &text(&gate.keystone, &gate.glance, section));
        let config = config.display().to_string();
        let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "x")];
        let url = stage.staging.glance.url();
        for (to, why) in [(&url, "tokens were not recorded"), (&format!("{url}/v2"), "without a path")] {
            let arguments = ["shadow", "replay", &calls, "--config", &config, "--to", to];
            let ended = Process::run(&arguments, &environment).await;
            assert_eq!(ended.code, Some(2), "{}", ended.errors);
            assert!(ended.errors.contains(why), "{}", ended.errors);
        }
        assert!(stage.staging.seen().is_empty());
    });
}
