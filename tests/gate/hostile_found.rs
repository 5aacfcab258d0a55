//! What hostile requests have found; each test failed when it was written.

use std::time::Duration;
use std::time::Instant;

use glance_gate::demo::keystone::AccessRule;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::vouch::Telling;

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::run;
use crate::hostile::Stage;
use crate::hostile_bytes::filled;
use crate::scene::MEMBER;
use crate::scene::Scene;

/// hyper's `Uri` knows fewer targets than the framing does, and hyper answers for itself: unlogged and uncounted.
#[test]
fn hostile_targets_that_hyper_can_not_read_are_refused_by_the_gate() {
    run(async {
        let stage = Stage::new().await;
        let targets =
            ["/<", "/>", "/`", "/?<", "/?>", "/?\"", "?x", "x/y", "a:b:c", "@", "http://", "http://[/", "h!://x/"];
        let mut bare = Vec::new();
        for target in targets {
            let mut connection = Connection::open(stage.gate.address).await;
            connection.send(format!("GET {target} HTTP/1.1\r\nHost: gate\r\n\r\n")).await;
            let reply = connection.reply("GET").await;
            assert_eq!(reply.status, 400, "{target}");
            if reply.header("x-openstack-request-id").is_none() {
                bare.push(target);
            }
        }
        stage.gate.expect_unseen();
        assert!(bare.is_empty(), "answered without a request id: {bare:?}");
        let refused = stage.gate.metrics().await;
        let counted = refused.lines().filter(|line| line.starts_with("glance_gate_refusals_total{")).count();
        assert!(counted > 0, "{refused}");
    });
}

/// With `server.max_head` above 64 KiB, hyper's own bounds strike first.
#[test]
fn hostile_lines_over_64_kib_are_refused_by_the_gate() {
    run(async {
        let gate = Gate::start(|config| config.server.connection.max_head_bytes = 256 * 1024).await;
        let mut bare = Vec::new();
        for (what, head) in [
            ("a target", "GET /«a*70000» HTTP/1.1\r\nHost: gate\r\n\r\n"),
            ("a name", "GET / HTTP/1.1\r\nHost: gate\r\n«a*70000»: b\r\n\r\n"),
        ] {
            let mut connection = Connection::open(gate.address).await;
            connection.try_send(filled(head)).await;
            let reply = connection.reply("GET").await;
            if reply.header("x-openstack-request-id").is_none() {
                bare.push((what, reply.status));
            }
        }
        assert!(bare.is_empty(), "answered without a request id: {bare:?}");
    });
}

/// HTTP/1.1 is what goes to Glance, and that has a `Host` (RFC 9112 section 3.2).
#[test]
fn a_benign_request_of_http_1_0_without_a_host_gets_one() {
    run(async {
        let stage = Stage::new().await;
        let mut connection = Connection::open(stage.gate.address).await;
        connection.send(stage.bytes("GET /v2/images HTTP/1.0\r\nX-Auth-Token: «token»\r\n\r\n")).await;
        assert_eq!(connection.reply("GET").await.status, 200);
        assert_eq!(stage.gate.seen().pop().expect("the call").header_values("host").len(), 1);
    });
}

/// The gate adds two headers of its own, so that what is just within its bound is over Glance's.
#[test]
fn a_benign_request_with_as_many_headers_as_the_gate_takes_passes() {
    run(async {
        let stage = Stage::new().await;
        for many in ["«get»«X-Many: a~*97»\r\n", "«get»«X-Many: a~*98»\r\n"] {
            let mut connection = Connection::open(stage.gate.address).await;
            connection.send(stage.bytes(many)).await;
            let reply = connection.reply("GET").await;
            // passed or refused by the gate, but not refused by Glance for what the gate added
            if reply.status != 200 {
                assert_eq!(reply.status, 431, "{many}");
                stage.gate.expect_refusal(&reply, "head_too_large").await;
            }
        }
    });
}

/// The connection ends, and its last answer should say so (RFC 9112 section 9.6).
#[test]
fn a_hostile_chunk_behind_an_early_refusal_ends_the_connection_in_words() {
    run(async {
        let stage = Stage::new().await;
        let head = "PUT «target» HTTP/1.1\r\nHost: gate\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut connection = Connection::open(stage.gate.address).await;
        connection.send(stage.bytes(&format!("{head}zz\r\n«hidden»"))).await;
        let reply = connection.reply("PUT").await;
        stage.gate.expect_refusal(&reply, "token_missing").await;
        assert!(connection.is_over().await);
        stage.gate.expect_unseen();
        assert_eq!(reply.header("connection"), Some("close"));
    });
}

/// `server.head_timeout` is for one head; a client that always has the start of the next one on the way is not slow.
#[test]
fn benign_pipelines_are_not_timed_from_a_head_that_is_long_done() {
    run(async {
        let timeout = Duration::from_millis(200);
        let gate = Gate::start(|config| config.server.connection.head_timeout = timeout).await;
        let mut connection = Connection::open(gate.address).await;
        connection.send("GET /healthch").await;
        let started = Instant::now();
        let mut answers = 0;
        while started.elapsed() < timeout * 3 {
            connection.send("eck HTTP/1.1\r\nHost: gate\r\n\r\nGET /healthch").await;
            let reply = connection.reply("GET").await;
            answers += 1;
            assert_eq!(reply.status, 200, "answer {answers}, after {:?}", started.elapsed());
        }
    });
}

/// With `identity = "forward"` the gate reads the access rules itself, and a name may look like a version.
#[test]
fn a_hostile_name_that_looks_like_a_version_does_not_bend_access_rules() {
    run(async {
        let gate = Gate::start(|config| config.telling = Telling::Headers).await.warm().await;
        let scene = Scene::new(&gate);
        let mut passed = Vec::new();
        for (method, target, rule) in [
            ("PUT", format!("{}/tags/v2.5", scene.image_target()), "/v2"),
            ("GET", "/v2/metadefs/namespaces/v2.1/objects/x".into(), "/v2/objects/x"),
        ] {
            let rules = vec![AccessRule::image(method, rule)];
            let token = gate.keystone.issue(TokenSpec::member(MEMBER).application_credential(rules));
            gate.call(method, &target).token(&token).send().await;
            if gate.count(method, &target) > 0 {
                passed.push((target, rule));
            }
        }
        assert!(passed.is_empty(), "allowed by a rule for something else: {passed:?}");
    });
}
