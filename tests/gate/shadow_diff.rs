//! What staging answers otherwise than the primary: its lines, its page, its rules, and the report on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use glance_gate::config::Config;
use glance_gate::diff::answered::Answered;
use glance_gate::diff::answered::Content;
use glance_gate::diff::asked::Asked;
use glance_gate::diff::ignore_file;
use glance_gate::diff::judge::Judge;
use glance_gate::diff::judgement::Outcome;
use glance_gate::diff::shown::Values;
use glance_gate::openstack::identity::ProjectId;
use glance_gate::openstack::request_id::RequestId;
use glance_gate::telemetry::line_log::Destination;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use serde_json::json;

use crate::client::Call;
use crate::decisions::lines;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Ended;
use crate::process::Process;
use crate::reload_command::PASSWORD;
use crate::reload_command::text;

/// Stands wherever a secret may stand.
const PLANTED: &str = "planted-secret";

const MEMBER_ROUTE: &str = "/v2/images/{image_id}/members/{member_id}";

fn asked(target: &str) -> Asked {
    Asked {
        request_id: RequestId::random(),
        method: Method::GET,
        route: MEMBER_ROUTE,
        target: target.into(),
        project: Some(ProjectId::new("p1")),
    }
}

fn answered(status: u16, body: &Value) -> Answered {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let status = StatusCode::from_u16(status).expect("a status");
    Answered { status, headers, body: Content::Whole(body.to_string().into()) }
}

/// Judges one pair of each kind: equal, of another status, of another field, and not read.
fn judge_some(judge: &Judge) {
    let member = json!({"member_id": "m", "status": "pending", "created_at": "2026-11-25T10:00:00Z"});
    let later = json!({"member_id": "m", "status": "pending", "created_at": "2026-11-25T11:00:00Z"});
    let other = json!({"member_id": "m", "status": "accepted", "created_at": "2026-11-25T10:00:00Z"});
    let judge = |primary: &Answered, staging: &Answered| {
        judge.judge(&asked("/v2/images/a/members/m"), primary, staging).outcome
    };
    assert_eq!(judge(&answered(200, &member), &answered(200, &later)), Outcome::Equal);
    assert_eq!(judge(&answered(403, &member), &answered(404, &member)), Outcome::Differs);
    assert_eq!(judge(&answered(200, &member), &answered(200, &other)), Outcome::Differs);
    let unread = Answered { body: Content::Unread, ..answered(200, &member) };
    assert_eq!(judge(&unread, &unread), Outcome::NotCompared);
}

fn to_file(config: &mut Config, file: &Path) {
    config.shadow_diff.log.destination = Destination::File(file.into());
}

async fn stop(gate: &mut Gate) {
    let app = gate.take_app();
    tokio::task::spawn_blocking(|| app.stop()).await.expect("no panic").expect("a clean end");
}

/// Lets a gate write the lines of these pairs, and returns where they are.
async fn written(directory: &Directory, judge: impl FnOnce(&Judge)) -> String {
    let file = directory.path().join("differences.jsonl");
    let mut gate = Gate::start(|config| to_file(config, &file)).await;
    judge(&gate.judge());
    stop(&mut gate).await;
    file.display().to_string()
}

async fn report(arguments: &[&str]) -> Ended {
    Process::run(&[&["shadow", "report"], arguments].concat(), &[]).await
}

