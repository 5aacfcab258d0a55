//! Another process takes over, and nobody notices: by hand-over, or by the sockets that systemd holds.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Call;
use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::load::Load;
use crate::load::Style;
use crate::process::Process;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::member_target;

const PASSWORD: (&str, &str) = ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", SERVICE_PASSWORD);

/// A configuration in a directory of its own, and neighbours for it.
struct Site {
    keystone: Keystone,
    glance: Glance,
    directory: Directory,
}

impl Site {
    async fn new() -> Self {
        let (keystone, glance) = neighbours().await;
        Self { keystone, glance, directory: Directory::new() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("handover.sock")
    }

    /// Writes the configuration; `server` and `admin` stand in these sections. On a busy machine a request may be on its
    /// way for long, so the grace is; it ends with the last connection.
    fn config(&self, server: &str, admin: &str) -> PathBuf {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nhandover_socket = \"{}\"\ndrain_grace = \"10s\"\n{server}\n[admin]\n{admin}\n\
             [upstream]\nservers = [\"{}\"]\n[member_update]\nmax_in_flight = 100000\n\
             [keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\n",
            self.socket().display(),
            self.glance.url(),
            self.keystone.url(),
        );
        self.directory.write("gate.toml", &text)
    }

    /// Returns calls that are answered with 200: member updates, and one that passes through.
    fn calls(&self, address: SocketAddr) -> Vec<Call> {
        let image = self.glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let token = self.keystone.issue(TokenSpec::member(MEMBER));
        let update = Call::new(address, "PUT", &member_target(&image)).token(&token).json(ACCEPT);
        let show = Call::new(address, "GET", &format!("/v2/images/{image}")).token(&token);
        vec![update.clone(), update.clone(), update, show]
    }
}

const ANY_PORT: &str = "listen = \"127.0.0.1:0\"";

#[test]
fn no_call_of_a_steady_load_fails_while_processes_follow_each_other() {
    for style in [Style::KeptAlive, Style::Fresh] {
        run(async {
            let site = Site::new().await;
            let config = site.config("workers = 2", ANY_PORT);
            let (mut running, address, admin) = Process::serve(&config, &[PASSWORD]).await;
            let load = Load::heavy(address, site.calls(address), style);
            let total = load.total;
            let load = tokio::spawn(load.run());
            let mut restarts = 0;
            while !load.is_finished() || restarts < 2 {
                let (next, its_address, its_admin) = Process::serve(&config, &[PASSWORD]).await;
                assert_eq!((its_address, its_admin), (address, admin), "the very same listeners");
                let ended = running.end().await;
                assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
                assert!(ended.out.contains("\"connections_cut\":0"), "{}", ended.out);
                running = next;
                restarts += 1;
            }
            load.await.expect("the load ends").expect_whole(total);
            let ended = running.terminate().await;
            assert_eq!(ended.code, Some(0), "{}", ended.errors);
        });
    }
}

#[test]
fn a_transfer_outlives_the_process_that_comes_next() {
    run(async {
        let site = Site::new().await;
        let config = site.config("workers = 1", ANY_PORT);
        let (first, address, admin) = Process::serve(&config, &[PASSWORD]).await;
        let image = site.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
        let token = site.keystone.issue(TokenSpec::member(OWNER));
        let upload = Call::new(address, "PUT", &format!("/v2/images/{image}/file")).token(&token);
        let upload = upload.header("Content-Type", "application/octet-stream").header("Content-Length", "20");
        let mut busy = Connection::open(address).await;
        busy.send(upload.body("0123456789").bytes()).await;
        eventually("the upload is under way", || async {
            site.glance.requests().iter().any(|seen| seen.method == "PUT" && seen.body_length == 10)
        })
        .await;

        // more workers than there were, on the same listeners
        let config = site.config("workers = 3", ANY_PORT);
        let (second, ..) = Process::serve(&config, &[PASSWORD]).await;
        first.says("draining").await;
        let reply = Call::new(admin, "GET", "/readyz?verbose").send().await;
        assert!(reply.text().contains("[+] not draining"), "the new one answers: {}", reply.text());
        for _ in 0..10 {
            assert_eq!(Call::new(address, "GET", "/healthcheck").send().await.status, 200);
        }
        busy.send("0123456789").await;
        let reply = busy.reply("PUT").await;
        assert_eq!((reply.status, reply.is_whole, reply.header("connection")), (204, true, Some("close")));
        assert_eq!(site.glance.upload(&image).map(|upload| upload.bytes), Some(20));
        assert_eq!(first.end().await.code, Some(0));
        assert_eq!(second.terminate().await.code, Some(0));
    });
}

#[test]
fn fewer_workers_accept_from_all_listeners_that_there_were() {
    run(async {
        let site = Site::new().await;
        let config = site.config("workers = 5", ANY_PORT);
        let (first, address, _) = Process::serve(&config, &[PASSWORD]).await;
        let config = site.config("workers = 2", ANY_PORT);
        let (second, ..) = Process::serve(&config, &[PASSWORD]).await;
        assert_eq!(first.end().await.code, Some(0));
        // the kernel deals these out to five listeners
        for _ in 0..50 {
            assert_eq!(Call::new(address, "GET", "/healthcheck").send().await.status, 200);
        }
        assert_eq!(second.terminate().await.code, Some(0));
    });
}

