//! Which upstream gets a request: one that passes its health checks, whose breaker is closed and that is not full.
//!
//! `pingora-load-balancing` checks their health; `select` chooses among those that are in use.
//! One that is half-open gets the next request before all others, and only that one. If none is in use, any is tried: a
//! health check that fails everywhere must not lock everybody out.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;
use pingora_load_balancing::Backend;
use pingora_load_balancing::Backends;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::selection::RoundRobin;

use crate::client::endpoint::Address;
use crate::client::endpoint::Endpoint;
use crate::client::endpoint::Room;
use crate::client::pool;
use crate::client::transport;
use crate::client::transport::Transport;
use crate::telemetry::metrics::Metrics;
use crate::upstream::breaker::Errand;
use crate::upstream::candidate::Candidate;
use crate::upstream::candidate::Common;
use crate::upstream::chosen::Choice;
use crate::upstream::chosen::Tried;
use crate::upstream::health;
use crate::upstream::health::Probe;
use crate::upstream::retry::Repeatable;
use crate::upstream::retry::Retries;
use crate::upstream::rules::AllOpen;
use crate::upstream::rules::Rules;
use crate::upstream::select;
use crate::upstream::select::Selection;
use crate::upstream::select::Strategy;
use crate::upstream::shed::ShedLayer;

/// The section `[upstream]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The image stores: `http://host:port`, `https://host:port` or `unix:/path`.
    pub servers: Vec<String>,
    /// How often each is checked.
    pub health_check_interval: Duration,
    /// The path that must answer 200; empty means that connecting is enough.
    pub health_check_path: String,
    /// The bounds of each worker's connections.
    pub connections: pool::Limits,
    /// How they are spoken to.
    pub transport: transport::Config,
    /// How one is chosen.
    pub rules: Rules,
}

/// The upstreams and their health; cloning shares them.
#[derive(Clone)]
pub struct Balance {
    shared: Arc<Shared>,
}

struct Shared {
    balancer: LoadBalancer<RoundRobin>,
    candidates: Arc<[Candidate]>,
    selection: Selection,
    all_open: AllOpen,
    open_time: Duration,
    interval: Duration,
    retries: Retries,
    shed: ShedLayer,
}

/// How many addresses there may be.
const MAX_CANDIDATES: usize = 64;

/// A health check that tells the operator.
struct Watched {
    probe: Probe,
    candidates: Arc<[Candidate]>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: vec!["http://127.0.0.1:9293".into()],
            health_check_interval: Duration::from_secs(2),
            health_check_path: "/healthcheck".into(),
            connections: pool::Limits {
                connect_timeout: Duration::from_secs(2),
                response_timeout: Duration::from_mins(10),
                idle_timeout: Duration::from_mins(10),
                idle_connections: 64,
                keepalive_timeout: Duration::from_secs(20),
                max_connections: Room::UpTo(0),
            },
            transport: transport::Config::default(),
            rules: Rules::default(),
        }
    }
}

impl Balance {
    /// Resolves the configured names; all count as healthy until a check says otherwise.
    ///
    /// # Errors
    /// Fails if a name can not be resolved.
    pub fn new(config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let candidates = candidates(config, metrics)?;
        let backends =
            candidates.iter().map(|candidate| health::backend(candidate.endpoint())).collect::<io::Result<_>>()?;
        let mut balancer = LoadBalancer::<RoundRobin>::from_backends(Backends::new(Static::new(backends)));
        // these backends are there at once
        balancer.update().now_or_never().transpose().map_err(io::Error::other)?;
        let probe = Probe::new(&config.health_check_path, config.connections.connect_timeout)?;
        balancer.set_health_check(Box::new(Watched { probe, candidates: candidates.clone() }));
        let shared = Shared {
            balancer,
            candidates,
            selection: Selection::new(config.rules.strategy),
            all_open: config.rules.all_open,
            open_time: config.rules.breaker.open_time,
            interval: config.health_check_interval,
            retries: Retries::new(config.rules.retry.clone(), metrics),
            shed: ShedLayer::new(&config.rules.shed, metrics),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Tells whether the configured names still mean the addresses that these upstreams have.
    ///
    /// # Errors
    /// Fails if a name can not be resolved, or a certificate can not be used.
    pub fn is_still(&self, config: &Config) -> io::Result<bool> {
        let now = resolve(config)?;
        Ok(now.iter().flat_map(|(_, endpoints)| endpoints).eq(self.shared.candidates.iter().map(Candidate::endpoint)))
    }

    /// Returns what decides between upstreams for a request to this path.
    pub fn key(&self, path: &str) -> u64 {
        match self.shared.selection.strategy() {
            Strategy::ConsistentHash => select::hash(select::subject(path).as_bytes()),
            Strategy::RoundRobin | Strategy::LeastInFlight => 0,
        }
    }

    /// Chooses an upstream that was not tried yet, and notes it as tried.
    pub fn choose(&self, key: u64, repeatable: Repeatable, tried: &mut Tried) -> Choice<'_> {
        let shared = &*self.shared;
        // a request that can not be sent elsewhere if it fails had better not be the probe
        let grace = match repeatable {
            Repeatable::Yes => Duration::ZERO,
            Repeatable::No => shared.open_time,
        };
        for (index, candidate) in shared.candidates.iter().enumerate() {
            if !candidate.is_closed()
                && !tried.has(index)
                && candidate.try_probe(grace)
                && let Some(chosen) = tried.take(index, candidate, Errand::Probe)
            {
                return Choice::One(chosen);
            }
        }
        let chosen = self.pick(key, Errand::Turn, tried, Candidate::is_in_use);
        if !matches!(chosen, Choice::None) {
            return chosen;
        }
        self.pick(key, Errand::LastResort, tried, |candidate| match shared.all_open {
            AllOpen::Try => true,
            AllOpen::Refuse => candidate.is_closed(),
        })
    }

    /// Chooses among those that may have the request.
    fn pick(&self, key: u64, errand: Errand, tried: &mut Tried, may_have: impl Fn(&Candidate) -> bool) -> Choice<'_> {
        let candidates = &*self.shared.candidates;
        let mut is_any = false;
        let eligible = |tried: Tried, index: usize| {
            candidates.get(index).filter(|candidate| !tried.has(index) && may_have(candidate))
        };
        loop {
            let before = *tried;
            let standing =
                |index| eligible(before, index).filter(|candidate| !candidate.is_full()).map(Candidate::standing);
            let Some(index) = self.shared.selection.pick(candidates.len(), key, standing) else { break };
            let Some(candidate) = candidates.get(index) else { break };
            if let Some(chosen) = tried.take(index, candidate, errand) {
                return Choice::One(chosen);
            }
            // somebody else took the last place meanwhile
            is_any = true;
        }
        if is_any || (0..candidates.len()).any(|index| eligible(*tried, index).is_some()) {
            Choice::Full
        } else {
            Choice::None
        }
    }

