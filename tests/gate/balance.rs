//! Which of several upstreams gets a request, and when none takes one more.

use std::time::Duration;

use glance_gate::client::endpoint::Room;
use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::GlanceOptions;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::upstream::select::Strategy;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::member_target;

/// A gate before two upstreams: the gate's own, and another one that knows the same tokens.
pub struct Pair {
    pub gate: Gate,
    pub other: Glance,
    pub token: String,
}

impl Pair {
    /// Health checks are far away unless a test wants them nearer.
    pub async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let (keystone, glance) = neighbours().await;
        let other = Glance::start(GlanceOptions::new(keystone.clone())).await.expect("another Glance");
        let token = keystone.issue(TokenSpec::member(MEMBER));
        let url = other.url();
        let gate = Gate::between((keystone, glance), |config| {
            config.upstream.servers.push(url);
            config.upstream.health_check_interval = Duration::from_hours(1);
            adjust(config);
        });
        Self { gate: gate.await, other, token }
    }

    pub fn both(&self) -> [&Glance; 2] {
        [&self.gate.glance, &self.other]
    }

    /// Returns how many requests each has seen for targets that contain this.
    pub fn counts(&self, part: &str) -> [usize; 2] {
        self.both().map(|glance| glance.count(|seen| seen.target.contains(part)))
    }

    pub async fn get(&self, target: &str) -> u16 {
        self.gate.call("GET", target).token(&self.token).send().await.status
    }

    /// Sends a request that is not answered until `release` is called, and waits until it is there.
    pub async fn hold(&self) -> Connection {
        for glance in self.both() {
            glance.set_fault_on("?hold", Fault::Hang);
        }
        let before = self.counts("?hold").iter().sum::<usize>();
        let mut held = Connection::open(self.gate.address).await;
        held.send(self.gate.call("GET", "/v2/images?hold").token(&self.token).bytes()).await;
        eventually("the request is held", || async { self.counts("?hold").iter().sum::<usize>() == before + 1 }).await;
        held
    }

    pub async fn wait_for_in_flight(&self, glance: &Glance, count: u64) {
        let metric = format!("glance_gate_upstream_in_flight_requests{{upstream=\"{}\"}}", glance.url());
        self.gate.wait_for_metric(&metric, count).await;
    }
}

#[test]
fn upstreams_take_turns() {
    run(async {
        let pair = Pair::start(|config| config.upstream.rules.strategy = Strategy::RoundRobin).await;
        for _ in 0..20 {
            assert_eq!(pair.get("/v2/images").await, 200);
        }
        assert_eq!(pair.counts("/v2/images"), [10, 10]);
    });
}

#[test]
fn the_one_with_fewer_requests_under_way_is_next() {
    run(async {
        let pair = Pair::start(|_| {}).await;
        let held = pair.hold().await;
        let busy = usize::from(pair.counts("?hold")[1] == 1);
        for _ in 0..10 {
            assert_eq!(pair.get("/v2/schemas/member").await, 200);
        }
        assert_eq!(pair.counts("/v2/schemas/member")[busy], 0);
        // a client that hangs up gives the place back
        drop(held);
        pair.wait_for_in_flight(pair.both()[busy], 0).await;
    });
}

#[test]
fn a_download_is_under_way_until_its_last_byte() {
    run(async {
        let pair = Pair::start(|_| {}).await;
        let image = ImageSpec { id: Some(uuid::Uuid::new_v4().to_string()), ..ImageSpec::owned_by(MEMBER) };
        let id = pair.gate.glance.add_image(image.clone());
        assert_eq!(pair.other.add_image(image), id);
        for glance in pair.both() {
            glance.set_size(&id, 64 * 1024 * 1024);
        }
        let mut download = Connection::open(pair.gate.address).await;
        let target = format!("/v2/images/{id}/file");
        download.send(pair.gate.call("GET", &target).token(&pair.token).bytes()).await;
        eventually("it is under way", || async { pair.counts("/file") != [0, 0] }).await;
        let busy = usize::from(pair.counts("/file")[1] == 1);
        pair.wait_for_in_flight(pair.both()[busy], 1).await;
        for _ in 0..10 {
            assert_eq!(pair.get("/v2/schemas/member").await, 200);
        }
        assert_eq!(pair.counts("/v2/schemas/member")[busy], 0);
        let reply = download.reply("GET").await;
        assert_eq!((reply.is_whole, reply.body.len()), (true, 64 * 1024 * 1024));
        pair.wait_for_in_flight(pair.both()[busy], 0).await;
    });
}