#[test]
fn pairs_that_differ_and_sums_are_lines_of_the_documented_schema() {
    run(async {
        let directory = Directory::new();
        let file = written(&directory, |judge| {
            judge_some(judge);
            let project = Asked { project: None, ..asked("/v2/images/a/members/m?token=abc") };
            judge.judge(&project, &answered(200, &json!({"x": 1})), &answered(200, &json!([])));
        })
        .await;
        assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
        let schema = include_str!("../../docs/shadow-diff.schema.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(schema).expect("JSON")).expect("a good schema");
        let lines = lines(Path::new(&file));
        for line in &lines {
            let errors: Vec<String> = schema.iter_errors(line).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?} in {line:#}");
        }
        let told: Vec<String> = lines
            .iter()
            .map(|line| format!("{} {} {}", line["type"], line["primary_status"], line["differences"][0]["field"]))
            .collect();
        let expected =
            [r#""pair" 403 "status""#, r#""pair" 200 "/status""#, r#""pair" 200 "/""#, r#""summary" null null"#];
        assert_eq!(told, expected);
        assert_eq!(
            (&lines[1]["differences"][0]["primary"], &lines[0]["project"]),
            (&r#""pending""#.into(), &"p1".into())
        );
        assert_eq!(lines[2]["target"], "/v2/images/a/members/m?token=hidden");
        let summary = &lines[3];
        assert_eq!(
            (&summary["equal"], &summary["differs"], &summary["not_compared"]),
            (&1.into(), &3.into(), &1.into())
        );
        // the schema is one that a line can fail
        assert!(!schema.is_valid(&json!({"type": "pair", "version": 1, "time": "2026-11-25T10:00:00Z"})));
    });
}

#[test]
fn the_report_ranks_what_differs_and_tells_it_by_its_exit_code() {
    run(async {
        let directory = Directory::new();
        let file = written(&directory, |judge| {
            judge_some(judge);
            judge_some(judge);
            judge.judge(&asked("/"), &answered(403, &json!({})), &answered(404, &json!({})));
        })
        .await;
        let found = report(&[&file, "--json"]).await;
        assert_eq!((found.code, found.errors.as_str()), (Some(1), ""));
        let told: Value = serde_json::from_str(&found.out).expect("JSON");
        for (key, expected) in [("compared", 9), ("equal", 2), ("differs", 5), ("not_compared", 2), ("counts", 5)] {
            assert_eq!(told[key], expected, "{key}");
        }
        let rows: Vec<(&Value, &Value)> =
            told["differences"].as_array().expect("rows").iter().map(|row| (&row["field"], &row["counts"])).collect();
        assert_eq!(rows, [(&json!("status"), &json!(3)), (&json!("/status"), &json!(2))]);
        assert_eq!(told["differences"][0]["share"], 0.333_333);
        let text = report(&[&file]).await.out;
        assert!(text.starts_with("9 pairs compared: 2 equal, 5 differ, 2 not compared\n"), "{text}");
        assert!(text.contains(": 403 → 404\n") && text.contains(": \"pending\" → \"accepted\""), "{text}");
        assert_eq!(report(&[&file, "--max-differences", "5"]).await.code, Some(0));
        assert_eq!(report(&[&file, "--max-differences", "4"]).await.code, Some(1));
        assert_eq!(report(&[&file, "--since", "2020-01-01"]).await.code, Some(1));
        let nothing = report(&[&file, "--since", "2999-01-01T00:00:00Z"]).await;
        assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""));

        let rules = "[[ignore]]\nfield = \"status\"\nprimary = 403\nstaging = 404\nreason = \"new policies\"\n\
                     [[ignore]]\nfield = \"/status\"\nreason = \"it was so\"\nexpires = 2020-01-01\n\
                     [[ignore]]\nfield = \"body\"\nreason = \"never seen\"\n";
        let ignore = directory.write("ignore.toml", rules).display().to_string();
        let explained = report(&[&file, "--ignore", &ignore, "--json"]).await;
        let told: Value = serde_json::from_str(&explained.out).expect("JSON");
        assert_eq!((explained.code, &told["counts"], &told["ignored"]), (Some(1), &2.into(), &3.into()));
        assert_eq!(told["differences"][1]["reasons"], json!(["new policies"]));
        let idle: Vec<(&Value, &Value)> = told["idle_rules"]
            .as_array()
            .expect("rules")
            .iter()
            .map(|rule| (&rule["line"], &rule["is_expired"]))
            .collect();
        assert_eq!(idle, [(&json!(6), &json!(true)), (&json!(10), &json!(false))]);
        let known = rules.replace("2020-01-01", "2999-01-01");
        let known = directory.write("known.toml", &known).display().to_string();
        let ended = report(&[&file, "--ignore", &known]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.out);
        assert!(ended.out.contains("because new policies") && ended.out.contains("line 10: body: never seen"));
    });
}

#[test]
fn what_the_report_can_not_use_is_told_by_its_place() {
    run(async {
        let directory = Directory::new();
        let file = written(&directory, judge_some).await;
        let good = fs::read_to_string(&file).expect("lines");
        let garbled = directory.write("garbled.jsonl", &format!("{good}no line\n{{\"version\":2}}\n"));
        let garbled = garbled.display().to_string();
        let ended = report(&[&garbled, "--max-differences", "100"]).await;
        assert_eq!(ended.code, Some(2));
        assert!(ended.errors.starts_with(&format!("{garbled}:4: it is no JSON: ")), "{}", ended.errors);
        assert!(ended.errors.contains(":5: its version is 2"), "{}", ended.errors);
        assert!(ended.out.contains("lines left out because they are none of differences: 2"), "{}", ended.out);
        let empty = directory.write("empty.jsonl", "").display().to_string();
        for files in [[empty.as_str()], ["/nowhere/at/all"]] {
            let ended = report(&files).await;
            assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{files:?}");
        }
        let broken = directory.write("broken.toml", "[[ignore]]\nfield = \"status\"\n").display().to_string();
        let ended = report(&[&file, "--ignore", &broken]).await;
        assert_eq!(ended.code, Some(2));
        assert!(ended.errors.starts_with(&format!("{broken}:1: reason: it is missing")), "{}", ended.errors);
        // several files are one account
        let both = report(&[&file, &file, "--json"]).await;
        let told: Value = serde_json::from_str(&both.out).expect("JSON");
        assert_eq!((&told["compared"], &told["counts"]), (&8.into(), &4.into()));
    });
}

#[test]
fn the_page_tells_what_differs_what_is_explained_and_which_rules_explain_nothing() {
    run(async {
        let rules = "[[ignore]]\nfield = \"status\"\nreason = \"new policies\"\n[[ignore]]\nfield = \"body\"\n\
                     reason = \"not any more\"\nexpires = 2020-01-01\n";
        let gate = Gate::start(|config| config.shadow_diff.ignore = ignore_file::parse(rules).expect("rules")).await;
        let judge = gate.judge();
        let nothing = gate.admin("/shadow.json").await;
        assert_eq!((nothing.status, nothing.header("content-type")), (200, Some("application/json")));
        assert_eq!(nothing.json()["compared"]["all"], 0);
        for _ in 0..2 {
            let flaps = |value: u32| answered(200, &json!({"flaps": value}));
            judge.learn(&asked("/"), &flaps(1), &flaps(2));
        }
        let (member, other) = (json!({"status": "pending"}), json!({"status": "accepted"}));
        assert_eq!(judge.judge(&asked("/"), &answered(403, &member), &answered(404, &member)).outcome, Outcome::Equal);
        assert_eq!(judge.judge(&asked("/"), &answered(200, &member), &answered(200, &other)).outcome, Outcome::Differs);
        let told = gate.admin("/shadow.json").await.json();
        assert_eq!(told["compared"], json!({"all": 2, "equal": 1, "differs": 1, "not_compared": 0}));
        let rows = told["differences"].as_array().expect("rows");
        let fields: Vec<&Value> = rows.iter().map(|row| &row["field"]).collect();
        assert_eq!(fields, ["/status", "status"]);
        assert_eq!(
            (&rows[0]["counts"], &rows[0]["share"], &rows[0]["route"]),
            (&1.into(), &0.5.into(), &MEMBER_ROUTE.into())
        );
        assert_eq!(rows[0]["examples"][0]["staging"], "\"accepted\"");
        assert_eq!((&rows[1]["ignored"], &rows[1]["reason"]), (&1.into(), &"new policies".into()));
        let rules = told["rules"].as_array().expect("rules");
        let states: Vec<(&Value, &Value)> = rules.iter().map(|rule| (&rule["hits"], &rule["is_expired"])).collect();
        assert_eq!(states, [(&json!(1), &json!(false)), (&json!(0), &json!(true))]);
        assert_eq!((&told["learned"][0]["field"], &told["learned"][0]["is_noise"]), (&"/flaps".into(), &true.into()));
        let rebound =
            Call::new(gate.admin_address, "GET", "/shadow.json").header("Host", "rebound.example").send().await;
        assert_eq!(rebound.status, 403);
        let foreign = Call::new(gate.admin_address, "GET", "/shadow.json").header("Sec-Fetch-Site", "cross-site");
        assert_eq!(foreign.send().await.status, 403);
        gate.wait_for_metric("glance_gate_shadow_ignore_rules{state=\"expired\"}", 1).await;
        gate.wait_for_metric("glance_gate_shadow_learned_noise", 1).await;
        // a reload renews the rules and keeps the account
        gate.reload(|config| config.shadow_diff.ignore = Vec::new()).await.expect("a good configuration");
        let judge = gate.judge();
        assert_eq!(
            judge.judge(&asked("/"), &answered(403, &member), &answered(404, &member)).outcome,
            Outcome::Differs
        );
        let told = gate.admin("/shadow.json").await.json();
        assert_eq!((&told["compared"]["all"], &told["rules"]), (&3.into(), &json!([])));
    });
}

#[test]
fn no_secret_is_in_a_line_on_the_page_in_the_metrics_or_in_a_report() {
    run(async {
        for values in [Values::Safe, Values::All] {
            let directory = Directory::new();
            let file = directory.path().join("differences.jsonl");
            let mut gate = Gate::start(|config| {
                to_file(config, &file);
                config.shadow_diff.values = values;
            })
            .await;
            let planted = json!({
                "password": PLANTED,
                "os_admin_token": {"deep": [PLANTED]},
                "locations": [{"url": format!("swift+https://user:{PLANTED}@store/v1"), "metadata": {"api_key": PLANTED}}],
                "note": format!("gAAAAAB{PLANTED}"),
                "hint": format!("password={PLANTED}"),
                format!("eyJ{PLANTED}"): 1,
            });
            let target = format!("/v2/images/a/members/m?x=1&auth_token={PLANTED}&y=gAAAAAB{PLANTED}");
            let judge = gate.judge();
            judge.judge(&asked(&target), &answered(200, &planted), &answered(200, &json!({})));
            judge.judge(&asked(&target), &answered(200, &json!({})), &answered(200, &planted));
            let changed = json!({"password": "x", "note": "y", "hint": "z", "locations": [{"url": "w"}]});
            judge.judge(&asked(&target), &answered(200, &planted), &answered(200, &changed));
            let page = gate.admin("/shadow.json").await.text();
            let metrics = gate.metrics().await;
            stop(&mut gate).await;
            let lines = fs::read_to_string(&file).expect("lines");
            let file = file.display().to_string();
            let told = [report(&[&file]).await.out, report(&[&file, "--json"]).await.out, page, metrics, lines];
            for text in told {
                assert!(text.contains("/password"), "{text}");
                assert!(!text.contains(PLANTED), "{text}");
            }
        }
    });
}

#[test]
fn check_tells_mistakes_in_the_rules_by_their_own_file_and_line() {
    run(async {
        let directory = Directory::new();
        let (keystone, glance) = neighbours().await;
        let check = async |rules: &str| {
            let ignore = directory.write("ignore.toml", rules).display().to_string();
            let more = format!("[shadow_diff]\nignore_file = \"{ignore}\"");
            let config = directory.write("gate.toml", &text(&keystone, &glance, &more)).display().to_string();
            (Process::run(&["check", "--config", &config], &[PASSWORD]).await, ignore)
        };
        let (broken, ignore) = check("[[ignore]]\nfield = \"status\"\nreason = \"\"\nrout = 1\n").await;
        assert_eq!(broken.code, Some(1), "{}", broken.errors);
        for expected in
            [format!("{ignore}:3: reason: the value does not fit"), format!("{ignore}:4: rout: a rule has no such key")]
        {
            assert!(broken.errors.contains(&expected), "{expected} is not in {}", broken.errors);
        }
        let (expired, ignore) = check("[[ignore]]\nfield = \"status\"\nreason = \"old\"\nexpires = 2020-01-01\n").await;
        assert_eq!(expired.code, Some(0), "{}", expired.errors);
        assert_eq!(expired.errors.trim(), format!("{ignore}:1: status has expired and ignores no more: old"));
    });
}
