//! Copies of the traffic for a staging: which requests are copied, what staging gets, and that the primary is as before.

use glance_gate::demo::fault::Fault;
use http::Method;

use crate::harness::run;
use crate::scene::CANONICAL;
use crate::scene::Scene;
use crate::shadow_scene::Shadowed;

const MEMBER_ROUTE: &str = "/v2/images/{image_id}/members/{member_id}";

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
        shadowed.gate.wait_for_metric("glance_gate_shadow_compared_total{status=\"other\"}", 1).await;
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
