//! What Glance sees of a call that passes.

use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::CANONICAL;
use crate::scene::MEMBER;
use crate::scene::Scene;

#[test]
fn a_permitted_call_is_forwarded_in_the_gates_own_spelling() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let target = format!("{}?a=%7e&b=+&&c", scene.target);
        let reply = gate
            .call("PUT", &target)
            .token(&scene.member)
            .header("Host", "images.example:9292")
            .header("User-Agent", "test")
            .json(" { \"x\": [1], \"\\u0073tatus\" : \"accepte\\u0064\" }\n")
            .send()
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = gate.seen().pop().expect("the update");
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", target.as_str()));
        assert_eq!(seen.body_text(), CANONICAL);
        assert_eq!(seen.header_values("content-length"), [CANONICAL.len().to_string()]);
        assert_eq!(seen.header_values("content-type"), ["application/json"]);
        assert_eq!(seen.header_values("transfer-encoding"), [""; 0]);
        assert_eq!(seen.header_values("x-auth-token"), [scene.member.as_str()]);
        assert_eq!(seen.header_values("host"), ["images.example:9292"]);
        assert_eq!(seen.header_values("user-agent"), ["test"]);
        assert_eq!(seen.header_values("x-forwarded-for"), ["127.0.0.1"]);
    });
}

#[test]
fn chunks_become_a_body_with_a_length() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let chunks = "1;x=y\r\n{\r\na\r\n\"status\": \r\nb\r\n\"rejected\"}\r\n0\r\nX-Trailer: 1\r\n\r\n";
        let call = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", "application/json");
        let call = call.header("Transfer-Encoding", "chunked").header("Trailer", "X-Trailer").body(chunks);
        let reply = call.send().await;
        assert_eq!((reply.status, scene.status(&gate).as_deref()), (200, Some("rejected")), "{}", reply.text());
        let seen = gate.seen().pop().expect("the update");
        assert_eq!(seen.body_text(), r#"{"status":"rejected"}"#);
        assert_eq!(seen.header("content-length"), Some("21"));
        for gone in ["transfer-encoding", "trailer", "x-trailer"] {
            assert_eq!(seen.header(gone), None, "{gone}");
        }
    });
}

#[test]
fn every_status_arrives_and_the_answer_is_the_documented_one() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for status in ["accepted", "rejected", "pending"] {
            let body = format!(r#"{{"status": "{status}"}}"#);
            let reply = scene.accept(&gate).token(&scene.member).body(body).send().await;
            assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
            assert_eq!(scene.status(&gate).as_deref(), Some(status));
            let json = reply.json();
            let mut keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
            keys.sort();
            assert_eq!(keys, ["created_at", "image_id", "member_id", "schema", "status", "updated_at"]);
            assert_eq!(json["status"], status);
            assert_eq!(json["image_id"], scene.image);
            assert_eq!(json["member_id"], MEMBER);
            assert_eq!(json["schema"], "/v2/schemas/member");
        }
        gate.wait_for_metric(r#"glance_gate_requests_total{branch="member_update",verdict="permitted",code="200"}"#, 3)
            .await;
    });
}

#[test]
fn what_says_who_somebody_is_never_passes() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let stripped = [
            "X-Identity-Status",
            "X-Project-Id",
            "X-Project-Domain-Name",
            "X-Domain-Id",
            "X-Tenant",
            "X-Tenant-Id",
            "X-User",
            "X-User-Id",
            "X-Role",
            "X-Roles",
            "X-Service-Roles",
            "X-Service-Identity-Status",
            "X-Is-Admin-Project",
            "OpenStack-System-Scope",
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Prefix",
            "X-Real-IP",
            "Forwarded",
            "Keep-Alive",
            "Proxy-Connection",
            "Proxy-Authorization",
            "TE",
            "Upgrade",
            "Expect",
        ];
        for target in [&scene.target, "/v2/images"] {
            let method = if target == "/v2/images" { "GET" } else { "PUT" };
            let mut call = gate.call(method, target).token(&scene.member).json(ACCEPT);
            call = call.header("X-Forwarded-For", "10.9.8.7").header("Connection", "keep-alive, TE, close");
            call = call.header("X-Image-Meta-Name", "kept");
            for name in stripped {
                call = call.header(name, if name == "Expect" { "100-continue" } else { "admin" });
            }
            assert_eq!(call.send().await.status, 200, "{target}");
            let seen = gate.seen().pop().expect("the call");
            for name in stripped.iter().chain(&["Connection"]) {
                assert_eq!(seen.header(name), None, "{name} at {target}");
            }
            assert_eq!(seen.header_values("x-forwarded-for"), ["127.0.0.1"]);
            assert_eq!(seen.header("x-image-meta-name"), Some("kept"));
        }
        // the look-up of the owner carries nothing of the client but its token
        let look = gate.seen().into_iter().find(|seen| seen.target == scene.image_target()).expect("a look-up");
        let mut names: Vec<&str> = look.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "x-auth-token", "x-openstack-request-id"]);
    });
}

#[test]
fn a_trusted_proxy_may_say_where_a_call_came_from() {
    run(async {
        let trusted = "127.0.0.0/8".parse().expect("a network");
        let gate = Gate::start(|config| config.server.trusted_proxies = vec![trusted]).await;
        let scene = Scene::new(&gate);
        let call = scene.accept(&gate).token(&scene.member).header("X-Forwarded-For", "10.9.8.7");
        let reply = call.header("X-Forwarded-Proto", "https").header("X-Roles", "admin").send().await;
        assert_eq!(reply.status, 200);
        let seen = gate.seen().pop().expect("the update");
        assert_eq!(seen.header_values("x-forwarded-for"), ["10.9.8.7, 127.0.0.1"]);
        assert_eq!(seen.header_values("x-forwarded-proto"), ["https"]);
        assert_eq!(seen.header("x-roles"), None);
    });
}

#[test]
fn a_mount_is_kept_on_the_way_to_glance() {
    run(async {
        let gate = Gate::start(|config| config.server.mount = "/image".into()).await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "target_ambiguous").await;
        gate.expect_unseen();
        // the stand-in is not mounted: what counts is that it was asked below the mount
        let target = format!("/image{}", scene.target);
        let reply = gate.call("PUT", &target).token(&scene.member).json(ACCEPT).send().await;
        assert_eq!(gate.seen()[0].target, format!("/image{}", scene.image_target()));
        gate.expect_refusal(&reply, "ownership_unavailable").await;
    });
}
