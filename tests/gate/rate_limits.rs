//! Limits of an operator's own: by project, user, role and address, by method and route; how they are answered and told.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::limits::config::Group;
use glance_gate::limits::config::Identify;
use glance_gate::limits::config::Limit;
use glance_gate::limits::config::OverLimitAnswer;
use glance_gate::refusal::Refusal;
use glance_gate::rules::setting::Setting;
use http::Method;

use crate::client::Reply;
use crate::harness::Gate;
use crate::harness::run;
use crate::member_family::all;
use crate::member_family::members_target;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::Scene;

const HOUR: Duration = Duration::from_hours(1);
const LIST: &str = "/v2/images";

/// So many an hour, all at once: no test lasts until there is one more.
fn limit(name: &str, group: Group, requests: u32) -> Limit {
    Limit {
        name: name.into(),
        group,
        projects: Vec::new(),
        users: Vec::new(),
        roles: Vec::new(),
        methods: Vec::new(),
        routes: Vec::new(),
        requests,
        per: HOUR,
        burst: requests,
    }
}

fn limits(config: &mut Config, limits: Vec<Limit>) {
    config.limits.limits = limits.into();
    config.limits.identify = Identify::Asked;
}

async fn list(gate: &Gate, token: &str) -> Reply {
    gate.call("GET", LIST).token(token).header("Accept", "application/json").send().await
}

fn counted(limit: &str, group: &str, outcome: &str) -> String {
    format!("glance_gate_limited_requests_total{{limit=\"{limit}\",group=\"{group}\",outcome=\"{outcome}\"}}")
}

/// Asserts that the answer says to wait for one of so many that come in an hour.
fn assert_waits(reply: &Reply, requests: u64) {
    let wait: u64 = reply.header("retry-after").expect("a time").parse().expect("seconds");
    let longest = 3600 / requests;
    assert!((longest - 60..=longest).contains(&wait), "{wait} of {longest} s");
}

#[test]
fn a_project_over_its_limit_is_told_when_to_come_again_and_no_other_project_is() {
    run(async {
        let gate = Gate::start(|config| limits(config, vec![limit("projects", Group::Project, 3)])).await;
        let scene = Scene::new(&gate);
        // another user of the same project is counted with it
        let colleague = gate.keystone.issue(TokenSpec::new("colleague").project(OWNER).roles(["reader"]));
        for token in [&scene.owner, &colleague, &scene.owner] {
            assert_eq!(list(&gate, token).await.status, 200);
        }
        let reply = list(&gate, &colleague).await;
        gate.expect_refusal(&reply, "rate_limited").await;
        assert_waits(&reply, 3);
        assert_eq!(gate.count("GET", LIST), 3);
        assert_eq!(list(&gate, &scene.member).await.status, 200);
        gate.wait_for_metric(&counted("projects", "project", "admitted"), 4).await;
        gate.wait_for_metric(&counted("projects", "project", "over"), 1).await;
        gate.wait_for_metric("glance_gate_limit_keys", 2).await;
    });
}

#[test]
fn guarded_calls_count_with_what_passes_through() {
    run(async {
        let gate = Gate::start(|config| {
            all(config);
            limits(config, vec![limit("projects", Group::Project, 3)]);
        })
        .await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        assert_eq!(gate.call("GET", &members_target(&scene)).token(&scene.member).send().await.status, 200);
        assert_eq!(list(&gate, &scene.member).await.status, 200);
        let reply = scene.accept(&gate).token(&scene.member).send().await;
        gate.expect_refusal(&reply, "rate_limited").await;
        assert_waits(&reply, 3);
        assert_eq!(gate.count("PUT", &scene.target), 1);
        // who is over is not looked up, and a bad token is not counted
        let reply = scene.accept(&gate).token("never-issued").send().await;
        gate.expect_refusal(&reply, "token_invalid").await;
    });
}

