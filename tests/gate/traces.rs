//! Traces: what a collector is told of requests, and what goes on to whom.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::telemetry::traces::Share;

use crate::client::Connection;
use crate::collector::Collector;
use crate::collector::Span;
use crate::harness::DeadPort;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::http2_client::Http2;
use crate::scene::MEMBER;
use crate::scene::Scene;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Sends all spans of the gate there, soon.
pub fn to(collector: &Collector) -> impl FnOnce(&mut Config) {
    let endpoint = collector.url();
    |config| {
        config.tracing.endpoint = endpoint;
        config.tracing.export_delay = Duration::from_millis(10);
    }
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn the_one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "{name} twice in {spans:#?}");
    first.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[test]
fn a_request_has_a_span_and_so_has_each_call_that_it_needs() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.clear();
        let reply = scene.accept(&gate).token(&scene.member).header("Host", "images.example.org:9292").send().await;
        assert_eq!(reply.status, 200);

        let spans = collector.wait_for(4).await;
        let name = "PUT /v2/images/{image_id}/members/{member_id}";
        let (server, client): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.is_server());
        let forwarded = client.iter().find(|span| span.name == name).expect("the call to Glance");
        let update = server.first().expect("the request's");
        assert_eq!((server.len(), update.name.as_str(), update.parent.as_str()), (1, name, ""));
        let route = "/v2/images/{image_id}/members/{member_id}";
        for (key, value) in [
            ("http.request.method", "PUT"),
            ("http.route", route),
            ("http.response.status_code", "200"),
            ("url.path", &scene.target),
            ("url.scheme", "http"),
            ("server.address", "images.example.org"),
            ("server.port", "9292"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("openstack.request_id", reply.header("x-openstack-request-id").expect("an id")),
            ("glance_gate.branch", "member_update"),
            ("glance_gate.verdict", "permitted"),
            ("glance_gate.reason", ""),
            ("error.type", ""),
        ] {
            assert_eq!(update.get(key), value, "{key}");
        }
        assert_eq!(update.get("http.response.body.size"), reply.body.len().to_string());
        assert!(!update.is_error);

        let (keystone, image) = (the_one(&spans, "GET /v3/auth/tokens"), the_one(&spans, "GET /v2/images/{image_id}"));
        for (span, server, path, template) in [
            (keystone, gate.keystone.url(), "/v3/auth/tokens", "/v3/auth/tokens"),
            (image, gate.glance.url(), scene.image_target().as_str(), "/v2/images/{image_id}"),
            (*forwarded, gate.glance.url(), scene.target.as_str(), route),
        ] {
            let server = server.trim_end_matches("/v3");
            assert!(!span.is_server());
            assert_eq!((span.parent.as_str(), span.trace.as_str()), (update.id.as_str(), update.trace.as_str()));
            assert_eq!(span.get("url.full"), format!("{server}{path}"));
            assert_eq!((span.get("url.path"), span.get("url.template")), (path, template));
            assert_eq!((span.get("http.response.status_code"), span.get("error.type")), ("200", ""));
            assert_eq!(format!("http://{}:{}", span.get("server.address"), span.get("server.port")), server);
            assert!(update.times.0 <= span.times.0 && span.times.0 <= span.times.1 && span.times.1 <= update.times.1);
        }
        for (key, value) in [
            ("service.name", "glance-gate"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("deployment.environment.name", ""),
        ] {
            assert_eq!(update.resource.get(key).map_or("", String::as_str), value);
        }
        assert!(update.resource.contains_key("service.instance.id"));

        // each neighbour is told which span it works for
        let seen = gate.seen();
        let told =
            |method: &str| seen.iter().find(|seen| seen.method == method).and_then(|seen| seen.header("traceparent"));
        assert_eq!(told("GET"), Some(image.traceparent().as_str()));
        assert_eq!(told("PUT"), Some(forwarded.traceparent().as_str()));
        let asked = gate.keystone.requests();
        assert_eq!(asked.first().and_then(|seen| seen.header("traceparent")), Some(keystone.traceparent().as_str()));
    });
}

#[test]
fn what_is_remembered_needs_no_call() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await.warm().await;
        let scene = Scene::new(&gate);
        for _ in 0..2 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        let spans = collector.wait_for(6).await;
        let second = spans.iter().filter(|span| span.is_server()).max_by_key(|span| span.times.0).expect("two");
        let children: Vec<&Span> = spans.iter().filter(|span| span.parent == second.id).collect();
        assert_eq!(children.len(), 1, "{children:#?}");
        assert!(!second.get("glance_gate.token.age_ms").is_empty());
        assert!(!second.get("glance_gate.ownership.age_ms").is_empty());
    });
}

