//! TLS on the listener: who is let in, what they are shown, how both change under way.

use std::path::PathBuf;
use std::time::Duration;

use glance_gate::app::App;
use glance_gate::app::built::Built;
use glance_gate::config::Config;
use glance_gate::demo;
use glance_gate::server::tls;
use glance_gate::server::tls::ClientVerify;
use glance_gate::server::tls::MinVersion;
use rustls::SupportedProtocolVersion;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::certificates::Client;
use crate::certificates::Signed;
use crate::certificates::shown;
use crate::client::Connection;
use crate::client::Reply;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::scene::Scene;

static TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A gate that shows a certificate of its own.
struct Shown {
    gate: Gate,
    authority: Authority,
    signed: Signed,
    directory: Directory,
}

impl Shown {
    async fn start(adjust: impl FnOnce(&mut tls::Config, &Directory)) -> Self {
        let (authority, directory) = (Authority::new(), Directory::new());
        let signed = authority.sign();
        let mut config = tls::Config {
            certificate: directory.write("glance-cert-and-key.pem", &signed.bundle()),
            reload_interval: Duration::from_millis(20),
            ..tls::Config::default()
        };
        adjust(&mut config, &directory);
        let gate = Gate::start(|gate| gate.server.wire.tls = Some(config)).await;
        Self { gate, authority, signed, directory }
    }

    /// Asks for the list of images as one client.
    async fn list(&self, client: &Client<'_>, token: &str) -> std::io::Result<Reply> {
        let mut connection = Connection::over(client.connect(self.gate.address).await?);
        connection.try_send(self.gate.call("GET", "/v2/images").token(token).bytes()).await;
        // a client learns only after its own handshake that it is not let in (RFC 8446)
        connection.try_reply("GET").await.ok_or_else(|| std::io::ErrorKind::ConnectionAborted.into())
    }
}

#[test]
fn a_member_update_goes_through_tls_and_glance_is_told_of_it() {
    run(async {
        let shown = Shown::start(|_, _| {}).await;
        let (gate, scene) = (&shown.gate, Scene::new(&shown.gate));
        let stream = shown.authority.client().connect(gate.address).await.expect("a handshake");
        assert_eq!(crate::certificates::shown(&stream), shown.signed.der());
        let mut connection = Connection::over(stream);
        connection.send(scene.accept(gate).token(&scene.member).bytes()).await;
        assert_eq!(connection.reply("PUT").await.status, 200);
        assert_eq!(scene.status(gate).as_deref(), Some("accepted"));
        let seen = gate.seen().pop().expect("the update");
        assert_eq!(seen.header_values("x-forwarded-proto"), ["https"]);
        // a stranger's word on it does not count
        connection
            .send(gate.call("GET", "/v2/images").token(&scene.member).header("X-Forwarded-Proto", "http").bytes())
            .await;
        assert_eq!(connection.reply("GET").await.status, 200);
        assert_eq!(gate.seen().pop().expect("the list").header_values("x-forwarded-proto"), ["https"]);
        connection.send(scene.accept(gate).bytes()).await;
        gate.expect_refusal(&connection.reply("PUT").await, "token_missing").await;
    });
}

#[test]
fn images_stream_whole_through_tls() {
    run(async {
        let shown = Shown::start(|_, _| {}).await;
        let (gate, scene) = (&shown.gate, Scene::new(&shown.gate));
        let length = 8 * 1024 * 1024;
        gate.glance.set_size(&scene.image, length as u64);
        let mut connection = Connection::over(shown.authority.client().connect(gate.address).await.expect("TLS"));
        let target = format!("{}/file", scene.image_target());
        connection.send(gate.call("GET", &target).token(&scene.member).bytes()).await;
        let reply = connection.reply("GET").await;
        assert_eq!((reply.status, reply.is_whole, reply.body.len()), (200, true, length));
    });
}

#[test]
fn a_certificate_changes_without_a_lost_connection_and_a_broken_file_changes_nothing() {
    run(async {
        let all = Shown::start(|_, _| {}).await;
        let (gate, scene, client) = (&all.gate, Scene::new(&all.gate), all.authority.client());
        let mut kept = Connection::over(client.connect(gate.address).await.expect("a handshake"));
        let write = |text: &str| drop(all.directory.write("glance-cert-and-key.pem", text));
        let failures = || async {
            let metrics = gate.metrics().await;
            let counted = |line: &str| {
                line.strip_prefix("glance_gate_certificate_reloads_total{outcome=\"failed\"} ")?.parse().ok()
            };
            metrics.lines().find_map(counted).unwrap_or(0_u64)
        };

        let (next, other, ended) = (all.authority.sign(), all.authority.sign(), all.authority.sign_until(2021));
        for broken in ["no PEM", "", &other.certificate, &format!("{}{}", other.certificate, next.key), &ended.bundle()]
        {
            write(broken);
            // one that is counted now may have been read before
            let before = failures().await;
            eventually("the broken file is read", || async { failures().await > before + 1 }).await;
            let stream = client.connect(gate.address).await.expect("a handshake");
            assert_eq!(shown(&stream), all.signed.der(), "{broken}");
        }

        write(&next.bundle());
        gate.wait_for_metric("glance_gate_certificate_reloads_total{outcome=\"changed\"}", 1).await;
        assert_eq!(shown(&client.connect(gate.address).await.expect("a handshake")), next.der());
        // what was open goes on
        kept.send(gate.call("GET", "/v2/images").token(&scene.member).bytes()).await;
        assert_eq!(kept.reply("GET").await.status, 200);
        // the first second of 2200
        gate.wait_for_metric("glance_gate_certificate_expiry_timestamp_seconds{listener=\"main\"}", 7_258_118_400)
            .await;
    });
}