#[test]
fn the_first_limit_that_matches_method_and_route_counts() {
    run(async {
        let gate = Gate::start(|config| {
            let mut files = limit("files", Group::Project, 1);
            (files.methods, files.routes) = (vec![Method::GET], vec!["/v2/images/{image_id}/file"]);
            let mut heavy = limit("heavy", Group::Role, 2);
            heavy.roles = vec!["heavy".into()];
            limits(config, vec![files, heavy, limit("rest", Group::User, 1)]);
        })
        .await;
        let scene = Scene::new(&gate);
        let file = format!("{}/file", scene.image_target());
        let heavy = |user: &str| gate.keystone.issue(TokenSpec::new(user).project(user).roles(["Heavy", "reader"]));
        let (one, two) = (heavy("one"), heavy("two"));
        assert_eq!((list(&gate, &one).await.status, list(&gate, &two).await.status), (200, 200));
        gate.expect_refusal(&list(&gate, &two).await, "rate_limited").await;
        // another route, and so another limit
        assert_eq!(gate.call("GET", &file).token(&two).send().await.status, 404);
        gate.expect_refusal(&gate.call("GET", &file).token(&two).send().await, "rate_limited").await;
        assert_eq!(gate.call("GET", &file).token(&scene.owner).send().await.status, 200);
        // Glance reads escapes, and this is the same route to it
        let escaped = file.replace("/file", "/%66il%65");
        gate.expect_refusal(&gate.call("GET", &escaped).token(&scene.owner).send().await, "rate_limited").await;
        assert_eq!(list(&gate, &scene.owner).await.status, 200);
        gate.expect_refusal(&list(&gate, &scene.owner).await, "rate_limited").await;
        for (name, group, over) in [("files", "project", 2), ("heavy", "role", 1), ("rest", "user", 1)] {
            gate.wait_for_metric(&counted(name, group, "over"), over).await;
        }
    });
}

#[test]
fn who_is_not_known_counts_for_the_address() {
    run(async {
        let gate = Gate::start(|config| {
            limits(config, vec![limit("projects", Group::Project, 100), limit("unknown", Group::Address, 2)]);
            config.limits.identify = Identify::Remembered;
            config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        })
        .await;
        let scene = Scene::new(&gate);
        let from = |address: &'static str| {
            let call = gate.call("GET", LIST).token(&scene.member).header("X-Forwarded-For", address);
            async move { call.send().await }
        };
        // nobody has asked about this token yet, and nobody does for this
        assert_eq!((from("192.0.2.1").await.status, from("192.0.2.1").await.status), (200, 200));
        gate.expect_refusal(&from("192.0.2.1").await, "rate_limited").await;
        assert_eq!(from("192.0.2.2").await.status, 200);
        assert_eq!(gate.questions(), 0);
        // a guarded call makes the token known
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        assert_eq!(from("192.0.2.1").await.status, 200);
        gate.wait_for_metric(&counted("projects", "project", "admitted"), 2).await;
    });
}

#[test]
fn a_token_that_nobody_vouches_for_is_glances_to_refuse() {
    run(async {
        let gate = Gate::start(|config| {
            limits(config, vec![limit("projects", Group::Project, 1), limit("unknown", Group::Address, 2)]);
        })
        .await;
        assert_eq!(list(&gate, "never-issued").await.status, 401);
        assert_eq!(gate.call("GET", LIST).send().await.status, 401);
        gate.expect_refusal(&list(&gate, "never-issued-either").await, "rate_limited").await;
        assert_eq!(gate.count("GET", LIST), 2);
    });
}

#[test]
fn nobody_hides_behind_another_token_or_another_header_for_it() {
    run(async {
        let gate = Gate::start(|config| limits(config, vec![limit("projects", Group::Project, 1)])).await;
        let scene = Scene::new(&gate);
        let call = || gate.call("GET", LIST).header("Accept", "application/json");
        assert_eq!(call().header("X-Storage-Token", &scene.member).send().await.status, 200, "Glance takes it");
        for call in [
            call().header("X-Storage-Token", &scene.member),
            call().token(&scene.member).header("X-Storage-Token", "never-issued"),
            call().token("never-issued").token(&scene.member),
        ] {
            gate.expect_refusal(&call.send().await, "rate_limited").await;
        }
        assert_eq!(gate.count("GET", LIST), 1);
    });
}

