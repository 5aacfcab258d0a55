//! Builds everything from a configuration and runs it: caches, stack, workers, listeners, drain.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener as StdListener;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use pingora_limits::inflight::Inflight;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::Bounds;
use crate::client::json;
use crate::client::json::JsonClient;
use crate::client::pool::Pool;
use crate::config::Config;
use crate::edge::headers::HeadersLayer;
use crate::edge::healthcheck::Healthcheck;
use crate::edge::overload::OverloadLayer;
use crate::edge::respond::RespondLayer;
use crate::glance::Ownerships;
use crate::keystone::SignedTokens;
use crate::keystone::TokenVerifier;
use crate::keystone::config::JwsMode;
use crate::keystone::keys::KeyRing;
use crate::keystone::keys::Refreshed;
use crate::keystone::online::Keystone;
use crate::member_update::limit::LimitLayer;
use crate::member_update::rate::Rates;
use crate::oidc::Issuers;
use crate::oidc::access_tokens::AccessTokens;
use crate::server;
use crate::server::Counts;
use crate::server::admin::Admin;
use crate::server::admin::Probe;
use crate::server::workers;
use crate::service_token::ServiceTokens;
use crate::stack;
use crate::stack::Parts;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Forward;
use crate::upstream::balance::Balance;
use crate::vouch::Vouchers;

/// A gate that runs.
#[derive(Debug)]
pub struct App {
    /// Where clients connect to.
    pub address: SocketAddr,
    /// Where operators connect to.
    pub admin_address: SocketAddr,
    stop: CancellationToken,
    threads: Vec<JoinHandle<usize>>,
}

/// Everything that all workers share, built before a port is bound.
#[derive(Clone)]
pub struct Built {
    parts: Shared,
    metrics: Metrics,
    balance: Balance,
    verifier: TokenVerifier,
    issuers: Option<AccessTokens>,
}

/// How often the gate tries to get its own token while Keystone can not be reached.
const WARM_UP_PAUSE: Duration = Duration::from_secs(2);

impl Built {
    /// Builds all parts; nothing is bound and nothing is sent yet.
    ///
    /// # Errors
    /// Fails if a key, a certificate or a name of the configuration can not be used.
    pub fn new(config: &Config) -> io::Result<Self> {
        let metrics = Metrics::default();
        let balance = Balance::new(&config.upstream, metrics.clone())?;
        let verifier = verifier(config, &metrics)?;
        let parts = Shared {
            ownerships: Ownerships::new(&config.ownership, metrics.clone()),
            member_limit: LimitLayer::new(config.member_limit.clone()),
            rates: Rates::new(config.rates.clone()),
            overload: OverloadLayer::new(config.overload.clone()),
            clients: Arc::new(Inflight::new()),
        };
        let issuers = issuers(config, &metrics)?;
        Ok(Self { parts, metrics, balance, verifier, issuers })
    }

    /// Builds one worker's stack.
    fn stack(&self, config: &Config) -> stack::HttpService {
        let pool = Pool::new(config.upstream.connections.clone());
        stack::build(Parts {
            forward: Forward::new(self.balance.clone(), pool, self.metrics.clone()),
            verifier: self.verifier.clone(),
            ownerships: self.parts.ownerships.clone(),
            ownership: config.ownership.clone(),
            profile: config.profile,
            enforcement: config.enforcement,
            body: config.body.clone(),
            vouchers: Vouchers::new(
                self.verifier.clone(),
                self.issuers.clone(),
                &config.keystone.service_type,
                config.telling,
                self.parts.rates.clone(),
            ),
            mount: config.server.mount.as_str().into(),
            member_limit: self.parts.member_limit.clone(),
            service_tokens: ServiceTokens::new(
                self.verifier.clone(),
                &config.keystone.service_token_roles,
                self.parts.rates.clone(),
            ),
            rates: self.parts.rates.clone(),
            overload: self.parts.overload.clone(),
            headers: HeadersLayer::new(&config.server.trusted_proxies, config.server.connection.max_head_bytes),
            respond: RespondLayer::new(&config.keystone.www_authenticate_uri),
            healthcheck: Healthcheck::new(config.server.healthcheck_disable_file.clone(), self.balance.clone()),
            metrics: self.metrics.clone(),
        })
    }
}

/// What counts or remembers for all workers together.
#[derive(Clone)]
struct Shared {
    ownerships: Ownerships,
    member_limit: LimitLayer,
    rates: Rates,
    overload: OverloadLayer,
    clients: Arc<Inflight>,
}

fn verifier(config: &Config, metrics: &Metrics) -> io::Result<TokenVerifier> {
    let settings = &config.keystone;
    let client = JsonClient::new(
        json::Limits {
            connect_timeout: settings.http_connect_timeout,
            call_timeout: settings.http_request_timeout,
            answer_bytes: settings.max_answer_bytes,
            idle_connections: 16,
        },
        settings.cafile.as_deref(),
    )?;
    let keys = match settings.jws {
        JwsMode::Off => None,
        JwsMode::Verify | JwsMode::Offline => Some(KeyRing::open(&settings.jws_public_key_repository)?),
    };
    let keystone = Keystone::new(settings, client, metrics.clone());
    Ok(TokenVerifier::new(settings, keystone, SignedTokens::new(settings.jws, keys), metrics.clone()))
}

