//! `glance-gate replay`, on decisions that a gate has really made.

use std::io::Write;
use std::process::Command;
use std::process::Stdio;

use glance_gate::demo::fault::Fault;
use glance_gate::rules::decision_log::Destination;
use glance_gate::rules::setting::Setting;
use serde_json::Value;

use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::run;
use crate::process::Process;
use crate::reload_command::text;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

/// Lets a gate that only observes decide, and returns where the decisions are.
async fn decisions(directory: &Directory) -> (Gate, String) {
    let file = directory.path().join("decisions.jsonl");
    let mut gate = Gate::start(|config| {
        config.rules.log.destination = Destination::File(file.clone());
        config.rules.log.permitted_percent = 100;
        config.rules.default = Setting::Observe;
    })
    .await;
    let scene = Scene::new(&gate);
    for _ in 0..3 {
        scene.accept(&gate).token(&scene.owner).send().await;
    }
    scene.accept(&gate).token(&scene.member).send().await;
    scene.accept(&gate).token(&scene.stranger).send().await;
    let plain = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", "text/plain");
    plain.body(ACCEPT).send().await;
    gate.glance.set_fault(Fault::Status(503));
    scene.accept(&gate).token(&scene.owner).send().await;
    let app = gate.take_app();
    tokio::task::spawn_blocking(|| app.stop()).await.expect("no panic").expect("a clean end");
    (gate, file.display().to_string())
}

#[test]
fn it_tells_what_would_change_and_by_its_exit_code_whether_anything_would() {
    run(async {
        let directory = Directory::new();
        let (gate, file) = decisions(&directory).await;
        let config = |name: &str, more: &str| {
            directory.write(name, &text(&gate.keystone, &gate.glance, more)).display().to_string()
        };
        let replay = async |config: &str, more: &[&str]| {
            Process::run(&[&["replay", "--config", config, "--decisions", &file], more].concat(), &[]).await
        };
        let same = replay(&config("same.toml", "enforcement = \"observe\""), &[]).await;
        assert_eq!((same.code, same.errors.as_str()), (Some(0), ""));
        assert_eq!(same.out.trim(), "7 decisions: 0 would change, 7 would not, 0 can not be decided anew");

        let enforce = config("enforce.toml", "enforcement = \"enforce\"");
        let changed = replay(&enforce, &["--json"]).await;
        assert_eq!((changed.code, changed.errors.as_str()), (Some(1), ""));
        let report: Value = serde_json::from_str(&changed.out).expect("JSON");
        assert_eq!((&report["decisions"], &report["changed"], &report["unchanged"]), (&7.into(), &6.into(), &1.into()));
        let newly = &report["newly_refused"];
        assert_eq!((&newly["count"], &newly["glance_agreed"]), (&6.into(), &4.into()));
        // Glance does not look at the media type; and once it had broken down
        assert_eq!((&newly["glance_disagreed"], &newly["unknown"]), (&1.into(), &1.into()));
        assert_eq!(
            (&report["rules"][0]["name"], &report["rules"][0]["changed"]),
            (&"owner_forbidden".into(), &4.into())
        );
        assert_eq!((&report["projects"][0]["name"], &report["projects"][0]["changed"]), (&OWNER.into(), &4.into()));
        assert_eq!(report["changes"][0]["would_be"], "refused 403 owner_forbidden");
        assert_eq!(report["changes"][0]["examples"].as_array().map(Vec::len), Some(3));
        let text = replay(&enforce, &["--top", "1"]).await.out;
        for line in [
            "7 decisions: 6 would change, 1 would not, 0 can not be decided anew",
            "      4  observed 403 owner_forbidden         ->  refused 403 owner_forbidden         newly refused",
            "  changes of other projects: 2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        // another contract: it does not look at the media type, so that nobody read the body for it
        let glance =
            replay(&config("glance.toml", "profile = \"glance\"\nenforcement = \"observe\""), &["--json"]).await;
        let report: Value = serde_json::from_str(&glance.out).expect("JSON");
        assert_eq!((glance.code, &report["undecided"]), (Some(1), &1.into()), "{report:#}");
        assert!(
            report["undecided_because"][0]["why"].as_str().is_some_and(|why| why.contains("the body was not read"))
        );
        let listed = format!("enforcement = \"enforce listed\"\n[rules]\nprojects = [\"{MEMBER}\"]");
        let listed = replay(&config("listed.toml", &listed), &["--json"]).await;
        let report: Value = serde_json::from_str(&listed.out).expect("JSON");
        assert_eq!((&report["changed"], &report["rules"][0]["name"]), (&1.into(), &"media_type_unsupported".into()));
    });
}

#[test]
fn what_can_not_be_used_is_told_by_its_place() {
    run(async {
        let directory = Directory::new();
        let (gate, file) = decisions(&directory).await;
        let config = directory.write("gate.toml", &text(&gate.keystone, &gate.glance, "enforcement = \"observe\""));
        let config = config.display().to_string();
        let good = std::fs::read_to_string(&file).expect("the decisions");
        let mixed =
            directory.write("mixed.jsonl", &format!("{good}no decision\n{}", good.lines().next().expect("a line")));
        let mixed = mixed.display().to_string();
        let replay = async |more: &[&str]| Process::run(&[&["replay", "--config", &config], more].concat(), &[]).await;
        let lenient = replay(&["--decisions", &file, &mixed]).await;
        assert_eq!(lenient.code, Some(0), "{}", lenient.errors);
        assert!(lenient.errors.starts_with(&format!("{mixed}:8: it is no JSON: ")), "{}", lenient.errors);
        assert!(lenient.out.starts_with("15 decisions: 0 would change"), "{}", lenient.out);
        assert!(lenient.out.contains("lines left out because they are no decisions: 1"), "{}", lenient.out);
        assert_eq!(replay(&["--strict", "--decisions", &mixed]).await.code, Some(2));
        assert_eq!(replay(&["--decisions", "/nowhere/at/all"]).await.code, Some(2));
        let empty = directory.write("empty.jsonl", "").display().to_string();
        let nothing = replay(&["--decisions", &empty]).await;
        assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""), "an empty file proves nothing");
        let broken = directory.write("broken.toml", "profil = 1").display().to_string();
        let broken = Process::run(&["replay", "--config", &broken, "--decisions", &file], &[]).await;
        assert_eq!(broken.code, Some(2));
        assert!(broken.errors.contains("broken.toml:1: profil"), "{}", broken.errors);

        let mut piped = Command::new(env!("CARGO_BIN_EXE_glance-gate"))
            .args(["replay", "--config", &config, "--decisions", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary");
        piped.stdin.take().expect("a pipe").write_all(good.as_bytes()).expect("it reads");
        let ended = piped.wait_with_output().expect("its end");
        assert_eq!(ended.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&ended.stdout).starts_with("7 decisions: "));
    });
}
