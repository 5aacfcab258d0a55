//! The decision log: which decisions are written, how, and what happens when nobody can take them.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;
use glance_gate::refusal::Refusal;
use glance_gate::rules::decision_log::Destination;
use glance_gate::rules::setting::Setting;
use serde_json::Value;

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::reload_command::PASSWORD;
use crate::reload_command::text;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::scene::member_target;

fn to_file(config: &mut Config, file: &Path) {
    config.rules.log.destination = Destination::File(file.into());
    config.rules.log.permitted_percent = 100;
}

pub fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

async fn count(gate: &Gate, outcome: &str, count: u64) {
    gate.wait_for_metric(&format!("glance_gate_decision_lines_total{{outcome=\"{outcome}\"}}"), count).await;
}

async fn stop(gate: &mut Gate) {
    let app = gate.take_app();
    tokio::task::spawn_blocking(|| app.stop()).await.expect("no panic").expect("a clean end");
}

fn mkfifo(directory: &Directory) -> PathBuf {
    let path = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    path
}

#[test]
fn every_kind_of_decision_is_a_line_of_the_documented_schema() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("decisions.jsonl");
        let mut gate = Gate::start(|config| {
            to_file(config, &file);
            config.rules.settings.insert(Refusal::OwnerForbidden.reason(), Setting::Observe);
            config.rules.settings.insert(Refusal::BodyMalformed.reason(), Setting::Off);
        })
        .await;
        let scene = Scene::new(&gate);
        let admin = gate.keystone.issue(TokenSpec::admin("admins"));
        let call = |token: &str| scene.accept(&gate).token(token);
        call(&scene.member).send().await;
        call(&scene.owner).send().await;
        call(&scene.stranger).send().await;
        call(&admin).send().await;
        scene.accept(&gate).send().await;
        gate.call("PUT", &scene.target).token(&scene.member).json("{").send().await;
        gate.call("PUT", &scene.target).token(&scene.member).json(r#"{"status": "perhaps"}"#).send().await;
        gate.call("POST", &scene.target).token(&scene.member).json(ACCEPT).send().await;
        gate.call("PUT", &member_target("no-uuid")).token(&scene.member).json(ACCEPT).send().await;
        let plain = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", "text/plain");
        plain.body(ACCEPT).send().await;
        gate.glance.set_fault(Fault::Status(403));
        call(&scene.member).send().await;
        // what is no member update has no line
        gate.call("GET", "/v2/images").token(&scene.member).send().await;
        gate.call("PUT", "/v2//images").token(&scene.member).send().await;
        count(&gate, "written", 11).await;
        gate.glance.set_fault(Fault::None);
        gate.reload(|config| config.profile = Profile::Glance(PolicyDefaults::Legacy)).await.expect("a good reload");
        call(&scene.owner).send().await;
        stop(&mut gate).await;

        let schema: Value = serde_json::from_str(include_str!("../../docs/decision.schema.json")).expect("a schema");
        let schema = jsonschema::validator_for(&schema).expect("a good schema");
        let lines = lines(&file);
        for line in &lines {
            let errors: Vec<String> = schema.iter_errors(line).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?} in {line:#}");
        }
        let mut told: Vec<String> = lines
            .iter()
            .map(|line| {
                let word = |name: &str| line[name].to_string().replace('"', "");
                let part = |name: &str| line["inputs"][name].to_string().replace('"', "");
                format!(
                    "{} {} {} {} {} {}",
                    word("verdict"),
                    word("rule"),
                    word("mode"),
                    word("upstream_status"),
                    word("status"),
                    part("seen")
                )
            })
            .collect();
        let mut expected = [
            "permitted null null 200 200 image",
            "would_refuse owner_forbidden observe 403 403 image",
            "refused image_not_found enforce null 404 absent",
            "asked null null 200 200 null",
            "refused token_missing enforce null 401 null",
            "rule_off body_malformed off 400 400 null",
            "refused status_unknown enforce null 400 image",
            "refused method_not_allowed enforce null 405 null",
            "refused image_not_found enforce null 404 impossible",
            "refused media_type_unsupported enforce null 415 null",
            "permitted null null 403 403 image",
            "would_refuse owner_forbidden observe 403 403 image",
        ];
        // who ends first is written first, and there are two workers
        told.sort();
        expected.sort_unstable();
        assert_eq!(told, expected);
        let by_owner = |profile: &str| {
            lines
                .iter()
                .find(|line| line["rule"] == "owner_forbidden" && line["profile"] == profile)
                .expect("the owner's call")
        };
        let (owner, later) = (by_owner("documented"), by_owner("glance"));
        assert_eq!(
            (&owner["agree"], &owner["setting"], &owner["inputs"]["owner"]),
            (&"yes".into(), &"observe".into(), &OWNER.into())
        );
        assert_eq!((&owner["inputs"]["scope"], &owner["inputs"]["lookup_as"]), (&"project".into(), &"caller".into()));
        assert_eq!((&later["profile"], &later["policy_defaults"]), (&"glance".into(), &"legacy".into()));
        assert_ne!(owner["revision"], later["revision"]);
        // the schema knows a stranger: it is not one that everything fits
        for (field, value) in
            [("verdict", "maybe".into()), ("version", 2.into()), ("more", 1.into()), ("rule", Value::Null)]
        {
            let mut line = owner.clone();
            line[field] = value;
            assert!(!schema.is_valid(&line), "{field}");
        }
        let mode = fs::metadata(&file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn every_field_is_explained() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/decision.schema.json")).expect("a schema");
    let page = include_str!("../../docs/DECISIONS.md");
    let names = |value: &Value| value["properties"].as_object().expect("fields").keys().cloned().collect::<Vec<_>>();
    let inner = names(&schema["properties"]["inputs"]).into_iter().map(|name| format!("inputs.{name}"));
    for field in names(&schema).into_iter().filter(|name| name != "inputs").chain(inner) {
        assert!(page.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{field}`"))), "{field}");
    }
}

#[test]
fn plain_permitted_calls_are_sampled_and_nothing_is_written_where_it_is_off() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("decisions.jsonl");
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let accept = async |times: u32| {
            for _ in 0..times {
                scene.accept(&gate).token(&scene.member).send().await;
            }
        };
        accept(3).await;
        gate.reload(|config| to_file(config, &file)).await.expect("a good reload");
        accept(3).await;
        count(&gate, "written", 3).await;
        gate.reload(|config| config.rules.log.permitted_percent = 10).await.expect("a good reload");
        accept(20).await;
        scene.accept(&gate).token(&scene.owner).send().await;
        count(&gate, "written", 6).await;
        gate.reload(|config| config.rules.log.destination = Destination::Off).await.expect("a good reload");
        scene.accept(&gate).token(&scene.owner).send().await;
        gate.reload(|config| to_file(config, &directory.path().join("another"))).await.expect("a good reload");
        accept(1).await;
        count(&gate, "written", 7).await;
        let verdicts: Vec<String> = lines(&file).iter().map(|line| line["verdict"].to_string()).collect();
        assert_eq!(verdicts.iter().filter(|verdict| *verdict == "\"permitted\"").count(), 5, "{verdicts:?}");
        assert_eq!((verdicts.len(), lines(&directory.path().join("another")).len()), (6, 1));
    });
}

#[test]
fn a_file_that_grows_is_rotated() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("decisions.jsonl");
        let gate = Gate::start(|config| {
            to_file(config, &file);
            config.rules.log.rotate_at = 3000;
            config.rules.log.kept_files = 2;
        })
        .await;
        let scene = Scene::new(&gate);
        for _ in 0..20 {
            scene.accept(&gate).token(&scene.owner).send().await;
        }
        count(&gate, "written", 20).await;
        let all: Vec<usize> = ["decisions.jsonl", "decisions.jsonl.1", "decisions.jsonl.2"]
            .map(|name| lines(&directory.path().join(name)).len())
            .into();
        assert!(all.iter().all(|count| (1..=4).contains(count)), "{all:?}");
        assert!(!directory.path().join("decisions.jsonl.3").exists());
    });
}

#[test]
fn a_stuck_reader_costs_lines_and_no_request() {
    run(async {
        let directory = Directory::new();
        let fifo = mkfifo(&directory);
        // somebody holds the pipe open and does not read
        let mut reader = fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("a pipe");
        let mut gate = Gate::start(|config| {
            to_file(config, &fifo);
            config.rules.log.queue_bytes = 8 * 1024;
        })
        .await;
        let scene = Scene::new(&gate);
        let dropped = async || {
            let metrics = gate.metrics().await;
            metrics.lines().any(|line| {
                line.strip_prefix("glance_gate_decision_lines_total{outcome=\"dropped\"} ")
                    .is_some_and(|count| count != "0")
            })
        };
        // the pipe takes 64 KiB, the queue 8 more
        while !dropped().await {
            for _ in 0..20 {
                assert_eq!(scene.accept(&gate).token(&scene.owner).send().await.status, 403);
            }
        }
        stop(&mut gate).await;
        let mut first = [0; 2];
        reader.read_exact(&mut first).expect("what was written");
        assert_eq!(&first, b"{\"");
    });
}

#[test]
fn a_file_that_can_not_be_written_is_tried_again() {
    run(async {
        let directory = Directory::new();
        let folder = directory.path().join("not-yet");
        let file = folder.join("decisions.jsonl");
        let gate = Gate::start(|config| to_file(config, &file)).await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.owner).send().await.status, 403);
        count(&gate, "failed", 1).await;
        fs::create_dir(&folder).expect("a writable folder");
        eventually("a line is written", || async {
            scene.accept(&gate).token(&scene.owner).send().await;
            file.exists()
        })
        .await;
        eventually("it is whole", || async { !lines(&file).is_empty() }).await;
    });
}

#[test]
fn the_built_gate_follows_a_renamed_file_and_writes_the_rest_when_it_stops() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let file = directory.path().join("decisions.jsonl");
        let section = format!("[decisions]\nfile = \"{}\"\n", file.display());
        let config = directory.write("gate.toml", &(text(&keystone, &glance, "") + &section));
        let (process, address, admin) = Process::serve(&config, &[PASSWORD]).await;
        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let owner = keystone.issue(TokenSpec::member(OWNER));
        let refused =
            async || Call::new(address, "PUT", &member_target(&image)).token(&owner).json(ACCEPT).send().await;
        refused().await;
        eventually("the first line", || async { lines(&file).len() == 1 }).await;
        let renamed = directory.path().join("decisions.old");
        fs::rename(&file, &renamed).expect("a writable folder");
        process.signal("HUP");
        eventually("the reload", || async {
            let metrics = Call::new(admin, "GET", "/metrics").send().await.text();
            metrics.lines().any(|line| line == "glance_gate_config_generation 2")
        })
        .await;
        refused().await;
        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        assert_eq!((lines(&renamed).len(), lines(&file).len()), (1, 1));
        // and beside the log
        directory.write("gate.toml", &(text(&keystone, &glance, "") + "[decisions]\nfile = \"-\"\n"));
        let (process, address, _) = Process::serve(&config, &[PASSWORD]).await;
        Call::new(address, "PUT", &member_target(&image)).token(&owner).json(ACCEPT).send().await;
        let ended = process.terminate().await;
        let decisions: Vec<Value> = ended
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter(|line| line["verdict"] == "refused" && line["version"] == 1)
            .collect();
        assert_eq!(decisions.len(), 1, "{}", ended.out);
    });
}
