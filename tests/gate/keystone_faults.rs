//! Keystone misbehaves: always an outage that is named as its own, never a pass and never a 401.

use std::time::Duration;

use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Reply;
use crate::harness::DeadPort;
use crate::harness::Gate;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

async fn expect_outage(gate: &Gate, reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("Keystone cannot be reached"), "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("5"));
    gate.expect_refusal(reply, "keystone_unavailable").await;
    gate.expect_unseen();
}

#[test]
fn what_is_not_keystones_word_about_the_token_is_an_outage() {
    run(async {
        let gate = Gate::start(|config| {
            config.keystone.http_request_timeout = Duration::from_millis(400);
            config.keystone.max_answer_bytes = 64 * 1024;
        })
        .await
        .warm()
        .await;
        let scene = Scene::new(&gate);
        for fault in [
            Fault::HtmlPortal,
            Fault::EmptyObject,
            Fault::Huge(1024 * 1024),
            Fault::Status(500),
            Fault::Status(502),
            Fault::Status(503),
            Fault::Status(429),
            Fault::Status(302),
            Fault::Status(204),
            Fault::Status(200),
            // not in Keystone's own words: some proxy's
            Fault::Status(404),
            Fault::Status(401),
            Fault::Status(403),
            Fault::Reset,
            Fault::ResetAfterHead,
            Fault::TruncateBody,
            Fault::Garbage,
            Fault::ConflictingLength,
            Fault::Hang,
        ] {
            gate.keystone.set_fault(fault);
            for token in [&scene.member, &gate.keystone.issue(TokenSpec::admin("admins")), "never-issued"] {
                let reply = scene.accept(&gate).token(token).send().await;
                assert_eq!(reply.status, 503, "{fault:?}");
                expect_outage(&gate, &reply).await;
            }
        }
        gate.keystone.set_fault(Fault::None);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        assert_eq!(gate.logins(), 1, "none of these was a reason to log in again");
    });
}

#[test]
fn a_keystone_that_is_gone_is_an_outage() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.stop();
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        expect_outage(&gate, &reply).await;
    });
}

#[test]
fn a_keystone_that_never_was_there_is_an_outage_but_the_rest_works() {
    run(async {
        let dead = DeadPort::new();
        let gate = Gate::start(|config| config.keystone.auth_url = format!("{}/v3", dead.url())).await;
        let scene = Scene::new(&gate);
        // what passes through needs no Keystone of the gate's
        assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 200);
        gate.glance.clear();
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        expect_outage(&gate, &reply).await;
        let ready = gate.admin("/readyz?verbose").await;
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("[-] own keystone token"), "{}", ready.text());
        // who needs no question is answered
        let reply = scene.accept(&gate).send().await;
        gate.expect_refusal(&reply, "token_missing").await;
    });
}

#[test]
fn a_question_whose_connection_broke_is_asked_again_once() {
    run(async {
        let gate = Gate::start(|config| config.keystone.http_request_max_retries = 1).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Reset);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        expect_outage(&gate, &reply).await;
        assert_eq!(gate.questions(), 2);
        // but not one that was answered
        gate.keystone.set_fault(Fault::Status(500));
        gate.keystone.clear();
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        expect_outage(&gate, &reply).await;
        assert_eq!(gate.questions(), 1);
    });
}

#[test]
fn a_gate_that_may_not_ask_is_an_outage_of_keystone() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.register_user("glance-gate", "gate-password", ["reader"]);
        let gate = Gate::between((keystone, glance), |_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        expect_outage(&gate, &reply).await;
    });
}

#[test]
fn the_methods_that_need_no_verdict_pass_while_keystone_is_down() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        gate.keystone.stop();
        let get = gate.call("GET", &scene.target).token(&scene.member).send().await;
        assert_eq!(get.status, 200, "Glance decides");
        let delete = gate.call("DELETE", &scene.target).token(&scene.member).send().await;
        assert_eq!((delete.status, gate.glance.member_status(&scene.image, MEMBER).is_some()), (403, true));
    });
}

#[test]
fn a_keystone_that_is_slow_is_waited_for_and_one_that_is_too_slow_is_an_outage() {
    run(async {
        let gate =
            Gate::start(|config| config.keystone.http_request_timeout = Duration::from_secs(5)).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Slow(Duration::from_millis(200)));
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);

        let gate = Gate::start(|config| config.keystone.http_request_timeout = Duration::from_millis(200));
        let gate = gate.await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Slow(Duration::from_hours(1)));
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        expect_outage(&gate, &reply).await;
        // nobody else waits for it
        assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);
    });
}

#[test]
fn a_keystone_that_flaps_is_an_outage_only_while_it_is_one() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        // what is remembered is not asked about again
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        for fault in [Fault::Reset, Fault::Status(503), Fault::Garbage, Fault::TruncateBody, Fault::Status(500)] {
            gate.glance.clear();
            gate.keystone.set_fault(fault);
            let token = gate.keystone.issue(TokenSpec::member(MEMBER));
            let reply = scene.accept(&gate).token(&token).send().await;
            expect_outage(&gate, &reply).await;
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200, "{fault:?}");
            gate.keystone.set_fault(Fault::None);
            // the first request after the fault is answered
            assert_eq!(scene.accept(&gate).token(&token).send().await.status, 200, "{fault:?}");
        }
        assert_eq!(gate.logins(), 1, "none of this was a reason to log in again");
    });
}
