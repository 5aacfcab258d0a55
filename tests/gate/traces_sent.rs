//! Spans on their way to the collector: a collector that fails, the end, a reload, and what is never sent.

use std::time::Duration;

use glance_gate::demo::keystone::SERVICE_PASSWORD;
use glance_gate::demo::keystone::TokenSpec;
use serde_json::Value;

use crate::authority::Authority;
use crate::authority::Clients;
use crate::client::Call;
use crate::collector::Collector;
use crate::collector::Mood;
use crate::collector::Span;
use crate::harness::DeadPort;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scene::MEMBER;
use crate::scene::Scene;
use crate::scripted::Act;
use crate::scripted::Upstream;
use crate::scripted::ok;
use crate::traces::to;

/// Returns the value of the metric that counts spans with this outcome.
async fn count(gate: &Gate, outcome: &str) -> u64 {
    let name = format!("glance_gate_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let metrics = gate.metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

async fn list(gate: &Gate, times: usize) {
    for _ in 0..times {
        assert_eq!(gate.call("GET", "/v2/images").send().await.status, 401);
    }
}

#[test]
fn what_the_collector_does_not_take_now_is_sent_again() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        for (number, mood) in [Mood::Answers(503), Mood::Answers(429)].into_iter().enumerate() {
            collector.set_mood(mood);
            let before = collector.attempts();
            list(&gate, 1).await;
            eventually("an attempt", || async { collector.attempts() > before }).await;
            collector.set_mood(Mood::Takes);
            // unless all five attempts were over before
            let sent = 2 * (number as u64 + 1);
            eventually("all are there or given up", || async {
                count(&gate, "exported").await + count(&gate, "failed").await == sent
            })
            .await;
        }
        assert_eq!(count(&gate, "exported").await, collector.spans().len() as u64);
    });
}

#[test]
fn a_batch_is_given_up_after_five_attempts() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        collector.set_mood(Mood::Answers(503));
        list(&gate, 1).await;
        eventually("the first are given up", || async { count(&gate, "failed").await == 2 }).await;
        // one batch, or one for each of the two spans
        assert!([5, 10].contains(&collector.attempts()), "{}", collector.attempts());
        collector.set_mood(Mood::Takes);
        list(&gate, 1).await;
        gate.wait_for_metric("glance_gate_trace_spans_total{outcome=\"exported\"}", 2).await;
    });
}

#[test]
fn what_the_collector_refuses_is_counted_and_not_sent_again() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        collector.set_mood(Mood::Answers(400));
        list(&gate, 1).await;
        gate.wait_for_metric("glance_gate_trace_spans_total{outcome=\"rejected\"}", 2).await;
        assert!(collector.attempts() <= 2, "{}", collector.attempts());
        collector.set_mood(Mood::TakesAllBut(1));
        let before = collector.attempts();
        list(&gate, 1).await;
        eventually("both spans are told of", || async {
            count(&gate, "exported").await + count(&gate, "rejected").await == 4
        })
        .await;
        let batches = (collector.attempts() - before) as u64;
        assert_eq!(count(&gate, "rejected").await, 2 + batches);
    });
}

#[test]
fn a_collector_that_hangs_keeps_no_request_waiting() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(|config| {
            to(&collector)(config);
            (config.tracing.max_queue, config.tracing.max_batch) = (4, 2);
            // far longer than this test may take
            config.tracing.export_timeout = Duration::from_hours(1);
        })
        .await
        .warm()
        .await;
        collector.set_mood(Mood::Hangs);
        let scene = Scene::new(&gate);
        for _ in 0..20 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        // 20 requests, 20 calls to Glance, 2 questions: two spans are on their way, four wait, and there may be a batch
        // that gathers
        eventually("the others are dropped", || async { count(&gate, "dropped").await >= 34 }).await;
        assert_eq!(count(&gate, "exported").await, 0);
    });
}

#[test]
fn a_collector_that_is_not_there_keeps_no_request_waiting() {
    run(async {
        let dead = DeadPort::new();
        let gate = Gate::start(|config| {
            config.tracing.endpoint = format!("{}/v1/traces", dead.url());
            config.tracing.export_delay = Duration::from_millis(10);
            config.tracing.max_queue = 2;
            config.tracing.max_batch = 1;
        })
        .await;
        list(&gate, 20).await;
        eventually("what finds no room is dropped", || async { count(&gate, "dropped").await >= 30 }).await;
        assert_eq!(count(&gate, "exported").await, 0);
        assert_eq!(gate.admin("/readyz").await.status, 200);
    });
}

