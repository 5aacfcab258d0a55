//! Copies of the traffic for a staging: which requests are copied, what staging gets, and that the primary is as before.

use glance_gate::demo::fault::Fault;
use glance_gate::demo::glance::ImageSpec;
use glance_gate::diff::ids::Ids;
use http::Method;

use crate::client::Connection;
use crate::harness::run;
use crate::http2_client::Http2;
use crate::scene::ACCEPT;
use crate::scene::CANONICAL;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;
use crate::scripted::Act;
use crate::scripted::Upstream;
use crate::shadow_scene::Shadowed;

const MEMBER_ROUTE: &str = "/v2/images/{image_id}/members/{member_id}";
const MEMBERS_ROUTE: &str = "/v2/images/{image_id}/members";

#[test]
fn a_read_is_copied_without_its_credentials_and_says_so() {
    run(async {
        let shadowed = Shadowed::start(|_| {}).await;
        let scene = Scene::new(&shadowed.gate);
        let reply = shadowed
            .gate
            .call("GET", &scene.image_target())
            .token(&scene.owner)
            .header("Accept", "application/json")
            .header("Accept-Encoding", "identity")
            .header("User-Agent", "tester/1")
            .header("Cookie", "session=chocolate")
            .header("X-User-Id", "somebody")
            .header("X-Strange", "strange")
            .send()
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = shadowed.staging.wait_for(1).await.pop().expect("the copy");
        assert_eq!((seen.method.as_str(), &seen.target), ("GET", &scene.image_target()));
        let id = reply.header("x-openstack-request-id").expect("an id");
        let mut headers: Vec<(&str, &str)> =
            seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.sort_unstable();
        let host = shadowed.staging.glance.address().to_string();
        assert_eq!(
            headers,
            [
                ("accept", "application/json"),
                ("host", host.as_str()),
                ("user-agent", "tester/1"),
                ("x-glance-gate-shadow", id),
                ("x-openstack-request-id", id),
            ]
        );
        shadowed.wait_for_sent(1).await;
        shadowed
            .gate
            .wait_for_metric(
                "glance_gate_shadow_compared_total{route=\"/v2/images/{image_id}\",outcome=\"differs\"}",
                1,
            )
            .await;
        shadowed.wait_for_rest().await;
        shadowed.staging.expect_nowhere(&scene.owner);
        // the gate's own look-ups and what came to the primary are as they were
        assert_eq!(shadowed.gate.seen().len(), 1);
    });
}

#[test]
fn writes_are_not_copied_unless_they_are_named() {
    run(async {
        let shadowed = Shadowed::start(|_| {}).await;
        let scene = Scene::new(&shadowed.gate);
        let reply = scene.accept(&shadowed.gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        shadowed.gate.call("GET", "/v2/images").token(&scene.member).send().await;
        let seen = shadowed.staging.wait_for(1).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("GET", "/v2/images"));
    });
}

