//! Hostile spellings of a target, and benign ones that look like them.

use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::MEMBER;
use crate::scene::Scene;

#[test]
fn a_target_that_can_be_read_in_two_ways_is_not_forwarded() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let image = scene.image.as_str();
        let targets = [
            format!("//v2/images/{image}/members/{MEMBER}"),
            format!("/v2//images/{image}/members/{MEMBER}"),
            format!("/v2/images//{image}/members/{MEMBER}"),
            format!("/v2/images/{image}//members/{MEMBER}"),
            format!("/v2/images/{image}/members//{MEMBER}"),
            format!("/v2/images/{image}/members/{MEMBER}/"),
            format!("/v2/images/{image}/members/{MEMBER}//"),
            format!("/v2/./images/{image}/members/{MEMBER}"),
            format!("/v2/images/x/../{image}/members/{MEMBER}"),
            format!("/v2/images/{image}/members/x/../{MEMBER}"),
            format!("/../v2/images/{image}/members/{MEMBER}"),
            format!("/v2/%2e%2e/v2/images/{image}/members/{MEMBER}"),
            format!("/v2/%2E/images/{image}/members/{MEMBER}"),
            format!("/v2/images/{image}%2Fmembers%2F{MEMBER}"),
            format!("/v2/images/{image}/members%2f{MEMBER}"),
            format!("/v2/images/{image}/members/%2f{MEMBER}"),
            format!("/v2/images/{image}/members/{MEMBER}%5c"),
            format!("/%76%32/images/{image}/members/{MEMBER}"),
            format!("/v2/%69mages/{image}/members/{MEMBER}"),
            format!("/v2/images/{image}/%6dembers/{MEMBER}"),
            format!("/v2/images/%{:02x}{}/members/{MEMBER}", image.as_bytes()[0], &image[1..]),
            format!("/v2/images/{image}/members/%{:02x}{}", MEMBER.as_bytes()[0], &MEMBER[1..]),
            format!("/v2/images/{image}/members/{MEMBER}%0a"),
            format!("/v2/images/{image}/members/{MEMBER}%00"),
            format!("/v2/images/{image}/members/{MEMBER}%7f"),
            format!("/v2/images/{image}/members/{MEMBER}%20"),
            format!("/v2/images/{image}/members/{MEMBER};x=1"),
            format!("/v2/images;x=1/{image}/members/{MEMBER}"),
            format!("/v2\\images\\{image}\\members\\{MEMBER}"),
            format!("/v2/images/{image}/members/{MEMBER}\\"),
            format!("/v2/images/{image}/members/{MEMBER}.json"),
            format!("/v2/images/{image}/members/{MEMBER}%"),
            format!("/v2/images/{image}/members/{MEMBER}%zz"),
            format!("/v2/images/{image}/members/{MEMBER}%+1"),
            format!("/v2/images/{image}/members/%c0%af"),
            format!("/v2/images/{image}/members/%ff"),
            format!("/images/{image}/members/{MEMBER}"),
            format!("/v1/images/{image}/members/{MEMBER}"),
            format!("/v3/images/{image}/members/{MEMBER}"),
            format!("/V2/images/{image}/members/{MEMBER}"),
            format!("/v2.0.0/images/{image}/members/{MEMBER}"),
            format!("/v2.1234/images/{image}/members/{MEMBER}"),
            format!("/v2/Images/{image}/members/{MEMBER}"),
            format!("/v2/images/{image}/MEMBERS/{MEMBER}"),
            format!("/v2/v2/images/{image}/members/{MEMBER}"),
            format!("/image/v2/images/{image}/members/{MEMBER}"),
            format!("/v2/images/{image}/members/{MEMBER}?_method=PUT"),
            format!("/v2/images/{image}/members/{MEMBER}?a=1&%5Fmethod=DELETE"),
            format!("/v2/images/{image}/members/{MEMBER}?a;_METHOD=DELETE"),
            format!("/v2/images/{image}/members/{MEMBER}?+_method=x"),
            "/v2/images?_method=DELETE".to_owned(),
            format!("/v2/images/{image}?_method"),
            format!("http://glance/v2/images/{image}/members/{MEMBER}"),
            format!("https://{}/v2/images", gate.address),
        ];
        for method in ["PUT", "GET"] {
            for target in &targets {
                let call = gate.call(method, target).token(&scene.member).header("Accept", "application/json");
                let reply = call.json(ACCEPT).send().await;
                assert_eq!(reply.status, 400, "{method} {target}");
                gate.expect_refusal(&reply, "target_ambiguous").await;
            }
        }
        gate.expect_unseen();
        assert_eq!(scene.status(&gate).as_deref(), Some("pending"));
    });
}