#[test]
fn the_last_spans_are_sent_before_the_gate_ends() {
    run(async {
        let collector = Collector::start().await;
        let mut gate = Gate::start(|config| {
            to(&collector)(config);
            // only the end can be the reason
            config.tracing.export_delay = Duration::from_hours(1);
            config.tracing.max_batch = 3;
        })
        .await;
        list(&gate, 4).await;
        let app = gate.take_app();
        let ended = tokio::task::spawn_blocking(move || app.stop()).await.expect("no panic");
        assert_eq!(ended.expect("no worker has panicked"), 0);
        assert_eq!(collector.spans().len(), 8);
    });
}

#[test]
fn a_collector_that_hangs_does_not_keep_the_gate_from_ending() {
    run(async {
        let collector = Collector::start().await;
        let mut gate = Gate::start(|config| {
            to(&collector)(config);
            config.tracing.export_timeout = Duration::from_hours(1);
        })
        .await;
        collector.set_mood(Mood::Hangs);
        list(&gate, 1).await;
        eventually("it hangs", || async { collector.attempts() > 0 }).await;
        let app = gate.take_app();
        let ended = tokio::task::spawn_blocking(move || app.stop()).await.expect("no panic");
        assert_eq!(ended.expect("no worker has panicked"), 0);
    });
}

#[test]
fn a_reload_switches_traces_on_changes_them_and_switches_them_off() {
    run(async {
        let (first, second) = (Collector::start().await, Collector::start().await);
        let gate = Gate::start(|_| {}).await;
        list(&gate, 1).await;
        gate.reload(to(&first)).await.expect("a good configuration");
        list(&gate, 1).await;
        let spans = first.wait_for(2).await;
        let instance = |spans: &[Span]| spans[0].resource["service.instance.id"].clone();

        // what has nothing to do with it goes on as it is
        gate.reload(|config| config.body.max_body += 1).await.expect("a good configuration");
        list(&gate, 1).await;
        assert_eq!(instance(&first.wait_for(4).await[2..]), instance(&spans));

        // spans that wait when the collector changes still go to the old one
        gate.reload(|config| config.tracing.export_delay = Duration::from_hours(1))
            .await
            .expect("a good configuration");
        list(&gate, 1).await;
        gate.reload(to(&second)).await.expect("a good configuration");
        list(&gate, 1).await;
        assert_eq!(second.wait_for(2).await.len(), 2);
        assert_eq!(first.wait_for(6).await.len(), 6);

        gate.reload(|config| config.tracing.endpoint.clear()).await.expect("a good configuration");
        list(&gate, 1).await;
        assert_eq!(gate.seen().pop().expect("the call").header("traceparent"), None);
        gate.wait_for_one_generation().await;
        assert_eq!((first.spans().len(), second.spans().len()), (6, 2));
        gate.wait_for_metric("glance_gate_trace_spans_total{outcome=\"exported\"}", 8).await;
    });
}

#[test]
fn a_reload_with_certificates_that_are_not_there_changes_nothing() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        let refused = gate.reload(|config| config.tracing.cafile = Some("/nonexistent.pem".into())).await;
        assert!(refused.expect_err("no such file").to_string().contains("/nonexistent.pem"));
        list(&gate, 1).await;
        collector.wait_for(2).await;
    });
}

#[test]
fn a_collector_with_a_good_certificate_gets_spans_through_tls() {
    run(async {
        let authority = Authority::new();
        let tls = authority.server("127.0.0.1", &[], Clients::Anybody);
        let collector = Upstream::start_secured(tls, |_| Act::Answer(ok(""))).await;
        let gate = Gate::start(|config| {
            config.tracing.endpoint = format!("{}/v1/traces", collector.url);
            config.tracing.cafile = Some(authority.cafile());
            config.tracing.export_delay = Duration::from_millis(10);
        })
        .await;
        list(&gate, 1).await;
        gate.wait_for_metric("glance_gate_trace_spans_total{outcome=\"exported\"}", 2).await;
        assert!(!collector.arrived().is_empty());
    });
}

