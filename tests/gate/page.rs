//! The operators' page and what it reads: who gets it, what it tells, and what it never tells.

use std::time::Duration;

use glance_gate::config::load;
use glance_gate::demo::fault::Fault;
use glance_gate::demo::keystone::SERVICE_PASSWORD;
use serde_json::Value;

use crate::client::Call;
use crate::client::Connection;
use crate::client::Reply;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scene::Scene;

const FILES: [(&str, &str); 10] = [
    ("/", "text/html; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
    ("/plots.js", "text/javascript; charset=utf-8"),
    ("/tables.js", "text/javascript; charset=utf-8"),
    ("/words.js", "text/javascript; charset=utf-8"),
    ("/toggle.js", "text/javascript; charset=utf-8"),
    ("/shadow", "text/html; charset=utf-8"),
    ("/shadow.css", "text/css; charset=utf-8"),
    ("/shadow.js", "text/javascript; charset=utf-8"),
];

async fn status(gate: &Gate) -> Value {
    let reply = gate.admin("/status.json").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    reply.json()
}

/// Waits until the document tells this; the pointer is one of RFC 6901.
async fn wait_for(gate: &Gate, pointer: &str, expected: &Value) {
    eventually(pointer, || async { status(gate).await.pointer(pointer) == Some(expected) }).await;
}

fn rule<'a>(document: &'a Value, reason: &str) -> &'a Value {
    let rules = document["rules"].as_array().expect("rules");
    rules.iter().find(|rule| rule["reason"] == reason).expect("a known reason")
}

fn assert_is_guarded(path: &str, reply: &Reply) {
    let policy = reply.header("content-security-policy").expect("a policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|known| known == directive), "{path}: {directive} not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{path}: {name}");
    }
}

#[test]
fn the_page_is_whole_and_guarded_and_needs_nothing_from_elsewhere() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        for (path, media_type) in FILES {
            let reply = gate.admin(path).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)), "{path}");
            assert_is_guarded(path, &reply);
            let text = reply.text();
            for foreign in ["http://", "https://", "innerHTML", "eval(", "style=", "onclick="] {
                let allowed = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!allowed.contains(foreign), "{path} has {foreign}");
            }
        }
        let page = gate.admin("/").await.text();
        for (path, _) in [FILES[1], FILES[2]] {
            assert!(page.contains(&format!("\"{path}\"")), "{path} is not in the page");
        }
        assert_eq!(Call::new(gate.admin_address, "HEAD", "/").send().await.body.len(), 0);
        assert_eq!(Call::new(gate.admin_address, "POST", "/").send().await.status, 405);
        // and it is not on the clients' side
        for path in ["/page.css", "/status.json", "/shadow.json", "/events"] {
            gate.call("GET", path).send().await;
            assert_eq!(gate.count("GET", path), 1, "{path} is Glance's business");
        }
    });
}

#[test]
fn a_name_that_a_stranger_made_lead_here_gets_nothing() {
    run(async {
        let gate = Gate::start(|config| config.admin_names = vec!["gate1.internal".into()]).await;
        let paths = || FILES.iter().map(|(path, _)| *path).chain(["/status.json", "/shadow.json", "/events"]);
        for path in paths() {
            for host in
                ["rebound.example", "rebound.example:9294", "localhost.rebound.example", "gate1.internal.example"]
            {
                let reply = Call::new(gate.admin_address, "GET", path).header("Host", host).send().await;
                assert_eq!(reply.status, 403, "{path} for {host}");
                assert_is_guarded(path, &reply);
            }
        }
        for host in ["localhost", "localhost:9294", "127.0.0.1:1", "[::1]:9294", "gate1.internal", "GATE1.internal:80"]
        {
            let reply = Call::new(gate.admin_address, "GET", "/status.json").header("Host", host).send().await;
            assert_eq!(reply.status, 200, "{host}");
        }
        // a reload changes who is known
        gate.reload(|config| config.admin_names = Vec::new()).await.expect("a good configuration");
        let reply = Call::new(gate.admin_address, "GET", "/").header("Host", "gate1.internal").send().await;
        assert_eq!(reply.status, 403);
    });
}

