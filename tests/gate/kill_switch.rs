//! The kill switch of the built binary, under load: each hand acts within a second, and no request fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::Call;
use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::member_target;

const PASSWORD: (&str, &str) = ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", SERVICE_PASSWORD);
/// What README and `config/gate.toml` promise.
const PROMISE: Duration = Duration::from_secs(1);
/// What the gate answers to an owner, and what Glance does if it names nobody of the member list.
const ENFORCED: u16 = 403;
const OBSERVED: u16 = 404;
const CLIENTS: u32 = 12;
/// All clients together; an unoptimized build on a busy machine gets fewer done.
const CALLS_PER_SECOND: u32 = 300;

/// A load that goes on until it is dropped.
struct Load {
    told: Arc<Mutex<Told>>,
    clients: JoinSet<()>,
    began: Instant,
}

/// What the clients were told.
#[derive(Default)]
struct Told {
    permitted: usize,
    /// When each answer to an owner was there, and its status.
    refused: Vec<(Instant, u16)>,
    failed: Vec<String>,
}

impl Load {
    /// Half of the calls are permitted, and half are refused while the rule is enforced.
    fn start(address: SocketAddr, permitted: &Call, refused: &Call) -> Self {
        let (told, mut clients) = (Arc::<Mutex<Told>>::default(), JoinSet::new());
        for client in 0..CLIENTS {
            let is_permitted = client % 2 == 0;
            let call = if is_permitted { permitted.clone() } else { refused.clone() };
            clients.spawn(send_on(address, call, is_permitted, Arc::clone(&told)));
        }
        Self { told, clients, began: Instant::now() }
    }

    fn look<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.told.lock().expect("no client has failed"))
    }

    /// Waits until the owner gets this status, and no other, for a while.
    async fn settles_at(&self, status: u16, since: Instant) {
        eventually(&format!("owners get {status}"), || async {
            self.look(|told| {
                let after = told.refused.iter().rev().take_while(|(at, _)| *at > since);
                let newest: Vec<u16> = after.take(40).map(|(_, status)| *status).collect();
                newest.len() == 40 && newest.iter().all(|known| *known == status)
            })
        })
        .await;
    }

    /// Returns how long after the flip the first answer of the new kind was there, and the last of the old.
    fn took(&self, flipped: Instant, new: u16) -> (Duration, Duration) {
        self.look(|told| {
            let after = || told.refused.iter().filter(|(at, _)| *at >= flipped);
            let first_new = after().find(|(_, status)| *status == new).expect("it settled").0;
            let last_old = after().filter(|(_, status)| *status != new).map(|(at, _)| *at).max();
            (first_new - flipped, last_old.map_or(Duration::ZERO, |at| at - flipped))
        })
    }
}

async fn send_on(address: SocketAddr, call: Call, is_permitted: bool, told: Arc<Mutex<Told>>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) * CLIENTS / CALLS_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = Connection::open(address).await;
    loop {
        ticks.tick().await;
        connection.try_send(call.bytes()).await;
        let reply = connection.try_reply(call.method()).await;
        let mut told = told.lock().expect("no client has failed");
        match reply.map(|reply| (reply.status, reply.is_whole, reply.header("connection").is_some())) {
            Some((200, true, false)) if is_permitted => told.permitted += 1,
            Some((status @ (ENFORCED | OBSERVED), true, false)) if !is_permitted => {
                told.refused.push((Instant::now(), status));
            }
            other => {
                told.failed.push(format!("permitted: {is_permitted}, got {other:?}"));
                return;
            }
        }
    }
}

fn text(keystone: &Keystone, glance: &Glance, directory: &Directory, kill_switch: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [upstream]\nservers = [\"{}\"]\n[keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\n\
         [limits]\nkeystone_questions_per_client = 0\nownership_questions_per_client = 0\n\
         [rules]\nkill_switch = \"{kill_switch}\"\nkill_switch_file = \"{}\"\n",
        glance.url(),
        keystone.url(),
        directory.path().join("observe_all").display()
    )
}

#[test]
fn each_hand_acts_within_a_second_under_load_and_no_request_fails() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let config = directory.write("gate.toml", &text(&keystone, &glance, &directory, "off"));
        let (process, address, admin) = Process::serve(&config, &[PASSWORD]).await;
        let image = glance.add_image(ImageSpec::owned_by(OWNER).member(MEMBER));
        let issue = |project| keystone.issue(TokenSpec::member(project));
        let accept = Call::new(address, "PUT", &member_target(&image)).token(&issue(MEMBER)).json(ACCEPT);
        let nobody = format!("/v2/images/{image}/members/nobody");
        let by_owner = Call::new(address, "PUT", &nobody).token(&issue(OWNER)).json(ACCEPT);
        let load = Load::start(address, &accept, &by_owner);
        load.settles_at(ENFORCED, load.began).await;

        let (path, admin) = (config.display().to_string(), admin.to_string());
        let order = async |words: &[&str]| {
            let ended = Process::run(&[words, &["--config", &path, "--admin", &admin]].concat(), &[]).await;
            assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.errors);
        };
        let flip = async |hand: &str, position: &str| match hand {
            "file" if position == "on" => drop(directory.write("observe_all", "")),
            "file" => std::fs::remove_file(directory.path().join("observe_all")).expect("the file"),
            "command" => order(&["kill-switch", position]).await,
            _ => {
                directory.write("gate.toml", &text(&keystone, &glance, &directory, position));
                order(&["reload"]).await;
            }
        };
        for hand in ["file", "command", "config"] {
            for (position, status) in [("on", OBSERVED), ("off", ENFORCED)] {
                flip(hand, position).await;
                // how long a busy machine takes to start a command is not the switch's
                let flipped = Instant::now();
                load.settles_at(status, flipped).await;
                let (first_new, last_old) = load.took(flipped, status);
                println!("{hand} {position}: first new answer after {first_new:?}, last old one after {last_old:?}");
                assert!(first_new < PROMISE && last_old < PROMISE, "{hand} {position}: {first_new:?}, {last_old:?}");
            }
        }

        load.look(|told| {
            let (seconds, refused) = (load.began.elapsed().as_secs_f64(), told.refused.len());
            println!("{} permitted and {refused} refused or observed in {seconds:.1} s", told.permitted);
            assert!(told.failed.is_empty(), "{:?}", told.failed);
            assert!(told.permitted > 200 && refused > 200, "{} {refused}: hardly a load", told.permitted);
        });
        assert_eq!(load.clients.len(), CLIENTS as usize);
        drop(load);
        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        for hand in ["file", "operator", "config"] {
            for told in ["kill switch on: all rules only observe", "kill switch off: rules are enforced as configured"]
            {
                let is_told = |line: &str| line.contains(told) && line.contains(&format!("\"by\":\"{hand}\""));
                assert!(ended.out.lines().any(is_told), "{hand}: {told}");
            }
        }
    });
}