#[test]
fn the_collector_is_told_no_secret() {
    const QUERY: &str = "query-of-a-client";
    const BODY: &str = "body-of-a-client";
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await.warm().await;
        let scene = Scene::new(&gate);
        let mut tokens = vec![scene.owner.clone(), scene.member.clone(), scene.stranger.clone()];
        tokens.push("gAAAAA-token-that-was-never-issued".into());
        tokens.push(gate.keystone.issue(TokenSpec::member(MEMBER).jws()));
        let bodies = [
            format!(r#"{{"status": "accepted", "x": "{BODY}"}}"#),
            format!(r#"{{"status": "{BODY}"}}"#),
            format!(r#"{{"status": "{BODY}"#),
        ];
        let mut requests = 0;
        for token in &tokens {
            for body in &bodies {
                let target = format!("{}?x={QUERY}", scene.target);
                drop(gate.call("PUT", &target).token(token).json(body).try_send().await);
                requests += 1;
            }
            for target in ["/v2/images", "/v2//images"] {
                let call = gate.call("GET", &format!("{target}?x={QUERY}")).token(token);
                drop(
                    call.header("Authorization", format!("Bearer {token}"))
                        .header("User-Agent", token)
                        .try_send()
                        .await,
                );
                requests += 1;
            }
            drop(gate.call("PUT", &scene.target).token(token).token(token).json(&bodies[0]).try_send().await);
            drop(gate.call("PUT", &scene.target).header("X_Auth_Token", token).json(&bodies[0]).try_send().await);
            requests += 2;
        }
        // the gate logs in anew, with its password
        gate.keystone.expire_service_tokens();
        let last = gate.keystone.issue(TokenSpec::member(MEMBER));
        assert_eq!(scene.accept(&gate).token(&last).send().await.status, 200);
        tokens.push(last);
        requests += 1;
        let asked = gate.keystone.requests();
        tokens.extend(asked.iter().filter_map(|seen| seen.header("x-auth-token")).map(str::to_owned));

        let servers = || collector.spans().iter().filter(|span| span.is_server()).count();
        eventually("all are there", || async { servers() == requests }).await;
        let login = collector.spans().into_iter().find(|span| span.name == "POST /v3/auth/tokens");
        assert!(login.is_some(), "the login is told of");
        let bytes = collector.bytes();
        let secrets = tokens.iter().map(|token| &token[token.len() - 20..]);
        for secret in secrets.chain([SERVICE_PASSWORD, QUERY, BODY]) {
            let has = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!has, "{secret} was sent to the collector");
        }
    });
}

#[test]
fn the_log_names_the_trace_and_tells_an_outage_of_the_collector_once() {
    run(async {
        let collector = Collector::start().await;
        let (keystone, glance) = neighbours().await;
        let directory = Directory::new();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [upstream]\nservers = [\"{}\"]\n[keystone_authtoken]\nauth_url = \"{}\"\nusername = \"glance-gate\"\n\
             password = \"{SERVICE_PASSWORD}\"\n[tracing]\nendpoint = \"{}\"\nexport_delay = \"10ms\"\n",
            glance.url(),
            keystone.url(),
            collector.url(),
        );
        collector.set_mood(Mood::Resets);
        let (process, address, _) = Process::serve(&directory.write("gate.toml", &config), &[]).await;
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let list = || Call::new(address, "GET", "/v2/images").header("traceparent", parent).send();
        list().await;
        process.says("the trace collector does not take spans").await;
        list().await;
        let before = collector.attempts();
        eventually("another attempt", || async { collector.attempts() > before }).await;
        collector.set_mood(Mood::Takes);
        process.says("the trace collector takes spans again").await;
        collector.wait_for(4).await;

        let ended = process.terminate().await;
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
        let lines: Vec<Value> =
            ended.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        let told = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
        assert_eq!(told("the trace collector does not take spans"), 1);
        assert_eq!(told("the trace collector takes spans again"), 1);
        let requests = lines.iter().filter(|line| line["message"] == "request");
        let traces: Vec<&str> = requests.map(|line| line["trace.id"].as_str().unwrap_or_default()).collect();
        assert_eq!(traces, ["4bf92f3577b34da6a3ce929d0e0e4736"; 2]);
    });
}
