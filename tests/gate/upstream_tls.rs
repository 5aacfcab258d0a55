//! The gate as a client of HTTPS: whom it believes, what it shows, and an end that is not one.

use glance_gate::config::Config;
use serde_json::Value;

use crate::authority::Authority;
use crate::authority::Clients;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::process::Process;
use crate::scripted::Act;
use crate::scripted::Upstream;
use crate::scripted::ok;

async fn start(upstream: &Upstream, adjust: impl FnOnce(&mut Config)) -> Gate {
    let url = upstream.url.clone();
    Gate::start(|config| {
        config.upstream.servers = vec![url];
        config.server.workers = 1;
        adjust(config);
    })
    .await
}

#[test]
fn an_upstream_with_a_good_certificate_is_spoken_to() {
    run(async {
        let authority = Authority::new();
        let tls = authority.server("127.0.0.1", &[], Clients::Anybody);
        let upstream = Upstream::start_secured(tls, |_| Act::Answer(ok("secret"))).await;
        let gate = start(&upstream, |config| config.upstream.transport.cafile = Some(authority.cafile())).await;
        for _ in 0..3 {
            let reply = gate.call("PUT", "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/tags/a").send().await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "secret"));
        }
        assert_eq!(upstream.connections(), [1, 1, 1]);
        // the health checks believe it too
        eventually("a check has passed", || async { upstream.checks() > 2 }).await;
        assert_eq!(gate.admin("/readyz").await.status, 200);
    });
}

#[test]
fn an_upstream_that_cannot_be_believed_is_unavailable() {
    run(async {
        let authority = Authority::new();
        let cafile = Some(Authority::new()).map(|other| (other.cafile(), other)).expect("another");
        let good = authority.server("127.0.0.1", &[], Clients::Anybody);
        let other_name = authority.server("127.0.0.2", &[], Clients::Anybody);
        for (tls, cafile) in [(good, cafile.0.clone()), (other_name, authority.cafile())] {
            let upstream = Upstream::start_secured(tls, |_| Act::Answer(ok("secret"))).await;
            let gate = start(&upstream, |config| config.upstream.transport.cafile = Some(cafile)).await;
            let reply = gate.call("GET", "/v2/images").send().await;
            assert_eq!(reply.status, 503);
            gate.expect_refusal(&reply, "upstream_unavailable").await;
            assert!(upstream.arrived().is_empty(), "nothing is said to somebody who can not be trusted");
            eventually("the health checks fail", || async { gate.admin("/readyz").await.status == 503 }).await;
        }
    });
}

#[test]
fn the_log_tells_why_an_upstream_is_not_believed() {
    run(async {
        let authority = Authority::new();
        let other = Authority::new();
        let tls = authority.server("127.0.0.1", &[], Clients::Anybody);
        let upstream = Upstream::start_secured(tls, |_| Act::Answer(ok("secret"))).await;
        let (keystone, _glance) = neighbours().await;
        let directory = Directory::new();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[keystone_authtoken]\nauth_url = \
             \"{}\"\npassword = \"x\"\n[upstream]\nservers = [\"{}\"]\ncafile = \"{}\"\n",
            keystone.url(),
            upstream.url,
            other.cafile().display(),
        );
        let config = directory.write("gate.toml", &text);
        let (process, address, _) = Process::serve(&config, &[]).await;
        assert_eq!(crate::client::Call::new(address, "GET", "/v2/images").send().await.status, 503);
        let ended = process.terminate().await;
        let lines = ended.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let causes: Vec<_> = lines.filter_map(|line| line["cause"].as_str().map(str::to_owned)).collect();
        assert!(causes.iter().any(|cause| cause.contains("invalid peer certificate")), "{causes:?}");
    });
}

#[test]
fn an_upstream_that_asks_for_a_certificate_gets_the_gates() {
    run(async {
        let authority = Authority::new();
        for (identity, status) in [(Some(authority.client()), 200), (None, 503)] {
            let tls = authority.server("127.0.0.1", &[], Clients::Certified);
            let upstream = Upstream::start_secured(tls, |_| Act::Answer(ok("secret"))).await;
            let gate = start(&upstream, |config| {
                config.upstream.transport.cafile = Some(authority.cafile());
                config.upstream.transport.identity = identity;
            })
            .await;
            assert_eq!(gate.call("GET", "/v2/images").send().await.status, status);
        }
    });
}

#[test]
fn an_answer_without_a_length_is_cut_off_where_tls_does_not_end() {
    run(async {
        let authority = Authority::new();
        let tls = authority.server("127.0.0.1", &[], Clients::Anybody);
        // the connection is dropped without a word of TLS
        let answer = "HTTP/1.1 200 OK\r\n\r\nto the en";
        let upstream = Upstream::start_secured(tls, move |_| Act::AnswerAndClose(answer.into())).await;
        let gate = start(&upstream, |config| config.upstream.transport.cafile = Some(authority.cafile())).await;
        let reply = gate.call("GET", "/v2/images").try_send().await;
        assert!(reply.is_none_or(|reply| !reply.is_whole));
    });
}

#[test]
fn certificates_that_can_not_be_read_are_told_by_check() {
    run(async {
        let directory = Directory::new();
        for (text, expected) in [
            ("servers = [\"https://127.0.0.1:1\"]\ncafile = \"/missing/ca.pem\"", "/missing/ca.pem"),
            ("certfile = \"/a.pem\"", "[upstream] keyfile: a certificate without its key"),
            ("keyfile = \"/a.key\"", "[upstream] certfile: a key without its certificate"),
            ("servers = [\"https://127.0.0.1\"]", "\"https://127.0.0.1\" is no upstream"),
            ("servers = [\"unix:a.sock\"]", "\"unix:a.sock\" is no upstream"),
        ] {
            let text = format!("[keystone_authtoken]\npassword = \"x\"\n[upstream]\n{text}\n");
            let config = directory.write("gate.toml", &text);
            let ended = Process::run(&["check", "--config", &config.display().to_string()], &[]).await;
            assert_ne!(ended.code, Some(0), "{text}");
            assert!(ended.errors.contains(expected), "{expected}\nnot in\n{}", ended.errors);
        }
    });
}