#[test]
fn the_old_answer_is_413_with_an_over_limit() {
    run(async {
        let gate = Gate::start(|config| {
            limits(config, vec![limit("projects", Group::Project, 2)]);
            config.limits.answer = OverLimitAnswer::OverLimit;
        })
        .await;
        let scene = Scene::new(&gate);
        for _ in 0..2 {
            assert_eq!(list(&gate, &scene.member).await.status, 200);
        }
        for call in [gate.call("GET", LIST).header("Accept", "text/html"), scene.accept(&gate)] {
            let reply = call.token(&scene.member).send().await;
            assert_eq!((reply.status, reply.header("content-type")), (413, Some("application/json")));
            gate.expect_refusal(&reply, "over_limit").await;
            assert_waits(&reply, 2);
            let told = &reply.json()["overLimit"];
            let wait = reply.header("retry-after").expect("a time");
            assert_eq!(
                (told["code"].as_u64(), told["message"].as_str()),
                (Some(413), Some(Refusal::OverLimit.message()))
            );
            assert_eq!(told["details"], format!("Too many requests. Try again in {wait} seconds."));
            let until = told["retryAfter"].as_str().expect("a moment");
            assert!(until.len() == 20 && until.ends_with('Z'), "{until}");
        }
    });
}

#[test]
fn a_limit_that_only_observes_is_told_and_forwarded() {
    run(async {
        let gate = Gate::start(|config| {
            limits(config, vec![limit("projects", Group::Project, 1)]);
            config.rules.default = Setting::Observe;
        })
        .await;
        let scene = Scene::new(&gate);
        for _ in 0..2 {
            assert_eq!(list(&gate, &scene.member).await.status, 200);
        }
        gate.expect_count("rate_limited", "observed").await;
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        gate.expect_count("rate_limited", "observed").await;
        gate.wait_for_metric(&counted("projects", "project", "over"), 2).await;
    });
}

#[test]
fn a_limit_that_only_observes_is_no_way_past_the_checks() {
    run(async {
        for by_limit in [true, false] {
            let gate = Gate::start(|config| {
                if by_limit {
                    limits(config, vec![limit("projects", Group::Project, 1)]);
                    config.limits.answer = OverLimitAnswer::OverLimit;
                } else {
                    config.rates.per_client = 1;
                }
                for refusal in [Refusal::RateLimited, Refusal::OverLimit] {
                    config.rules.settings.insert(refusal.reason(), Setting::Observe);
                }
            })
            .await;
            let scene = Scene::new(&gate);
            for _ in 0..3 {
                let reply = scene.accept(&gate).token(&scene.owner).send().await;
                gate.expect_refusal(&reply, "owner_forbidden").await;
            }
            assert_eq!(gate.count("PUT", &scene.target), 0);
        }
    });
}

