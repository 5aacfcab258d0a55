//! Access tokens of `OpenID` Connect issuers: which are believed, which are not, and how the issuers' keys are kept.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test that can not go on fails")]

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::signature::KeyPair;
use futures_util::future::join_all;
use glance_gate::cache::Failure;
use glance_gate::client::json::JsonClient;
use glance_gate::client::json::Limits;
use glance_gate::oidc::Algorithm;
use glance_gate::oidc::Config;
use glance_gate::oidc::IssuerConfig;
use glance_gate::oidc::Issuers;
use glance_gate::oidc::OidcError;
use glance_gate::oidc::jws::UnverifiedJws;
use glance_gate::oidc::key_set::KeySet;
use glance_gate::openstack::identity::Roles;
use glance_gate::openstack::identity::Scope;
use glance_gate::telemetry::metrics::Metrics;
use glance_gate::telemetry::metrics::NeighbourLabels;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Far more than any test needs: only what hangs gets there.
const DEADLINE: Duration = Duration::from_secs(40);

const ISSUER: &str = "https://idp.example/realms/cloud";
const OTHER_ISSUER: &str = "https://other.example";

/// Runs a test on a runtime of its own, and ends it if it hangs.
fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("the test hangs") });
    runtime.shutdown_background();
}

/// Writes base64url without padding.
fn base64url(bytes: impl AsRef<[u8]>) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.as_ref().chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[(number >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// An issuer's keys, made once for all tests.
struct Keys {
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    rsa: rsa::KeyPair,
}

impl Keys {
    fn new() -> Self {
        Self {
            p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
            p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key"),
            ed25519: Ed25519KeyPair::generate().expect("a key"),
            rsa: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key"),
        }
    }

    /// Returns the issuer's own keys.
    fn own() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(Self::new)
    }

    /// Returns somebody else's keys.
    fn foreign() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(Self::new)
    }

    fn sign(&self, algorithm: &str, message: &str) -> Vec<u8> {
        let (random, message) = (SystemRandom::new(), message.as_bytes());
        let rsa = |padding: &'static dyn signature::RsaEncoding| {
            let mut signed = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(padding, &random, message, &mut signed).expect("a signature");
            signed
        };
        match algorithm {
            "ES256" => self.p256.sign(&random, message).expect("a signature").as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, message).expect("a signature").as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(message).as_ref().to_vec(),
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "PS384" => rsa(&signature::RSA_PSS_SHA384),
            "PS512" => rsa(&signature::RSA_PSS_SHA512),
            other => panic!("no key for {other}"),
        }
    }

    /// Returns the RSA modulus: it stands at a fixed place of a 2048-bit key's DER.
    fn modulus(&self) -> &[u8] {
        &self.rsa.public_key().as_ref()[9..9 + 256]
    }

    fn p256_jwk(&self, kid: &str) -> Value {
        let point = self.p256.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
    }

    fn p384_jwk(&self, kid: &str) -> Value {
        let point = self.p384.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": base64url(&point[1..49]), "y": base64url(&point[49..])})
    }

    fn ed25519_jwk(&self, kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64url(self.ed25519.public_key())})
    }

    fn rsa_jwk(&self, kid: &str) -> Value {
        json!({"kty": "RSA", "kid": kid, "use": "sig", "n": base64url(self.modulus()), "e": "AQAB"})
    }
}

/// Returns the key set of the issuer: one key of each kind, one RSA key that names its algorithm, and some of no use.
fn key_set() -> Value {
    let keys = Keys::own();
    let with = |mut jwk: Value, name: &str, value: &str| {
        jwk[name] = value.into();
        jwk
    };
    json!({"keys": [
        keys.p256_jwk("ec"),
        keys.p384_jwk("ec384"),
        keys.ed25519_jwk("ed"),
        with(keys.rsa_jwk("rsa"), "alg", "RS256"),
        keys.rsa_jwk("any-rsa"),
        with(Keys::foreign().p256_jwk("encrypts"), "use", "enc"),
        with(Keys::foreign().p256_jwk("private"), "d", "AAAA"),
        {"kty": "oct", "kid": "shared", "k": base64url("secret")},
        Keys::foreign().p256_jwk("twice"),
        keys.p256_jwk("twice"),
    ]})
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Returns good claims with some changed; null takes one out.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": ["account", "glance"], "sub": "subject", "client_id": "ann",
        "iat": now(), "nbf": now(), "exp": now() + 600,
        "project_id": "p1", "roles": ["Member", "reader"], "scope": "openid",
    });
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// Signs any header and payload.
fn sign(keys: &Keys, algorithm: &str, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(payload));
    let signature = keys.sign(algorithm, &signed);
    format!("{signed}.{}", base64url(signature))
}

/// Signs good claims, with some changed, under a good header.
fn token(algorithm: &str, kid: &str, changes: &Value) -> String {
    let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": kid}).to_string();
    sign(Keys::own(), algorithm, header, claims(changes).to_string())
}