#[test]
fn a_process_that_does_not_come_up_takes_nothing_away() {
    run(async {
        let site = Site::new().await;
        let config = site.config("workers = 2", ANY_PORT);
        let (first, address, _) = Process::serve(&config, &[PASSWORD]).await;
        let mode = std::fs::metadata(site.socket()).expect("the socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else may take the listeners");
        // TEST-NET-1: no address of this machine
        let config = site.config("workers = 2", "listen = \"192.0.2.1:9294\"");
        let failed = Process::run(&["serve", "--config", &config.display().to_string()], &[PASSWORD]).await;
        assert_eq!(failed.code, Some(2), "{}", failed.errors);
        first.says("the listeners were not taken over").await;
        for _ in 0..10 {
            assert_eq!(Call::new(address, "GET", "/healthcheck").send().await.status, 200);
        }
        let config = site.config("workers = 2", ANY_PORT);
        let (second, same, _) = Process::serve(&config, &[PASSWORD]).await;
        assert_eq!(same, address);
        assert_eq!(first.end().await.code, Some(0));
        assert_eq!(second.terminate().await.code, Some(0));
    });
}

#[test]
fn a_socket_that_a_dead_process_left_behind_stands_in_nobodys_way() {
    run(async {
        let site = Site::new().await;
        let config = site.config("workers = 1", ANY_PORT);
        let (first, ..) = Process::serve(&config, &[PASSWORD]).await;
        first.signal("KILL");
        assert_eq!(first.end().await.code, None);
        assert!(site.socket().exists());
        let (second, address, _) = Process::serve(&config, &[PASSWORD]).await;
        assert_eq!(Call::new(address, "GET", "/healthcheck").send().await.status, 200);
        let (third, same, _) = Process::serve(&config, &[PASSWORD]).await;
        assert_eq!(same, address);
        assert_eq!(second.end().await.code, Some(0));
        assert_eq!(third.terminate().await.code, Some(0));
    });
}

#[test]
fn what_the_gate_can_not_take_over_from_is_told() {
    run(async {
        let site = Site::new().await;
        let config = site.config("workers = 1", ANY_PORT);
        let config = config.display().to_string();
        // somebody listens there who says nothing of the kind
        let stranger = std::os::unix::net::UnixListener::bind(site.socket()).expect("a socket");
        let answers = std::thread::spawn(move || {
            let (mut client, _) = stranger.accept().expect("the gate");
            std::io::Write::write_all(&mut client, b"HTTP/1.1 200 OK\r\n").expect("it reads");
        });
        let ended = Process::run(&["serve", "--config", &config], &[PASSWORD]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.out);
        assert!(ended.errors.contains("server.handover_socket"), "{}", ended.errors);
        answers.join().expect("no panic");
    });
}

#[test]
fn sockets_of_systemd_are_shared_by_all_workers_and_outlive_the_process() {
    run(async {
        let site = Site::new().await;
        // what the sockets are bound to goes before the configuration
        let config = site.config("workers = 3", ANY_PORT).display().to_string();
        let arguments = ["serve", "--config", &config];
        let (main, admin) = (
            TcpListener::bind(("127.0.0.1", 0)).expect("a port"),
            TcpListener::bind(("127.0.0.1", 0)).expect("a port"),
        );
        let addresses = (main.local_addr().expect("an address"), admin.local_addr().expect("an address"));
        for names in ["main:admin", "", "glance-gate.socket:glance-gate.socket"] {
            let environment = [PASSWORD, ("LISTEN_FDNAMES", names)];
            // they come before there is a gate, and wait
            let mut early = Vec::new();
            for _ in 0..10 {
                let mut client = Connection::open(addresses.0).await;
                client.send(Call::new(addresses.0, "GET", "/healthcheck").bytes()).await;
                early.push(client);
            }
            let process = Process::start_activated(&arguments, &environment, &main, &admin);
            assert_eq!(process.listens().await, addresses);
            for mut client in early {
                assert_eq!(client.reply("GET").await.status, 200);
            }
            assert_eq!(Call::new(addresses.1, "GET", "/livez").send().await.status, 200);
            let ended = process.terminate().await;
            assert_eq!(ended.code, Some(0), "{}", ended.out);
        }
        // the other way round, if the names say so
        let environment = [PASSWORD, ("LISTEN_FDNAMES", "admin:main")];
        let process = Process::start_activated(&arguments, &environment, &main, &admin);
        assert_eq!(process.listens().await, (addresses.1, addresses.0));
        assert_eq!(process.terminate().await.code, Some(0));
    });
}

#[test]
fn no_call_of_a_steady_load_fails_while_systemd_restarts_the_gate() {
    run(async {
        let site = Site::new().await;
        let config = site.config("workers = 2", ANY_PORT).display().to_string();
        let arguments = ["serve", "--config", &config];
        let (main, admin) = (
            TcpListener::bind(("127.0.0.1", 0)).expect("a port"),
            TcpListener::bind(("127.0.0.1", 0)).expect("a port"),
        );
        let address = main.local_addr().expect("an address");
        let mut running = Process::start_activated(&arguments, &[PASSWORD], &main, &admin);
        running.listens().await;
        let load = Load::heavy(address, site.calls(address), Style::Fresh);
        let total = load.total;
        let load = tokio::spawn(load.run());
        let mut restarts = 0;
        while !load.is_finished() || restarts < 2 {
            // systemd starts the next one when the last has ended
            let ended = running.terminate().await;
            assert_eq!(ended.code, Some(0), "{}", ended.out);
            running = Process::start_activated(&arguments, &[PASSWORD], &main, &admin);
            running.listens().await;
            restarts += 1;
        }
        load.await.expect("the load ends").expect_whole(total);
        assert_eq!(running.terminate().await.code, Some(0));
    });
}