#[test]
fn a_page_of_another_origin_may_only_link_here() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let from = |site: &str, path: &str| {
            Call::new(gate.admin_address, "GET", path)
                .header("Sec-Fetch-Site", site)
                .header("Sec-Fetch-Mode", "no-cors")
        };
        for site in ["cross-site", "same-site"] {
            for path in ["/", "/page.js", "/status.json", "/events"] {
                assert_eq!(from(site, path).send().await.status, 403, "{path} from {site}");
            }
            let link = Call::new(gate.admin_address, "GET", "/").header("Sec-Fetch-Site", site);
            let link = link.header("Sec-Fetch-Mode", "navigate");
            assert_eq!(link.clone().header("Sec-Fetch-Dest", "document").send().await.status, 200);
            assert_eq!(link.header("Sec-Fetch-Dest", "iframe").send().await.status, 403);
        }
        for site in ["same-origin", "none"] {
            assert_eq!(from(site, "/status.json").send().await.status, 200, "{site}");
        }
    });
}

#[test]
fn the_figures_are_those_of_the_traffic() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        for _ in 0..7 {
            assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 200);
        }
        for _ in 0..3 {
            assert_eq!(scene.accept(&gate).token(&scene.owner).send().await.status, 403);
        }
        for _ in 0..5 {
            assert_eq!(gate.call("GET", "/v2/images").token(&scene.member).send().await.status, 200);
        }
        gate.call("GET", "/healthcheck").send().await;
        wait_for(&gate, "/traffic/hour/requests", &15.into()).await;
        let document = status(&gate).await;
        assert_eq!(document["schema"], 1);
        for window in ["minute", "five_minutes", "hour"] {
            let window = &document["traffic"][window];
            let verdicts = &window["verdicts"];
            assert_eq!((&verdicts["permitted"], &verdicts["refused"]), (&7.into(), &3.into()));
            assert_eq!(verdicts["passed_through"], 5, "load balancers' checks are no traffic");
            assert_eq!((&window["statuses"]["2xx"], &window["statuses"]["4xx"]), (&12.into(), &3.into()));
            assert_eq!(window["latency"]["member_update"]["count"], 10);
            assert!(window["latency"]["member_update"]["p99_ms"].as_f64().expect("a time") > 0.0);
            assert_eq!(window["latency"]["passthrough"]["count"], 5);
        }
        let refused = rule(&document, "owner_forbidden");
        assert_eq!((&refused["enforced"], &refused["observed"], &refused["hour"]), (&3.into(), &0.into(), &3.into()));
        assert_eq!((&refused["status"], &refused["mode"]), (&403.into(), &"enforce".into()));
        assert_eq!(rule(&document, "target_ambiguous")["mode"], "always");

        let token = &document["caches"][0];
        assert_eq!((&token["name"], &token["hits"], &token["misses"]), (&"token".into(), &8.into(), &2.into()));
        assert_eq!((&token["hit_rate"], &token["entries"]), (&0.8.into(), &2.into()));
        assert_eq!((&token["max_age_s"], &token["max_age_negative_s"]), (&300.0.into(), &10.0.into()));
        assert_eq!(document["keystone"]["outcomes"]["ok"], 2);
        assert_eq!((&document["keystone"]["answered"], &document["keystone"]["failed"]), (&2.into(), &0.into()));
        assert_eq!(
            (&document["keystone"]["url"], &document["keystone"]["has_own_token"]),
            (&gate.keystone.url().into(), &true.into())
        );

        let upstream = &document["upstreams"][0];
        assert_eq!((&upstream["label"], &upstream["is_healthy"]), (&gate.glance.url().into(), &true.into()));
        assert_eq!((&upstream["breaker"], &upstream["in_flight"]), (&"closed".into(), &0.into()));
        assert_eq!(upstream["outcomes"]["ok"], gate.seen().len());
        assert!(document["readiness"]["is_ready"].as_bool().expect("a word"));
    });
}

#[test]
fn the_latest_refusals_stand_with_what_they_rested_on() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let reply = scene.accept(&gate).token(&scene.owner).send().await;
        let id = reply.header("x-openstack-request-id").expect("an id").to_owned();
        wait_for(&gate, "/refusals/0/request_id", &id.into()).await;
        let document = status(&gate).await;
        let refusal = &document["refusals"][0];
        for (field, value) in [
            ("verdict", Value::from("refused")),
            ("rule", "owner_forbidden".into()),
            ("would_answer", 403.into()),
            ("status", 403.into()),
            ("upstream_status", Value::Null),
            ("image", scene.image.clone().into()),
            ("member", crate::scene::MEMBER.into()),
            ("project", crate::scene::OWNER.into()),
        ] {
            assert_eq!(refusal[field], value, "{field}");
        }
        assert!(refusal["token_age_ms"].is_u64() && refusal["ownership_age_ms"].is_u64(), "{refusal}");
        let text = document.to_string();
        for secret in [&scene.owner, &scene.member, SERVICE_PASSWORD] {
            assert!(!text.contains(secret), "a secret is in the document");
        }
    });
}