#[test]
fn all_calls_on_one_image_go_to_one_upstream() {
    run(async {
        let pair = Pair::start(|config| config.upstream.rules.strategy = Strategy::ConsistentHash).await;
        let mut images = Vec::new();
        for _ in 0..20 {
            let id = uuid::Uuid::new_v4().to_string();
            let image = ImageSpec { id: Some(id.clone()), ..ImageSpec::owned_by(OWNER).member(MEMBER) };
            for glance in pair.both() {
                assert_eq!(glance.add_image(image.clone()), id);
            }
            assert_eq!(pair.get(&format!("/v2/images/{id}")).await, 200);
            assert_eq!(pair.get(&format!("/v2/images/{id}/members")).await, 200);
            let accept = pair.gate.call("PUT", &member_target(&id)).token(&pair.token).json(ACCEPT);
            assert_eq!(accept.send().await.status, 200);
            images.push(id);
        }
        // the update, the owner's look-up and the two calls
        let homes: Vec<[usize; 2]> = images.iter().map(|id| pair.counts(id)).collect();
        assert!(homes.iter().all(|seen| *seen == [4, 0] || *seen == [0, 4]), "{homes:?}");
        assert!(homes.contains(&[4, 0]) && homes.contains(&[0, 4]), "{homes:?}");
    });
}

#[test]
fn a_full_upstream_gets_no_more_and_nobody_queues() {
    run(async {
        let pair = Pair::start(|config| config.upstream.rules.max_in_flight = 2).await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(pair.hold().await);
        }
        assert_eq!(pair.counts("?hold"), [2, 2], "the second one of each went past the first");
        let reply = pair.gate.call("GET", "/v2/schemas/member").token(&pair.token).send().await;
        pair.gate.expect_refusal(&reply, "upstream_busy").await;
        // also where the owner would have to be looked up
        let reply = pair.gate.call("PUT", &member_target(&uuid::Uuid::new_v4().to_string())).token(&pair.token);
        let reply = reply.json(ACCEPT).send().await;
        pair.gate.expect_refusal(&reply, "upstream_busy").await;
        assert_eq!(pair.counts("/v2/schemas/member"), [0, 0]);
        drop(held.pop());
        eventually("a place is free", || async { pair.get("/v2/schemas/member").await == 200 }).await;
        assert_eq!(pair.gate.call("GET", "/healthcheck").send().await.status, 200, "the breakers have seen no failure");
    });
}

#[test]
fn no_more_connections_are_made_than_an_upstream_may_have() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.workers = 1;
            config.upstream.connections.max_connections = Room::UpTo(1);
        })
        .await;
        let token = gate.keystone.issue(TokenSpec::member(MEMBER));
        // one is enough for one after the other
        for _ in 0..5 {
            assert_eq!(gate.call("GET", "/v2/images").token(&token).send().await.status, 200);
        }
        let connections = format!("glance_gate_upstream_connections{{upstream=\"{}\"}}", gate.glance.url());
        gate.wait_for_metric(&connections, 1).await;
        gate.glance.set_fault_on("?hold", Fault::Hang);
        let mut held = Connection::open(gate.address).await;
        held.send(gate.call("GET", "/v2/images?hold").token(&token).bytes()).await;
        eventually("the request is held", || async { gate.count("GET", "/v2/images?hold") == 1 }).await;
        let reply = gate.call("GET", "/v2/images").token(&token).send().await;
        gate.expect_refusal(&reply, "upstream_busy").await;
        drop(held);
        gate.wait_for_metric(&connections, 0).await;
        assert_eq!(gate.call("GET", "/v2/images").token(&token).send().await.status, 200);
    });
}

#[test]
fn one_that_comes_back_gets_a_small_share_first() {
    run(async {
        let pair = Pair::start(|config| {
            config.upstream.rules.strategy = Strategy::RoundRobin;
            config.upstream.rules.slow_start = Duration::from_hours(1);
            config.upstream.health_check_interval = Duration::from_millis(20);
        })
        .await;
        let healthy = format!("glance_gate_upstream_healthy{{upstream=\"{}\"}}", pair.other.url());
        pair.other.set_healthy(false);
        pair.gate.wait_for_metric(&healthy, 0).await;
        for _ in 0..10 {
            assert_eq!(pair.get("/v2/images").await, 200);
        }
        assert_eq!(pair.counts("/v2/images"), [10, 0]);
        pair.other.set_healthy(true);
        pair.gate.wait_for_metric(&healthy, 1).await;
        for _ in 0..200 {
            assert_eq!(pair.get("/v2/schemas/member").await, 200);
        }
        let [_, back] = pair.counts("/v2/schemas/member");
        assert!((1..50).contains(&back), "{back} of 200");
    });
}