#[test]
fn a_named_write_is_copied_as_the_primary_got_it() {
    run(async {
        let shadowed = Shadowed::start(|config| config.shadow.writes = vec![(Method::PUT, MEMBER_ROUTE)]).await;
        // it reads whatever comes
        shadowed.staging.glance.set_fault(Fault::Status(200));
        let scene = Scene::new(&shadowed.gate);
        let reply = scene.accept(&shadowed.gate).token(&scene.member).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = shadowed.staging.wait_for(1).await.pop().expect("the copy");
        assert_eq!((seen.method.as_str(), &seen.target), ("PUT", &scene.target));
        assert_eq!((seen.body_text().as_str(), seen.header("content-type")), (CANONICAL, Some("application/json")));
        assert_eq!(seen.header("idempotency-key"), reply.header("x-openstack-request-id"));
        // what the gate itself refuses never was the primary's
        let refused = scene.accept(&shadowed.gate).token(&scene.owner).send().await;
        assert_eq!(refused.status, 403);
        let deleted = shadowed.gate.call("DELETE", &scene.target).token(&scene.owner).send().await;
        assert_eq!(deleted.status, 204);
        shadowed.gate.call("GET", "/v2/images").token(&scene.member).send().await;
        let targets: Vec<String> = shadowed.staging.wait_for(2).await.into_iter().map(|seen| seen.method).collect();
        assert_eq!(targets, ["PUT", "GET"]);
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn a_body_that_streams_by_is_copied_whole_or_not_at_all() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        let primary = Upstream::start(move |_| Act::Answer(answer.into())).await;
        let shadowed = Shadowed::start(|config| {
            config.upstream.servers = vec![primary.url.clone()];
            config.shadow.writes = vec![(Method::POST, MEMBERS_ROUTE)];
            config.shadow.limits.request_bytes = 1000;
        })
        .await;
        shadowed.staging.glance.set_fault(Fault::Status(200));
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        let target = format!("{}/members", scene.image_target());
        let head = |length: &str| {
            format!(
                "POST {target} HTTP/1.1\r\nHost: gate\r\nX-Auth-Token: {}\r\nContent-Type: application/json\r\n{length}\r\n\r\n",
                scene.owner
            )
        };
        // chunked, in two pieces that come one after the other
        let mut connection = Connection::open(gate.address).await;
        connection.send(head("Transfer-Encoding: chunked")).await;
        connection.send("c\r\n{\"member\": \"\r\n").await;
        connection.send("6\r\nabcd\"}\r\n0\r\n\r\n").await;
        assert_eq!(connection.reply("POST").await.status, 200);
        // of known length, on the same connection
        connection.send(head("Content-Length: 18")).await;
        connection.send("{\"member\": \"efgh\"}").await;
        assert_eq!(connection.reply("POST").await.status, 200);
        let seen = shadowed.staging.wait_for(2).await;
        let bodies: Vec<String> = seen.iter().map(glance_gate::demo::record::Seen::body_text).collect();
        assert_eq!(bodies, ["{\"member\": \"abcd\"}", "{\"member\": \"efgh\"}"]);
        // longer than what is kept, known before and not
        let long = format!("{{\"member\": \"ijkl\", \"x\": \"{}\"}}", "x".repeat(2000));
        connection.send(head(&format!("Content-Length: {}", long.len()))).await;
        connection.send(&long).await;
        let known = connection.reply("POST").await;
        connection.send(head("Transfer-Encoding: chunked")).await;
        connection.send(format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len())).await;
        let unknown = connection.reply("POST").await;
        assert!(known.is_whole && unknown.is_whole);
        shadowed.wait_for_dropped("request_too_large", 2).await;
        let lengths: Vec<usize> = primary.arrived().iter().map(|arrived| arrived.body_length).collect();
        assert!(lengths.iter().all(|length| *length >= 18) && lengths[2] == long.len(), "{lengths:?}");
        shadowed.wait_for_rest().await;
        assert_eq!(shadowed.staging.seen().len(), 2);
    });
}

