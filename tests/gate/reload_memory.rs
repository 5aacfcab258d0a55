//! What is counted and remembered through a reload, and what must be asked anew after it.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::keystone::config::JwsMode;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;

use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::STARTING;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

type Change = fn(&mut Config);

/// Asks twice with a reload between; returns how often Keystone and Glance were asked for the second.
async fn asked_again(change: impl FnOnce(&Gate, &mut Config)) -> (usize, usize) {
    let gate = Gate::start(|_| {}).await.warm().await;
    let scene = Scene::new(&gate);
    assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    let looks = || gate.count("GET", &scene.image_target());
    let before = (gate.questions(), looks());
    assert_eq!(before, (1, 1));
    gate.reload(|config| change(&gate, config)).await.expect("a good configuration");
    let reply = scene.accept(&gate).token(&scene.member).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    (gate.questions() - before.0, looks() - before.1)
}

#[test]
fn what_rests_on_nothing_that_changed_is_remembered() {
    let changes: [Change; 8] = [
        |_| {},
        |config| config.profile = Profile::Glance(PolicyDefaults::Legacy),
        |config| config.server.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")],
        |config| config.keystone.www_authenticate_uri = "https://keystone.example/v3".into(),
        |config| config.keystone.http_request_timeout = Duration::from_secs(3),
        |config| config.keystone.service_token_roles = vec!["helper".into()],
        |config| config.ownership.lookup_timeout = Duration::from_secs(3),
        |config| config.upstream.health_check_path = String::new(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        run(async { assert_eq!(Box::pin(asked_again(|_, config| change(config))).await, (0, 0), "change {index}") });
    }
}

#[test]
fn what_rests_on_something_that_changed_is_asked_anew() {
    let keystone: [Change; 4] = [
        |config| config.keystone.auth_url.push('/'),
        |config| config.keystone.token_cache_time = Duration::from_secs(299),
        |config| config.keystone.negative_cache_time = Duration::from_secs(9),
        |config| config.keystone.token_cache_entries = 1000,
    ];
    for (index, change) in keystone.into_iter().enumerate() {
        run(async { assert_eq!(Box::pin(asked_again(|_, config| change(config))).await, (1, 1), "change {index}") });
    }
    let glance: [Change; 3] = [
        |config| config.ownership.cache_time = Duration::from_secs(59),
        |config| config.ownership.cache_entries = 1000,
        |config| config.upstream.servers.push(config.upstream.servers[0].replace("127.0.0.1", "localhost")),
    ];
    for (index, change) in glance.into_iter().enumerate() {
        run(async { assert_eq!(Box::pin(asked_again(|_, config| change(config))).await, (0, 1), "change {index}") });
    }
}

#[test]
fn a_verdict_of_one_keystone_is_not_believed_of_another() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        let other = {
            let _alone = STARTING.lock().await;
            Keystone::start().await.expect("a Keystone")
        };
        let (first, second) = (gate.keystone.url(), other.url());
        gate.reload(|config| config.keystone.auth_url = second).await.expect("a good configuration");
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 401, "the other Keystone does not know the token");
        // nor is its no believed of the first
        gate.reload(|config| config.keystone.auth_url = first).await.expect("a good configuration");
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_key_that_is_gone_after_a_reload_vouches_for_nothing() {
    run(async {
        let directory = Directory::new();
        let neighbours = crate::harness::neighbours().await;
        directory.write("keystone.pem", &neighbours.0.public_key_pem());
        let gate = Gate::between(neighbours, |config| {
            config.keystone.jws = JwsMode::Offline;
            config.keystone.jws_public_key_repository = directory.path().into();
            config.keystone.jws_key_refresh = Duration::from_hours(1);
        })
        .await;
        let scene = Scene::new(&gate);
        let token = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
        assert_eq!(scene.accept(&gate).token(&token).send().await.status, 200);

        let other = {
            let _alone = STARTING.lock().await;
            Keystone::start().await.expect("a Keystone")
        };
        directory.write("keystone.pem", &other.public_key_pem());
        gate.reload(|_| {}).await.expect("a good configuration");
        let reply = scene.accept(&gate).token(&token).send().await;
        gate.expect_refusal(&reply, "token_forged").await;
    });
}

#[test]
fn the_gate_keeps_its_own_token() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        for time in 0..5 {
            let change = |config: &mut Config| config.member_limit.timeout = Duration::from_secs(20 + time);
            gate.reload(change).await.expect("a good configuration");
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        assert_eq!(gate.logins(), 1);
    });
}

#[test]
fn what_is_under_way_stays_counted() {
    run(async {
        let gate = Gate::start(|config| config.overload.max_in_flight = 1).await.warm().await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/v2/images", Fault::Hang);
        let mut stuck = Connection::open(gate.address).await;
        stuck.send(gate.call("GET", "/v2/images").token(&scene.member).bytes()).await;
        eventually("the call is under way", || async { gate.count("GET", "/v2/images") == 1 }).await;
        gate.glance.set_fault(Fault::None);

        gate.reload(|config| config.body.max_body = 1024).await.expect("a good configuration");
        let reply = gate.call("GET", "/v2/images").token(&scene.member).send().await;
        gate.expect_refusal(&reply, "overloaded").await;
        gate.wait_for_metric("glance_gate_in_flight_requests", 1).await;
        // and the new bound counts for it
        gate.reload(|config| config.overload.max_in_flight = 2).await.expect("a good configuration");
        assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_change_that_began_before_is_forgotten_after() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let looks = || gate.count("GET", &scene.image_target());
        // a change of the image that Glance sits on
        gate.glance.set_fault_on(&scene.image_target(), Fault::Hang);
        let mut changing = Connection::open(gate.address).await;
        changing.send(gate.call("DELETE", &scene.image_target()).token(&scene.owner).bytes()).await;
        eventually("the change is under way", || async { gate.count("DELETE", &scene.image_target()) == 1 }).await;
        gate.glance.set_fault(Fault::None);

        // the memory is another one now, and learns the owner while the change is under way
        let change = |config: &mut Config| config.ownership.cache_time = Duration::from_secs(59);
        gate.reload(change).await.expect("a good configuration");
        for _ in 0..2 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        assert_eq!(looks(), 1);
        drop(changing);
        gate.wait_for_one_generation().await;
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        assert_eq!(looks(), 2, "what it knew may be from before the change");
    });
}
