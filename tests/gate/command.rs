//! The built binary: its commands, its exit codes, its configuration.

use glance_gate::demo::fault::Fault;

use crate::client::Call;
use crate::harness::Directory;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;

const PASSWORD: (&str, &str) = ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "gate-password");

#[test]
fn version_is_that_of_the_package() {
    run(async {
        let ended = Process::run(&["version"], &[]).await;
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.out, format!("glance-gate {}", env!("CARGO_PKG_VERSION")));
        let short = Process::run(&["--version"], &[]).await;
        assert_eq!((short.code, short.out), (Some(0), ended.out));
    });
}

#[test]
fn a_command_that_is_none_is_told() {
    run(async {
        for arguments in [&[][..], &["gate"], &["check", "--verbose"], &["serve", "extra"]] {
            let ended = Process::run(arguments, &[]).await;
            assert_eq!(ended.code, Some(2), "{arguments:?}");
            assert!(ended.errors.contains("Usage"), "{}", ended.errors);
        }
        let help = Process::run(&["--help"], &[]).await;
        assert_eq!(help.code, Some(0));
        for command in ["serve", "check", "demo", "version"] {
            assert!(help.out.contains(command), "{}", help.out);
        }
    });
}

#[test]
fn check_finds_a_good_configuration_good() {
    run(async {
        let directory = Directory::new();
        let config = directory.write("gate.toml", "");
        let path = config.display().to_string();
        let ended = Process::run(&["check", "--config", &path], &[PASSWORD]).await;
        assert_eq!((ended.code, ended.out.as_str(), ended.errors.as_str()), (Some(0), &*format!("{path}: good"), ""));
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gate.toml");
        let ended = Process::run(&["check", "--config", shipped], &[PASSWORD]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
    });
}

#[test]
fn check_lists_all_mistakes_with_lines_and_hints() {
    run(async {
        let directory = Directory::new();
        let text = "profil = \"glance\"\n[server]\nlisten = 9292\nworker = 2\ndrain_timeout = \"30\"\n\n[upstream]\n\
                    servers = [\"ftp://x\"]\n[upstreams]\nx = 1\n[ownership]\nlookup_as = \"nobody\"\n";
        let config = directory.write("gate.toml", text);
        let path = config.display().to_string();
        let environment =
            [("GLANCE_GATE_LOG_LEVLE", "info"), ("GLANCE_GATE_SERVER_WORKERS", "many"), ("UNRELATED", "x")];
        for command in ["check", "serve"] {
            let ended = Process::run(&[command, "--config", &path], &environment).await;
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{command}");
            for expected in [
                format!("{path}:1: profil: the gate knows no such key\n    hint: did you mean profile?"),
                format!("{path}:3: [server] listen: the value does not fit\n    hint: "),
                format!("{path}:4: [server] worker: the gate knows no such key\n    hint: did you mean workers?"),
                format!("{path}:5: [server] drain_timeout: the value does not fit\n    hint: a time with its unit"),
                format!("{path}:8: [upstream] servers: \"ftp://x\" is no upstream\n    hint: "),
                format!("{path}:9: [upstreams]: the gate knows no such key\n    hint: did you mean upstream?"),
                format!("{path}:12: [ownership] lookup_as: \"nobody\" is no choice\n    hint: one of: caller, service"),
                "GLANCE_GATE_LOG_LEVLE: the gate knows no such variable\n    hint: ".into(),
                "GLANCE_GATE_SERVER_WORKERS: [server] workers: the value does not fit\n    hint: ".into(),
                "[keystone_authtoken] password: the gate needs a credential of its own\n    hint: ".into(),
                "glance-gate: 10 mistake(s) in the configuration".into(),
            ] {
                assert!(ended.errors.contains(&expected), "{expected}\nnot in\n{}", ended.errors);
            }
        }
    });
}

#[test]
fn check_tells_what_can_not_be_used_here() {
    run(async {
        let directory = Directory::new();
        let missing = directory.path().join("missing").display().to_string();
        let not_pem = directory.write("x.pem", "no key");
        let keys = not_pem.parent().expect("a directory").display().to_string();
        for (text, cause) in [
            (format!("[keystone_authtoken]\njws = \"verify\"\njws_public_key_repository = \"{missing}\""), &missing),
            (format!("[keystone_authtoken]\njws = \"offline\"\njws_public_key_repository = \"{keys}\""), &keys),
        ] {
            let config = directory.write("gate.toml", &text);
            let ended = Process::run(&["check", "--config", &config.display().to_string()], &[PASSWORD]).await;
            assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{text}: {}", ended.errors);
            assert!(ended.errors.starts_with("glance-gate: "), "{}", ended.errors);
            assert!(ended.errors.contains(cause.as_str()), "{text}: {}", ended.errors);
        }
    });
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join("gate.toml").display().to_string();
        let ended = Process::run(&["check", "--config", &path], &[PASSWORD]).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.errors.contains(&path) && ended.errors.contains("hint: "), "{}", ended.errors);
    });
}

#[test]
fn serve_ends_with_2_where_it_can_not_listen() {
    run(async {
        let directory = Directory::new();
        // TEST-NET-1: no address of this machine
        let config = directory.write("gate.toml", "[server]\nlisten = \"192.0.2.1:9292\"\n");
        let ended = Process::run(&["serve", "--config", &config.display().to_string()], &[PASSWORD]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.errors);
        assert!(ended.errors.starts_with("glance-gate: "), "{}", ended.errors);
    });
}

