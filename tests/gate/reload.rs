//! Another configuration while the gate runs: the next request lives by it, the one under way by its own.

use std::time::Duration;

use glance_gate::app::reload::ReloadError;
use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::GlanceOptions;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;
use glance_gate::rules::setting::Setting;
use glance_gate::rules::setting::Share;

use crate::client::Connection;
use crate::harness::DeadPort;
use crate::harness::Gate;
use crate::harness::STARTING;
use crate::harness::eventually;
use crate::harness::run;
use crate::load::Load;
use crate::load::Style;
use crate::scene::Scene;

/// Starts another Glance that knows the tokens of this gate's.
async fn another_glance(gate: &Gate) -> Glance {
    let _alone = STARTING.lock().await;
    Glance::start(GlanceOptions::new(gate.keystone.clone())).await.expect("a Glance")
}

#[test]
fn the_next_request_on_the_same_connection_lives_by_the_new_configuration() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let mut client = Connection::open(gate.address).await;
        let by_owner = scene.accept(&gate).token(&scene.owner).bytes();
        let mut answer = async |change: fn(&mut Config)| {
            gate.reload(change).await.expect("a good configuration");
            client.send(&by_owner).await;
            let reply = client.reply("PUT").await;
            (reply.status, gate.count("PUT", &scene.target))
        };
        assert_eq!(answer(|_| {}).await, (403, 0));
        assert_eq!(answer(|config| config.body.max_body = 64).await, (403, 0));
        // now only Glance says no
        assert_eq!(answer(|config| config.rules.default = Setting::Observe).await, (403, 1));
        assert_eq!(answer(|config| config.rules.default = Setting::Enforce(Share::All)).await, (403, 1));
        assert_eq!(answer(|config| config.body.max_body = 4).await, (413, 1));
    });
}

#[test]
fn a_request_under_way_keeps_the_configuration_it_began_with() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let other = another_glance(&gate).await;
        gate.glance.set_fault_on(&scene.image_target(), Fault::Hang);
        let mut under_way = Connection::open(gate.address).await;
        under_way.send(gate.call("GET", &scene.image_target()).token(&scene.member).bytes()).await;
        eventually("the call is under way", || async { gate.count("GET", &scene.image_target()) == 1 }).await;

        gate.reload(|config| config.upstream.servers = vec![other.url()]).await.expect("a good configuration");
        gate.wait_for_metric("glance_gate_config_generations_in_use", 2).await;
        let next = gate.call("GET", "/v2/images").token(&scene.member).send().await;
        assert_eq!((next.status, other.count(|seen| seen.target == "/v2/images")), (200, 1));
        assert_eq!(gate.count("GET", "/v2/images"), 0);

        // the old upstream answers what it was asked before
        gate.glance.set_fault(Fault::None);
        drop(under_way);
        gate.wait_for_one_generation().await;
    });
}

#[test]
fn a_transfer_under_way_survives_reloads_whole() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let length = 16 * 1024 * 1024;
        gate.glance.set_size(&scene.image, length as u64);
        let mut busy = Connection::open(gate.address).await;
        busy.send(gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.member).bytes()).await;
        eventually("the download is under way", || async { gate.seen().len() == 1 }).await;
        let other = another_glance(&gate).await;
        for server in [other.url(), gate.glance.url(), other.url()] {
            gate.reload(|config| config.upstream.servers = vec![server]).await.expect("a good configuration");
        }
        let reply = busy.reply("GET").await;
        assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, length));
    });
}

