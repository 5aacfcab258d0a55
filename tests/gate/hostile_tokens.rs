//! Hostile signed tokens through the gate: each is refused, none reaches Glance, and Keystone is spared the forged ones.

use std::collections::HashSet;

use glance_gate::demo::keystone::Kind;
use glance_gate::demo::keystone::TokenSpec;
use glance_gate::keystone::config::JwsMode;
use serde_json::json;

use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::assert_is_request_id;
use crate::harness::eventually;
use crate::harness::neighbours;
use crate::harness::run;
use crate::hostile_tokens_forged::families;
use crate::hostile_tokens_forged::signatures;
use crate::hostile_tokens_forged::spellings;
use crate::hostile_tokens_made::ASKED;
use crate::hostile_tokens_made::Maker;
use crate::hostile_tokens_made::Row;
use crate::hostile_tokens_made::ecdsa;
use crate::hostile_tokens_made::good_claims;
use crate::hostile_tokens_made::now;
use crate::hostile_tokens_made::url;
use crate::hostile_tokens_signed::bodies;
use crate::hostile_tokens_signed::headers;
use crate::hostile_tokens_signed::unread;
use crate::scene::MEMBER;
use crate::scene::Scene;

async fn start(mode: JwsMode, maker: &Maker) -> (Gate, Scene, Directory) {
    let directory = Directory::new();
    let (keystone, glance) = neighbours().await;
    keystone.set_kind(Kind::Jws);
    directory.write("public.pem", &keystone.public_key_pem());
    for (name, text) in maker.files() {
        directory.write(name, &text);
    }
    let gate = Gate::between((keystone, glance), |config| {
        config.keystone.jws = mode;
        config.keystone.jws_public_key_repository = directory.path().into();
    });
    let gate = gate.await.warm().await;
    let scene = Scene::new(&gate);
    (gate, scene, directory)
}

fn all(maker: &Maker) -> Vec<Row> {
    [headers(maker), bodies(maker), signatures(maker), families(maker), spellings(maker)].concat()
}

/// Sends each token and asserts its reason, what Keystone is asked and that Glance sees nothing.
async fn refuse(mode: JwsMode, tokens: fn(&Maker) -> Vec<Row>) {
    let maker = Maker::new();
    let (gate, scene, _keys) = start(mode, &maker).await;
    let mut broken = Vec::new();
    for (name, token, reason) in tokens(&maker) {
        let (asked, counted) = (gate.questions(), refusals(&gate).await);
        gate.glance.clear();
        let reply = scene.accept(&gate).token(&token).send().await;
        assert_is_request_id(reply.header("x-openstack-request-id").expect("a request id"));
        eventually("the call is counted", || async {
            gate.metrics().await.contains("glance_gate_in_flight_requests 0\n")
        })
        .await;
        let counts = refusals(&gate).await;
        let reasons: Vec<String> = counts.into_iter().filter(|line| !counted.contains(line)).collect();
        let is_counted = matches!(&reasons[..], [line] if line.contains(&format!("\"{reason}\"")));
        let questions = gate.questions() - asked;
        let seen = gate.seen();
        let is_kept = reply.status == 401 && is_counted && seen.is_empty();
        if !is_kept || questions != usize::from(reason == ASKED) {
            broken.push(format!("{name}: {}, {reasons:?}, {questions} questions, Glance saw {seen:?}", reply.status));
        }
    }
    assert!(broken.is_empty(), "{mode:?}, not as promised: {broken:#?}");
}

/// Returns the lines of the metrics that count refusals.
async fn refusals(gate: &Gate) -> Vec<String> {
    let metrics = gate.metrics().await;
    metrics.lines().filter(|line| line.starts_with("glance_gate_refusals_total{")).map(str::to_owned).collect()
}

#[test]
fn hostile_tokens_are_refused_when_verifying() {
    run(refuse(JwsMode::Verify, all));
}

#[test]
fn hostile_tokens_are_refused_offline() {
    run(refuse(JwsMode::Offline, all));
}

#[test]
fn hostile_tokens_that_say_more_than_the_gate_reads_are_refused_when_verifying() {
    run(refuse(JwsMode::Verify, unread));
}

#[test]
fn hostile_tokens_that_say_more_than_the_gate_reads_are_refused_offline() {
    run(refuse(JwsMode::Offline, unread));
}

#[test]
fn good_tokens_that_look_hostile_pass() {
    run(async {
        let maker = Maker::new();
        for mode in [JwsMode::Verify, JwsMode::Offline] {
            let (gate, scene, _keys) = start(mode, &maker).await;
            let specs = [
                TokenSpec::member(MEMBER),
                TokenSpec::member(MEMBER).jws(),
                TokenSpec::member(MEMBER).kind(Kind::Opaque),
                TokenSpec::member(MEMBER).trust("somebody"),
                TokenSpec::member(MEMBER).application_credential(Vec::new()),
                TokenSpec::admin(MEMBER),
            ];
            for spec in specs {
                let token = gate.keystone.issue(spec.clone());
                let reply = scene.accept(&gate).token(&token).send().await;
                assert_eq!(reply.status, 200, "{mode:?} {spec:?}: {}", reply.text());
            }
        }
    });
}

/// Tokens of a key that Keystone has, which this Keystone never issued: offline, only Glance can tell.
fn believed(maker: &Maker) -> Vec<(&'static str, String)> {
    let sign = |header: &str, claims: String| format!("{}.{}", url(header.as_bytes()), url(claims.as_bytes()));
    let es384 = sign(r#"{"alg":"ES384","typ":"JWT"}"#, good_claims());
    let eddsa = sign(r#"{"alg":"EdDSA","typ":"JWT"}"#, good_claims());
    vec![
        ("ES256", maker.good()),
        ("ES384", format!("{es384}.{}", url(&ecdsa(&maker.p384, &es384)))),
        ("EdDSA", format!("{eddsa}.{}", url(maker.ed25519.sign(eddsa.as_bytes()).as_ref()))),
        ("no typ", maker.signed(r#"{"alg":"ES256"}"#, good_claims())),
        ("blanks in the header", maker.signed("{ \"typ\" : \"JWT\",\n\"alg\" : \"ES256\" }", good_claims())),
        ("nbf behind", maker.claiming(&json!({"nbf": now() - 10}))),
        ("claims that nobody knows", maker.claiming(&json!({"x": {"y": [1, 2.5, null]}}))),
        ("a user beyond ASCII", maker.claiming(&json!({"sub": "\u{fc}ser"}))),
        ("exp in a hundred years", maker.claiming(&json!({"exp": now() + 3_155_760_000}))),
        ("5 KiB", maker.claiming(&json!({"x": "x".repeat(5000)}))),
    ]
}

#[test]
fn good_tokens_of_every_family_are_believed_offline() {
    run(async {
        let maker = Maker::new();
        let (gate, scene, _keys) = start(JwsMode::Offline, &maker).await;
        for (name, token) in believed(&maker) {
            gate.glance.clear();
            scene.accept(&gate).token(&token).send().await;
            let seen = gate.seen();
            assert!(seen.iter().any(|seen| seen.header("x-auth-token") == Some(&token)), "{name}: Glance saw {seen:?}");
        }
        assert_eq!(gate.questions(), 0);
    });
}

#[test]
fn there_are_a_hundred_hostile_tokens_and_ten_good_ones() {
    let maker = Maker::new();
    let hostile = all(&maker);
    let names: HashSet<&str> = hostile.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names.len(), hostile.len(), "each has a name of its own");
    assert!(hostile.len() >= 100 && believed(&maker).len() >= 10, "{} hostile", hostile.len());
}