#[test]
fn the_trace_of_the_client_is_continued() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(|config| {
            to(&collector)(config);
            // who began the trace has decided
            config.tracing.sample = Share(0);
        })
        .await;
        let call = gate.call("GET", "/v2/images").header("traceparent", traceparent("01"));
        let reply = call.header("tracestate", "vendor=one").header("tracestate", "other=two").send().await;
        assert_eq!(reply.status, 401);
        let spans = collector.wait_for(2).await;
        let (server, client) = if spans[0].is_server() { (&spans[0], &spans[1]) } else { (&spans[1], &spans[0]) };
        assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, PARENT));
        assert_eq!((client.trace.as_str(), client.parent.as_str()), (TRACE, server.id.as_str()));
        assert_eq!((server.state.as_str(), client.state.as_str()), ("vendor=one,other=two", "vendor=one,other=two"));
        assert_eq!(server.get("glance_gate.verdict"), "passed_through");
        assert_eq!((client.get("error.type"), client.is_error, server.is_error), ("401", true, false));
        let seen = gate.seen().pop().expect("the call");
        assert_eq!(seen.header_values("traceparent"), [client.traceparent()]);
        assert_eq!(seen.header_values("tracestate"), ["vendor=one,other=two"]);
    });
}

#[test]
fn what_is_not_sampled_is_not_recorded_and_goes_on_as_such() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        let call = gate.call("GET", "/v2/images").header("traceparent", traceparent("00"));
        call.header("tracestate", "vendor=one").send().await;
        let seen = gate.seen().pop().expect("the call");
        let told = seen.header("traceparent").expect("a parent");
        assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
        assert!(!told.contains(PARENT), "{told} does not name the gate");
        assert_eq!(seen.header("tracestate"), Some("vendor=one"));
        // the next one is, and is all there is
        gate.call("GET", "/v2/images").header("traceparent", traceparent("01")).send().await;
        let spans = collector.wait_for(2).await;
        assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    });
}

#[test]
fn of_those_that_begin_here_only_a_share_is_recorded() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(|config| {
            to(&collector)(config);
            config.tracing.sample = Share(0);
        })
        .await;
        for _ in 0..20 {
            gate.call("GET", "/v2/images").send().await;
        }
        let told = |flags| {
            gate.seen()
                .iter()
                .filter(|seen| seen.header("traceparent").is_some_and(|told| told.ends_with(flags)))
                .count()
        };
        assert_eq!((told("-00"), told("-01")), (20, 0));
        gate.reload(|config| config.tracing.sample = Share(500_000)).await.expect("a good configuration");
        for _ in 0..200 {
            gate.call("GET", "/v2/images").send().await;
        }
        // a fair coin falls on one side 40 times or less with a probability below one in 10^17
        let recorded = told("-01");
        assert!((40..=160).contains(&recorded), "{recorded}");
        collector.wait_for(recorded * 2).await;
    });
}

#[test]
fn a_parent_that_is_not_well_written_begins_a_new_trace() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        for odd in ["", "00-x", &traceparent("1"), &format!("ff-{TRACE}-{PARENT}-01"), &traceparent("01-more")] {
            gate.call("GET", "/v2/images").header("traceparent", odd).header("tracestate", "lost=1").send().await;
        }
        let twice = gate.call("GET", "/v2/images").header("traceparent", traceparent("01"));
        twice.header("traceparent", traceparent("01")).send().await;
        let spans = collector.wait_for(12).await;
        for server in spans.iter().filter(|span| span.is_server()) {
            assert_eq!((server.parent.as_str(), server.state.as_str()), ("", ""));
            assert_ne!(server.trace, TRACE);
        }
        for seen in gate.seen() {
            assert_eq!(seen.header_values("traceparent").len(), 1);
            assert_eq!(seen.header("tracestate"), None);
        }
    });
}

#[test]
fn without_a_collector_the_context_passes_by_untouched() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        gate.keystone.clear();
        for parent in [&traceparent("01"), "not well written"] {
            for call in [scene.accept(&gate).token(&scene.member), gate.call("GET", "/v2/images").token(&scene.member)]
            {
                let call = call.header("traceparent", parent).header("tracestate", "a=1").header("tracestate", "b=2");
                assert_eq!(call.send().await.status, 200);
                let seen = gate.seen().pop().expect("the call");
                assert_eq!(seen.header_values("traceparent"), [parent]);
                assert_eq!(seen.header_values("tracestate"), ["a=1", "b=2"]);
            }
        }
        // the gate's own questions are nobody's
        assert!(gate.keystone.requests().iter().all(|seen| seen.header("traceparent").is_none()));
        assert!(!gate.metrics().await.contains("glance_gate_trace_spans_total{"));
    });
}

