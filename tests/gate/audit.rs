//! What auditors are told: which calls are events, what is in them, and how they are joined with Keystone's.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use glance_gate::audit::config::Events;
use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::keystone::config::JwsMode;
use glance_gate::refusal::Refusal;
use glance_gate::rules::setting::Setting;
use glance_gate::telemetry::rotated_file::Settings;
use serde_json::Value;
use serde_json::json;

use crate::client::Call;
use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::jws;
use crate::member_family::all;
use crate::member_family::members_target;
use crate::scene::MEMBER;
use crate::scene::OWNER;
use crate::scene::STRANGER;
use crate::scene::Scene;

/// Sets a gate to write the events into this file.
pub fn to_file(config: &mut Config, events: Events, file: &Path) {
    config.audit.events = events;
    config.audit.file = Some(Settings { path: file.into(), rotate_at: 0, kept: 0 });
}

/// Waits until the file has so many events, and returns them.
pub async fn events(file: &Path, count: usize) -> Vec<Value> {
    let lines = || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect::<Vec<Value>>()
    };
    eventually(&format!("{count} events"), || async { lines().len() >= count }).await;
    let lines = lines();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

fn attached<'e>(event: &'e Value, name: &str) -> &'e Value {
    let attachments = event["attachments"].as_array().expect("attachments");
    attachments.iter().find(|attachment| attachment["name"] == name).map_or(&Value::Null, |found| &found["content"])
}

/// Returns what an event says in a few words.
fn told(event: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "{} {} {} {} {}",
        word(&event["action"]),
        word(&event["outcome"]),
        word(&event["reason"]["reasonCode"]),
        word(&event["reason"]["policyId"]),
        word(&event["requestPath"])
    )
}

async fn start(events: Events) -> (Gate, PathBuf, Directory) {
    let directory = Directory::new();
    let file = directory.path().join("audit.jsonl");
    let gate = Gate::start(|config| to_file(config, events, &file)).await;
    (gate, file, directory)
}

/// Asks the Keystone stand-in for the audit ids of a token.
async fn audit_ids(gate: &Gate, token: &str) -> Value {
    let url: http::Uri = gate.keystone.url().parse().expect("a URL");
    let address = url.authority().expect("an authority").as_str().parse().expect("an address");
    let call = Call::new(address, "GET", "/v3/auth/tokens").header("X-Subject-Token", token).token(token);
    call.send().await.json()["token"]["audit_ids"].clone()
}

#[test]
fn a_permitted_update_is_one_event() {
    run(async {
        let (gate, file, _directory) = start(Events::Guarded).await;
        let scene = Scene::new(&gate);
        let id = "req-11111111-2222-4333-8444-555555555555";
        let call = scene.accept(&gate).token(&scene.member).header("User-Agent", "a client/1.0");
        assert_eq!(call.header("X-OpenStack-Request-ID", id).send().await.status, 200);
        let mut event = events(&file, 1).await.remove(0);
        let ids = audit_ids(&gate, &scene.member).await;
        assert_eq!(ids.as_array().map(Vec::len), Some(1));
        for member in ["id", "eventTime", "observer", "reporterchain"] {
            event.as_object_mut().expect("an object").remove(member).expect(member);
        }
        let user = event["initiator"]["id"].clone();
        assert_eq!(user.as_str().map(str::len), Some(32));
        let expected = json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "activity",
            "action": "update",
            "outcome": "success",
            "initiator": {
                "typeURI": "service/security/account/user",
                "id": user,
                "project_id": MEMBER,
                "request_id": id,
                "host": {"address": "127.0.0.1", "agent": "a client/1.0"},
                "credential": {"token": "***", "identity_status": "Confirmed"},
            },
            "target": {
                "typeURI": "service/storage/image/images/image/members/member",
                "id": scene.image,
                "name": "glance",
            },
            "reason": {"reasonType": "HTTP", "reasonCode": "200"},
            "requestPath": scene.target,
            "tags": [format!("correlation_id?value={id}")],
            "attachments": [
                {"typeURI": "data/security/credential", "name": "keystone_token", "content": {"audit_ids": ids}},
                {"typeURI": "data/security/policy", "name": "glance_gate", "content": {
                    "branch": "member_update", "verdict": "permitted", "image_id": scene.image,
                    "member_id": MEMBER, "member_status": "accepted", "upstream_status": 200,
                }},
            ],
        });
        assert_eq!(event, expected, "{event:#}");
    });
}