#[test]
fn callers_see_their_limits_and_what_is_left() {
    run(async {
        let gate = Gate::start(|config| {
            let mut sharing = limit("sharing", Group::Project, 5);
            sharing.methods = vec![Method::POST, Method::PUT];
            sharing.routes = vec!["/v2/images/{image_id}/members", "/v2/images/{image_id}/members/{member_id}"];
            let mut others = limit("others", Group::Project, 1);
            others.projects = vec![glance_gate::openstack::identity::ProjectId::new("another")];
            limits(config, vec![sharing, others, limit("projects", Group::Project, 2)]);
            config.limits.document = "/v2/limits".into();
        })
        .await;
        let scene = Scene::new(&gate);
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        for _ in 0..2 {
            assert_eq!(list(&gate, &scene.member).await.status, 200);
        }
        let reply = gate.call("GET", "/v2/limits").token(&scene.member).send().await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let told = reply.json();
        assert_eq!(told["limits"]["absolute"], serde_json::json!({}));
        let rate = told["limits"]["rate"].as_array().expect("a list");
        let uris: Vec<&str> = rate.iter().filter_map(|entry| entry["uri"].as_str()).collect();
        assert_eq!(uris, ["/v2/images/{image_id}/members", "/v2/images/{image_id}/members/{member_id}", "*"]);
        for entry in &rate[..2] {
            let rows = entry["limit"].as_array().expect("a list");
            let verbs: Vec<&str> = rows.iter().filter_map(|row| row["verb"].as_str()).collect();
            assert_eq!(verbs, ["POST", "PUT"]);
            for row in rows {
                assert_eq!((row["value"].as_u64(), row["remaining"].as_u64()), (Some(5), Some(4)), "{row}");
                assert_eq!(row["unit"], "HOUR");
            }
        }
        let rest = &rate[2]["limit"][0];
        assert_eq!((rest["verb"].as_str(), rest["remaining"].as_u64()), (Some("ALL"), Some(0)));
        // two an hour: the next one comes in half of it
        let now = gate.call("GET", "/v2/limits").token(&scene.owner).send().await.json();
        let free = now["limits"]["rate"][2]["limit"][0]["next-available"].as_str().expect("a moment").to_owned();
        assert!(*rest["next-available"].as_str().expect("a moment") > *free, "{rest} is not after {free}");
        assert_eq!(
            now["limits"]["rate"][2]["limit"][0]["remaining"], 2,
            "it is the caller's own, and asking costs nothing"
        );
        assert_eq!(gate.count("GET", "/v2/limits"), 0);
        let branch = "glance_gate_requests_total{branch=\"limits\",verdict=\"passed_through\",code=\"200\"}";
        gate.wait_for_metric(branch, 2).await;
    });
}

#[test]
fn the_document_needs_a_token_and_is_off_by_default() {
    run(async {
        let gate = Gate::start(|config| {
            config.limits.document = "/v2/limits".into();
            config.server.mount = "/image".into();
        })
        .await;
        gate.expect_refusal(&gate.call("GET", "/image/v2/limits").send().await, "token_missing").await;
        let reply = gate.call("GET", "/image/v2/limits").token("never-issued").send().await;
        gate.expect_refusal(&reply, "token_invalid").await;
        let token = gate.keystone.issue(TokenSpec::member(MEMBER));
        let reply = gate.call("GET", "/image/v2/limits").token(&token).send().await;
        assert_eq!(reply.json(), serde_json::json!({"limits": {"rate": [], "absolute": {}}}));
        gate.expect_unseen();
        // another method, or another path, is Glance's
        gate.call("POST", "/image/v2/limits").token(&token).send().await;
        assert_eq!((gate.count("POST", "/image/v2/limits"), gate.seen().len()), (1, 1));
        let off = Gate::start(|_| {}).await;
        let token = off.keystone.issue(TokenSpec::member(MEMBER));
        assert_eq!(off.call("GET", "/v2/limits").token(&token).send().await.status, 404);
        assert_eq!(off.count("GET", "/v2/limits"), 1);
    });
}

#[test]
fn a_reload_changes_the_limits_and_keeps_what_was_spent() {
    run(async {
        let gate = Gate::start(|config| limits(config, vec![limit("projects", Group::Project, 2)])).await;
        let scene = Scene::new(&gate);
        for _ in 0..2 {
            assert_eq!(list(&gate, &scene.member).await.status, 200);
        }
        gate.expect_refusal(&list(&gate, &scene.member).await, "rate_limited").await;
        gate.reload(|config| config.limits.max_keys = 1_000).await.expect("a good configuration");
        gate.expect_refusal(&list(&gate, &scene.member).await, "rate_limited").await;
        gate.reload(|config| limits(config, vec![limit("wider", Group::Project, 2)])).await.expect("a good one");
        assert_eq!(list(&gate, &scene.member).await.status, 200);
        gate.reload(|config| limits(config, Vec::new())).await.expect("a good one");
        for _ in 0..3 {
            assert_eq!(list(&gate, &scene.member).await.status, 200);
        }
    });
}
