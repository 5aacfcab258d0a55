//! Where a request came from: believed of trusted proxies, told to Glance.

use glance_gate::config::Config;

use crate::client::Call;
use crate::harness::Gate;
use crate::harness::run;
use crate::scene::Scene;

/// Trusts the tests' own address.
fn trusting(config: &mut Config) {
    config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
}

/// Sends a call and returns what Glance saw of a header.
async fn seen(gate: &Gate, call: Call, name: &str) -> Vec<String> {
    assert_eq!(call.send().await.status, 200);
    gate.seen().pop().expect("the call").header_values(name).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_trusted_proxys_forwarded_goes_on_with_the_gates_element() {
    run(async {
        let gate = Gate::start(trusting).await;
        let scene = Scene::new(&gate);
        let list = || gate.call("GET", "/v2/images").token(&scene.member);
        let call = list().header("Forwarded", "for=192.0.2.1;proto=https").header("Forwarded", "for=\"[2001:db8::1]\"");
        let expected = "for=192.0.2.1;proto=https, for=\"[2001:db8::1]\", for=127.0.0.1;proto=http";
        assert_eq!(seen(&gate, call, "forwarded").await, [expected]);
        // nothing can be put behind an open quote
        assert_eq!(seen(&gate, list().header("Forwarded", "for=\"192.0.2.1"), "forwarded").await, [""; 0]);
        assert_eq!(seen(&gate, list(), "forwarded").await, [""; 0], "no chain is begun");
    });
}

#[test]
fn nobody_else_says_where_a_request_came_from_or_with_which_certificate() {
    run(async {
        let sent = [
            ("Forwarded", "for=192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("Client-Cert", ":MIIB:"),
            ("X-SSL-Client-Verify", "SUCCESS"),
            ("X-Client-Cert", "MIIB"),
            ("X-Forwarded-Client-Cert", "Hash=00"),
        ];
        let gate = Gate::start(|_| {}).await;
        let scene = Scene::new(&gate);
        let call = || {
            let call = gate.call("GET", "/v2/images").token(&scene.member);
            sent.iter().fold(call, |call, (name, value)| call.header(name, value))
        };
        for (name, _) in sent {
            assert_eq!(seen(&gate, call(), name).await, [""; 0], "{name}");
        }
        assert_eq!(seen(&gate, call(), "x-forwarded-for").await, ["127.0.0.1"]);
    });
}

#[test]
fn clients_behind_a_proxy_are_told_apart_by_forwarded() {
    run(async {
        let gate = Gate::start(|config| {
            trusting(config);
            config.rates.per_client = 1;
        })
        .await;
        let scene = Scene::new(&gate);
        let from = |address: &str| {
            let call = scene.accept(&gate).token(&scene.member);
            call.header("Forwarded", format!("for=192.0.2.66, for={address};proto=https")).send()
        };
        // each is the first call of its client in this second
        for address in ["192.0.2.1", "\"192.0.2.2:4711\"", "\"[2001:db8::1]\"", "\"[2001:db8::2]:4711\""] {
            assert_eq!(from(address).await.status, 200, "{address}");
        }
    });
}