#[test]
fn the_gate_is_the_observer_and_the_configuration_names_it_and_the_target() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("audit.jsonl");
        let gate = Gate::start(|config| {
            to_file(config, Events::Guarded, &file);
            config.audit.observer = "gate-1".into();
            config.audit.endpoint = "https://image.example.org".into();
        })
        .await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).token(&scene.member).send().await;
        scene.accept(&gate).token(&scene.owner).send().await;
        let events = events(&file, 2).await;
        let observer = &events[0]["observer"];
        assert_eq!(
            (&observer["name"], &observer["typeURI"]),
            (&json!("gate-1"), &json!("service/security/audit/filter"))
        );
        assert_eq!(observer, &events[1]["observer"]);
        assert_eq!(&events[0]["reporterchain"][0]["reporter"], observer);
        assert_ne!(events[0]["id"], events[1]["id"]);
        assert_eq!(events[0]["target"]["addresses"], json!([{"name": "public", "url": "https://image.example.org"}]));
    });
}

#[test]
fn a_refused_call_is_one_event_with_its_reason() {
    run(async {
        let (gate, file, _directory) = start(Events::Guarded).await;
        let scene = Scene::new(&gate);
        scene.accept(&gate).send().await;
        events(&file, 1).await;
        scene.accept(&gate).token("not-a-token-of-anybody").send().await;
        events(&file, 2).await;
        scene.accept(&gate).token(&scene.owner).send().await;
        events(&file, 3).await;
        gate.call("PUT", "/v2//images").token(&scene.member).send().await;
        events(&file, 4).await;
        let mut connection = Connection::open(gate.address).await;
        connection.send("GET /v2/images HTTP/1.1\r\nno header\r\n\r\n").await;
        connection.reply("GET").await;
        let events = events(&file, 5).await;
        let lines: Vec<String> = events.iter().map(told).collect();
        assert_eq!(
            lines,
            [
                format!("update failure 401 token_missing {}", scene.target),
                format!("update failure 401 token_invalid {}", scene.target),
                format!("update failure 403 owner_forbidden {}", scene.target),
                "update failure 400 target_ambiguous /v2//images".to_owned(),
                "unknown failure 400 request_malformed -".to_owned(),
            ]
        );
        let statuses: Vec<&Value> =
            events.iter().map(|event| &event["initiator"]["credential"]["identity_status"]).collect();
        assert_eq!(statuses, [&Value::Null, &json!("Invalid"), &json!("Confirmed"), &json!("unknown"), &Value::Null]);
        assert_eq!(events[0]["initiator"]["id"], "unknown");
        assert_eq!(events[2]["initiator"]["project_id"], OWNER);
        assert_eq!(events[2]["reason"]["policyType"], "glance-gate/refusal");
        assert_eq!(attached(&events[2], "keystone_token")["audit_ids"], audit_ids(&gate, &scene.owner).await);
        assert_eq!(events[4]["target"]["typeURI"], "unknown");
    });
}

#[test]
fn what_only_would_be_refused_is_told_as_it_ended() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("audit.jsonl");
        let gate = Gate::start(|config| {
            to_file(config, Events::Guarded, &file);
            config.rules.settings.insert(Refusal::StatusUnknown.reason(), Setting::Observe);
        })
        .await;
        let scene = Scene::new(&gate);
        let call = gate.call("PUT", &scene.target).token(&scene.member).json(r#"{"status": "perhaps"}"#);
        assert_eq!(call.send().await.status, 400);
        let event = events(&file, 1).await.remove(0);
        assert_eq!(told(&event), format!("update failure 400 - {}", scene.target), "Glance said it");
        let decision = attached(&event, "glance_gate");
        assert_eq!((&decision["verdict"], &decision["reason"]), (&json!("would_refuse"), &json!("status_unknown")));
        assert_eq!((&decision["member_status"], &decision["upstream_status"]), (&json!("unknown"), &json!(400)));
    });
}

