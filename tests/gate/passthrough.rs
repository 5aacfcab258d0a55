//! Everything that is no member update: forwarded unread, answered untouched.

use crate::client::Call;
use crate::client::Connection;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::STRANGER;
use crate::scene::Scene;

/// What the gate may add to an answer or write anew.
const OF_THE_CONNECTION: [&str; 4] = ["date", "connection", "x-openstack-request-id", "transfer-encoding"];

#[test]
fn answers_are_glances_own_to_the_byte() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let image = scene.image_target();
        for (method, target) in [
            ("GET", "/"),
            ("GET", "/versions"),
            ("GET", "/v2"),
            ("GET", "/v2/images"),
            ("GET", "/v2/images?limit=1&name=a%20b"),
            ("GET", &image),
            ("GET", &format!("{image}/members")),
            ("GET", &scene.target),
            ("GET", &format!("{image}/file")),
            ("GET", "/v2/images/11111111-2222-4333-8444-555555555555"),
            ("GET", "/v2/nothing"),
            ("GET", "/v2/schemas/member"),
            ("GET", "/v2/schemas/members"),
            ("GET", "/v9/images"),
            ("HEAD", "/v2/images"),
            ("OPTIONS", "/v2/images"),
            ("OPTIONS", &scene.target),
            ("POST", "/v2/schemas/member"),
            ("PROPFIND", "/v2/images"),
            ("POST", "/v2/images"),
        ] {
            for token in [Some(&scene.owner), None] {
                let call = |address| {
                    let call = Call::new(address, method, target).header("Host", "images.example");
                    let call = call.header("Accept", "application/json");
                    if let Some(token) = token { call.token(token) } else { call }
                };
                let ours = call(gate.address).send().await;
                let theirs = call(gate.glance.address()).send().await;
                let end_to_end = |headers: &[(String, String)]| {
                    let mut kept: Vec<(String, String)> = headers.to_vec();
                    kept.retain(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
                    kept.sort();
                    kept
                };
                assert_eq!(ours.status, theirs.status, "{method} {target}");
                assert_eq!(ours.text(), theirs.text(), "{method} {target}");
                assert_eq!(end_to_end(&ours.headers), end_to_end(&theirs.headers), "{method} {target}");
                assert!(ours.is_whole);
            }
        }
        let counted = gate.metrics().await;
        assert!(!counted.contains("glance_gate_refusals_total{"), "{counted}");
        assert_eq!(gate.questions(), 0, "what passes through is for Glance to check");
    });
}

#[test]
fn links_are_built_from_the_host_that_the_client_used() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let call = |target| gate.call("GET", target).token(&scene.member).header("Host", "images.example:443");
        let versions = call("/").send().await;
        assert_eq!(versions.status, 300);
        assert!(versions.text().contains("\"http://images.example:443/v2/\""), "{}", versions.text());
        let found = call("/v2").send().await;
        assert_eq!((found.status, found.header("location")), (302, Some("http://images.example:443/v2/")));
    });
}

#[test]
fn a_link_says_https_only_if_a_trusted_proxy_does() {
    run(async {
        for (trusted, scheme) in [("127.0.0.1/32", "https://"), ("10.0.0.0/8", "http://")] {
            let trusted = trusted.parse().expect("a network");
            let gate = Gate::start(|config| config.server.trusted_proxies = vec![trusted]).await;
            let call = gate.call("GET", "/").header("Host", "h").header("X-Forwarded-Proto", "https");
            let text = call.send().await.text();
            assert!(text.contains(&format!("\"{scheme}h/v2/\"")), "{text}");
        }
    });
}

#[test]
fn bodies_of_requests_pass_as_they_are() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let body = format!("{{ \"member\" :\"{STRANGER}\", \"member\": \"{STRANGER}\" }}");
        let call = gate.call("POST", &format!("{}/members", scene.image_target())).token(&scene.owner);
        let reply = call.header("Content-Type", "text/plain").body(&body).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = gate.seen().pop().expect("the call");
        assert_eq!((seen.body_text(), seen.header("content-type")), (body, Some("text/plain")));
        assert_eq!(gate.glance.member_status(&scene.image, STRANGER).as_deref(), Some("pending"));
    });
}

#[test]
fn one_connection_serves_many_calls() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let mut connection = Connection::open(gate.address).await;
        for _ in 0..5 {
            for (call, method, status) in [
                (gate.call("GET", "/v2/images").token(&scene.owner), "GET", 200),
                (gate.call("HEAD", "/v2/images").token(&scene.owner), "HEAD", 405),
                (scene.accept(&gate).token(&scene.member), "PUT", 200),
                (scene.accept(&gate).token(&scene.owner), "PUT", 403),
                (gate.call("OPTIONS", "/v2/images"), "OPTIONS", 200),
                (gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.member), "GET", 200),
            ] {
                connection.send(call.bytes()).await;
                assert_eq!(connection.reply(method).await.status, status, "{call:?}");
            }
        }
        gate.wait_for_metric("glance_gate_connections", 1).await;
        drop(connection);
        gate.wait_for_metric("glance_gate_connections", 0).await;
    });
}

#[test]
fn an_old_client_of_http_1_0_is_served() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let mut connection = Connection::open(gate.address).await;
        let head = format!(
            "PUT {} HTTP/1.0\r\nHost: gate\r\nX-Auth-Token: {}\r\nContent-Length: {}\r\n\r\n{ACCEPT}",
            scene.target,
            scene.member,
            ACCEPT.len()
        );
        connection.send(head).await;
        assert_eq!(connection.reply("PUT").await.status, 200);
        assert!(connection.is_over().await);
        assert_eq!(scene.status(&gate).as_deref(), Some("accepted"));
    });
}