fn good_token() -> String {
    token("ES256", "ec", &json!({}))
}

/// What the server of the keys answers.
#[derive(Clone)]
struct Served {
    head: String,
    body: String,
    is_held: bool,
}

/// A server on a port of its own that counts what it is asked.
struct KeyServer {
    url: String,
    served: Arc<Mutex<Served>>,
    asked: watch::Receiver<usize>,
    release: Arc<watch::Sender<()>>,
}

impl KeyServer {
    async fn start(keys: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let served = Served { head: "200 OK".into(), body: keys.to_string(), is_held: false };
        let served = Arc::new(Mutex::new(served));
        let (count, asked) = watch::channel(0);
        let release = Arc::new(watch::Sender::new(()));
        let (state, opened) = (served.clone(), release.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let opened = opened.subscribe();
                count.send_modify(|count| *count += 1);
                let served = state.lock().expect("no panic").clone();
                tokio::spawn(answer(stream, served, opened));
            }
        });
        Self { url, served, asked, release }
    }

    fn serve(&self, head: &str, body: &str) {
        let mut served = self.served.lock().expect("no panic");
        (served.head, served.body) = (head.into(), body.into());
    }

    fn serve_keys(&self, keys: &Value) {
        self.serve("200 OK", &keys.to_string());
    }

    /// Makes answers wait until [`KeyServer::release`].
    fn hold(&self) {
        self.served.lock().expect("no panic").is_held = true;
    }

    fn release(&self) {
        self.served.lock().expect("no panic").is_held = false;
        self.release.send_replace(());
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    async fn until_asked(&self, times: usize) {
        self.asked.clone().wait_for(|count| *count >= times).await.expect("a server");
    }
}