#[test]
fn a_configuration_that_can_not_be_used_changes_nothing() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let before = gate.admin("/readyz?verbose").await.text();
        assert!(before.contains("generation 1\n"), "{before}");
        for change in [
            (|config| config.upstream.servers = vec!["http://no-such-host.invalid:9292".into()]) as fn(&mut Config),
            |config| config.keystone.cafile = Some("/nowhere/ca.pem".into()),
            |config| {
                config.keystone.jws = glance_gate::keystone::config::JwsMode::Verify;
                config.keystone.jws_public_key_repository = "/nowhere".into();
            },
        ] {
            let refused = gate
                .reload(|config| {
                    config.rules.default = Setting::Observe;
                    change(config);
                })
                .await;
            assert!(matches!(refused, Err(ReloadError::Unusable(_))), "{refused:?}");
        }
        gate.wait_for_metric("glance_gate_config_reloads_total{result=\"refused\"}", 3).await;
        gate.wait_for_one_generation().await;
        assert_eq!(gate.admin("/readyz?verbose").await.text(), before);
        assert!(!gate.metrics().await.contains("no-such-host"), "no trace of an upstream that never was");
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
    });
}

#[test]
fn what_is_only_read_at_the_start_is_refused_all_at_once() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let refused = gate
            .reload(|config| {
                config.server.listen = ([127, 0, 0, 1], 9).into();
                config.admin_listen = ([127, 0, 0, 1], 9).into();
                config.server.workers += 1;
                config.server.handover_socket = "/run/x".into();
                config.log.format = glance_gate::telemetry::log::Format::Text;
                config.rules.kept += 1;
                config.rules.default = Setting::Observe;
            })
            .await
            .expect_err("that can not be");
        let told = refused.to_string();
        for key in [
            "[server] listen",
            "[admin] listen",
            "[server] workers",
            "[server] handover_socket",
            "[log] format",
            "[rules] kept",
        ] {
            assert!(told.contains(&format!("{key}: ")), "{key} is not in {told}");
        }
        assert_eq!(told.matches("hint: restart the gate").count(), 6, "{told}");
        gate.wait_for_metric("glance_gate_config_generation", 1).await;
    });
}

#[test]
fn the_operators_see_which_configuration_is_in_use() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let mut revisions = Vec::new();
        for (generation, profile) in [
            (2, Profile::Glance(PolicyDefaults::New)),
            (3, Profile::Glance(PolicyDefaults::Legacy)),
            (4, Profile::Glance(PolicyDefaults::Legacy)),
        ] {
            let done = gate.reload(|config| config.profile = profile).await.expect("a good configuration");
            assert_eq!(done.generation, generation);
            let line = format!("[i] configuration {}, generation {generation}", done.revision);
            let verbose = gate.admin("/readyz?verbose").await.text();
            assert!(verbose.lines().any(|known| known == line), "{line} is not in {verbose}");
            gate.wait_for_metric("glance_gate_config_generation", generation).await;
            gate.wait_for_metric(&format!("glance_gate_config_revision{{revision=\"{}\"}}", done.revision), 1).await;
            revisions.push(done.revision);
        }
        assert!(revisions[0] != revisions[1] && revisions[1] == revisions[2], "{revisions:?}");
        gate.wait_for_metric("glance_gate_config_reloads_total{result=\"applied\"}", 3).await;
        assert_eq!(gate.metrics().await.matches("glance_gate_config_revision{").count(), 1);
    });
}

#[test]
fn only_the_upstreams_of_now_are_checked_and_told() {
    run(async {
        let fast = |config: &mut Config| config.upstream.health_check_interval = Duration::from_millis(10);
        let gate = Gate::start(fast).await;
        let other = another_glance(&gate).await;
        let checks = |glance: &Glance| glance.count(|seen| seen.target == "/healthcheck");
        eventually("the first one is checked", || async { checks(&gate.glance) > 2 }).await;
        gate.reload(|config| config.upstream.servers = vec![other.url()]).await.expect("a good configuration");
        let gone = format!("upstream_healthy{{upstream=\"{}\"}}", gate.glance.url());
        eventually("the first one is not told of any more", || async { !gate.metrics().await.contains(&gone) }).await;
        let last = checks(&gate.glance);
        eventually("the other one is checked", || async { checks(&other) > 10 }).await;
        assert_eq!(checks(&gate.glance), last, "the old checks have ended");
        gate.wait_for_metric(&format!("glance_gate_upstream_healthy{{upstream=\"{}\"}}", other.url()), 1).await;
    });
}

