//! What the steps of a request's way cost, each alone: `cargo bench --bench hot`.

#![expect(clippy::expect_used, reason = "a bench that can not go on ends")]

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair;
use bytes::Bytes;
use divan::Bencher;
use divan::black_box;
use futures_util::FutureExt;
use glance_gate::audit;
use glance_gate::audit::Audit;
use glance_gate::body::Body;
use glance_gate::cache::Bounds as CacheBounds;
use glance_gate::cache::Remembered;
use glance_gate::cache::vouched::Vouched;
use glance_gate::call::Account;
use glance_gate::call::Answer;
use glance_gate::call::Branch;
use glance_gate::call::Call;
use glance_gate::call::Refused;
use glance_gate::call::Verdict;
use glance_gate::config::Config;
use glance_gate::edge::access_log;
use glance_gate::edge::access_log::Outcome;
use glance_gate::edge::headers::HeadersLayer;
use glance_gate::edge::respond::RespondLayer;
use glance_gate::edge::tell::TellLayer;
use glance_gate::edge::trace::TraceLayer;
use glance_gate::framing::head;
use glance_gate::framing::head::Found;
use glance_gate::keystone::VerifyError;
use glance_gate::keystone::jws;
use glance_gate::openstack::identity::Identity;
use glance_gate::openstack::identity::ProjectId;
use glance_gate::openstack::identity::Roles;
use glance_gate::openstack::identity::Scope;
use glance_gate::openstack::identity::UserId;
use glance_gate::openstack::member::MemberStatus;
use glance_gate::openstack::member::RequestedStatus;
use glance_gate::openstack::member_action::Action;
use glance_gate::openstack::member_body;
use glance_gate::openstack::request_id::RequestId;
use glance_gate::openstack::target::Target;
use glance_gate::openstack::token::UnverifiedToken;
use glance_gate::peer::Peer;
use glance_gate::refusal::Refusal;
use glance_gate::rules;
use glance_gate::rules::Rules;
use glance_gate::server::h1;
use glance_gate::telemetry::json::JsonLines;
use glance_gate::telemetry::lines::Lines;
use glance_gate::telemetry::metrics::Metrics;
use glance_gate::telemetry::metrics::RequestLabels;
use glance_gate::telemetry::traces;
use glance_gate::telemetry::traces::Share;
use glance_gate::telemetry::traces::Traces;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Uri;
use jsonwebtoken::Algorithm;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::Header;
use serde_json::json;
use tower::Layer;
use tower::Service;
use tracing_subscriber::layer::SubscriberExt;
use uuid::Uuid;

const MEMBER_PATH: &str = "/v2/images/4fd15022-227a-4f08-b1ad-bc1737e4e2e9/members/0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn main() {
    divan::main();
}

#[divan::bench(args = [MEMBER_PATH, "/v2/schemas/member"])]
fn target(bencher: Bencher, path: &'static str) {
    let uri = Uri::from_static(path);
    bencher.bench(|| Target::parse(black_box(&uri), "").is_ok());
}

#[divan::bench]
fn head_of_a_request(bencher: Bencher) {
    let request = Bytes::from(request_bytes());
    bencher.bench(|| {
        let Found::Whole(end) = head::find(black_box(&request), 64 * 1024) else { return None };
        h1::head::open(&request.slice(..end)).ok()
    });
}

#[divan::bench]
fn header_firewall(bencher: Bencher) {
    let inner = tower::service_fn(|call: Call| {
        std::future::ready(Ok::<_, Box<Refused>>(Answer {
            response: Response::new(Body::Empty),
            account: call.account,
        }))
    });
    let mut firewall = HeadersLayer::new(&[], 64 * 1024).layer(inner);
    bencher.with_inputs(call).bench_local_values(|call| firewall.call(call).now_or_never().is_some());
}

#[divan::bench(args = [r#"{"status":"accepted"}"#, r#"{"status": "rejected", "x": {"y": [1, 2]}}"#])]
fn body(body: &str) -> bool {
    member_body::parse(black_box(body.as_bytes())).is_ok()
}

/// Finds the token in the headers and makes the key under which it is remembered.
#[divan::bench]
fn token_digest(bencher: Bencher) {
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", HeaderValue::try_from(signed().0).expect("a header"));
    bencher.bench(|| UnverifiedToken::from_headers(black_box(&headers)).map(|token| token.digest()));
}

#[divan::bench]
fn token_verify_es256(bencher: Bencher) {
    let (token, key) = signed();
    assert!(jws::verify(&token, &key, Algorithm::ES256).is_ok(), "a good signature is measured, not a refusal");
    bencher.bench(|| jws::verify(black_box(&token), &key, Algorithm::ES256).is_ok());
}

/// Hits, with so many entries, so that larger ones miss the processor's caches.
#[divan::bench(args = [1_000, 10_000, 100_000, 1_000_000], sample_count = 10_000)]
fn cache_hit(bencher: Bencher, entries: u64) {
    let cache: Remembered<Uuid, Vouched, VerifyError> = Remembered::new(
        "bench",
        &CacheBounds { entries: entries * 2, negative: Duration::from_secs(1) },
        &Metrics::default(),
    );
    let vouched = Vouched::now(identity(), Duration::from_hours(1));
    let look = |key: u64| {
        let key = Uuid::from_u64_pair(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), key);
        cache.get_or_load(key, |_| true, || async { Ok(vouched.clone()) }).now_or_never()
    };
    for key in 0..entries {
        look(key);
    }
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    bencher.bench_local(|| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        look(dice % entries)
    });
}