#[test]
fn an_outage_of_a_neighbour_shows() {
    run(async {
        let gate = Gate::start(|config| config.upstream.health_check_interval = Duration::from_millis(20)).await;
        let scene = Scene::new(&gate);
        gate.keystone.set_fault(Fault::Status(500));
        assert_eq!(scene.accept(&gate).token(&scene.member).send().await.status, 503);
        gate.glance.set_healthy(false);
        wait_for(&gate, "/upstreams/0/is_healthy", &false.into()).await;
        wait_for(&gate, "/readiness/is_ready", &false.into()).await;
        let document = status(&gate).await;
        assert_eq!(document["readiness"]["probes"][0]["passes"], false);
        eventually("the refusal counts", || async { rule(&status(&gate).await, "keystone_unavailable")["hour"] == 1 })
            .await;
        gate.glance.set_healthy(true);
        wait_for(&gate, "/readiness/is_ready", &true.into()).await;
    });
}

#[test]
fn the_configuration_is_told_without_its_secrets() {
    run(async {
        let gate = Gate::start(|config| {
            let text = "[server]\nworkers = 3\n[keystone_authtoken]\nusername = \"gate\"\npassword = \"planted-in-the-file\"\n";
            let key = "GLANCE_GATE_KEYSTONE_AUTHTOKEN_APPLICATION_CREDENTIAL_SECRET";
            let environment = [(key.to_owned(), "planted-in-the-environment".to_owned())];
            let parsed = load::parse("gate.toml", text, &environment).expect("a configuration");
            config.settings = parsed.0.settings;
        })
        .await;
        let document = status(&gate).await;
        let settings = document["settings"].as_array().expect("settings");
        let told = |key: &str| {
            let found = settings.iter().find(|setting| setting["key"] == key).expect("a known key");
            (found["value"].as_str().expect("a value"), found["origin"].as_str().expect("an origin"))
        };
        assert_eq!(told("workers"), ("3", "line 2"));
        assert_eq!(told("username"), ("\"gate\"", "line 4"));
        assert_eq!(told("password"), ("\"***\"", "line 5"));
        assert_eq!(told("application_credential_secret"), ("\"***\"", "environment"));
        assert_eq!(told("token_cache_time"), ("\"5m\"", "default"));
        assert!(!document.to_string().contains("planted"), "a secret is told");
    });
}

/// Listens to the feed.
struct Listener {
    connection: Connection,
}

impl Listener {
    async fn open(gate: &Gate) -> Self {
        let mut connection = Connection::open(gate.admin_address).await;
        connection.send(Call::new(gate.admin_address, "GET", "/events").bytes()).await;
        let head = connection.head().await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
        Self { connection }
    }

    /// Returns the next event's name and data.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let chunk = self.connection.chunk().await?;
            let text = String::from_utf8(chunk).expect("text");
            if text.starts_with(':') {
                continue;
            }
            let (name, data) = text.split_once('\n').expect("two lines");
            let name = name.strip_prefix("event: ").expect("a name").to_owned();
            let data = data.strip_prefix("data: ").and_then(|data| data.strip_suffix("\n\n")).expect("one line");
            return Some((name, serde_json::from_str(data).expect("JSON")));
        }
    }

    /// Returns the data of the next event that fits.
    async fn until(&mut self, fits: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the feed goes on");
            if fits(&name, &data) {
                return data;
            }
        }
    }
}

#[test]
fn the_feed_tells_all_first_and_then_what_changes() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let mut listener = Listener::open(&gate).await;
        let (name, whole) = listener.next().await.expect("an event");
        assert_eq!((name.as_str(), &whole["schema"]), ("status", &1.into()));
        assert_eq!(whole["traffic"]["hour"]["requests"], 0);

        scene.accept(&gate).token(&scene.owner).send().await;
        let told = listener.until(|name, data| name == "change" && data.get("refusals").is_some()).await;
        assert_eq!(told["refusals"][0]["rule"], "owner_forbidden");
        assert_eq!(told["traffic"]["hour"]["verdicts"]["refused"], 1);
        assert!(told.get("settings").is_none() && told.get("series").is_none(), "only what has changed: {told}");

        let step = listener.until(|name, _| name == "step").await;
        assert_eq!(step["at"].as_array().map(Vec::len), Some(1));
        let steps = status(&gate).await["series"]["verdicts"]["refused"].clone();
        let counts = steps.as_array().expect("steps").iter().map(|count| count.as_u64().expect("a count"));
        assert_eq!(counts.sum::<u64>(), 1);
    });
}