#[test]
fn refusals_and_failures_are_told() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await.warm().await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        gate.expect_refusal(&reply, "owner_forbidden").await;
        let spans = collector.wait_for(3).await;
        let refused = spans.iter().find(|span| span.is_server()).expect("the request");
        assert_eq!(
            (refused.get("glance_gate.verdict"), refused.get("glance_gate.reason")),
            ("refused", "owner_forbidden")
        );
        assert_eq!((refused.get("http.response.status_code"), refused.get("error.type")), ("403", ""));
        assert!(!refused.is_error, "it is the client's mistake");

        gate.keystone.set_fault(Fault::Reset);
        let fresh = gate.keystone.issue(TokenSpec::member(MEMBER));
        let reply = scene.accept(&gate).token(&fresh).send().await;
        gate.expect_refusal(&reply, "keystone_unavailable").await;
        // it was asked twice
        let spans = collector.wait_for(6).await.split_off(3);
        let server = spans.iter().find(|span| span.is_server()).expect("the request");
        assert_eq!((server.get("error.type"), server.is_error), ("keystone_unavailable", true));
        assert!(server.get("glance_gate.cause").contains("the connection broke"), "{server:#?}");
        for asked in spans.iter().filter(|span| !span.is_server()) {
            assert_eq!((asked.name.as_str(), asked.get("error.type")), ("GET /v3/auth/tokens", "broken"));
            assert!(asked.is_error);
        }
    });
}

#[test]
fn each_attempt_at_an_upstream_has_its_span() {
    run(async {
        let collector = Collector::start().await;
        let dead = DeadPort::new();
        let gate = Gate::start(|config| {
            to(&collector)(config);
            config.upstream.servers = vec![dead.url()];
        })
        .await;
        let reply = gate.call("GET", "/v2/images").send().await;
        gate.expect_refusal(&reply, "upstream_unavailable").await;
        let spans = collector.wait_for(2).await;
        let attempt = spans.iter().find(|span| !span.is_server()).expect("the attempt");
        assert_eq!((attempt.get("error.type"), attempt.is_error), ("unreachable", true));
        assert_eq!(attempt.get("url.full"), format!("{}/v2/images", dead.url()));
        assert_eq!(attempt.get("http.request.resend_count"), "");
        let server = spans.iter().find(|span| span.is_server()).expect("the request");
        assert_eq!((server.get("error.type"), server.is_error), ("upstream_unavailable", true));
    });
}

#[test]
fn what_grows_without_bound_names_no_span() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        gate.call("GET", "/v2/no/such/path?secret=1").send().await;
        gate.call("BREW", "/v2/images").send().await;
        gate.call("GET", "/v2//images").send().await;
        let mut connection = Connection::open(gate.address).await;
        connection.send("no request\r\n\r\n").await;
        assert_eq!(connection.reply("GET").await.status, 400);
        // load balancers ask too often to be told of
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 200);
        gate.call("GET", "/v2/images").send().await;
        let spans = collector.wait_for(8).await;
        let mut names: Vec<&str> =
            spans.iter().filter(|span| span.is_server()).map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["GET", "GET", "GET /v2/images", "HTTP", "HTTP /v2/images"]);
        let brewed = spans.iter().find(|span| span.is_server() && span.name == "HTTP /v2/images").expect("it");
        assert_eq!(brewed.get("http.request.method"), "_OTHER");
        assert_eq!(brewed.get("http.request.method_original"), "BREW");
        let broken = spans.iter().find(|span| span.name == "HTTP").expect("it");
        assert_eq!((broken.get("glance_gate.reason"), broken.get("url.path")), ("request_malformed", ""));
        assert!(spans.iter().all(|span| !format!("{span:?}").contains("secret")), "{spans:#?}");
    });
}

#[test]
fn a_client_that_hangs_up_leaves_a_span_too() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        gate.glance.set_fault_on("/v2/", Fault::Hang);
        let mut connection = Connection::open(gate.address).await;
        connection.send(gate.call("GET", "/v2/images").bytes()).await;
        eventually("Glance has it", || async { gate.count("GET", "/v2/images") == 1 }).await;
        drop(connection);
        let spans = collector.wait_for(2).await;
        for span in &spans {
            assert_eq!(span.get("error.type"), "given_up", "{span:#?}");
        }
    });
}

#[test]
fn a_mount_is_part_of_the_route() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(|config| {
            to(&collector)(config);
            config.server.mount = "/image".into();
            config.tracing.environment = "staging".into();
            config.tracing.service_name = "edge".into();
        })
        .await;
        gate.call("GET", "/image/v2/images").send().await;
        let spans = collector.wait_for(2).await;
        for span in &spans {
            assert_eq!(span.name, "GET /image/v2/images");
            assert_eq!(span.resource["deployment.environment.name"], "staging");
            assert_eq!(span.resource["service.name"], "edge");
        }
    });
}

#[test]
fn http2_is_traced_as_well() {
    run(async {
        let collector = Collector::start().await;
        let gate = Gate::start(to(&collector)).await;
        let client = Http2::open(gate.address).await;
        let request = client.request("GET", "/v2/images?name=x").header("traceparent", traceparent("01"));
        assert_eq!(client.send(request, b"").await.status, 401);
        let spans = collector.wait_for(2).await;
        let server = spans.iter().find(|span| span.is_server()).expect("the request");
        assert_eq!((server.name.as_str(), server.parent.as_str()), ("GET /v2/images", PARENT));
        assert_eq!((server.get("network.protocol.version"), server.get("server.address")), ("2", "127.0.0.1"));
        assert_eq!(server.get("url.path"), "/v2/images");
    });
}