#[test]
fn only_clients_with_a_good_certificate_are_let_in_where_it_is_required() {
    run(async {
        let people = Authority::new();
        for verify in [ClientVerify::Required, ClientVerify::Optional] {
            let all = Shown::start(|config, directory| {
                config.client_verify = verify;
                config.client_ca = directory.write("people.pem", &people.pem());
            })
            .await;
            let scene = Scene::new(&all.gate);
            let (good, strange) = (people.sign(), Authority::new().sign());
            let nobody = all.authority.client();
            for versions in [TLS_1_2, TLS_1_3] {
                let with = |shows| Client { shows: Some(shows), versions, ..all.authority.client() };
                assert_eq!(all.list(&with(&good), &scene.member).await.expect("an answer").status, 200);
                assert!(all.list(&with(&strange), &scene.member).await.is_err(), "{verify:?}");
            }
            let is_let_in = all.list(&nobody, &scene.member).await.is_ok();
            assert_eq!(is_let_in, verify == ClientVerify::Optional);
            // a certificate is no credential
            let client = Client { shows: Some(&good), ..all.authority.client() };
            let mut connection = Connection::over(client.connect(all.gate.address).await.expect("a handshake"));
            connection.send(scene.accept(&all.gate).bytes()).await;
            all.gate.expect_refusal(&connection.reply("PUT").await, "token_missing").await;
        }
    });
}

#[test]
fn an_old_version_is_not_spoken_where_only_new_ones_are() {
    run(async {
        let all = Shown::start(|config, _| config.min_version = MinVersion::Tls13).await;
        let scene = Scene::new(&all.gate);
        let old = Client { versions: TLS_1_2, ..all.authority.client() };
        assert!(all.list(&old, &scene.member).await.is_err());
        assert_eq!(all.list(&all.authority.client(), &scene.member).await.expect("an answer").status, 200);
    });
}

#[test]
fn what_is_no_tls_is_closed_cleanly_and_nobody_else_notices() {
    run(async {
        let all = Shown::start(|_, _| {}).await;
        let scene = Scene::new(&all.gate);
        let plain = all.gate.call("GET", "/v2/images").token(&scene.member).bytes();
        for bytes in [plain, vec![0; 64], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()] {
            let mut stream = TcpStream::connect(all.gate.address).await.expect("a connection");
            stream.write_all(&bytes).await.expect("the gate reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("an end, not a reset");
            assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        }
        assert_eq!(all.list(&all.authority.client(), &scene.member).await.expect("an answer").status, 200);
        all.gate.wait_for_metric("glance_gate_tls_handshakes_total{outcome=\"failed\"}", 3).await;
    });
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    run(async {
        let (authority, directory) = (Authority::new(), Directory::new());
        let certificate = directory.write("bundle.pem", &authority.sign().bundle());
        let gate = Gate::start(|config| {
            config.server.connection.head_timeout = Duration::from_millis(50);
            config.server.wire.tls = Some(tls::Config { certificate, ..tls::Config::default() });
        })
        .await;
        let mut slow = Connection::open(gate.address).await;
        slow.send([22, 3, 1]).await;
        assert!(slow.is_over().await);
        gate.wait_for_metric("glance_gate_tls_handshakes_total{outcome=\"timed_out\"}", 1).await;
    });
}

#[test]
fn files_that_do_not_fit_are_told_before_anything_runs() {
    run(async {
        let (keystone, glance) = neighbours().await;
        let (authority, directory) = (Authority::new(), Directory::new());
        let (signed, other) = (authority.sign(), authority.sign());
        let certificate = directory.write("certificate.pem", &signed.certificate);
        let wrong: [(&str, PathBuf, &str); 3] = [
            ("other.pem", directory.write("other.pem", &other.key), "KeyMismatch"),
            ("empty.pem", directory.write("empty.pem", ""), "no private key in PEM"),
            ("missing.pem", directory.path().join("missing.pem"), "No such file"),
        ];
        let config = |key: PathBuf| {
            let mut config: Config = demo::config(&keystone, &glance);
            config.server.wire.tls =
                Some(tls::Config { certificate: certificate.clone(), key, ..tls::Config::default() });
            config
        };
        for (name, key, told) in wrong {
            let error = Built::new(&config(key.clone())).err().expect("a mistake").to_string();
            assert!(error.contains(name) && error.contains(told), "{error}");
            assert!(App::start(&config(key)).is_err());
        }
        let key = directory.write("key.pem", &signed.key);
        assert!(Built::new(&config(key)).is_ok());
    });
}

#[test]
fn a_reload_takes_another_certificate_or_says_why_not() {
    run(async {
        let all = Shown::start(|_, _| {}).await;
        let (gate, client, next) = (&all.gate, all.authority.client(), all.authority.sign());
        let bundle = all.directory.write("next.pem", &next.bundle());
        let missing = all.directory.path().join("missing.pem");
        let to = |certificate: PathBuf| {
            move |config: &mut Config| {
                config.server.wire.tls = Some(tls::Config { certificate, ..tls::Config::default() });
            }
        };
        assert!(gate.reload(to(missing)).await.is_err());
        assert_eq!(shown(&client.connect(gate.address).await.expect("a handshake")), all.signed.der());
        gate.reload(to(bundle)).await.expect("a reload");
        assert_eq!(shown(&client.connect(gate.address).await.expect("a handshake")), next.der());
        gate.reload(|config| config.server.wire.tls = None).await.expect("a reload");
        assert_eq!(gate.call("GET", "/healthcheck").send().await.status, 200);
        eventually("nothing is told of a certificate", || async {
            !gate.metrics().await.contains("glance_gate_certificate_expiry_timestamp_seconds{")
        })
        .await;
    });
}
