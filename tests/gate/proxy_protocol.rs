//! The PROXY protocol: whose word counts, and what it counts for.

use std::time::Duration;

use glance_gate::config::Config;
use glance_gate::server::proxy_protocol::Mode;
use glance_gate::server::tls;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::run;
use crate::http2_client::Http2;
use crate::scene::Scene;

const FROM_A_CLIENT: &str = "PROXY TCP4 192.0.2.1 198.51.100.7 4711 9292\r\n";

fn on(config: &mut Config) {
    config.server.wire.proxy_protocol = Mode::On;
    config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).expect("a short header").to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn a_load_balancer_that_is_trusted_names_the_client() {
    run(async {
        let gate = Gate::start(on).await;
        let scene = Scene::new(&gate);
        let v4 = [192, 0, 2, 2, 198, 51, 100, 7, 0, 1, 0, 2];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        for (header, client) in [
            (FROM_A_CLIENT.as_bytes().to_vec(), "192.0.2.1"),
            (binary(0x21, 0x11, &[&v4[..], &[4; 600]].concat()), "192.0.2.2"),
            (binary(0x21, 0x21, &v6), "2001:db8::"),
            (binary(0x20, 0x00, &[]), "127.0.0.1"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ] {
            let mut connection = Connection::open(gate.address).await;
            // in pieces, the last of which has the start of the request
            let call = gate.call("GET", "/v2/images").token(&scene.member).header("X-Forwarded-For", "198.51.100.66");
            let (first, second) = header.split_at(header.len() / 2);
            connection.send(first).await;
            connection.send([second, &call.bytes()].concat()).await;
            assert_eq!(connection.reply("GET").await.status, 200, "{client}");
            let seen = gate.seen().pop().expect("the call");
            // the balancer itself is a trusted proxy, and its clients are not
            let chain = if client == "127.0.0.1" { format!("198.51.100.66, {client}") } else { client.to_owned() };
            assert_eq!(seen.header_values("x-forwarded-for"), [chain]);
        }
    });
}

#[test]
fn who_sends_no_header_or_may_not_is_cut_off() {
    run(async {
        let gate = Gate::start(on).await;
        let scene = Scene::new(&gate);
        let call = || gate.call("GET", "/v2/images").token(&scene.member).bytes();
        for (header, missing) in [("", 1), ("PROXY TCP4 192.0.2.1 nowhere 1 2\r\n", 2), ("PROXY TCP9 ", 3)] {
            let mut connection = Connection::open(gate.address).await;
            connection.try_send([header.as_bytes(), &call()].concat()).await;
            assert!(connection.try_reply("GET").await.is_none(), "{header:?}");
            gate.wait_for_metric("glance_gate_proxy_headers_total{outcome=\"missing\"}", missing).await;
        }
        let others = Gate::start(|config| {
            on(config);
            config.server.trusted_proxies = vec!["192.0.2.10/32".parse().expect("a network")];
        })
        .await;
        let mut connection = Connection::open(others.address).await;
        connection.try_send([FROM_A_CLIENT.as_bytes(), &others.call("GET", "/healthcheck").bytes()].concat()).await;
        assert!(connection.try_reply("GET").await.is_none());
        others.wait_for_metric("glance_gate_proxy_headers_total{outcome=\"untrusted\"}", 1).await;
        gate.expect_unseen();
        others.expect_unseen();
    });
}

#[test]
fn a_header_that_does_not_end_is_ended() {
    run(async {
        let gate = Gate::start(|config| {
            on(config);
            config.server.connection.head_timeout = Duration::from_millis(50);
        })
        .await;
        for start in ["", "PROXY TCP4 192.0.2.1", "\r\n\r\n\0\r\nQUIT"] {
            let mut slow = Connection::open(gate.address).await;
            slow.send(start).await;
            assert!(slow.is_over().await, "{start:?}");
        }
        gate.wait_for_metric("glance_gate_proxy_headers_total{outcome=\"timed_out\"}", 3).await;
    });
}

#[test]
fn where_it_is_off_a_header_is_no_request() {
    run(async {
        let gate = Gate::start(|config| {
            config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        })
        .await;
        let mut connection = Connection::open(gate.address).await;
        connection.send([FROM_A_CLIENT.as_bytes(), &gate.call("GET", "/healthcheck").bytes()].concat()).await;
        gate.expect_refusal(&connection.reply("GET").await, "request_malformed").await;
    });
}

#[test]
fn clients_behind_a_load_balancer_are_counted_apart() {
    run(async {
        let gate = Gate::start(|config| {
            on(config);
            config.server.connection.max_connections_per_client = 1;
        })
        .await;
        let gate = &gate;
        let open = |client: &'static str| async move {
            let mut connection = Connection::open(gate.address).await;
            let header = format!("PROXY TCP4 {client} 198.51.100.7 1 2\r\n");
            connection.try_send([header.as_bytes(), &gate.call("GET", "/healthcheck").bytes()].concat()).await;
            let status = connection.try_reply("GET").await.map(|reply| reply.status);
            (connection, status)
        };
        let (_first, status) = open("192.0.2.1").await;
        assert_eq!(status, Some(200));
        let (_other, status) = open("192.0.2.2").await;
        assert_eq!(status, Some(200));
        let (_second, status) = open("192.0.2.1").await;
        assert_eq!(status, None);
    });
}

#[test]
fn tls_and_http_2_begin_behind_the_header() {
    run(async {
        let (authority, directory) = (Authority::new(), Directory::new());
        let certificate = directory.write("bundle.pem", &authority.sign().bundle());
        let gate = Gate::start(|config| {
            on(config);
            config.server.wire.tls = Some(tls::Config { certificate, ..tls::Config::default() });
        })
        .await;
        let scene = Scene::new(&gate);
        let mut stream = TcpStream::connect(gate.address).await.expect("a connection");
        stream.write_all(FROM_A_CLIENT.as_bytes()).await.expect("the gate reads");
        let mut client = authority.client();
        client.protocols = &["h2"];
        let client = Http2::over(client.begin(stream).await.expect("a handshake"), gate.address).await;
        let list = client.request("GET", "/v2/images").header("x-auth-token", &scene.member);
        assert_eq!(client.send(list, b"").await.status, 200);
        let seen = gate.seen().pop().expect("the call");
        assert_eq!(seen.header_values("x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(seen.header_values("x-forwarded-proto"), ["https"]);
    });
}
