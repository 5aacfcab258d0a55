//! Refusals that are only told: Glance gets the call as it came and answers it.

use std::time::Duration;

use glance_gate::demo::fault::Fault;
use glance_gate::rules::setting::Setting;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::CANONICAL;
use crate::scene::Scene;

async fn start() -> Gate {
    Gate::start(|config| config.rules.default = Setting::Observe).await
}

#[test]
fn a_refused_update_is_forwarded_as_it_came_and_told() {
    run(async {
        let gate = start().await.warm().await;
        let scene = Scene::new(&gate);
        let none = "";
        for (token, kind, body, reason, status) in [
            (none, "application/json", ACCEPT, "token_missing", 401),
            ("never-issued", "application/json", ACCEPT, "token_invalid", 401),
            (&scene.owner, "application/json", ACCEPT, "owner_forbidden", 403),
            (&scene.stranger, "application/json", ACCEPT, "image_not_found", 404),
            (&scene.member, "text/plain", ACCEPT, "media_type_unsupported", 200),
            (&scene.member, "application/json", " { \"status\":\"perhaps\" }", "status_unknown", 400),
            (&scene.member, "application/json", "{\"status\": ", "body_malformed", 400),
            (&scene.member, "application/json", "", "body_missing", 400),
            (
                &scene.member,
                "application/json",
                "{\"status\": \"pending\", \"status\": \"rejected\"}",
                "body_ambiguous",
                200,
            ),
        ] {
            let mut call = gate.call("PUT", &scene.target).header("Content-Type", kind).body(body);
            if !token.is_empty() {
                call = call.token(token);
            }
            let reply = call.header("X-Image-Meta-Name", "kept").send().await;
            assert_eq!(reply.status, status, "{reason}: {}", reply.text());
            gate.expect_count(reason, "observed").await;
            let seen = gate.seen().pop().expect("the call");
            assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", scene.target.as_str()), "{reason}");
            // Glance does not read what nobody proved to have sent
            assert!(status == 401 || seen.body_text() == body, "{reason}: {}", seen.body_text());
            assert_eq!(seen.header("content-type"), Some(kind), "{reason}");
            // no length at all is as much as a length of zero
            assert_eq!(seen.header("content-length").unwrap_or("0"), body.len().to_string(), "{reason}");
            assert_eq!(seen.header("x-auth-token").unwrap_or_default(), token, "{reason}");
            assert_eq!(seen.header("x-image-meta-name"), Some("kept"), "{reason}");
        }
        let metrics = gate.metrics().await;
        assert!(!metrics.contains("mode=\"enforced\""), "{metrics}");
        assert!(metrics.contains("verdict=\"would_refuse\""), "{metrics}");
    });
}

#[test]
fn other_methods_are_forwarded_and_told() {
    run(async {
        let gate = start().await;
        let scene = Scene::new(&gate);
        for method in ["POST", "PATCH", "HEAD"] {
            let reply = gate.call(method, &scene.target).token(&scene.member).send().await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, PUT, DELETE")));
            gate.expect_count("method_not_allowed", "observed").await;
            assert_eq!(gate.count(method, &scene.target), 1);
        }
    });
}

#[test]
fn a_body_over_the_limit_arrives_whole() {
    run(async {
        let gate = start().await;
        let scene = Scene::new(&gate);
        let body = format!("{{\"status\": \"rejected\", \"x\": \"{}\"}}", "x".repeat(300_000));
        let reply = scene.accept(&gate).token(&scene.member).body(&body).send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("rejected")), "{}", reply.text());
        gate.expect_count("body_too_large", "observed").await;
        let seen = gate.seen().pop().expect("the update");
        assert_eq!(seen.body_length, body.len() as u64);
        assert!(body.as_bytes().starts_with(&seen.body));
    });
}

#[test]
fn a_body_that_turns_out_to_be_over_the_limit_arrives_in_chunks() {
    run(async {
        let gate = Gate::start(|config| {
            config.rules.default = Setting::Observe;
            config.body.max_body = 100;
        })
        .await;
        let scene = Scene::new(&gate);
        let body = format!("{ACCEPT}{}", " ".repeat(1000));
        let mut connection = Connection::open(gate.address).await;
        let call = gate.call("PUT", &scene.target).token(&scene.member).header("Transfer-Encoding", "chunked");
        connection.send(call.body(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).bytes()).await;
        let reply = connection.reply("PUT").await;
        // Glance cannot read chunks, and nobody may hold such a body back to count it
        assert_eq!(reply.status, 400, "{}", reply.text());
        gate.expect_count("body_too_large", "observed").await;
        let seen = gate.seen().pop().expect("the update");
        assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (Some("chunked"), None));
    });
}

#[test]
fn a_permitted_update_is_the_same_as_when_enforcing() {
    run(async {
        let gate = start().await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("accepted")));
        assert_eq!(gate.seen().pop().expect("the update").body_text(), CANONICAL);
        let metrics = gate.metrics().await;
        assert!(!metrics.contains("glance_gate_refusals_total{"), "{metrics}");
    });
}

#[test]
fn an_outage_of_keystone_does_not_stop_anybody() {
    run(async {
        let gate = start().await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Status(500));
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("accepted")));
        gate.expect_count("keystone_unavailable", "observed").await;
    });
}

#[test]
fn what_is_ambiguous_or_lost_is_refused_all_the_same() {
    run(async {
        let gate = Gate::start(|config| {
            config.rules.default = Setting::Observe;
            config.body.body_timeout = Duration::from_millis(100);
        })
        .await;
        let scene = Scene::new(&gate);
        let odd = gate.call("PUT", &format!("{}/", scene.target)).token(&scene.member).json(ACCEPT).send().await;
        gate.expect_refusal(&odd, "target_ambiguous").await;
        let odd = scene.accept(&gate).token(&scene.member).header("X_Roles", "admin").send().await;
        gate.expect_refusal(&odd, "header_ambiguous").await;
        let mut connection = Connection::open(gate.address).await;
        let call = scene.accept(&gate).token(&scene.member).header("Content-Length", "22").body("{\"status\"");
        connection.send(call.bytes()).await;
        let slow = connection.reply("PUT").await;
        gate.expect_refusal(&slow, "body_too_slow").await;
        gate.expect_unseen();
    });
}