/// A refusal in its three forms, with what stands around it in `edge::respond`.
#[divan::bench(args = ["application/json", "*/*", "text/plain"])]
fn refusal(bencher: Bencher, accept: &'static str) {
    let inner = tower::service_fn(|call: Call| {
        std::future::ready(Err::<Answer, _>(call.refuse(Refusal::OwnerForbidden, Cow::Borrowed("a cause"))))
    });
    let mut respond = RespondLayer::new("http://keystone").layer(inner);
    let input = || {
        let mut call = call();
        call.head.headers.insert("accept", HeaderValue::from_static(accept));
        call
    };
    bencher.with_inputs(input).bench_local_values(|call| respond.call(call).now_or_never().is_some());
}

/// One line as `serve` writes it, but to nowhere.
#[divan::bench]
fn access_log_line(bencher: Bencher) {
    let (lines, _writing) = Lines::start("bench", 16 * 1024 * 1024, |_, _| ()).expect("a thread");
    let lines = tracing_subscriber::registry().with(JsonLines::new(lines));
    let account = account();
    let outcome = Outcome { status: StatusCode::OK, bytes: 250, whole: true, took: Duration::from_micros(321) };
    tracing::subscriber::with_default(lines, || {
        bencher.bench_local(|| access_log::write(black_box(&account), &outcome));
    });
}

/// A request's metrics and log line, without a layer for traces, and with one that is off, records nothing, or all.
#[divan::bench(args = ["without", "off", "not_sampled", "sampled"])]
fn traces(bencher: Bencher, traces: &str) {
    let inner = tower::service_fn(|call: Call| {
        std::future::ready(Ok::<_, Infallible>(Answer { response: Response::new(Body::Empty), account: call.account }))
    });
    let metrics = Metrics::default();
    let rules = Rules::new(rules::config::Config::default(), Config::default().decided_by(), &metrics);
    let audit = Audit::new(&audit::config::Config::default(), "", Vec::new(), &metrics).expect("an audit that is off");
    let mut told = TellLayer::new(metrics.clone(), rules, audit).layer(inner);
    if traces == "without" {
        bencher.with_inputs(call).bench_local_values(|call| told.call(call).now_or_never().is_some());
        return;
    }
    let sample = if traces == "sampled" { Share::ALL } else { Share(0) };
    let (on, mut pending) = Traces::new(&traces::Config { sample, ..traces::Config::default() }, &metrics);
    let mut layered = TraceLayer::new((traces != "off").then_some(on), "").layer(told);
    bencher.with_inputs(call).bench_local_values(|call| {
        layered.call(call).now_or_never();
        pending.rest(1)
    });
}

#[divan::bench]
fn metrics(bencher: Bencher) {
    let metrics = Metrics::default();
    let labels = RequestLabels { branch: "member_update", verdict: "permitted", code: 200 };
    bencher.bench(|| metrics.request(black_box(&labels), Duration::from_micros(321)));
}

/// A member update as the comparison sends it.
fn request_bytes() -> Vec<u8> {
    let body = r#"{"status":"accepted"}"#;
    let token = signed().0;
    format!(
        "PUT {MEMBER_PATH} HTTP/1.1\r\nHost: glance\r\nAccept: */*\r\nX-Auth-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn call() -> Call {
    let request = Request::put(MEMBER_PATH)
        .header("host", "glance")
        .header("accept", "*/*")
        .header("x-auth-token", "x".repeat(600))
        .header("content-type", "application/json")
        .header("content-length", "21");
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let account = Box::new(Account::new(RequestId::random(), Peer::plain(PEER), &head));
    Call { head: Box::new(head), body: Body::Empty, account }
}

/// The account of a permitted member update.
fn account() -> Box<Account> {
    let mut account = call().account;
    account.branch = Branch::Member(Action::Update);
    account.verdict = Verdict::Permitted;
    if let Ok(Target::Member(path)) = Target::parse(&Uri::from_static(MEMBER_PATH), "") {
        account.path = Some(path);
    }
    account.identity = Some(identity().into());
    account.status = Some(RequestedStatus::Known(MemberStatus::Accepted));
    account.token_age = Some(Duration::from_secs(12));
    account.ownership_age = Some(Instant::now().elapsed());
    account.upstream_status = Some(StatusCode::OK);
    account
}

fn identity() -> Identity {
    Identity {
        user: UserId::new("8a6f1f2c5b6e4c1d9d7f3f0f2f1e0d3c"),
        scope: Scope::Project(ProjectId::new("0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e")),
        roles: Roles::Unknown,
        expires_at: SystemTime::now() + Duration::from_hours(12),
        access_rules: [].into(),
        audit_ids: [].into(),
    }
}

/// A token of about 600 bytes, as Keystone signs them, and the key that proves it.
fn signed() -> (String, DecodingKey) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("randomness");
    let private = pair.to_pkcs8v1().expect("a key");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
    let claims = json!({
        "sub": "8a6f1f2c5b6e4c1d9d7f3f0f2f1e0d3c", "iat": now, "exp": now + 12 * 3600,
        "openstack_methods": ["password", "token"],
        "openstack_audit_ids": ["T1lVw0pPQdWNbYfXk1mZ3g", "kE2Zb0pPQdWNbYfXk1mZ3g"],
        "openstack_project_id": "0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e",
    });
    let key = EncodingKey::from_ec_der(private.as_ref());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).expect("a token");
    (token, DecodingKey::from_ec_der(pair.public_key().as_ref()))
}
