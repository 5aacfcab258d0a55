//! `x-openstack-request-id`: on every answer, and the same one everywhere.

use glance_gate::demo::fault::Fault;

use crate::harness::Gate;
use crate::harness::assert_is_request_id;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::Scene;

const NAME: &str = "x-openstack-request-id";
const ID: &str = "req-11111111-2222-4333-8444-555555555555";

#[test]
fn a_clients_request_id_goes_all_the_way() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).header("X-OpenStack-Request-ID", ID).send().await;
        assert_eq!((reply.status, reply.header(NAME)), (200, Some(ID)));
        let seen = gate.seen();
        assert_eq!(seen.len(), 2, "the look-up and the update");
        for seen in seen {
            assert_eq!(seen.header_values(NAME), [ID], "{}", seen.target);
        }
    });
}

#[test]
fn keystone_is_told_the_request_id() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).header(NAME, ID).send().await;
        assert_eq!(reply.status, 200);
        let asked = gate.keystone.requests().into_iter().find(|seen| seen.method == "GET").expect("a question");
        assert_eq!(asked.header_values(NAME), [ID]);
    });
}

#[test]
fn anything_else_is_replaced_by_an_id_of_the_gates_own() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let long = format!("{ID}{}", "0".repeat(200));
        for bad in [
            "",
            "hello",
            "req-",
            "req-x",
            &long,
            "11111111-2222-4333-8444-555555555555",
            "req-11111111222243338444555555555555",
            "req-{11111111-2222-4333-8444-555555555555}",
            "req-11111111-2222-4333-8444-555555555555, req-x",
        ] {
            let reply = gate.call("GET", "/v2/images").token(&scene.member).header(NAME, bad).send().await;
            let id = reply.header(NAME).expect("an id");
            assert_eq!(reply.status, 200, "{bad}");
            assert_ne!(id, bad);
            assert_is_request_id(id);
            assert_eq!(gate.seen().pop().expect("the call").header_values(NAME), [id], "{bad}");
        }
    });
}

#[test]
fn every_answer_has_one_request_id_of_its_own() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let call = |method: &str, target: &str| gate.call(method, target).token(&scene.member);
        let mut ids = Vec::new();
        for (status, call) in [
            (200, call("PUT", &scene.target).json(ACCEPT)),
            (405, call("POST", &scene.target).json(ACCEPT)),
            (400, call("GET", "/v2//images")),
            (400, call("GET", "/v2/images").header("X_Roles", "admin")),
            (405, call("TRACE", "/v2/images")),
            (200, call("GET", "/healthcheck")),
            (200, call("GET", "/v2/images")),
            (300, call("GET", "/")),
            (302, call("GET", "/v2")),
            (200, call("OPTIONS", "/v2/images")),
            (405, call("HEAD", "/v2/images")),
            (404, call("GET", "/v2/nothing")),
        ] {
            let reply = call.clone().send().await;
            assert_eq!(reply.status, status, "{call:?}");
            let id = reply.header(NAME).unwrap_or_else(|| panic!("no id: {call:?}")).to_owned();
            assert_is_request_id(&id);
            ids.push(id);
        }
        gate.glance.set_fault(Fault::Reset);
        let reply = call("GET", "/v2/images").send().await;
        assert_eq!(reply.status, 503);
        ids.push(reply.header(NAME).expect("an id").to_owned());
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id was given twice");
    });
}
