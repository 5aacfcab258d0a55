//! Bugs that were there once; each test failed before its fix.

use std::time::Duration;

use futures_util::future::join_all;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::AccessRule;
use glance_gate::demo::keystone::TokenSpec;

use crate::client::Call;
use crate::client::Connection;
use crate::harness::DeadPort;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

/// hyper's `Uri` drops what follows a `#`; other servers take it for a part of the path.
#[test]
fn a_target_with_a_fragment_is_not_forwarded_without_it() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for target in [format!("{}#fragment", scene.target), "/v2/images#?_method=DELETE".into()] {
            let reply = gate.call("PUT", &target).token(&scene.member).json(ACCEPT).send().await;
            assert_eq!(reply.status, 400, "{target}");
        }
        gate.expect_unseen();
    });
}

/// A second try must not go to the upstream that was tried already, whatever others chose in between.
#[test]
fn one_dead_upstream_of_two_is_not_noticed_by_many_at_once() {
    run(async {
        let dead = DeadPort::new();
        let gate = Gate::start(|config| {
            config.upstream.servers.insert(0, dead.url());
            // long enough that no check takes the dead one out
            config.upstream.health_check_interval = Duration::from_hours(1);
        })
        .await;
        let scene = Scene::new(&gate);
        let call = || gate.call("GET", "/v2/images").token(&scene.member).send();
        let replies = join_all((0..30).map(|_| call())).await;
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    });
}

/// Glance closes once it has answered; the answer is there before the write that fails, and must be read first.
#[test]
fn a_refusal_of_an_upload_reaches_a_client_that_sends_on() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let mut statuses = Vec::new();
        for address in [gate.glance.address(), gate.address] {
            for _ in 0..20 {
                let call = Call::new(address, "PUT", &format!("{}/file", scene.image_target())).token(&scene.owner);
                let call = call.header("Content-Type", "application/octet-stream").body(vec![7; 512 * 1024]);
                statuses.push((address == gate.address, call.try_send().await.map(|reply| reply.status)));
            }
        }
        assert!(statuses.iter().all(|(_, status)| *status == Some(409)), "{statuses:?}");
    });
}

#[test]
fn a_cafile_that_is_not_there_is_named() {
    run(async {
        let directory = Directory::new();
        let missing = directory.path().join("missing.pem").display().to_string();
        let config = directory.write("gate.toml", &format!("[keystone_authtoken]\ncafile = \"{missing}\"\n"));
        let ended = Process::run(
            &["check", "--config", &config.display().to_string()],
            &[("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "x")],
        )
        .await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
        assert!(ended.errors.contains(&missing), "{}", ended.errors);
    });
}

/// Head and chunks in one segment: the head has to be answered although the body is bad.
#[test]
fn a_body_that_breaks_the_grammar_is_refused() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for chunks in ["zz\r\n", "5\r\n{\"status\"", "-1\r\n", "ffffffffffffffffff\r\n", "1 \n{\r\n0\r\n\r\n\r\n"] {
            let mut connection = Connection::open(gate.address).await;
            let call = scene.accept(&gate).token(&scene.member).header("Transfer-Encoding", "chunked");
            connection.send(call.body(chunks).bytes()).await;
            let reply = connection.try_reply("PUT").await.unwrap_or_else(|| panic!("no answer to {chunks:?}"));
            assert_eq!((reply.status, reply.header("connection")), (400, Some("close")), "{chunks:?}");
            gate.expect_refusal(&reply, "body_broken").await;
            assert!(connection.is_over().await, "{chunks:?}");
        }
        gate.expect_unseen();
    });
}

/// Only a refused credential is a reason not to try again for a while.
#[test]
fn an_outage_at_the_gates_own_login_is_not_remembered() {
    run(async {
        let (keystone, glance) = neighbours().await;
        keystone.set_fault(Fault::Reset);
        let gate = Gate::between((keystone, glance), |_| {}).await;
        let scene = Scene::new(&gate);
        eventually("the gate tries to log in", || async { gate.logins() >= 1 }).await;
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "keystone_unavailable").await;
        gate.keystone.set_fault(Fault::None);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    });
}

