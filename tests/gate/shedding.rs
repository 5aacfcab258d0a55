//! More than Glance can do: load is shed before all of it is late, and what is admitted stays fast.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::rules::setting::Setting;
use glance_gate::upstream::adaptive::Bounds;
use glance_gate::upstream::shed::Adaptive;
use tokio::task::LocalSet;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

/// How many requests the slow Glance works on at once.
const PLACES: usize = 10;
/// How long it works on each.
const WORK: Duration = Duration::from_millis(50);
/// How many clients there are, each with one request at a time.
const CLIENTS: usize = 80;

fn adaptive(min: usize, max: usize) -> impl FnOnce(&mut Config) {
    move |config| {
        config.upstream.rules.shed.adaptive = Adaptive::On;
        config.upstream.rules.shed.bounds = Bounds { min, max };
        config.upstream.health_check_interval = Duration::from_hours(1);
    }
}

/// What became of the requests of all clients.
#[derive(Default)]
struct Tally {
    answered: Cell<usize>,
    shed: Cell<usize>,
    is_over: Cell<bool>,
}

/// Lets the clients send one request after the other until `observe` has seen enough.
async fn under_load(gate: &Gate, observe: impl AsyncFnOnce(&Tally)) {
    let token = gate.keystone.issue(TokenSpec::member(MEMBER));
    let bytes = Rc::new(gate.call("GET", "/v2/schemas/member").token(&token).bytes());
    let tally = Rc::new(Tally::default());
    let clients = LocalSet::new();
    for _ in 0..CLIENTS {
        let (bytes, tally, address) = (bytes.clone(), tally.clone(), gate.address);
        clients.spawn_local(async move {
            let mut connection = Connection::open(address).await;
            while !tally.is_over.get() {
                connection.send(&*bytes).await;
                let reply = connection.reply("GET").await;
                match reply.status {
                    200 => tally.answered.set(tally.answered.get() + 1),
                    503 => {
                        assert_eq!(reply.header("retry-after"), Some("5"));
                        tally.shed.set(tally.shed.get() + 1);
                        // a client that does not heed the header, but is no attack either
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    status => panic!("{status}: {}", reply.text()),
                }
            }
        });
    }
    clients
        .run_until(async {
            observe(&tally).await;
            tally.is_over.set(true);
        })
        .await;
    clients.await;
}

async fn answered(tally: &Tally, more: usize) {
    let before = tally.answered.get();
    eventually("so many more are answered", || async { tally.answered.get() >= before + more }).await;
}

#[test]
fn a_glance_with_too_much_to_do_gets_what_it_can_do() {
    run(async {
        let gate = Gate::start(adaptive(8, 1000)).await;
        gate.glance.set_fault_on("/v2", Fault::Queue(PLACES, WORK));
        under_load(&gate, async |tally| {
            // a busy machine may make it late, but the limit finds its place
            eventually("a few are at Glance at once, and the others are told to come back", || async {
                let _ = gate.glance.crowd();
                let shed = tally.shed.get();
                answered(tally, 100).await;
                (8..=PLACES * 3).contains(&gate.glance.crowd()) && tally.shed.get() > shed
            })
            .await;
        })
        .await;
        let metrics = gate.metrics().await;
        assert!(metrics.contains("glance_gate_refusals_total{reason=\"load_shed\",mode=\"enforced\"}"), "{metrics}");
        // and when the rush is over everybody is served again
        gate.wait_for_metric("glance_gate_waiting_requests", 0).await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn without_the_limit_all_of_them_queue_at_glance() {
    run(async {
        let gate = Gate::start(|config| config.upstream.health_check_interval = Duration::from_hours(1)).await;
        gate.glance.set_fault_on("/v2", Fault::Queue(PLACES, WORK));
        under_load(&gate, async |tally| {
            answered(tally, 300).await;
            assert_eq!(tally.shed.get(), 0);
        })
        .await;
        assert!(gate.glance.crowd() > CLIENTS * 3 / 4);
        gate.wait_for_metric("glance_gate_adaptive_limit", 0).await;
    });
}

#[test]
fn nobody_is_shed_before_a_glance_that_keeps_up() {
    run(async {
        let gate = Gate::start(adaptive(CLIENTS, 1000)).await;
        under_load(&gate, async |tally| {
            answered(tally, 1000).await;
            assert_eq!(tally.shed.get(), 0);
        })
        .await;
    });
}

#[test]
fn a_stall_sheds_what_is_over_the_limit_and_leaves_nothing_behind() {
    run(async {
        let gate = Gate::start(adaptive(4, 4)).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/v2", Fault::Queue(0, Duration::ZERO));
        let mut held = Vec::new();
        for number in 1..=4 {
            let mut connection = Connection::open(gate.address).await;
            connection.send(gate.call("GET", "/v2/images").token(&scene.member).bytes()).await;
            eventually("it is at Glance", || async { gate.count("GET", "/v2/images") == number }).await;
            held.push(connection);
        }
        let reply = gate.call("GET", "/v2/images").token(&scene.member).send().await;
        gate.expect_refusal(&reply, "load_shed").await;
        // a member update, whose owner would have to be looked up
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "load_shed").await;
        // who does not wait for Glance is answered
        gate.expect_refusal(&scene.accept(&gate).send().await, "token_missing").await;
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 200);
        gate.glance.set_fault(Fault::None);
        for mut connection in held {
            assert_eq!(connection.reply("GET").await.status, 200, "who was admitted is answered");
        }
        for _ in 0..20 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
    });
}

#[test]
fn uploads_take_no_place_of_small_calls() {
    run(async {
        let gate = Gate::start(adaptive(2, 2)).await;
        let scene = Scene::new(&gate);
        let mut uploads = Vec::new();
        for number in 1..=5 {
            let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
            let call = gate.call("PUT", &format!("/v2/images/{image}/file")).token(&scene.owner);
            let call = call.header("Content-Type", "application/octet-stream").header("Content-Length", "1000000");
            let mut upload = Connection::open(gate.address).await;
            upload.send(call.body("0123456789").bytes()).await;
            eventually("it is under way", || async { gate.seen().len() == number }).await;
            uploads.push(upload);
        }
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.wait_for_metric("glance_gate_waiting_requests", 0).await;
    });
}

#[test]
fn what_is_shed_is_not_sent_when_observing_either() {
    run(async {
        let gate = Gate::start(|config| {
            adaptive(1, 1)(config);
            config.rules.default = Setting::Observe;
        })
        .await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.glance.set_fault_on("?hold", Fault::Hang);
        let mut held = Connection::open(gate.address).await;
        held.send(gate.call("GET", "/v2/images?hold").token(&scene.member).bytes()).await;
        eventually("it is at Glance", || async { gate.count("GET", "/v2/images?hold") == 1 }).await;
        let before = gate.seen().len();
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "load_shed").await;
        assert_eq!(gate.seen().len(), before);
        // a client that hangs up gives its place back
        drop(held);
        gate.wait_for_metric("glance_gate_waiting_requests", 0).await;
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
    });
}