#[test]
fn signed_tokens_are_joined_with_keystone_too() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("audit.jsonl");
        let (gate, _keys) = jws::start(JwsMode::Offline, |config| to_file(config, Events::Guarded, &file)).await;
        let scene = Scene::new(&gate);
        let token = gate.keystone.issue(TokenSpec::member(MEMBER).jws());
        assert_eq!(scene.accept(&gate).token(&token).send().await.status, 200);
        let event = events(&file, 1).await.remove(0);
        let ids = audit_ids(&gate, &token).await;
        assert!(ids.is_array());
        assert_eq!(attached(&event, "keystone_token")["audit_ids"], ids);
    });
}

#[test]
fn guarded_writes_and_all_are_what_they_are_called() {
    run(async {
        for (kind, expected) in [(Events::Off, 0), (Events::Guarded, 2), (Events::Writes, 3), (Events::All, 4)] {
            let (gate, file, _directory) = start(kind).await;
            let scene = Scene::new(&gate);
            gate.call("GET", "/healthcheck").send().await;
            gate.call("GET", "/v2/images").token(&scene.member).send().await;
            gate.call("DELETE", &scene.image_target()).token(&scene.stranger).send().await;
            gate.call("GET", "/v2//images").token(&scene.member).send().await;
            scene.accept(&gate).token(&scene.member).send().await;
            let metrics = gate.metrics().await;
            if kind == Events::Off {
                assert!(!metrics.contains("glance_gate_audit_events_total{"), "{metrics}");
                assert!(!file.exists());
                continue;
            }
            let events = events(&file, expected).await;
            let metric = "glance_gate_audit_events_total{sink=\"file\",outcome=\"written\"}";
            gate.wait_for_metric(metric, expected as u64).await;
            let mut paths: Vec<&str> =
                events.iter().map(|event| event["requestPath"].as_str().expect("a path")).collect();
            paths.sort_unstable();
            let image = scene.image_target();
            let mut all = [&scene.target, "/v2//images", &image, "/v2/images"];
            let wanted = &mut all[..expected];
            wanted.sort_unstable();
            assert_eq!(paths, wanted);
        }
    });
}

#[test]
fn who_asks_for_what_passes_unread_is_told_if_it_is_remembered() {
    run(async {
        let (gate, file, _directory) = start(Events::All).await;
        let scene = Scene::new(&gate);
        let list = || gate.call("GET", "/v2/images?name=private").token(&scene.member).send();
        assert_eq!(list().await.status, 200);
        let before = events(&file, 1).await.remove(0);
        assert_eq!(before["initiator"]["id"], "unknown");
        assert_eq!(before["initiator"]["credential"]["identity_status"], "unknown");
        assert_eq!((gate.questions(), told(&before)), (0, "read/list success 200 - /v2/images".into()));
        scene.accept(&gate).token(&scene.member).send().await;
        events(&file, 2).await;
        let questions = gate.questions();
        assert_eq!(list().await.status, 200);
        let after = events(&file, 3).await.remove(2);
        assert_eq!(after["initiator"]["project_id"], MEMBER);
        assert_eq!(attached(&after, "keystone_token")["audit_ids"], audit_ids(&gate, &scene.member).await);
        assert_eq!(gate.questions(), questions + 1, "only this test has asked");
    });
}

#[test]
fn a_client_that_hangs_up_leaves_an_event_whose_outcome_nobody_knows() {
    run(async {
        let (gate, file, _directory) = start(Events::Guarded).await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/v2", Fault::Hang);
        for (number, call) in [scene.accept(&gate), gate.call("GET", "/v2/images")].into_iter().enumerate() {
            let before = gate.seen().len();
            let mut connection = Connection::open(gate.address).await;
            connection.send(call.token(&scene.member).header("User-Agent", "hasty").bytes()).await;
            eventually("it is at Glance", || async { gate.seen().len() == before + 1 }).await;
            drop(connection);
            gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
            // the list is no guarded call, and leaves none
            let event = events(&file, 1).await.remove(0);
            assert_eq!(told(&event), format!("update unknown - - {}", scene.target), "{number}");
            assert_eq!(event["initiator"]["host"], json!({"address": "127.0.0.1", "agent": "hasty"}));
            assert_eq!(attached(&event, "glance_gate")["image_id"], json!(scene.image));
        }
        gate.glance.set_fault(Fault::None);
        scene.accept(&gate).token(&scene.member).send().await;
        events(&file, 2).await;
    });
}

