//! What Keystone is asked once, and when it is asked again.

use std::time::Duration;

use futures_util::future::join_all;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;

use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::MEMBER;
use crate::scene::Scene;

#[test]
fn keystone_is_asked_once_about_a_token() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for _ in 0..10 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        assert_eq!((gate.questions(), gate.logins()), (1, 1));
        let asked = gate.keystone.requests().into_iter().find(|seen| seen.method == "GET").expect("a question");
        assert_eq!(asked.target, "/v3/auth/tokens?nocatalog");
        assert_eq!(asked.header_values("x-subject-token"), [scene.member.as_str()]);
        assert_eq!(asked.header_values("openstack-identity-access-rules"), ["1"]);
        assert_ne!(asked.header("x-auth-token"), Some(scene.member.as_str()));

        // another token of the same user is another question
        let other = gate.keystone.issue(TokenSpec::member(MEMBER));
        assert_eq!(scene.accept(&gate).token(&other).send().await.status, 200);
        assert_eq!(gate.questions(), 2);
        gate.wait_for_metric(r#"glance_gate_cache_requests_total{cache="token",result="hit"}"#, 9).await;
        gate.wait_for_metric(r#"glance_gate_cache_requests_total{cache="token",result="miss"}"#, 2).await;
    });
}

#[test]
fn calls_at_the_same_time_share_one_question() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        // slow enough that all are there before the answer
        gate.keystone.set_fault(Fault::Slow(Duration::from_millis(500)));
        let replies = join_all((0..20).map(|_| scene.accept(&gate).token(&scene.member).send())).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert_eq!((gate.questions(), gate.logins()), (1, 1));
        assert_eq!(gate.count("PUT", &scene.target), 20);
    });
}

#[test]
fn calls_at_the_same_time_share_one_refusal() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Slow(Duration::from_millis(500)));
        let replies = join_all((0..20).map(|_| scene.accept(&gate).token("never-issued").send())).await;
        assert!(replies.iter().all(|reply| reply.status == 401));
        assert_eq!(gate.questions(), 1);
        gate.expect_unseen();
    });
}

#[test]
fn who_hangs_up_does_not_take_the_answer_from_the_others() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Slow(Duration::from_millis(500)));
        let mut first = crate::client::Connection::open(gate.address).await;
        first.send(scene.accept(&gate).token(&scene.member).bytes()).await;
        eventually("the question is asked", || async { gate.questions() == 1 }).await;
        let others = join_all((0..5).map(|_| scene.accept(&gate).token(&scene.member).send()));
        let (replies, ()) = tokio::join!(others, async { drop(first) });
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert!(gate.questions() <= 2, "{}", gate.questions());
    });
}

#[test]
fn an_unknown_token_is_remembered_for_a_while() {
    run(async {
        let gate = Gate::start(|config| config.keystone.negative_cache_time = Duration::from_hours(1)).await;
        let scene = Scene::new(&gate);
        for _ in 0..5 {
            let reply = scene.accept(&gate).token("never-issued").send().await;
            gate.expect_refusal(&reply, "token_invalid").await;
        }
        assert_eq!(gate.questions(), 1);
        gate.wait_for_metric(r#"glance_gate_cache_requests_total{cache="token",result="negative_hit"}"#, 4).await;
    });
}

#[test]
fn an_unknown_token_is_asked_about_again_after_that() {
    run(async {
        let gate = Gate::start(|config| config.keystone.negative_cache_time = Duration::from_millis(50)).await;
        let scene = Scene::new(&gate);
        eventually("the token is asked about again", || async {
            assert_eq!(scene.accept(&gate).token("never-issued").send().await.status, 401);
            gate.questions() >= 2
        })
        .await;
    });
}

#[test]
fn a_known_token_is_asked_about_again_after_its_cache_time() {
    run(async {
        let gate = Gate::start(|config| config.keystone.token_cache_time = Duration::from_millis(300)).await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.keystone.revoke(&scene.member);
        eventually("the revocation is noticed", || async {
            scene.accept(&gate).token(&scene.member).send().await.status == 401
        })
        .await;
        // by Keystone's word, or by Glance's in the time between
        assert!(gate.questions() >= 1);
    });
}

#[test]
fn a_token_is_not_remembered_past_its_end() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let short = gate.keystone.issue(TokenSpec::member(MEMBER).lifetime(Duration::from_secs(2)));
        assert_eq!(scene.accept(&gate).token(&short).send().await.status, 200);
        assert_eq!(gate.questions(), 1);
        eventually("the token has ended", || async {
            let before = gate.count("PUT", &scene.target);
            let reply = scene.accept(&gate).token(&short).send().await;
            // what the gate refuses does not reach Glance
            reply.status == 401 && gate.count("PUT", &scene.target) == before
        })
        .await;
    });
}

#[test]
fn an_outage_is_not_remembered() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        for fault in [Fault::Reset, Fault::Status(500), Fault::HtmlPortal, Fault::Garbage] {
            let token = gate.keystone.issue(TokenSpec::member(MEMBER));
            gate.keystone.set_fault(fault);
            let reply = scene.accept(&gate).token(&token).send().await;
            gate.expect_refusal(&reply, "keystone_unavailable").await;
            gate.keystone.set_fault(Fault::None);
            assert_eq!(scene.accept(&gate).token(&token).send().await.status, 200, "{fault:?}");
        }
    });
}

#[test]
fn what_is_remembered_outlives_an_outage() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.keystone.stop();
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "keystone_unavailable").await;
    });
}