/// `HAProxy` adds a line of its own to what the client wrote; only the first line was read, and handed on.
#[test]
fn a_client_behind_a_proxy_cannot_choose_its_address_by_a_line_of_its_own() {
    run(async {
        let gate = Gate::start(|config| {
            config.rates.per_client = 3;
            config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        })
        .await;
        let scene = Scene::new(&gate);
        let mut calls = 0;
        loop {
            calls += 1;
            let call =
                scene.accept(&gate).token(&scene.member).header("X-Forwarded-For", format!("198.51.100.{calls}"));
            let reply = call.header("X-Forwarded-For", "192.0.2.1").send().await;
            if reply.status == 429 {
                break gate.expect_refusal(&reply, "rate_limited").await;
            }
            let seen = gate.seen().pop().expect("the call");
            let chain = format!("198.51.100.{calls}, 192.0.2.1, 127.0.0.1");
            assert_eq!(seen.header_values("x-forwarded-for"), [chain]);
        }
    });
}

/// The owner is looked up with the caller's token, which such a credential may not be used for: it was taken for a token
/// that has ended, unless somebody else of the project had looked before.
#[test]
fn a_credential_for_member_updates_alone_is_asked_about() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let restricted = |project| {
            let rules = vec![AccessRule::image("PUT", "/v2/images/*/members/*")];
            gate.keystone.issue(TokenSpec::member(project).application_credential(rules))
        };
        let member = restricted(MEMBER);
        assert_eq!(scene.accept(&gate).token(&member).send().await.status, 200, "by Glance");
        let asked = "glance_gate_requests_total{branch=\"member_update\",verdict=\"asked\",code=";
        gate.wait_for_metric(&format!("{asked}\"200\"}}"), 1).await;
        assert_eq!(scene.accept(&gate).token(&restricted(OWNER)).send().await.status, 403, "by Glance");
        gate.wait_for_metric(&format!("{asked}\"403\"}}"), 1).await;
        let odd = gate.call("PUT", &scene.target).token(&member).json(r#"{"status": "odd"}"#).send().await;
        gate.expect_refusal(&odd, "status_unknown").await;
        gate.keystone.revoke(&member);
        assert_eq!(scene.accept(&gate).token(&member).send().await.status, 401, "by Glance");
        gate.wait_for_metric(&format!("{asked}\"401\"}}"), 1).await;
    });
}

/// Who asked first chose the version for all who asked at the same time, and one that Glance does not serve was an outage
/// for all of them.
#[test]
fn the_owner_is_looked_up_below_a_version_that_glance_serves() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let target = scene.target.replace("/v2/", "/v2.99/");
        gate.call("PUT", &target).token(&scene.member).json(ACCEPT).send().await;
        assert_eq!(gate.count("GET", &scene.image_target()), 1);
        assert_eq!(gate.count("PUT", &target), 1, "the version is Glance's to refuse");
    });
}

/// Those who ask for the same owner at the same time share one question. If the token it was asked with had been revoked,
/// all of them were told that theirs was invalid.
#[test]
fn a_token_that_glance_refuses_is_nobody_elses() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let (known, new) = (Scene::new(&gate), Scene::new(&gate));
        assert_eq!(known.accept(&gate).token(&known.member).send().await.status, 200);
        gate.keystone.revoke(&known.member);
        gate.glance.set_fault_on(&new.image_target(), Fault::Queue(0, Duration::ZERO));
        let revoked = tokio::spawn(new.accept(&gate).token(&known.member).send());
        eventually("the owner is asked for", || async { gate.count("GET", &new.image_target()) == 1 }).await;
        let good = tokio::spawn(new.accept(&gate).token(&new.member).send());
        gate.wait_for_metric("glance_gate_cache_requests_total{cache=\"ownership\",result=\"miss\"}", 3).await;
        gate.glance.set_fault(Fault::None);
        let revoked = revoked.await.expect("no panic");
        gate.expect_refusal(&revoked, "token_invalid").await;
        let good = good.await.expect("no panic");
        assert_eq!(good.status, 200, "{}", good.text());
    });
}