#[test]
fn readiness_does_not_flap() {
    run(async {
        let fast = |config: &mut Config| config.upstream.health_check_interval = Duration::from_millis(20);
        let gate = Gate::start(fast).await.warm().await;
        let looks = async |expected: u16| {
            for target in ["/readyz", "/readyz?verbose"] {
                assert_eq!(gate.admin(target).await.status, expected);
            }
            assert_eq!(gate.call("GET", "/healthcheck").send().await.status, expected);
        };
        let other = another_glance(&gate).await;
        for servers in [vec![gate.glance.url(), other.url()], vec![other.url()], vec![gate.glance.url()]] {
            gate.reload(|config| config.upstream.servers = servers).await.expect("a good configuration");
            looks(200).await;
            assert!(gate.admin("/readyz?verbose").await.text().contains("[+] own keystone token"));
        }
        gate.glance.set_healthy(false);
        eventually("the gate is not ready", || async { gate.admin("/readyz").await.status == 503 }).await;
        for time in 0..20 {
            let change = |config: &mut Config| config.member_limit.timeout = Duration::from_secs(30 + time);
            gate.reload(change).await.expect("a good configuration");
            // an upstream that is known to be down is not taken for new
            looks(503).await;
        }
    });
}

#[test]
fn a_thousand_reloads_leave_one_configuration_behind() {
    run(async {
        let gate = Gate::start(|config| config.upstream.health_check_interval = Duration::from_millis(20)).await;
        let scene = Scene::new(&gate);
        let dead = DeadPort::new();
        let live = gate.glance.url();
        for time in 1..=1000_u64 {
            let servers = if time % 3 == 0 { vec![live.clone(), dead.url()] } else { vec![live.clone()] };
            let change = |config: &mut Config| {
                config.upstream.servers = servers;
                config.ownership.cache_time = Duration::from_secs(60 + time % 2);
            };
            gate.reload(change).await.expect("a good configuration");
            if time % 50 == 0 {
                assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
            }
        }
        gate.wait_for_metric("glance_gate_config_generation", 1001).await;
        gate.wait_for_one_generation().await;
    });
}

#[test]
fn no_call_of_a_steady_load_fails_while_the_configuration_changes() {
    for style in [Style::KeptAlive, Style::Fresh] {
        run(async {
            let gate = Gate::start(|config| config.member_limit.max_in_flight = 100_000).await.warm().await;
            let scene = Scene::new(&gate);
            let put = scene.accept(&gate).token(&scene.member);
            let get = gate.call("GET", "/v2/images").token(&scene.member);
            let load = Load::heavy(gate.address, vec![put.clone(), put.clone(), get, put], style);
            let total = load.total;
            let load = tokio::spawn(load.run());
            let mut reloads = 0_u64;
            let mut ticks = tokio::time::interval(Duration::from_millis(200));
            while !load.is_finished() {
                ticks.tick().await;
                reloads += 1;
                // other connections to the upstreams, another memory of owners, another of tokens
                let change = |config: &mut Config| {
                    config.upstream.connections.connect_timeout = Duration::from_secs(5 + reloads % 2);
                    config.ownership.cache_time = Duration::from_secs(60 + reloads % 3);
                    config.keystone.token_cache_time = Duration::from_secs(300 + reloads % 5);
                };
                gate.reload(change).await.expect("a good configuration");
            }
            load.await.expect("the load ends").expect_whole(total);
            assert!(reloads > 3, "{reloads} reloads");
            gate.wait_for_metric("glance_gate_config_generation", reloads + 1).await;
            gate.wait_for_one_generation().await;
        });
    }
}
