//! How refusals look: in the forms that Glance has, chosen by Accept.

use glance_gate::demo::glance::Policy;
use glance_gate::member_update::decide::PolicyDefaults;
use glance_gate::member_update::decide::Profile;

use crate::client::Call;
use crate::harness::DeadPort;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::ACCEPT;
use crate::scene::Scene;

#[test]
fn a_refusal_is_json_html_or_text_by_accept() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let message = format!("Not allowed to update members for image {}.", scene.image);
        let json =
            format!(r#"{{"message": "{message}<br /><br />\n\n\n", "code": "403 Forbidden", "title": "Forbidden"}}"#);
        let html = format!(
            "<html>\n <head>\n  <title>403 Forbidden</title>\n </head>\n <body>\n  <h1>403 Forbidden</h1>\n  \
             {message}<br /><br />\n\n\n\n </body>\n</html>"
        );
        let text = format!("403 Forbidden\n\n{message}\n\n   ");
        for (accept, kind, body) in [
            (Some("application/json"), "application/json", &json),
            (Some("application/json, text/plain"), "application/json", &json),
            (Some("text/html;q=0.3, application/json;q=0.7"), "application/json", &json),
            (Some("*/*"), "text/html; charset=UTF-8", &html),
            (Some("text/html"), "text/html; charset=UTF-8", &html),
            (Some("application/json, */*"), "text/html; charset=UTF-8", &html),
            (None, "text/plain; charset=UTF-8", &text),
            (Some(""), "text/plain; charset=UTF-8", &text),
            (Some("image/png"), "text/plain; charset=UTF-8", &text),
        ] {
            let call = gate.call("PUT", &scene.target).token(&scene.owner).json(ACCEPT);
            let call = if let Some(accept) = accept { call.header("Accept", accept) } else { call };
            let reply = call.send().await;
            assert_eq!((reply.status, reply.header("content-type")), (403, Some(kind)), "{accept:?}");
            assert_eq!(&reply.text(), body, "{accept:?}");
            assert_eq!(reply.header("content-length"), Some(body.len().to_string().as_str()));
        }
    });
}

#[test]
fn a_refusal_reads_as_glances_own_in_every_form() {
    run(async {
        let gate = Gate::start(|config| config.profile = Profile::Glance(PolicyDefaults::Legacy)).await;
        gate.glance.set_policy(Policy::Legacy);
        let scene = Scene::new(&gate);
        let odd = format!("/v2/images/{}/members/-_-", scene.image);
        let cases = [
            ("PUT", &scene.target, Some(&scene.owner), ACCEPT),
            ("PUT", &scene.target, Some(&scene.stranger), ACCEPT),
            ("PUT", &odd, Some(&scene.member), ACCEPT),
            ("PUT", &scene.target, Some(&scene.member), r#"{"status": "perhaps"}"#),
            ("PUT", &scene.target, Some(&scene.member), "{"),
            ("PUT", &scene.target, Some(&scene.member), "[]"),
            ("PUT", &scene.target, Some(&scene.member), "1"),
            ("PUT", &scene.target, Some(&scene.member), "{}"),
            ("PUT", &scene.target, Some(&scene.member), ""),
            ("PUT", &scene.target, None, ACCEPT),
        ];
        for accept in ["application/json", "*/*", "text/plain", "text/html", "garbage"] {
            for (method, target, token, body) in &cases {
                let call = |address| {
                    let call = Call::new(address, method, target).header("Accept", accept).json(body);
                    if let Some(token) = token { call.token(token) } else { call }
                };
                let ours = call(gate.address).send().await;
                let theirs = call(gate.glance.address()).send().await;
                assert_eq!(ours.status, theirs.status, "{accept} {body}");
                assert_eq!(ours.header("content-type"), theirs.header("content-type"), "{accept} {body}");
                assert_eq!(ours.header("www-authenticate"), theirs.header("www-authenticate"), "{accept} {body}");
                assert_eq!(ours.text(), theirs.text(), "{accept} {body}");
            }
        }
    });
}

#[test]
fn a_401_names_the_keystone_that_clients_use() {
    run(async {
        let gate = Gate::start(|config| config.keystone.www_authenticate_uri = "https://id.example/v3".into()).await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).send().await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("www-authenticate"), Some(r#"Keystone uri="https://id.example/v3""#));
        assert_eq!(reply.json()["code"], "401 Unauthorized");
        gate.expect_unseen();
    });
}

#[test]
fn a_405_says_what_is_allowed() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let reply = gate.call("POST", &scene.target).token(&scene.member).json(ACCEPT).send().await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, PUT, DELETE")));
        assert!(reply.text().starts_with("405 Method Not Allowed\n\nThe method POST is not allowed"));
        let head = gate.call("HEAD", &scene.target).token(&scene.member).send().await;
        assert_eq!((head.status, head.header("allow"), head.body.len()), (405, Some("GET, PUT, DELETE"), 0));
    });
}

#[test]
fn a_503_says_whose_outage_it_is_and_when_to_come_back() {
    run(async {
        let dead = DeadPort::new();
        let gate = Gate::start(|config| config.upstream.servers = vec![dead.url()]).await;
        let scene = Scene::new(&gate);
        let reply = gate.call("GET", "/v2/images").token(&scene.member).send().await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
        assert!(reply.text().contains("The image service cannot be reached."));
        gate.expect_refusal(&reply, "upstream_unavailable").await;

        gate.keystone.stop();
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
        assert!(reply.text().contains("Keystone cannot be reached"), "{}", reply.text());
        gate.expect_refusal(&reply, "keystone_unavailable").await;
    });
}

#[test]
fn what_a_client_wrote_is_escaped_in_html() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        // of the words that are repeated only the method can hold markup, and it can hold little
        let call = gate.call("A&'B", &scene.target).token(&scene.member).header("Accept", "text/html");
        let reply = call.json(ACCEPT).send().await;
        assert_eq!(reply.status, 405);
        assert!(reply.text().contains("A&amp;&#x27;B"), "{}", reply.text());
    });
}