    /// Notes a request of which nothing was sent. It goes on without a budget: no upstream has had any work with it.
    pub fn unsent(&self) {
        self.shared.retries.unsent();
    }

    /// Tells whether a request that may be repeated is: there is another upstream, and a try left in the budget.
    pub fn grants_repetition(&self, tried: Tried) -> bool {
        let total = || self.shared.candidates.iter().map(Candidate::total).sum();
        tried.count() < self.shared.candidates.len() && self.shared.retries.take(total)
    }

    /// Returns the layer that sheds load before these upstreams.
    pub fn shed(&self) -> ShedLayer {
        self.shared.shed.clone()
    }

    /// Returns what each upstream is called in the metrics.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.shared.candidates.iter().map(Candidate::label)
    }

    /// Tells whether any upstream passed its last checks.
    pub fn any_healthy(&self) -> bool {
        self.shared.candidates.iter().any(Candidate::is_healthy)
    }

    /// Tells whether every one gets its share.
    pub fn all_in_use(&self) -> bool {
        self.shared.candidates.iter().all(Candidate::is_in_use)
    }

    /// Checks all upstreams again and again; ends when it is dropped.
    pub async fn watch(self) {
        let mut ticks = tokio::time::interval(self.shared.interval);
        loop {
            ticks.tick().await;
            self.shared.balancer.backends().run_health_check(true).await;
        }
    }
}

#[async_trait]
impl HealthCheck for Watched {
    async fn check(&self, target: &Backend) -> pingora_core::Result<()> {
        HealthCheck::check(&self.probe, target).await
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        let is_it = |candidate: &&Candidate| health::endpoint(target) == Some(candidate.endpoint());
        if let Some(candidate) = self.candidates.iter().find(is_it) {
            candidate.health_changed(healthy);
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.probe.health_threshold(success)
    }
}

/// Resolves the names, each to the addresses that it means now.
fn resolve(config: &Config) -> io::Result<Vec<(&str, Vec<Endpoint>)>> {
    let transport = Transport::new(config.transport.clone());
    config.servers.iter().map(|server| Ok((server.as_str(), Endpoint::resolve(server, &transport)?))).collect()
}

/// Resolves the names. One that has several addresses is several upstreams, which are told apart by them.
fn candidates(config: &Config, metrics: &Metrics) -> io::Result<Arc<[Candidate]>> {
    let common = Common {
        epoch: Instant::now(),
        slow_start: config.rules.slow_start,
        max_in_flight: config.rules.max_in_flight,
        breaker: config.rules.breaker.clone(),
    };
    let mut candidates = Vec::new();
    for (server, endpoints) in resolve(config)? {
        let is_one = endpoints.len() == 1;
        for endpoint in endpoints {
            let label = match endpoint.address() {
                Address::Tcp(address) if !is_one => format!("{server} at {address}"),
                Address::Tcp(_) | Address::Unix(_) => server.to_owned(),
            };
            candidates.push(Candidate::new(endpoint, label, &common, metrics));
        }
    }
    let count = candidates.len();
    if count > MAX_CANDIDATES {
        return Err(io::Error::other(format!("the upstreams have {count} addresses, more than {MAX_CANDIDATES}")));
    }
    Ok(candidates.into())
}

impl fmt::Debug for Balance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.labels()).finish()
    }
}