#[test]
fn the_feed_has_a_bound_and_a_place_that_is_left_is_free_again() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        let mut listeners = Vec::new();
        for _ in 0..16 {
            listeners.push(Listener::open(&gate).await);
        }
        let reply = gate.admin("/events").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("30")));
        assert!(reply.text().contains("/status.json"), "{}", reply.text());
        // who only reads the document is not refused
        assert_eq!(status(&gate).await["clock"]["listeners"], 16);
        listeners.pop();
        eventually("there is a place again", || async { status(&gate).await["clock"]["listeners"] == 15 }).await;
        listeners.push(Listener::open(&gate).await);
        assert_eq!(status(&gate).await["clock"]["listeners"], 16);
    });
}

#[test]
fn the_feed_ends_with_the_gate() {
    run(async {
        let mut gate = Gate::start(|_| {}).await;
        let mut listener = Listener::open(&gate).await;
        assert_eq!(listener.next().await.expect("an event").0, "status");
        let app = gate.take_app();
        let stopped = tokio::task::spawn_blocking(move || app.stop());
        while listener.next().await.is_some() {}
        assert!(listener.connection.is_over().await);
        assert_eq!(stopped.await.expect("no panic").expect("no worker panicked"), 0, "nothing had to be cut off");
    });
}

#[test]
fn no_request_waits_for_listeners_that_do_not_read() {
    run(async {
        let gate = Gate::start(|_| {}).await.warm().await;
        let scene = Scene::new(&gate);
        let mut silent = Vec::new();
        for _ in 0..16 {
            let mut connection = Connection::open(gate.admin_address).await;
            connection.send(Call::new(gate.admin_address, "GET", "/events").bytes()).await;
            silent.push(connection);
        }
        eventually("all listen", || async { status(&gate).await["clock"]["listeners"] == 16 }).await;
        for _ in 0..200 {
            assert_eq!(scene.accept(&gate).token(&scene.owner).send().await.status, 403);
        }
        wait_for(&gate, "/traffic/hour/verdicts/refused", &200.into()).await;
    });
}

#[test]
fn a_disagreement_shows_with_its_rule() {
    run(async {
        let gate = Gate::start(|config| config.rules.default = glance_gate::rules::setting::Setting::Observe).await;
        let gate = gate.warm().await;
        let scene = Scene::new(&gate);
        gate.glance.set_fault_on("/members/", Fault::Status(500));
        // the gate would answer 403; Glance's 500 can not be compared, its 403 agrees
        scene.accept(&gate).token(&scene.owner).send().await;
        gate.glance.set_fault(Fault::None);
        scene.accept(&gate).token(&scene.owner).send().await;
        wait_for(&gate, "/traffic/hour/verdicts/would_refuse", &2.into()).await;
        let document = status(&gate).await;
        let told = rule(&document, "owner_forbidden");
        assert_eq!((&told["mode"], &told["observed"], &told["enforced"]), (&"observe".into(), &2.into(), &0.into()));
        assert_eq!((&told["agreements"], &told["disagreements"]), (&1.into(), &0.into()));
        assert_eq!(document["gate"]["enforcement"], "observe");
        assert_eq!(document["comparison"]["all"]["agreements"], 1);
        // what the gate lets pass and Glance does not is a disagreement of no rule
        gate.glance.set_fault_on("/members/", Fault::Status(403));
        scene.accept(&gate).token(&scene.member).send().await;
        wait_for(&gate, "/comparison/permitted/disagreements", &1.into()).await;
        let document = status(&gate).await;
        let told = &document["disagreements"][0];
        assert_eq!((&told["verdict"], &told["rule"]), (&"permitted".into(), &Value::Null));
        assert_eq!((&told["upstream_status"], &told["agree"]), (&403.into(), &"no".into()));
    });
}

#[test]
fn the_kill_switch_shows_with_who_holds_it() {
    run(async {
        let gate = Gate::start(|_| {}).await;
        assert_eq!(status(&gate).await["kill_switch"]["is_on"], false);
        gate.reload(|config| config.rules.kill_switch = true).await.expect("a good configuration");
        let document = status(&gate).await;
        assert_eq!(document["kill_switch"], serde_json::json!({ "is_on": true, "held_by": ["config"] }));
        assert_eq!(rule(&document, "owner_forbidden")["mode"], "observe");
        assert_eq!((&document["gate"]["generation"], &document["gate"]["reloads"]), (&2.into(), &1.into()));
    });
}