async fn answer(mut stream: TcpStream, served: Served, mut opened: watch::Receiver<()>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    if served.is_held {
        opened.changed().await.expect("a server");
    }
    let Served { head, body, .. } = served;
    let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // a client that hung up is no matter here
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Returns a configuration whose fetches are rare: a test that wants them says so.
fn config(url: &str) -> Config {
    Config {
        issuers: vec![IssuerConfig {
            issuer: ISSUER.into(),
            audience: "glance".into(),
            jwks_url: url.into(),
            algorithms: vec![
                Algorithm::Rs256,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Es256,
                Algorithm::Es384,
                Algorithm::EdDsa,
            ],
            ..IssuerConfig::default()
        }],
        jwks_refresh: Duration::from_hours(1),
        jwks_min_interval: Duration::from_hours(1),
        ..Config::default()
    }
}

fn with_metrics(config: &Config, metrics: &Metrics) -> io::Result<Issuers> {
    let limits = Limits {
        connect_timeout: Duration::from_secs(2),
        call_timeout: Duration::from_secs(8),
        // more than the issuers take, so that it is they who refuse
        answer_bytes: config.max_jwks_bytes * 2,
        idle_connections: 1,
    };
    Issuers::new(config, JsonClient::new(limits, None)?, metrics.clone())
}

/// Starts issuers whose keys are watched.
fn watched(config: &Config) -> Issuers {
    let issuers = with_metrics(config, &Metrics::default()).expect("issuers");
    tokio::spawn(issuers.clone().watch());
    issuers
}

/// Starts the issuer and waits until its keys are loaded, without a token that asks for them.
async fn loaded(adjust: impl FnOnce(&mut Config)) -> (KeyServer, Issuers) {
    let server = KeyServer::start(&key_set()).await;
    let mut config = config(&server.url);
    adjust(&mut config);
    let metrics = Metrics::default();
    let issuers = with_metrics(&config, &metrics).expect("issuers");
    tokio::spawn(issuers.clone().watch());
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while config.issuers.iter().any(|issuer| fetches(&metrics, &issuer.issuer) == 0) {
        ticks.tick().await;
    }
    (server, issuers)
}

/// Returns how often keys were fetched in full.
fn fetches(metrics: &Metrics, issuer: &str) -> u64 {
    let labels = NeighbourLabels { neighbour: issuer.into(), outcome: "ok" };
    metrics.neighbour_requests.get_or_create(&labels).get()
}

/// Verifies the token until the verdict is as wished; the deadline of the test is the only end.
async fn eventually(issuers: &Issuers, token: &str, is_so: impl Fn(Option<&OidcError>) -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !is_so(issuers.verify(token).await.err().as_ref()) {
        ticks.tick().await;
    }
}

#[test]
fn good_tokens_become_identities() {
    run(async {
        let (_server, issuers) = loaded(|_| {}).await;
        let plain = |header: &Value| sign(Keys::own(), "ES384", header.to_string(), claims(&json!({})).to_string());
        let good = [
            good_token(),
            token("ES384", "ec384", &json!({})),
            token("EdDSA", "ed", &json!({})),
            token("RS256", "rsa", &json!({})),
            token("RS256", "any-rsa", &json!({})),
            token("RS512", "any-rsa", &json!({})),
            token("PS256", "any-rsa", &json!({})),
            token("ES256", "ec", &json!({"aud": "glance", "nbf": null, "iat": null})),
            token("ES256", "ec", &json!({"roles": "reader, MEMBER"})),
            token("ES256", "ec", &json!({"iat": now() + 3, "exp": 4_000_000_000.5})),
            // one key alone is for ES384, so it need not be named
            plain(&json!({"alg": "ES384"})),
            plain(&json!({"alg": "ES384", "typ": "JWT", "x5t": "AAAA", "x5t#S256": "AAAA"})),
        ];
        for token in &good {
            let identity = issuers.verify(token).await.unwrap_or_else(|error| panic!("{error}: {token}"));
            assert_eq!(identity.user.as_str(), "ann");
            assert_eq!(identity.project().map(ToString::to_string).as_deref(), Some("p1"));
            assert_eq!(identity.roles, Roles::known(["member", "reader"]));
            assert!(identity.access_rules.is_empty() && identity.expires_at > SystemTime::now());
        }
        let unscoped = token("ES256", "ec", &json!({"project_id": null}));
        assert_eq!(issuers.verify(&unscoped).await.expect("an identity").scope, Scope::Unscoped);
        assert!(good.len() >= 8);
    });
}

/// Returns tokens that are not taken apart, or whose header says too much.
fn malformed(trap: &str) -> Vec<String> {
    let good = good_token();
    let parts: Vec<&str> = good.split('.').collect();
    let payload = claims(&json!({})).to_string();
    let (header, signature) = (parts[0], parts[2]);
    let mut tokens: Vec<String> = vec![
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        "gAAAAABfernet".into(),
        good.replace('.', ""),
        format!("{header}.{}", parts[1]),
        format!("{good}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}..{signature}"),
        format!(".{}.{signature}", parts[1]),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        format!("{header}=.{}.{signature}", parts[1]),
        format!("{header}.{}=.{signature}", parts[1]),
        format!("{good}=="),
        format!("{header}.{}.{}+/", parts[1], &signature[2..]),
        // 64 bytes are 86 letters, of which the last has four bits too many
        format!("{}{}", &good[..good.len() - 1], next_letter(good.chars().last().expect("a letter"))),
        json!({"payload": parts[1], "protected": header, "signature": signature}).to_string(),
        token("ES256", "ec", &json!({"filler": "x".repeat(8 * 1024)})),
        token("ES256", &"k".repeat(257), &json!({})),
        sign(Keys::own(), "ES256", "\u{feff}{\"alg\":\"ES256\"}", &payload),
        sign(Keys::own(), "ES256", "[]", &payload),
        sign(Keys::own(), "ES256", r#""ES256""#, &payload),
        sign(Keys::own(), "ES256", r#"{"kid":"ec"}"#, &payload),
        sign(Keys::own(), "ES256", r#"{"alg":"none","alg":"ES256","kid":"ec"}"#, &payload),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec","\u006bid":"ec"}"#, &payload),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"} {}"#, &payload),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, "[1]"),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, format!("[{payload}]")),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, format!("[\"{ISSUER}\"]")),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, "not json"),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, format!("{payload}{payload}")),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, payload.replace("\"iss\"", "\"exp\":1,\"iss\"")),
        sign(
            Keys::own(),
            "ES256",
            r#"{"alg":"ES256","kid":"ec"}"#,
            payload.replace("\"iss\"", &format!("\"iss\":\"{ISSUER}\",\"iss\"")),
        ),
        sign(
            Keys::own(),
            "ES256",
            r#"{"alg":"ES256","kid":"ec"}"#,
            payload.replace("\"iss\"", "\"deep\":{\"a\":1,\"a\":2},\"iss\""),
        ),
        token("ES256", "ec", &json!({"iss": [ISSUER]})),
        token("ES256", "ec", &json!({"iss": 7})),
    ];
    let jwk = Keys::foreign().p256_jwk("ec");
    for (name, value) in [
        ("jku", json!(trap)),
        ("x5u", json!(trap)),
        ("jwk", jwk),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("unknown", json!(1)),
        ("typ", json!("JOSE")),
        ("typ", json!("dpop+jwt")),
        ("kid", json!(7)),
        ("kid", json!(null)),
        ("x5t", json!(7)),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "ec"});
        header[name] = value;
        // the attacker's key would fit the attacker's header
        let keys = if matches!(name, "jku" | "x5u" | "jwk") { Keys::foreign() } else { Keys::own() };
        tokens.push(sign(keys, "ES256", header.to_string(), &payload));
    }
    tokens
}

/// Returns a letter whose last bits differ.
fn next_letter(letter: char) -> char {
    match letter {
        'A' => 'B',
        'Q' => 'R',
        'g' => 'h',
        'w' => 'x',
        other => panic!("{other} does not end 64 bytes"),
    }
}

/// Returns tokens that the issuer has not signed.
fn forged() -> Vec<String> {
    let good = good_token();
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let (_, payload) = signed.split_once('.').expect("a payload");
    let unsigned = |header: &str| format!("{}.{payload}", base64url(header));
    let hmac = |name: &str, algorithm, secret: &[u8]| {
        let message = unsigned(&format!(r#"{{"alg":"{name}","kid":"ec"}}"#));
        let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
        format!("{message}.{}", base64url(tag))
    };
    let header = |algorithm: &str, kid: &str| json!({"alg": algorithm, "kid": kid}).to_string();
    let good_claims = claims(&json!({})).to_string();
    let mut flipped = Keys::own().sign("ES256", signed);
    flipped[40] ^= 1;
    let mut der_like = vec![0x30, 0x44, 0x02, 0x20];
    der_like.extend(&Keys::own().sign("ES256", signed)[..32]);
    der_like.extend([0x02, 0x20]);
    der_like.extend(&Keys::own().sign("ES256", signed)[32..]);
    let with_signature = |bytes: &[u8]| format!("{signed}.{}", base64url(bytes));
    let admin = claims(&json!({"roles": ["admin"]})).to_string();
    vec![
        // another algorithm, or none
        format!("{}.", unsigned(r#"{"alg":"none"}"#)),
        format!("{}.{signature}", unsigned(r#"{"alg":"none","kid":"ec"}"#)),
        format!("{}.", unsigned(r#"{"alg":"NoNe","kid":"ec"}"#)),
        format!("{}.{signature}", unsigned(r#"{"alg":"","kid":"ec"}"#)),
        format!("{}.{signature}", unsigned(r#"{"alg":"es256","kid":"ec"}"#)),
        format!("{}.{signature}", unsigned(r#"{"alg":"ES256K","kid":"ec"}"#)),
        format!("{}.{signature}", unsigned(r#"{"alg":"ES512","kid":"ec"}"#)),
        hmac("HS256", hmac::HMAC_SHA256, b"secret"),
        hmac("HS256", hmac::HMAC_SHA256, b""),
        hmac("HS256", hmac::HMAC_SHA256, Keys::own().p256.public_key().as_ref()),
        hmac("HS384", hmac::HMAC_SHA384, Keys::own().rsa.public_key().as_ref()),
        hmac("HS512", hmac::HMAC_SHA512, key_set().to_string().as_bytes()),
        // the key speaks another algorithm than the header says
        sign(Keys::own(), "PS256", header("PS256", "rsa"), &good_claims),
        sign(Keys::own(), "RS512", header("RS512", "rsa"), &good_claims),
        sign(Keys::own(), "RS384", header("RS384", "any-rsa"), &good_claims),
        sign(Keys::own(), "PS512", header("PS512", "any-rsa"), &good_claims),
        sign(Keys::own(), "PS256", header("RS256", "any-rsa"), &good_claims),
        sign(Keys::own(), "RS256", header("PS256", "any-rsa"), &good_claims),
        sign(Keys::own(), "ES256", header("RS256", "ec"), &good_claims),
        sign(Keys::own(), "ES256", header("ES384", "ec"), &good_claims),
        sign(Keys::own(), "RS256", header("ES256", "rsa"), &good_claims),
        sign(Keys::own(), "EdDSA", header("ES256", "ed"), &good_claims),
        sign(Keys::own(), "ES256", header("EdDSA", "ec"), &good_claims),
        // the wrong key
        sign(Keys::foreign(), "ES256", header("ES256", "ec"), &good_claims),
        sign(Keys::foreign(), "ES384", header("ES384", "ec384"), &good_claims),
        sign(Keys::foreign(), "EdDSA", header("EdDSA", "ed"), &good_claims),
        sign(Keys::foreign(), "RS256", header("RS256", "rsa"), &good_claims),
        sign(Keys::foreign(), "ES256", header("ES256", "encrypts"), &good_claims),
        sign(Keys::foreign(), "ES256", header("ES256", "private"), &good_claims),
        sign(Keys::foreign(), "ES256", header("ES256", "nobody"), &good_claims),
        sign(Keys::own(), "ES256", header("ES256", "EC"), &good_claims),
        sign(Keys::own(), "ES256", header("ES256", ""), &good_claims),
        sign(Keys::own(), "ES256", header("ES256", "../../etc/keys"), &good_claims),
        sign(Keys::own(), "ES256", header("ES256", "ec' OR '1'='1"), &good_claims),
        sign(Keys::foreign(), "ES256", r#"{"alg":"ES256"}"#, &good_claims),
        // more than one key fits
        sign(Keys::own(), "ES256", header("ES256", "twice"), &good_claims),
        sign(Keys::own(), "ES256", r#"{"alg":"ES256"}"#, &good_claims),
        sign(Keys::own(), "RS256", r#"{"alg":"RS256"}"#, &good_claims),
        // the wrong signature
        format!("{signed}."),
        with_signature(&flipped),
        with_signature(&[0; 64]),
        with_signature(&[0xff; 64]),
        with_signature(&[0; 32]),
        with_signature(&[0; 65]),
        with_signature(&der_like),
        with_signature(&Keys::own().sign("ES256", "another message")),
        with_signature(&Keys::own().sign("ES256", payload)),
        with_signature(&[&Keys::own().sign("ES256", signed)[..], &[0]].concat()),
        with_signature(&Keys::own().sign("ES256", signed)[..63]),
        // signed, then changed
        format!("{}.{}.{signature}", base64url(header("ES256", "ec")), base64url(&admin)),
        format!("{}.{payload}.{signature}", base64url(r#"{"alg":"ES256","kid":"ec"} "#)),
    ]
}

/// Returns tokens that are signed but claim what they should not, and what is told of them.
fn wrong_claims() -> Vec<(String, OidcError)> {
    let own = |changes: Value, error| (token("ES256", "ec", &changes), error);
    let claim = |changes: Value, what| own(changes, OidcError::Claims(what));
    vec![
        own(json!({"iss": null}), OidcError::UnknownIssuer),
        own(json!({"iss": "https://evil.example"}), OidcError::UnknownIssuer),
        own(json!({"iss": format!("{ISSUER}/")}), OidcError::UnknownIssuer),
        own(json!({"iss": ISSUER.to_uppercase()}), OidcError::UnknownIssuer),
        own(json!({"iss": ""}), OidcError::UnknownIssuer),
        // the other issuer's name under this one's key, which has the same id there
        own(json!({"iss": OTHER_ISSUER}), OidcError::Forged),
        own(json!({"exp": now() - 60}), OidcError::Expired),
        own(json!({"exp": 0}), OidcError::Expired),
        own(json!({"nbf": now() + 60}), OidcError::NotYetValid),
        own(json!({"iat": now() + 60}), OidcError::NotYetValid),
        claim(json!({"exp": null}), "exp"),
        claim(json!({"exp": "4000000000"}), "exp"),
        claim(json!({"exp": 1e300}), "exp"),
        claim(json!({"exp": -5}), "exp"),
        claim(json!({"nbf": "now"}), "nbf"),
        claim(json!({"iat": {}}), "iat"),
        claim(json!({"aud": null}), "aud"),
        claim(json!({"aud": "account"}), "aud"),
        claim(json!({"aud": "glance "}), "aud"),
        claim(json!({"aud": ["account", ["glance"]]}), "aud"),
        claim(json!({"openstack_project_id": "p1"}), "openstack_*"),
        claim(json!({"openstack_system": "all"}), "openstack_*"),
        claim(json!({"openstack_app_cred_id": null, "openstack_methods": []}), "openstack_*"),
        claim(json!({"client_id": null}), "user_id"),
        claim(json!({"client_id": "ann\r\nX-Roles: admin"}), "user_id"),
        claim(json!({"project_id": 1}), "project_id"),
        claim(json!({"project_id": ["p1"]}), "project_id"),
        claim(json!({"roles": null}), "roles"),
        claim(json!({"roles": ["member,admin"]}), "roles"),
        claim(json!({"roles": [["admin"]]}), "roles"),
    ]
}

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn hostile_tokens_are_refused() {
    let log = Log::default();
    let writer = log.clone();
    // for all threads: the tests beside this one may log too, and must not show these tokens either
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).init();
    run(async {
        let trap = KeyServer::start(&json!({"keys": [Keys::foreign().p256_jwk("ec")]})).await;
        let other = KeyServer::start(&json!({"keys": [Keys::foreign().p256_jwk("ec")]})).await;
        let (server, issuers) = loaded(|config| {
            config.issuers.push(IssuerConfig {
                issuer: OTHER_ISSUER.into(),
                audience: "glance".into(),
                jwks_url: other.url.clone(),
                ..IssuerConfig::default()
            });
        })
        .await;
        let mut table: Vec<(String, OidcError)> = Vec::new();
        table.extend(malformed(&trap.url).into_iter().map(|token| (token, OidcError::Malformed)));
        table.extend(forged().into_iter().map(|token| (token, OidcError::Forged)));
        table.extend(wrong_claims());
        for (token, error) in &table {
            let found = issuers.verify(token).await.err();
            assert_eq!(found.as_ref(), Some(error), "{token}");
            assert!(error.is_final());
        }
        let logged = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
        assert!(logged.contains("a key is not used") && logged.contains("keys changed"), "{logged}");
        let told = format!("{logged} {issuers:?} {:?}", table.iter().map(|(_, error)| error).collect::<Vec<_>>());
        for part in table.iter().flat_map(|(token, _)| token.split('.')).filter(|part| part.len() > 8) {
            assert!(!told.contains(part), "a part of a token is shown: {part}");
        }
        assert_eq!(table.len(), 137);
        // the regular fetch, and the one that unknown key ids were allowed
        assert_eq!(server.asked(), 2);
        assert_eq!(trap.asked(), 0);
        assert!(issuers.verify(&good_token()).await.is_ok());
    });
}

#[test]
fn tokens_of_keystone_are_not_spoken_for() {
    run(async {
        let (_server, issuers) = loaded(|_| {}).await;
        let keystone = json!({"sub": "user", "exp": now() + 60, "openstack_project_id": "p1"});
        let header = r#"{"alg":"ES256","typ":"JWT"}"#;
        let error = issuers.verify(&sign(Keys::foreign(), "ES256", header, keystone.to_string())).await.err();
        assert_eq!(error, Some(OidcError::UnknownIssuer));
    });
}

#[test]
fn dotted_mappings_are_followed() {
    run(async {
        let (_server, issuers) = loaded(|config| {
            for issuer in &mut config.issuers {
                issuer.mapping_roles = "realm_access.roles".into();
                issuer.mapping_project_id = "cloud.project.id".into();
                issuer.mapping_user_id = "sub".into();
            }
            config.issuers[0].algorithms.push(Algorithm::Rs384);
        })
        .await;
        let nested = json!({"realm_access": {"roles": ["Admin"]}, "cloud": {"project": {"id": "p2"}}});
        let identity = issuers.verify(&token("RS384", "any-rsa", &nested)).await.expect("an identity");
        assert_eq!(identity.user.as_str(), "subject");
        assert_eq!(identity.project().map(ToString::to_string).as_deref(), Some("p2"));
        assert!(identity.roles.has("admin") && !identity.roles.has("member"));
    });
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it() {
    run(async {
        let (server, issuers) = loaded(|_| {}).await;
        assert_eq!(server.asked(), 1);
        server.serve_keys(&json!({"keys": [Keys::own().ed25519_jwk("new")]}));
        assert!(issuers.verify(&good_token()).await.is_ok(), "nobody has looked yet");
        assert!(issuers.verify(&token("EdDSA", "new", &json!({}))).await.is_ok());
        assert_eq!(server.asked(), 2);
        assert_eq!(issuers.verify(&good_token()).await.err(), Some(OidcError::Forged), "the old key is withdrawn");
        assert_eq!(server.asked(), 2, "the limit holds");
    });
}

#[test]
fn a_withdrawn_key_is_dropped_at_the_next_refresh() {
    run(async {
        let (server, issuers) = loaded(|config| config.jwks_refresh = Duration::from_millis(10)).await;
        server.serve_keys(&json!({"keys": [Keys::own().ed25519_jwk("new")]}));
        server.until_asked(server.asked() + 2).await;
        eventually(&issuers, &good_token(), |verdict| verdict == Some(&OidcError::Forged)).await;
        assert!(issuers.verify(&token("EdDSA", "new", &json!({}))).await.is_ok());
    });
}

#[test]
fn unknown_key_ids_are_fetched_for_once_in_a_while() {
    run(async {
        let (server, issuers) = loaded(|_| {}).await;
        let not_allowed = token("RS384", "unknown", &json!({}));
        assert_eq!(issuers.verify(&not_allowed).await.err(), Some(OidcError::Forged));
        assert_eq!(server.asked(), 1, "no key could help");
        server.hold();
        let tokens: Vec<String> = (0..50).map(|n| token("ES256", &format!("unknown-{n}"), &json!({}))).collect();
        let early = async { join_all(tokens.iter().map(|token| issuers.verify(token))).await };
        let late = async {
            server.until_asked(2).await;
            join_all(tokens.iter().map(|token| issuers.verify(token))).await
        };
        let (mut verdicts, more, ()) = tokio::join!(early, late, async {
            server.until_asked(2).await;
            // those who come while the fetch is under way are waiting by now
            tokio::task::yield_now().await;
            server.release();
        });
        verdicts.extend(more);
        assert!(verdicts.iter().all(|verdict| verdict.as_ref().err() == Some(&OidcError::Forged)));
        for token in &tokens {
            assert_eq!(issuers.verify(token).await.err(), Some(OidcError::Forged));
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.asked(), 2, "one fetch for all of them");
        assert!(issuers.verify(&good_token()).await.is_ok());
    });
}

#[test]
fn keys_are_fetched_again_after_the_interval() {
    run(async {
        let (server, issuers) = loaded(|config| config.jwks_min_interval = Duration::from_millis(1)).await;
        let unknown = token("ES256", "unknown", &json!({}));
        let first = server.asked();
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        while server.asked() < first + 3 {
            assert_eq!(issuers.verify(&unknown).await.err(), Some(OidcError::Forged));
            ticks.tick().await;
        }
    });
}

#[test]
fn a_client_that_hangs_up_does_not_end_the_fetch() {
    run(async {
        let (server, issuers) = loaded(|_| {}).await;
        server.serve_keys(&json!({"keys": [Keys::own().ed25519_jwk("new")]}));
        server.hold();
        let new = token("EdDSA", "new", &json!({}));
        tokio::select! {
            _ = issuers.verify(&new) => panic!("there is no answer yet"),
            () = server.until_asked(2) => {}
        }
        server.release();
        assert!(issuers.verify(&new).await.is_ok());
        eventually(&issuers, &new, |verdict| verdict.is_none()).await;
        assert_eq!(server.asked(), 2);
    });
}

#[test]
fn cold_keys_are_fetched_once_for_all_who_wait() {
    run(async {
        let server = KeyServer::start(&key_set()).await;
        server.hold();
        let issuers = watched(&config(&server.url));
        let good = good_token();
        let verdicts = async { join_all((0..50).map(|_| issuers.verify(&good))).await };
        let (verdicts, ()) = tokio::join!(verdicts, async {
            server.until_asked(1).await;
            server.release();
        });
        assert!(verdicts.iter().all(Result::is_ok));
        assert!(server.asked() <= 2, "the regular fetch, and at most one that was asked for");
    });
}

/// Returns what a server may answer instead of keys.
fn broken_answers(trap: &str) -> Vec<(String, String)> {
    let many: Vec<Value> = (0..70).map(|n| Keys::own().p256_jwk(&format!("k{n}"))).collect();
    let good = key_set().to_string();
    vec![
        ("503 Service Unavailable".into(), good.clone()),
        ("404 Not Found".into(), String::new()),
        ("204 No Content".into(), String::new()),
        ("203 Non-Authoritative Information".into(), good.clone()),
        (format!("302 Found\r\nLocation: {trap}"), String::new()),
        (format!("308 Permanent Redirect\r\nLocation: {trap}"), good.clone()),
        ("200 OK".into(), String::new()),
        ("200 OK".into(), "<html>portal</html>".into()),
        ("200 OK".into(), "{}".into()),
        ("200 OK".into(), r#"{"keys":[]}"#.into()),
        ("200 OK".into(), r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"ec"}]}"#.into()),
        ("200 OK".into(), format!("{}{}", good, " ".repeat(300 * 1024))),
        ("200 OK".into(), json!({"keys": many}).to_string()),
        ("200 OK".into(), good.replacen("{\"keys\"", "{\"keys\":[],\"keys\"", 1)),
        ("not http".into(), String::new()),
    ]
}

#[test]
fn the_last_good_keys_outlive_an_outage() {
    run(async {
        let trap = KeyServer::start(&key_set()).await;
        for (head, body) in broken_answers(&trap.url) {
            let (server, issuers) = loaded(|_| {}).await;
            server.serve(&head, &body);
            let unknown = token("ES256", "unknown", &json!({}));
            for _ in 0..3 {
                let error = issuers.verify(&unknown).await.expect_err("no such key");
                assert!(matches!(error, OidcError::Unavailable(_)) && !error.is_final(), "{head}: {error}");
            }
            assert_eq!(server.asked(), 2, "a failure is no reason to ask more often");
            assert!(issuers.verify(&good_token()).await.is_ok(), "{head} {body:.40}");
            let forged =
                sign(Keys::foreign(), "ES256", r#"{"alg":"ES256","kid":"ec"}"#, claims(&json!({})).to_string());
            assert_eq!(issuers.verify(&forged).await.err(), Some(OidcError::Forged));
        }
        assert_eq!(trap.asked(), 0);
    });
}

#[test]
fn without_any_keys_nothing_is_known_until_they_come() {
    run(async {
        let trap = KeyServer::start(&key_set()).await;
        for (head, body) in broken_answers(&trap.url) {
            let server = KeyServer::start(&key_set()).await;
            server.serve(&head, &body);
            let issuers = watched(&Config { jwks_min_interval: Duration::from_millis(5), ..config(&server.url) });
            for token in [good_token(), token("ES256", "unknown", &json!({})), token("ES256", "ec", &json!({"exp": 1}))]
            {
                let error = issuers.verify(&token).await.expect_err("no keys");
                assert!(matches!(error, OidcError::Unavailable(_)), "{head}: {error}");
            }
            // what needs no key is known all the same
            assert_eq!(issuers.verify("a.b.c").await.err(), Some(OidcError::Malformed));
            server.serve_keys(&key_set());
            eventually(&issuers, &good_token(), |verdict| verdict.is_none()).await;
        }
        assert_eq!(trap.asked(), 0);
    });
}

#[test]
fn a_server_that_is_away_makes_nothing_known() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        drop(listener);
        let error = watched(&config(&url)).verify(&good_token()).await.expect_err("no keys");
        assert!(matches!(error, OidcError::Unavailable(_)), "{error}");
    });
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let mut config = config("ldap://idp.example");
    assert!(with_metrics(&config, &Metrics::default()).is_err());
    config.issuers.clear();
    assert!(with_metrics(&config, &Metrics::default()).is_ok());
}

/// What the gate does with a Wycheproof token where that is not what Wycheproof says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deviation {
    /// Shared keys (`oct`): no issuer may use one, so that good tokens are refused with the bad ones.
    SharedKey,
    /// A key whose `alg` is PS256 and a token whose `alg` is PS384: a key speaks the algorithm that it names, no other.
    OtherAlgorithm,
    /// P-521, named `ES521` in the vectors: not among the gate's algorithms.
    P521,
    /// A key with the ROCA weakness: its tokens are well signed, and the gate does not examine an issuer's moduli.
    Roca,
}

fn deviation(group: &Value) -> Option<Deviation> {
    let keys = group.get("public").or_else(|| group.get("private")).expect("a key").clone();
    let keys = if keys["keys"].is_array() { keys["keys"].clone() } else { json!([keys]) };
    let keys = keys.as_array().expect("keys");
    if keys.iter().any(|key| key["kty"] == "oct") {
        return Some(Deviation::SharedKey);
    }
    if keys.iter().any(|key| key["crv"] == "P-521") {
        return Some(Deviation::P521);
    }
    // figure 20 of RFC 7520, twice
    if group["tests"].as_array().is_some_and(|tests| tests.iter().all(|test| test["comment"] == "Figure20")) {
        return Some(Deviation::OtherAlgorithm);
    }
    (group["comment"] == "jws_rsa_roca_key").then_some(Deviation::Roca)
}

/// Tells whether the key or key set of the group vouches for the token.
///
/// The payloads are no claims, so this is the way of a token up to its signature. Wycheproof's raw ECDSA and RSA vectors
/// do not sign a header and a payload and so can not be brought into a token; aws-lc itself is tested with them.
fn is_signed(group: &Value, token: &str) -> bool {
    let keys = group.get("public").or_else(|| group.get("private")).expect("a key").clone();
    let keys = if keys["keys"].is_array() { keys } else { json!({"keys": [keys]}) };
    let Ok(keys) = KeySet::read(keys.to_string().as_bytes(), &Algorithm::ALL, 64) else {
        return false;
    };
    UnverifiedJws::parse(token).is_ok_and(|jws| keys.verify(&jws).is_ok())
}

/// Runs a file and returns how many tokens were accepted, refused, and judged otherwise for each reason.
fn wycheproof(file: &str) -> (usize, usize, Vec<(Deviation, u64)>) {
    let file: Value = serde_json::from_str(file).expect("JSON");
    let (mut accepted, mut refused, mut otherwise, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for group in file["testGroups"].as_array().expect("groups") {
        let deviation = deviation(group);
        for test in group["tests"].as_array().expect("tests") {
            let is_valid = test["result"] == "valid";
            let is_taken = is_signed(group, test["jws"].as_str().expect("a token"));
            accepted += usize::from(is_taken);
            refused += usize::from(!is_taken);
            match deviation {
                Some(Deviation::SharedKey | Deviation::P521 | Deviation::OtherAlgorithm) if is_valid && !is_taken => {}
                Some(Deviation::Roca) if !is_valid && is_taken => {}
                _ if is_valid == is_taken => continue,
                _ => wrong.push(format!("{} {} {}", test["tcId"], group["comment"], test["comment"])),
            }
            otherwise.extend(deviation.map(|reason| (reason, test["tcId"].as_u64().expect("a number"))));
        }
    }
    assert!(wrong.is_empty(), "judged wrongly:\n{}", wrong.join("\n"));
    assert_eq!(file["numberOfTests"], json!(accepted + refused));
    (accepted, refused, otherwise)
}

#[test]
fn wycheproof_signatures_are_judged_rightly() {
    let (accepted, refused, otherwise) = wycheproof(include_str!("data/wycheproof/json_web_signature_test.json"));
    let count = |reason| otherwise.iter().filter(|(found, _)| *found == reason).count();
    assert_eq!((accepted, refused), (32, 369));
    assert_eq!(count(Deviation::SharedKey), 10);
    assert_eq!(count(Deviation::OtherAlgorithm), 2);
    assert_eq!(count(Deviation::P521), 2);
    assert_eq!(otherwise.len(), 14);
}

#[test]
fn wycheproof_keys_are_judged_rightly() {
    let (accepted, refused, otherwise) = wycheproof(include_str!("data/wycheproof/json_web_key_test.json"));
    let count = |reason| otherwise.iter().filter(|(found, _)| *found == reason).count();
    assert_eq!((accepted, refused), (2, 24));
    assert_eq!(count(Deviation::SharedKey), 4);
    assert_eq!(count(Deviation::Roca), 1);
    assert_eq!(otherwise.len(), 5);
}