#[test]
fn answers_of_every_form_reach_the_client_as_they_were() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.shadow.writes = vec![(Method::DELETE, MEMBER_ROUTE)];
        })
        .await;
        let gate = &shadowed.gate;
        let plain = crate::harness::Gate::between((gate.keystone.clone(), gate.glance.clone()), |_| {}).await;
        let scene = Scene::new(gate);
        let mut copies = 0;
        for (method, target, status) in [
            ("GET", scene.image_target(), 200),
            ("HEAD", scene.image_target(), 0),
            ("GET", "/v2/images?limit=1".to_owned(), 200),
            ("GET", format!("{}/members", scene.image_target()), 200),
            ("GET", "/v2/images/unknown".to_owned(), 404),
            ("GET", "/".to_owned(), 300),
            ("DELETE", scene.target.clone(), 204),
        ] {
            let expected = if method == "DELETE" {
                None
            } else {
                Some(plain.call(method, &target).token(&scene.owner).send().await)
            };
            let reply = gate.call(method, &target).token(&scene.owner).send().await;
            copies += 1;
            assert!(reply.is_whole && (status == 0 || reply.status == status), "{method} {target}: {}", reply.status);
            if let Some(expected) = expected.filter(|_| target != "/") {
                assert_eq!((reply.status, &reply.body), (expected.status, &expected.body), "{method} {target}");
                let length = |reply: &crate::client::Reply| reply.header("content-length").map(str::to_owned);
                assert_eq!(length(&reply), length(&expected), "{method} {target}");
            }
        }
        let seen = shadowed.staging.wait_for(copies).await;
        assert_eq!(seen.len(), copies);
        assert_eq!(seen[1].method, "HEAD");
        shadowed.wait_for_sent(copies as u64).await;
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn calls_of_http2_are_copied_alike() {
    run(async {
        let shadowed = Shadowed::start(|config| config.shadow.writes = vec![(Method::POST, MEMBERS_ROUTE)]).await;
        shadowed.staging.glance.set_fault(Fault::Status(200));
        let scene = Scene::new(&shadowed.gate);
        let client = Http2::open(shadowed.gate.address).await;
        let read = client.request("GET", &scene.image_target()).header("x-auth-token", &scene.owner);
        assert_eq!(client.send(read, b"").await.status, 200);
        let write = client.request("POST", &format!("{}/members", scene.image_target()));
        let write = write
            .header("x-auth-token", &scene.owner)
            .header("content-type", "application/json")
            .header("content-length", "46");
        let reply = client.send(write, b"{\"member\": \"2cd362afb58c4661a44d99d95132f7a5\"}").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = shadowed.staging.wait_for(2).await;
        assert_eq!((seen[0].method.as_str(), seen[0].body.len()), ("GET", 0));
        assert_eq!(
            (seen[1].method.as_str(), seen[1].body_text().as_str()),
            ("POST", "{\"member\": \"2cd362afb58c4661a44d99d95132f7a5\"}")
        );
        shadowed.staging.expect_nowhere(&scene.owner);
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn images_are_never_copied_whatever_is_configured() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            // no configuration file can say this
            config.shadow.writes =
                vec![(Method::PUT, "/v2/images/{image_id}/file"), (Method::PUT, "/v2/images/{image_id}/stage")];
        })
        .await;
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        let image = gate.glance.add_image(ImageSpec { size: None, ..ImageSpec::owned_by(OWNER) });
        for kind in ["application/octet-stream", "application/json"] {
            let upload = gate.call("PUT", &format!("/v2/images/{image}/file")).token(&scene.owner);
            upload.header("Content-Type", kind).body("bytes of an image").send().await;
        }
        gate.call("PUT", &format!("/v2/images/{image}/stage")).token(&scene.owner).body("bytes").send().await;
        gate.glance.set_size(&scene.image, 300_000);
        let download = gate.call("GET", &format!("{}/file", scene.image_target())).token(&scene.owner).send().await;
        assert_eq!((download.status, download.body.len()), (200, 300_000));
        let last = gate.call("GET", &scene.image_target()).token(&scene.owner).send().await;
        assert_eq!(last.status, 200);
        shadowed.wait_for_sent(1).await;
        let seen = shadowed.staging.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        shadowed.wait_for_rest().await;
    });
}