#[test]
fn a_target_that_is_no_path_is_not_forwarded() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        for (method, target) in [("OPTIONS", "*"), ("CONNECT", "glance:9292"), ("GET", "v2/images"), ("GET", "?x")] {
            let reply = gate.call(method, target).send().await;
            assert!(matches!(reply.status, 400 | 405), "{method} {target}: {}", reply.status);
        }
        gate.expect_unseen();
    });
}

#[test]
fn a_request_line_that_is_none_is_not_forwarded() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for line in [
            format!("PUT {} x HTTP/1.1", scene.target),
            format!("PUT {}\u{fc} HTTP/1.1", scene.target),
            format!("PUT {}\tx HTTP/1.1", scene.target),
            format!("PUT {}\u{1}x HTTP/1.1", scene.target),
            format!("PUT  {} HTTP/1.1", scene.target),
            format!("PUT {} HTTP/1.1 ", scene.target),
            format!("PUT {}", scene.target),
            format!("PUT {} HTTP/2.0", scene.target),
            format!("PUT {} http/1.1", scene.target),
            format!(" PUT {} HTTP/1.1", scene.target),
        ] {
            let mut connection = Connection::open(gate.address).await;
            let token = &scene.member;
            let head = format!("{line}\r\nHost: gate\r\nX-Auth-Token: {token}\r\nContent-Length: 22\r\n\r\n{ACCEPT}");
            connection.try_send(head).await;
            let status = connection.try_reply("PUT").await.map(|reply| reply.status);
            assert!(status.is_none_or(|status| status == 400), "{line}: {status:?}");
        }
        gate.expect_unseen();
    });
}

#[test]
fn benign_targets_pass_byte_for_byte() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let image = scene.image.as_str();
        for target in [
            "/".to_owned(),
            "/versions".into(),
            "/v2/".into(),
            "/v2/images".into(),
            "/v2/images/".into(),
            "/v2/images?".into(),
            "/v2/images?name=a%20b&x=%7e&&y=+&z=%2F..%2f//;".into(),
            "/v2/images?x_method=PUT&y=_method&_methods=1".into(),
            "/v2/images?%F0%9F%98%80=%ff".into(),
            "/v2.9/images".into(),
            format!("/v2/images/{image}"),
            format!("/v2/images/{image}/members"),
            format!("/v2/images/{image}/members/{MEMBER}?x=//../"),
            format!("/v2/images/{image}/members/{MEMBER}/x"),
            format!("/v2/images/{image}/tags/a%20b"),
            format!("/v2/images/{image}/tags/%C3%BC"),
            format!("/v2/images/{image}/tags/a:b@c,d~e!$'()*"),
            "/v2/schemas/member".into(),
            "/members/x/images/y".into(),
            "/v2/images/members".into(),
        ] {
            let reply = gate.call("GET", &target).token(&scene.owner).send().await;
            assert!(matches!(reply.status, 200 | 300 | 302 | 404), "{target}: {}", reply.status);
            assert_eq!(gate.seen().pop().expect("the call").target, target);
        }
        let counted = gate.metrics().await;
        assert!(!counted.contains("glance_gate_refusals_total{"), "{counted}");
    });
}

#[test]
fn every_version_of_a_member_path_is_guarded() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        for version in ["v2", "v2.0", "v2.1", "v2.17", "v2.99", "v2.999"] {
            let target = scene.target.replace("/v2/", &format!("/{version}/"));
            let reply = gate.call("PUT", &target).json(ACCEPT).send().await;
            gate.expect_refusal(&reply, "token_missing").await;
        }
        gate.expect_unseen();
        let target = scene.target.replace("/v2/", "/v2.9/");
        let reply = gate.call("PUT", &target).token(&scene.owner).json(ACCEPT).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        let reply = gate.call("PUT", &target).token(&scene.member).json(ACCEPT).send().await;
        assert_eq!((reply.status, gate.count("PUT", &target)), (200, 1));
    });
}