#[test]
fn the_demo_shows_the_documented_answers() {
    run(async {
        let ended = Process::run(&["demo", "--once"], &[]).await;
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.errors);
        for (stop, verdict, status) in [
            ("the member accepts", "permitted", "200"),
            ("no token", "token_missing", "401"),
            ("a token nobody vouches for", "token_invalid", "401"),
            ("the owner, who may not", "owner_forbidden", "403"),
            ("a stranger, who is told nothing", "image_not_found", "404"),
            ("another method", "method_not_allowed", "405"),
            ("a body of 70,000 bytes", "body_too_large", "413"),
            ("a body that says it is text", "media_type_unsupported", "415"),
            ("a token Keystone cannot be asked about", "keystone_unavailable", "503"),
        ] {
            let line = ended.out.lines().find(|line| line.contains(stop)).unwrap_or_else(|| panic!("{}", ended.out));
            assert!(line.contains(verdict) && line.contains(status) && !line.starts_with('!'), "{line}");
        }
        assert!(ended.out.contains("Glance saw 1 of these updates"), "{}", ended.out);
    });
}

#[test]
fn serve_runs_until_it_is_told_to_stop() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [upstream]\nservers = [\"{}\"]\n[keystone_authtoken]\nauth_url = \"http://127.0.0.1:1/v3\"\n\
             username = \"glance-gate\"\n",
            glance.url()
        );
        let config = directory.write("gate.toml", &text);
        // the environment goes before the file
        let url = keystone.url();
        let environment =
            [PASSWORD, ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_AUTH_URL", &url), ("GLANCE_GATE_PROFILE", "glance")];
        let (process, address, admin) = Process::serve(&config, &environment).await;
        let reply = Call::new(address, "GET", "/healthcheck").send().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "OK"));
        eventually("the gate has its own token, from the Keystone of the environment", || async {
            let ready = Call::new(admin, "GET", "/readyz?verbose").send().await;
            ready.text().contains("[+] own keystone token")
        })
        .await;
        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        for message in ["listening", "draining", "stopped"] {
            assert!(ended.out.contains(&format!("\"message\":\"{message}\"")), "{}", ended.out);
        }
        let lines = ended.out.lines().map(serde_json::from_str::<serde_json::Value>);
        assert!(lines.into_iter().all(|line| line.is_ok()), "every line is JSON: {}", ended.out);
    });
}

#[test]
fn the_health_check_for_container_engines_asks_the_gate_that_runs() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [upstream]\nservers = [\"{}\"]\nhealth_check_interval = \"50ms\"\n[keystone_authtoken]\nauth_url = \"{}\"\n\
             username = \"glance-gate\"\n",
            glance.url(),
            keystone.url()
        );
        let config = directory.write("gate.toml", &text);
        let (process, _, admin) = Process::serve(&config, &[PASSWORD]).await;
        let admin = admin.to_string();
        let healthy = Process::run(&["healthcheck", "--admin", &admin], &[]).await;
        assert_eq!((healthy.code, healthy.out.as_str(), healthy.errors.as_str()), (Some(0), "", ""));
        eventually("it is ready", || async {
            Process::run(&["healthcheck", "--ready", "--admin", &admin], &[]).await.code == Some(0)
        })
        .await;

        // without Glance no request may be sent to it, but that is no reason to start it anew
        glance.set_fault(Fault::Status(500));
        eventually("it is not ready", || async {
            Process::run(&["healthcheck", "--ready", "--admin", &admin], &[]).await.code == Some(1)
        })
        .await;
        let told = Process::run(&["healthcheck", "--ready", "--admin", &admin], &[]).await;
        assert!(told.errors.contains("503"), "{}", told.errors);
        assert_eq!(Process::run(&["healthcheck", "--admin", &admin], &[]).await.code, Some(0));

        assert_eq!(process.terminate().await.code, Some(0));
        let gone = Process::run(&["healthcheck", "--admin", &admin], &[]).await;
        assert_eq!((gone.code, gone.out.as_str()), (Some(1), ""));
        assert!(gone.errors.contains(&admin), "{}", gone.errors);
    });
}

#[test]
fn what_packages_ship_names_every_command() {
    run(async {
        let help = Process::run(&["--help"], &[]).await.out;
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let commands: Vec<&str> =
            commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help").collect();
        assert!(commands.contains(&"serve") && commands.contains(&"man"), "{commands:?}");

        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let script = Process::run(&["completions", shell], &[]).await;
            assert_eq!((script.code, script.errors.as_str()), (Some(0), ""), "{shell}");
            for command in &commands {
                assert!(script.out.contains(command), "{shell} does not complete {command}");
            }
        }

        let directory = Directory::new();
        let pages = directory.path().join("man");
        let written = Process::run(&["man", &pages.display().to_string()], &[]).await;
        assert_eq!((written.code, written.out.as_str(), written.errors.as_str()), (Some(0), "", ""));
        for command in &commands {
            let page = std::fs::read_to_string(pages.join(format!("glance-gate-{command}.1"))).expect("a page");
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
        }
        let page = std::fs::read_to_string(pages.join("glance-gate.1")).expect("a page");
        assert_eq!(Process::run(&["man"], &[]).await.out, page.trim_end_matches('\n'));
        for heading in ["EXIT STATUS", "SIGNALS", "ENVIRONMENT", "FILES"] {
            assert!(page.contains(heading), "{heading}");
        }
    });
}
