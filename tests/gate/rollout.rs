//! `docs/ROLLOUT.md` and `config/observe.toml`: what is written there is done, as it is written.

use std::net::SocketAddr;
use std::process::Command;
use std::process::Stdio;

use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::member_target;

const GUIDE: &str = include_str!("../../docs/ROLLOUT.md");
const OBSERVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/observe.toml");
/// What begins a line that must be in the output of the block it stands in.
const EXPECTED: &str = "#> ";

/// Returns the blocks of the guide in this language, in their order.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = GUIDE.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.map(str::to_owned).collect()
}

/// Tells whether a line is as expected, in which `…` stands for anything.
fn is_like(line: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    expected.ends_with('…') || rest.is_empty()
}

#[test]
fn the_safe_first_day_is_a_good_configuration_that_only_observes() {
    run(async {
        let directory = Directory::new();
        let password = directory.write("keystone_password", "x").display().to_string();
        let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD_FILE", password.as_str())];
        // what the gate does not know would be a mistake
        let ended = Process::run(&["check", "--config", OBSERVE], &environment).await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        let text = std::fs::read_to_string(OBSERVE).expect("the file");
        assert!(text.lines().any(|line| line == "enforcement = \"observe\""));
        let misspelled = directory.write("gate.toml", &text.replace("probe_percent", "probe_percents"));
        let ended = Process::run(&["check", "--config", &misspelled.display().to_string()], &environment).await;
        assert_eq!(ended.code, Some(1), "{}", ended.errors);
    });
}

/// A gate with the configuration of the first day, and clients of all kinds.
struct Site {
    directory: Directory,
    environment: Vec<(&'static str, String)>,
    address: SocketAddr,
    admin: SocketAddr,
    calls: Vec<Call>,
}

impl Site {
    /// Lets clients work, and waits until the gate has told of it: its line comes after all that a call leads to.
    async fn work(&self, process: &Process) {
        let told = || process.written().matches("\"branch\":\"member_update\"").count();
        let before = told();
        for call in &self.calls {
            call.clone().send().await;
        }
        eventually("all calls are told of", || async { told() == before + self.calls.len() }).await;
    }

    /// Runs a block of the guide with the names that the guide begins with.
    async fn execute(&self, names: &str, block: &str, log: &str) -> String {
        let log = self.directory.write("gate.log", log);
        let path = format!("{}:{}", self.directory.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &format!("{names}\n{block}")]).env_clear().env("PATH", path);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("GLANCE_GATE_ADMIN_LISTEN", self.admin.to_string()).env("ADMIN", self.admin.to_string());
        command.env("CONFIG", self.directory.path().join("gate.toml"));
        command.env("SWITCH", self.directory.path().join("observe_all"));
        command.env("LOG", format!("cat {}", log.display()));
        command.stdin(Stdio::null());
        // the neighbours run on this thread
        let done = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("bash");
        let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{block}\n{}: {told}", done.status);
        told
    }
}

#[test]
fn the_guide_works_as_it_is_written() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let config = directory.write("gate.toml", &std::fs::read_to_string(OBSERVE).expect("the file"));
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_glance-gate"), directory.path().join("glance-gate"))
            .expect("a link");
        let file = |name: &str| directory.path().join(name).display().to_string();
        directory.write("keystone_password", SERVICE_PASSWORD);
        let environment = vec![
            ("GLANCE_GATE_SERVER_LISTEN", "127.0.0.1:0".into()),
            ("GLANCE_GATE_ADMIN_LISTEN", "127.0.0.1:0".into()),
            ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_AUTH_URL", keystone.url()),
            ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD_FILE", file("keystone_password")),
            ("GLANCE_GATE_UPSTREAM_SERVERS", glance.url()),
            ("GLANCE_GATE_RULES_STATE_FILE", file("rules.json")),
            ("GLANCE_GATE_RULES_KILL_SWITCH_FILE", file("observe_all")),
        ];
        let given: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (process, address, admin) = Process::serve(&config, &given).await;
        process.says("the gate has its own token").await;
        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let issue = |project| keystone.issue(TokenSpec::member(project));
        let accept = || Call::new(address, "PUT", &member_target(&image)).body(ACCEPT);
        let mut calls = vec![
            accept().token(&issue(MEMBER)),
            accept().token(&issue(MEMBER)).header("Content-Type", "text/plain"),
            accept(),
        ];
        calls.extend(std::iter::repeat_n(accept().token(&issue(OWNER)), 12));
        let site = Site { directory, environment, address, admin, calls };

        let all = blocks("bash");
        let (names, steps) = all.split_first().expect("blocks");
        let mut checked = 0;
        for block in steps {
            site.work(&process).await;
            site.work(&process).await;
            let told = site.execute(names, block, &process.written()).await;
            for expected in block.lines().filter_map(|line| line.strip_prefix(EXPECTED)) {
                assert!(told.lines().any(|line| is_like(line, expected)), "{block}\n\n{expected}\nis not in\n{told}");
                checked += 1;
            }
        }
        assert!(steps.len() >= 14 && checked >= 20, "{} blocks, {checked} lines", steps.len());
        let refused = Call::new(site.address, "PUT", &member_target(&image)).body(ACCEPT).send().await;
        assert_eq!(refused.status, 401, "by Glance, which is where the guide ends");
        // what the rest of the guide names is there as well
        let metrics = Call::new(admin, "GET", "/metrics").send().await.text();
        for name in blocks("promql").join("\n").split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            assert!(!name.starts_with("glance_gate_") || metrics.contains(&format!("\n{name}{{")), "{name}");
        }
        assert!(
            std::fs::read_to_string(site.directory.path().join("rules.json"))
                .is_ok_and(|state| { state.contains("owner_forbidden") })
        );
        assert_eq!(process.terminate().await.code, Some(0));
    });
}
