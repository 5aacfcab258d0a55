//! Ten thousand clients that are connected and silent: nobody else notices, and none of them is dropped.

use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::client::Call;
use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::member_target;

const CONNECTIONS: usize = 10_000;
/// What the other tests of this process, and the gate itself, need besides.
const OTHERS: usize = 1_000;

/// Allows as many open files as may be, here and in the gate that is started from here; returns how many.
fn raise_file_limit() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("no more than the maximum");
    maximum.map_or(usize::MAX, |maximum| usize::try_from(maximum).expect("a count"))
}

#[test]
fn ten_thousand_idle_connections_hurt_nobody() {
    run(async {
        let connections = CONNECTIONS.min(raise_file_limit() - OTHERS);
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let password = directory.write("password", SERVICE_PASSWORD);
        let config = directory.write(
            "gate.toml",
            &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\nkeepalive_timeout = \"1h\"\nmax_connections = 24000\n\
                 [admin]\nlisten = \"127.0.0.1:0\"\n[upstream]\nservers = [\"{}\"]\n\
                 [keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\npassword_file = \"{}\"\n",
                glance.url(),
                keystone.url(),
                password.display(),
            ),
        );
        let (process, address, admin) = Process::serve(&config, &[]).await;
        let mut idle = Vec::with_capacity(connections);
        for _ in 0..connections {
            idle.push(Connection::open(address).await);
        }
        let counted = format!("glance_gate_connections {connections}");
        eventually("all are let in", || async {
            Call::new(admin, "GET", "/metrics").send().await.text().lines().any(|line| line == counted)
        })
        .await;

        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let token = keystone.issue(TokenSpec::member(MEMBER));
        let update = Call::new(address, "PUT", &member_target(&image)).token(&token).json(r#"{"status": "accepted"}"#);
        assert_eq!(update.send().await.status, 200);
        // each hundredth asks something at last
        for connection in idle.iter_mut().step_by(100) {
            connection.send(Call::new(address, "GET", "/healthcheck").bytes()).await;
            assert_eq!(connection.reply("GET").await.status, 200);
        }
        drop(idle);
        eventually("all have gone", || async {
            Call::new(admin, "GET", "/metrics")
                .send()
                .await
                .text()
                .lines()
                .any(|line| line == "glance_gate_connections 0")
        })
        .await;
        assert_eq!(process.terminate().await.code, Some(0));
    });
}
