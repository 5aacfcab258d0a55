//! How the gate is told to read its configuration anew: the command, the signal, the operators' listener.

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::member_target;

use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;

pub const PASSWORD: (&str, &str) = ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", SERVICE_PASSWORD);

/// Returns a good configuration; `more` stands before its first section.
pub fn text(keystone: &Keystone, glance: &Glance, more: &str) -> String {
    format!(
        "{more}\n[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [upstream]\nservers = [\"{}\"]\n[keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\n",
        glance.url(),
        keystone.url()
    )
}

#[test]
fn the_operators_listener_takes_a_reload_that_was_meant() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let reload = |method: &str| Call::new(gate.admin_address, method, "/reload");
        let meant = |call: Call| call.header("X-Glance-Gate-Order", "1");
        for (call, status) in [
            (reload("GET"), 405),
            (meant(reload("GET")), 405),
            (meant(reload("OPTIONS")), 405),
            (reload("POST"), 403),
            // a page whose name was made to lead here
            (meant(reload("POST")).header("Host", "rebound.example:9294"), 403),
        ] {
            let reply = call.clone().send().await;
            assert_eq!(reply.status, status, "{call:?}: {}", reply.text());
        }
        gate.wait_for_metric("glance_gate_config_generation", 1).await;
        for (generation, host) in [(2, "127.0.0.1:9294"), (3, "localhost"), (4, "[::1]:9294")] {
            let reply = meant(reload("POST")).header("Host", host).send().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert!(reply.text().starts_with("reloaded: configuration "), "{}", reply.text());
            gate.wait_for_metric("glance_gate_config_generation", generation).await;
        }
        // and not where clients are
        let reply = gate.call("POST", "/reload").header("X-Glance-Gate-Order", "1").send().await;
        assert!(reply.status != 200 && gate.count("POST", "/reload") == 1, "it is Glance's business");
    });
}

#[test]
fn the_command_tells_what_became_of_a_reload() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let config = directory.write("gate.toml", &text(&keystone, &glance, ""));
        let path = config.display().to_string();
        let (process, address, admin) = Process::serve(&config, &[PASSWORD]).await;
        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let owner = keystone.issue(TokenSpec::member(OWNER));
        let by_owner = || Call::new(address, "PUT", &member_target(&image)).token(&owner).json(crate::scene::ACCEPT);
        let forwarded = || glance.count(|seen| seen.method == "PUT");
        assert_eq!(by_owner().send().await.status, 403);
        let admin = admin.to_string();
        let command = ["reload", "--config", &path, "--admin", &admin];

        directory.write("gate.toml", &text(&keystone, &glance, "enforcement = \"observe\""));
        let good = Process::run(&command, &[]).await;
        assert_eq!((good.code, good.errors.as_str()), (Some(0), ""));
        assert!(good.out.starts_with("reloaded: configuration ") && good.out.ends_with("generation 2"), "{}", good.out);
        by_owner().send().await;
        assert_eq!(forwarded(), 1, "it only observes now");

        let bad = "profil = \"glance\"\nenforcement = \"enforced\"";
        directory.write("gate.toml", &text(&keystone, &glance, bad));
        let refused = Process::run(&command, &[]).await;
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
        let mistakes = [
            format!("{path}:1: profil: the gate knows no such key\n    hint: did you mean profile?"),
            format!(
                "{path}:2: enforcement: the value does not fit\n    hint: one of: enforce, enforce 10% (of projects), enforce listed (in [rules] projects), observe, off, earn"
            ),
        ];
        for mistake in &mistakes {
            assert!(refused.errors.contains(mistake), "{mistake} is not in {}", refused.errors);
        }
        assert!(refused.errors.ends_with("2 mistake(s) in the configuration: the one before it stays in use"));
        by_owner().send().await;
        assert_eq!(forwarded(), 2, "it still observes");

        std::fs::remove_file(&config).expect("the file");
        let gone = Process::run(&command, &[]).await;
        assert_eq!(gone.code, Some(1), "{}", gone.errors);
        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        for mistake in mistakes {
            let line = serde_json::Value::from(mistake).to_string();
            assert!(ended.out.contains(line.trim_matches('"')), "{line} is not in {}", ended.out);
        }
        let unreachable = Process::run(&command, &[]).await;
        assert_eq!(unreachable.code, Some(2), "{}", unreachable.errors);
        assert!(unreachable.errors.contains(&admin), "{}", unreachable.errors);
    });
}

#[test]
fn the_command_finds_the_gate_by_its_configuration() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let directory = Directory::new();
        // a file with mistakes still tells where the gate is
        let text = format!("profil = 1\n[admin]\nlisten = \"{}\"\n", gate.admin_address);
        let path = directory.write("gate.toml", &text).display().to_string();
        let done = Process::run(&["reload", "--config", &path], &[]).await;
        assert_eq!(done.code, Some(0), "{}", done.errors);
        // what listens there is no operators' listener
        let clients = gate.address.to_string();
        let wrong = Process::run(&["reload", "--config", &path, "--admin", &clients], &[]).await;
        assert_eq!(wrong.code, Some(2), "{}", wrong.errors);
    });
}

#[test]
fn a_hangup_is_a_reload_and_the_level_of_the_log_changes_with_it() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let with_level = |level| text(&keystone, &glance, "") + &format!("[log]\nlevel = \"{level}\"\n");
        let config = directory.write("gate.toml", &with_level("info"));
        let (process, address, admin) = Process::serve(&config, &[PASSWORD]).await;
        let generation = async |number: u32| {
            let line = format!("glance_gate_config_generation {number}");
            eventually(&line, || async {
                Call::new(admin, "GET", "/metrics").send().await.text().lines().any(|known| known == line)
            })
            .await;
        };
        for (number, level, target) in [(2, "error", "/v2/unheard"), (3, "info", "/v2/heard")] {
            directory.write("gate.toml", &with_level(level));
            process.signal("HUP");
            generation(number).await;
            Call::new(address, "GET", target).send().await;
        }
        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        assert!(ended.out.contains("/v2/heard") && !ended.out.contains("/v2/unheard"), "{}", ended.out);
    });
}