#[test]
fn ids_have_the_names_that_staging_knows_in_path_query_and_body() {
    run(async {
        let (image, member) = ("0d5bcbc7-b066-4217-83f4-7111a60a399a", "staging-member");
        let shadowed = Shadowed::start(|config| {
            config.shadow.writes = vec![(Method::POST, MEMBERS_ROUTE), (Method::PUT, MEMBER_ROUTE)];
        })
        .await;
        let scene = Scene::new(&shadowed.gate);
        let pairs = [(scene.image.clone(), image.to_owned()), (MEMBER.to_owned(), member.to_owned())];
        shadowed.gate.reload(|config| config.shadow.ids = Ids::new(pairs)).await.expect("a good configuration");
        shadowed.staging.glance.set_fault(Fault::Status(200));
        let gate = &shadowed.gate;
        gate.call("GET", &format!("/v2/images?owner={MEMBER}&x={MEMBER}1")).token(&scene.owner).send().await;
        scene.accept(gate).token(&scene.member).send().await;
        let body = format!("{{\"member\": \"{MEMBER}\", \"x\": \"{}\"}}", scene.image);
        gate.call("POST", &format!("{}/members", scene.image_target())).token(&scene.owner).json(&body).send().await;
        let seen = shadowed.staging.wait_for(3).await;
        let targets: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
        assert!(targets.contains(&format!("/v2/images?owner={member}&x={MEMBER}1").as_str()), "{targets:?}");
        assert!(targets.contains(&format!("/v2/images/{image}/members/{member}").as_str()), "{targets:?}");
        let added = seen.iter().find(|seen| seen.method == "POST").expect("the member that is added");
        assert_eq!(added.target, format!("/v2/images/{image}/members"));
        assert_eq!(added.body_text(), format!("{{\"member\": \"{member}\", \"x\": \"{image}\"}}"));
        assert_eq!(gate.seen().last().map(glance_gate::demo::record::Seen::body_text), Some(body), "the primary's own");
    });
}

#[test]
fn a_write_that_a_client_tries_twice_is_sent_once() {
    run(async {
        let shadowed = Shadowed::start(|config| config.shadow.writes = vec![(Method::PUT, MEMBER_ROUTE)]).await;
        shadowed.staging.glance.set_fault(Fault::Status(200));
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        let reject = "{\"status\": \"rejected\"}";
        let id = "req-11111111-2222-4333-8444-555555555555";
        for (header, value, body) in [
            ("X-Openstack-Request-Id", id, ACCEPT),
            ("X-Openstack-Request-Id", id, ACCEPT),
            ("X-Openstack-Request-Id", id, reject),
            ("Idempotency-Key", "first", ACCEPT),
            ("Idempotency-Key", "first", ACCEPT),
            ("Idempotency-Key", "second", ACCEPT),
            ("X-Other", "none", reject),
            ("X-Other", "none", reject),
        ] {
            let reply =
                gate.call("PUT", &scene.target).token(&scene.member).header(header, value).json(body).send().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        shadowed.wait_for_dropped("repeated", 2).await;
        shadowed.wait_for_sent(6).await;
        assert_eq!(shadowed.staging.seen().len(), 6);
        assert_eq!(gate.count("PUT", &scene.target), 8, "the primary gets all of them");
    });
}

#[test]
fn only_what_is_wanted_is_copied() {
    run(async {
        let shadowed = Shadowed::start(|config| {
            config.shadow.routes = vec!["/v2/images/{image_id}"];
            config.shadow.projects = vec![OWNER.to_owned()];
            config.shadow.methods = vec![Method::GET];
        })
        .await;
        let gate = &shadowed.gate;
        let scene = Scene::new(gate);
        gate.call("GET", "/v2/images").token(&scene.owner).send().await;
        gate.call("HEAD", &scene.image_target()).token(&scene.owner).send().await;
        gate.call("GET", &scene.image_target()).token(&scene.member).send().await;
        gate.call("GET", &scene.image_target()).send().await;
        shadowed.wait_for_dropped("project", 2).await;
        gate.call("GET", &scene.image_target()).token(&scene.owner).send().await;
        shadowed.wait_for_sent(1).await;
        assert_eq!(shadowed.staging.seen().len(), 1);
        gate.reload(|config| config.shadow.percent = 0).await.expect("a good configuration");
        gate.call("GET", &scene.image_target()).token(&scene.owner).send().await;
        gate.reload(|config| config.shadow.percent = 100).await.expect("a good configuration");
        gate.call("GET", &scene.image_target()).token(&scene.owner).send().await;
        shadowed.wait_for_sent(2).await;
        assert_eq!(shadowed.staging.seen().len(), 2);
    });
}
