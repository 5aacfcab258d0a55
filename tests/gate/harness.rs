//! Starts a gate between stand-ins, waits for events, and knows what every refusal must look like.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use glance_gate::app::App;
use glance_gate::app::reload::ReloadError;
use glance_gate::app::reload::Reloaded;
use glance_gate::config::Config;
use glance_gate::demo;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::GlanceOptions;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::record::Seen;
use glance_gate::diff::judge::Judge;
use glance_gate::member_update::rate;
use glance_gate::refusal::Refusal;
use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tokio::time::MissedTickBehavior;

use crate::client::Call;
use crate::client::Reply;

/// Far more than any test needs: only what hangs gets there.
const DEADLINE: Duration = Duration::from_secs(40);

/// Ports are found one gate after the other: what is bound but does not listen yet could be given out twice.
pub static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs a test on a runtime of its own, and ends it if it hangs.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let runtime = Ending(Some(runtime));
    let test = async { tokio::time::timeout(DEADLINE, test).await.expect("the test hangs") };
    runtime.0.as_ref().expect("not ended yet").block_on(test);
}

/// Ends the runtime of a test without waiting for what it left behind.
struct Ending(Option<Runtime>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits until the condition holds; the deadline of the test is the only end.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let waited = tokio::time::timeout(DEADLINE / 2, async {
        while !condition().await {
            ticks.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "still not so: {what}");
}

/// A gate and its neighbours; ends with the test.
pub struct Gate {
    pub keystone: Keystone,
    pub glance: Glance,
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    app: Option<App>,
    config: Mutex<Config>,
    refusals: Mutex<HashMap<(String, &'static str), u64>>,
}

impl Gate {
    pub async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let neighbours = neighbours().await;
        Self::between(neighbours, adjust).await
    }

    /// Starts a gate between neighbours that a test has prepared.
    pub async fn between((keystone, glance): (Keystone, Glance), adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = demo::config(&keystone, &glance);
        config.server.drain_timeout = Duration::from_millis(200);
        // all clients of a test share one address
        config.rates = rate::Config { keystone_questions: 0, ownership_questions: 0, ..config.rates };
        adjust(&mut config);
        let _alone = STARTING.lock().await;
        let app = App::start(&config).expect("the gate starts");
        let (address, admin_address) = (app.address, app.admin_address);
        let config = Mutex::new(config);
        Self { keystone, glance, address, admin_address, app: Some(app), config, refusals: Mutex::default() }
    }

    /// Changes the configuration that the gate was started with, and those changed since, while it runs.
    pub async fn reload(&self, adjust: impl FnOnce(&mut Config)) -> Result<Reloaded, ReloadError> {
        let mut config = self.config.lock().expect("no test has failed").clone();
        adjust(&mut config);
        let done = self.app.as_ref().expect("the gate runs").reloader().apply(config.clone()).await;
        if done.is_ok() {
            *self.config.lock().expect("no test has failed") = config;
        }
        done
    }

    /// Waits until no request uses a configuration but the one of now.
    pub async fn wait_for_one_generation(&self) {
        self.wait_for_metric("glance_gate_config_generations_in_use", 1).await;
    }

    /// Takes the gate out, for a test that ends it itself.
    pub fn take_app(&mut self) -> App {
        self.app.take().expect("the gate runs")
    }

    /// Returns who compares staging with the primary as the configuration in use says.
    pub fn judge(&self) -> Judge {
        self.app.as_ref().expect("the gate runs").judge()
    }

    pub fn call(&self, method: &str, target: &str) -> Call {
        Call::new(self.address, method, target)
    }

    pub async fn admin(&self, target: &str) -> Reply {
        Call::new(self.admin_address, "GET", target).send().await
    }

    /// Returns what Glance saw of clients: all but the gate's own health checks.
    pub fn seen(&self) -> Vec<Seen> {
        self.glance.requests().into_iter().filter(|seen| seen.target != "/healthcheck").collect()
    }

    /// Returns how often Glance saw this.
    pub fn count(&self, method: &str, target: &str) -> usize {
        self.glance.count(|seen| seen.method == method && seen.target == target)
    }

    /// Returns how often Keystone was asked about a token.
    pub fn questions(&self) -> usize {
        self.keystone.count(|seen| seen.method == "GET" && seen.target.starts_with("/v3/auth/tokens"))
    }

    /// Returns how often the gate logged in.
    pub fn logins(&self) -> usize {
        self.keystone.count(|seen| seen.method == "POST" && seen.target == "/v3/auth/tokens")
    }

    /// Waits until the gate has a token of its own.
    pub async fn warm(self) -> Self {
        eventually("the gate has its own token", || async {
            self.admin("/readyz?verbose").await.text().contains("[+] own keystone token")
        })
        .await;
        self
    }

    pub async fn metrics(&self) -> String {
        self.admin("/metrics").await.text()
    }

    /// Waits until a metric, written as in the text format, has the value.
    pub async fn wait_for_metric(&self, metric: &str, value: u64) {
        let line = format!("{metric} {value}");
        eventually(&line, || async { self.metrics().await.lines().any(|known| known == line) }).await;
    }

    /// Asserts that the answer is this refusal, in status, headers and words, and that it is counted as enforced.
    pub async fn expect_refusal(&self, reply: &Reply, reason: &str) {
        let refusal = Refusal::ALL.iter().find(|known| known.reason() == reason).expect("a known reason");
        assert_eq!(reply.status, refusal.status().as_u16(), "{reason}: {}", reply.text());
        assert_is_request_id(reply.header("x-openstack-request-id").expect("a request id"));
        let names_keystone = reply.header("www-authenticate").is_some_and(|value| value == self.challenge());
        assert_eq!(names_keystone, reply.status == 401, "{reason}: WWW-Authenticate");
        let waits = matches!(reply.status, 429 | 503) || refusal == &Refusal::OverLimit;
        assert_eq!(reply.header("retry-after").is_some(), waits, "{reason}: Retry-After");
        assert_eq!(reply.header("allow").is_some(), reply.status == 405, "{reason}: Allow");
        assert!(reply.is_whole, "{reason}");
        let message = refusal.message();
        if !message.contains('{') && !reply.body.is_empty() && refusal != &Refusal::OverLimit {
            let is_json = reply.header("content-type") == Some("application/json");
            let told = if is_json { reply.json()["message"].to_string() } else { reply.text() };
            let message = if is_json { message.replace('"', "\\\"") } else { message.to_owned() };
            assert!(told.contains(message.trim_end()), "{reason}: {told}");
        }
        self.expect_count(reason, "enforced").await;
    }

    /// Asserts that one more refusal of this reason is counted.
    pub async fn expect_count(&self, reason: &str, mode: &'static str) {
        let count = {
            let mut refusals = self.refusals.lock().expect("no test has failed");
            let count = refusals.entry((reason.to_owned(), mode)).or_default();
            *count += 1;
            *count
        };
        let metric = format!("glance_gate_refusals_total{{reason=\"{reason}\",mode=\"{mode}\"}}");
        self.wait_for_metric(&metric, count).await;
    }

    /// Asserts that nothing of the clients has reached Glance.
    pub fn expect_unseen(&self) {
        let seen = self.seen();
        assert!(seen.is_empty(), "Glance saw {seen:?}");
    }

    fn challenge(&self) -> String {
        format!("Keystone uri=\"{}\"", self.keystone.url())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // it may wait for its drain: not on the test's thread, on which its neighbours run
        if let Some(app) = self.app.take() {
            std::thread::spawn(move || app.stop());
        }
    }
}

/// Starts a Keystone and a Glance that knows its tokens.
pub async fn neighbours() -> (Keystone, Glance) {
    let _alone = STARTING.lock().await;
    let keystone = Keystone::start().await.expect("a Keystone");
    let glance = Glance::start(GlanceOptions::new(keystone.clone())).await.expect("a Glance");
    (keystone, glance)
}

/// A port where nobody listens, and nobody else will.
pub struct DeadPort {
    socket: Socket,
}

impl DeadPort {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        Self { socket }
    }

    pub fn url(&self) -> String {
        let address = self.socket.local_addr().expect("a bound socket").as_socket().expect("an IP socket");
        format!("http://{address}")
    }
}

/// A directory of a test's own, removed after it.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("glance-gate-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).expect("a new directory");
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, text).expect("a writable directory");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.path));
    }
}

pub fn assert_is_request_id(id: &str) {
    let uuid = id.strip_prefix("req-").unwrap_or_default();
    assert!(uuid.len() == 36 && uuid::Uuid::try_parse(uuid).is_ok(), "{id} is no request id");
}