/// Builds the issuers, if there are any; their verdicts are remembered as long as Keystone's.
fn issuers(config: &Config, metrics: &Metrics) -> io::Result<Option<AccessTokens>> {
    if config.oidc.issuers.is_empty() {
        return Ok(None);
    }
    let settings = &config.keystone;
    let limits = json::Limits {
        connect_timeout: settings.http_connect_timeout,
        call_timeout: settings.http_request_timeout,
        answer_bytes: config.oidc.max_jwks_bytes,
        idle_connections: 1,
    };
    let client = JsonClient::new(limits, settings.cafile.as_deref())?;
    let issuers = Issuers::new(&config.oidc, client, metrics.clone())?;
    let bounds = Bounds { entries: settings.token_cache_entries, negative: settings.negative_cache_time };
    Ok(Some(AccessTokens::new(issuers, &bounds, settings.token_cache_time, metrics.clone())))
}

impl App {
    /// Binds the ports and starts all threads.
    ///
    /// # Errors
    /// Fails if a part can not be built or a port can not be bound; nothing runs then.
    pub fn start(config: &Config) -> io::Result<Self> {
        let built = Built::new(config)?;
        let workers = match config.server.workers {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            workers => workers,
        };
        let listeners = workers::bind(config.server.listen, workers)?;
        let admin = workers::bind(config.admin_listen, 1)?;
        let address = address_of(&listeners)?;
        let admin_address = address_of(&admin)?;
        let stop = CancellationToken::new();
        let mut threads = Vec::with_capacity(workers + 1);
        for (index, listener) in listeners.into_iter().enumerate() {
            threads.push(worker(index, listener, config, &built, workers, &stop)?);
        }
        for listener in admin {
            let (built, config, stop) = (built.clone(), config.clone(), stop.clone());
            threads.push(workers::spawn("control".into(), listener, move |listener| {
                control(listener, built, config, stop)
            })?);
        }
        tracing::info!(listener = "main", %address, workers, "listening");
        tracing::info!(listener = "admin", address = %admin_address, "listening");
        Ok(Self { address, admin_address, stop, threads })
    }

    /// Accepts nothing new, lets what is under way end, and returns how many connections had to be cut off.
    ///
    /// # Errors
    /// Fails if a worker had panicked.
    pub fn stop(self) -> io::Result<usize> {
        self.stop.cancel();
        let mut cut = 0;
        for thread in self.threads {
            cut += thread.join().map_err(|_| io::Error::other("a worker thread panicked"))?;
        }
        Ok(cut)
    }
}

fn address_of(listeners: &[StdListener]) -> io::Result<SocketAddr> {
    listeners.first().ok_or_else(|| io::Error::other("no listener"))?.local_addr()
}

fn worker(
    index: usize,
    listener: StdListener,
    config: &Config,
    built: &Built,
    workers: usize,
    stop: &CancellationToken,
) -> io::Result<JoinHandle<usize>> {
    let stack = built.stack(config);
    let answer = move |peer, violation, request| stack.clone().answer(peer, violation, request);
    let mut settings = config.server.connection.clone();
    settings.max_connections = settings.max_connections.div_ceil(workers);
    let counts = Counts { connections: built.metrics.connections.clone(), clients: built.parts.clients.clone() };
    let (stop, drain) = (stop.clone(), config.server.drain_timeout);
    workers::spawn(format!("worker-{index}"), listener, move |listener| {
        server::serve(listener, settings, answer, counts, stop, drain)
    })
}

/// Runs what is not on a request's way: health checks, key refresh, the operators' listener.
async fn control(listener: TcpListener, built: Built, config: Config, stop: CancellationToken) -> usize {
    let has_own_token = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    tasks.spawn(built.balance.clone().watch());
    tasks.spawn(warm_up(built.verifier.clone(), has_own_token.clone()));
    if let Some(issuers) = &built.issuers {
        tasks.spawn(issuers.issuers().watch());
    }
    if let Some(keys) = built.verifier.key_ring() {
        tasks.spawn(refresh_keys(keys, config.keystone.jws_key_refresh));
    }
    let (balance, stopping, metrics) = (built.balance.clone(), stop.clone(), built.metrics.clone());
    let probes = vec![
        Probe { name: "upstream", is_required: true, look: Box::new(move || balance.any_healthy()) },
        Probe { name: "not draining", is_required: true, look: Box::new(move || !stopping.is_cancelled()) },
        Probe {
            name: "own keystone token",
            is_required: false,
            look: Box::new(move || has_own_token.load(Ordering::Relaxed)),
        },
    ];
    let admin = Admin::new(probes, move || metrics.encode());
    let answer = move |_, violation, request| admin.clone().answer(violation, request);
    // the operators' connections are not the clients': they are not counted, and end with the gate
    let counts = Counts { connections: Gauge::default(), clients: Arc::new(Inflight::new()) };
    server::serve(listener, config.server.connection, answer, counts, stop, Duration::from_secs(1)).await;
    tasks.shutdown().await;
    0
}

/// Gets the gate's own token before the first client needs it.
async fn warm_up(verifier: TokenVerifier, has_own_token: Arc<AtomicBool>) {
    while let Err(error) = verifier.warm_up().await {
        tracing::warn!(%error, "no token of the gate's own yet");
        tokio::time::sleep(WARM_UP_PAUSE).await;
    }
    has_own_token.store(true, Ordering::Relaxed);
    tracing::info!("the gate has its own token");
}

/// Reads the key directory again and again; a mistake in it leaves the keys as they are.
async fn refresh_keys(keys: KeyRing, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        match keys.refresh() {
            Ok(Refreshed::Unchanged) => {}
            Ok(Refreshed::Changed(count)) => tracing::info!(keys = count, "keystone's signing keys changed"),
            Err(error) => tracing::warn!(%error, "keystone's signing keys can not be read: the old ones stay in use"),
        }
    }
}
