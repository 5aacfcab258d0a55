//! What is no member update: another method, another media type, too large, no JSON, no status.

use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;

use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::Scene;

#[test]
fn a_body_that_is_no_member_update_is_refused_before_glance_is_asked() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let deep = format!(r#"{{"status": "accepted", "x": {}{}}}"#, "[".repeat(40), "]".repeat(40));
        for (reason, body) in [
            ("body_missing", &b""[..]),
            ("body_malformed", b"{"),
            ("body_malformed", b" "),
            ("body_malformed", b"status=accepted"),
            ("body_malformed", b"{'status': 'accepted'}"),
            ("body_malformed", b"{\"status\": \"accepted\"}{\"status\": \"rejected\"}"),
            ("body_malformed", b"\xef\xbb\xbf{\"status\": \"accepted\"}"),
            ("body_malformed", b"{\"status\": \"accepted\", \"x\": \"\xff\"}"),
            ("body_malformed", b"{\"status\": \"accepted\", \"x\": NaN}"),
            ("body_ambiguous", br#"{"status": "pending", "status": "accepted"}"#),
            ("body_ambiguous", br#"{"status": "pending", "\u0073tatus": "accepted"}"#),
            ("body_ambiguous", deep.as_bytes()),
            ("body_not_object", br#"["status"]"#),
            ("body_not_object", br#"[{"status": "accepted"}]"#),
            ("body_not_container", br#""accepted""#),
            ("body_not_container", b"null"),
            ("body_not_container", b"1"),
            ("status_missing", b"{}"),
            ("status_missing", br#"{"Status": "accepted"}"#),
            ("status_missing", br#"{"member": {"status": "accepted"}}"#),
        ] {
            let call = scene.accept(&gate).token(&scene.member).body(body);
            let reply = call.send().await;
            assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(body));
            gate.expect_refusal(&reply, reason).await;
        }
        gate.expect_unseen();
    });
}

#[test]
fn a_status_that_is_none_of_the_three_is_refused_last() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for status in [
            r#""Accepted""#,
            r#""accepted ""#,
            r#""""#,
            "null",
            "true",
            "1",
            r#"["accepted"]"#,
            r#"{"a": 1}"#,
            r#""deleted""#,
        ] {
            let body = format!(r#"{{"status": {status}}}"#);
            let reply = scene.accept(&gate).token(&scene.member).body(&body).send().await;
            assert_eq!(reply.status, 400, "{status}");
            gate.expect_refusal(&reply, "status_unknown").await;
            // the owner and a stranger are told theirs first
            let reply = scene.accept(&gate).token(&scene.owner).body(&body).send().await;
            gate.expect_refusal(&reply, "owner_forbidden").await;
            let reply = scene.accept(&gate).token(&scene.stranger).body(&body).send().await;
            gate.expect_refusal(&reply, "image_not_found").await;
        }
        assert_eq!(gate.count("PUT", &scene.target), 0);
    });
}

#[test]
fn the_media_type_must_be_json_when_it_is_stated() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let call = |kind: &[u8]| {
            gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", kind).body(ACCEPT)
        };
        for kind in [
            &b"text/plain"[..],
            b"application/jsonx",
            b"application/xml; x=application/json",
            b"application/json-patch+json",
            b"json",
            b"\xffapplication/json",
        ] {
            let reply = call(kind).send().await;
            assert_eq!(reply.status, 415, "{}", String::from_utf8_lossy(kind));
            gate.expect_refusal(&reply, "media_type_unsupported").await;
        }
        let twice = call(b"application/json").header("Content-Type", "text/plain").send().await;
        gate.expect_refusal(&twice, "media_type_unsupported").await;
        for coding in ["gzip", "identity", "br, gzip"] {
            let reply = call(b"application/json").header("Content-Encoding", coding).send().await;
            assert_eq!(reply.status, 415);
            gate.expect_refusal(&reply, "content_encoding_unsupported").await;
        }
        gate.expect_unseen();

        for kind in ["application/json", "Application/JSON", "application/json; charset=UTF-8", " application/json "] {
            assert_eq!(call(kind.as_bytes()).send().await.status, 200, "{kind}");
        }
        let unstated = gate.call("PUT", &scene.target).token(&scene.member).body(ACCEPT).send().await;
        assert_eq!(unstated.status, 200);
    });
}

#[test]
fn the_glance_profile_looks_at_no_media_type() {
    run(async {
        let gate = Gate::start(|config| config.profile = Profile::Glance(PolicyDefaults::New)).await;
        let scene = Scene::new(&gate);
        let call = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Type", "text/plain");
        let reply = call.header("Content-Encoding", "gzip").body(ACCEPT).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = gate.seen().pop().expect("the update");
        assert_eq!(seen.header_values("content-type"), ["application/json"]);
        assert_eq!(seen.header("content-encoding"), None);
    });
}

#[test]
fn a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not() {
    run(async {
        let gate = Gate::start(|config| config.body.max_body = 1000).await;
        let scene = Scene::new(&gate);
        let of_length = |length: usize| format!("{ACCEPT:<length$}");
        let told = scene.accept(&gate).token(&scene.member).body(of_length(1001));
        let chunks = format!("3e9\r\n{}\r\n0\r\n\r\n", of_length(1001));
        let untold = scene.accept(&gate).token(&scene.member).header("Transfer-Encoding", "chunked").body(chunks);
        for call in [told, untold] {
            let reply = call.send().await;
            assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
            gate.expect_refusal(&reply, "body_too_large").await;
        }
        // what is announced is refused before it is sent
        let announced = gate.call("PUT", &scene.target).token(&scene.member).header("Content-Length", "999999999999");
        gate.expect_refusal(&announced.send().await, "body_too_large").await;
        gate.expect_unseen();

        let whole = scene.accept(&gate).token(&scene.member).body(of_length(1000)).send().await;
        assert_eq!(whole.status, 200);
    });
}

#[test]
fn a_member_knows_get_put_and_delete_only() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for method in ["POST", "PATCH", "HEAD", "PROPFIND", "put", "X"] {
            let call = gate.call(method, &scene.target).header("Accept", "application/json").json(ACCEPT);
            let reply = call.clone().token(&scene.member).send().await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, PUT, DELETE")), "{method}");
            gate.expect_refusal(&reply, "method_not_allowed").await;
            // who asks comes first
            gate.expect_refusal(&call.send().await, "token_missing").await;
        }
        let reply = gate.call("TRACE", &scene.image_target()).token(&scene.member).send().await;
        assert_eq!(reply.status, 405);
        gate.expect_refusal(&reply, "method_unsupported").await;
        gate.expect_unseen();

        let get = gate.call("GET", &scene.target).token(&scene.member).send().await;
        assert_eq!((get.status, get.json()["status"].as_str()), (200, Some("pending")));
        assert_eq!(gate.call("OPTIONS", &scene.target).send().await.status, 200);
        let delete = gate.call("DELETE", &scene.target).token(&scene.owner).send().await;
        assert_eq!((delete.status, scene.status(&gate)), (204, None));
    });
}