#[test]
fn the_whole_guarded_family_is_told_even_if_nobody_waits_for_the_answer() {
    run(async {
        let directory = Directory::new();
        let file = directory.path().join("audit.jsonl");
        let gate = Gate::start(|config| {
            all(config);
            to_file(config, Events::Guarded, &file);
        })
        .await;
        let scene = Scene::new(&gate);
        let members = members_target(&scene);
        let share = || gate.call("POST", &members).json(format!(r#"{{"member": "{STRANGER}"}}"#)).token(&scene.owner);
        assert_eq!(share().send().await.status, 200);
        let event = events(&file, 1).await.remove(0);
        assert_eq!(attached(&event, "glance_gate")["member_id"], STRANGER, "with whom it is shared");
        gate.glance.set_fault_on("/v2", Fault::Hang);
        let calls = [
            ("member_create", share()),
            ("member_list", gate.call("GET", &members).token(&scene.owner)),
            ("member_show", gate.call("GET", &scene.target).token(&scene.owner)),
            ("member_delete", gate.call("DELETE", &scene.target).token(&scene.owner)),
        ];
        for (number, (branch, call)) in calls.into_iter().enumerate() {
            let mut connection = Connection::open(gate.address).await;
            connection.send(call.bytes()).await;
            gate.wait_for_metric("glance_gate_in_flight_requests", 1).await;
            drop(connection);
            gate.wait_for_metric("glance_gate_in_flight_requests", 0).await;
            let event = events(&file, 2 + number).await.remove(1 + number);
            let decision = attached(&event, "glance_gate");
            assert_eq!((&decision["branch"], &event["outcome"]), (&json!(branch), &json!("unknown")));
            assert_eq!(decision["image_id"], json!(scene.image), "{branch}");
            let named = decision["member_id"].as_str();
            assert_eq!(named, (event["requestPath"] == scene.target.as_str()).then_some(MEMBER), "{branch}");
        }
    });
}

#[test]
fn no_secret_and_no_query_is_in_an_event() {
    run(async {
        let (gate, file, _directory) = start(Events::All).await;
        let scene = Scene::new(&gate);
        let planted = "planted-in-the-request";
        for call in [scene.accept(&gate), gate.call("GET", &format!("/v2/images?name={planted}"))] {
            let call = call.header("Cookie", planted).header("X-Other", planted);
            call.token(&scene.member).header("X-Service-Token", &scene.owner).send().await;
        }
        gate.call("PUT", &scene.target).token(planted).json(format!(r#"{{"status": "{planted}"}}"#)).send().await;
        gate.call("PUT", &scene.target).token(&scene.member).json(format!(r#"{{"status": "{planted}"}}"#)).send().await;
        events(&file, 4).await;
        let text = fs::read_to_string(&file).expect("the file");
        for secret in [planted, scene.member.as_str(), scene.owner.as_str(), &scene.member[..12]] {
            assert!(!text.contains(secret), "{text}");
        }
    });
}

#[test]
fn a_map_of_the_operators_own_is_used_and_a_bad_one_is_refused() {
    run(async {
        let (gate, file, directory) = start(Events::Guarded).await;
        let scene = Scene::new(&gate);
        let map = "[custom_actions]\nmembers/post = capture\n[path_keywords]\nmembers = guest\n\
                   [service_endpoints]\nimage = service/storage\n";
        let map = directory.write("map.conf", map);
        gate.reload(|config| config.audit.map_file = Some(map.clone())).await.expect("a good map");
        scene.accept(&gate).token(&scene.member).send().await;
        let event = events(&file, 1).await.remove(0);
        assert_eq!(event["target"]["typeURI"], "service/storage/members/guest");
        directory.write("map.conf", "[path_keywords]\nmembers\n");
        let error = gate.reload(|_| {}).await.expect_err("a bad map").to_string();
        assert!(error.contains("map.conf: line 2"), "{error}");
        scene.accept(&gate).token(&scene.member).send().await;
        events(&file, 2).await;
    });
}
