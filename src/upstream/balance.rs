//! Which upstream gets a request: `pingora-load-balancing` chooses among those whose health checks pass.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use pingora_load_balancing::Backend;
use pingora_load_balancing::Backends;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::selection::RoundRobin;

use crate::client::endpoint::Endpoint;
use crate::client::pool;
use crate::client::transport;
use crate::client::transport::Transport;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::UpstreamLabel;
use crate::upstream::health;
use crate::upstream::health::Probe;

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
}

/// The upstreams and their health; cloning shares them.
#[derive(Clone)]
pub struct Balance {
    shared: Arc<Shared>,
}

struct Shared {
    balancer: LoadBalancer<RoundRobin>,
    upstreams: Vec<Endpoint>,
    interval: Duration,
}

/// A health check that tells the operator.
struct Watched {
    probe: Probe,
    metrics: Metrics,
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
            },
            transport: transport::Config::default(),
        }
    }
}

impl Balance {
    /// Resolves the configured names; all count as healthy until a check says otherwise.
    ///
    /// # Errors
    /// Fails if a name can not be resolved.
    pub fn new(config: &Config, metrics: Metrics) -> io::Result<Self> {
        let upstreams = resolve(config)?;
        for upstream in &upstreams {
            metrics.upstream_healthy.get_or_create(&UpstreamLabel { upstream: upstream.name().to_owned() }).set(1);
        }
        let backends = upstreams.iter().map(health::backend).collect::<io::Result<_>>()?;
        let mut balancer = LoadBalancer::<RoundRobin>::from_backends(Backends::new(Static::new(backends)));
        // these backends are there at once
        balancer.update().now_or_never().transpose().map_err(io::Error::other)?;
        let probe = Probe::new(&config.health_check_path, config.connections.connect_timeout)?;
        balancer.set_health_check(Box::new(Watched { probe, metrics }));
        Ok(Self { shared: Arc::new(Shared { balancer, upstreams, interval: config.health_check_interval }) })
    }

    /// Tells whether the configured names still mean the addresses that these upstreams have.
    ///
    /// # Errors
    /// Fails if a name can not be resolved, or a certificate can not be used.
    pub fn is_still(&self, config: &Config) -> io::Result<bool> {
        Ok(resolve(config)? == self.shared.upstreams)
    }

    /// Chooses an upstream that was not tried yet. If none of them is healthy, any is tried: a health check that
    /// fails everywhere must not lock everybody out.
    pub fn choose(&self, tried: &[Endpoint]) -> Option<Endpoint> {
        let shared = &*self.shared;
        let is_new = |endpoint: &Endpoint| !tried.contains(endpoint);
        let healthy = shared.balancer.select_with(b"", shared.upstreams.len(), |backend, is_healthy| {
            is_healthy && health::endpoint(backend).is_some_and(is_new)
        });
        let healthy = healthy.as_ref().and_then(health::endpoint);
        healthy.or_else(|| shared.upstreams.iter().find(|upstream| is_new(upstream))).cloned()
    }

    /// Tells whether any upstream passed its last checks.
    pub fn any_healthy(&self) -> bool {
        let backends = self.shared.balancer.backends();
        backends.get_backend().iter().any(|backend| backends.ready(backend))
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
        if let Some(name) = health::endpoint(target).map(Endpoint::name) {
            self.metrics
                .upstream_healthy
                .get_or_create(&UpstreamLabel { upstream: name.to_owned() })
                .set(i64::from(healthy));
            if healthy {
                tracing::info!(upstream = %name, "upstream passes its health check again");
            } else {
                tracing::warn!(upstream = %name, "upstream fails its health check");
            }
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.probe.health_threshold(success)
    }
}

fn resolve(config: &Config) -> io::Result<Vec<Endpoint>> {
    let transport = Transport::new(config.transport.clone());
    let mut upstreams = Vec::new();
    for server in &config.servers {
        upstreams.extend(Endpoint::resolve(server, &transport)?);
    }
    Ok(upstreams)
}

impl fmt::Debug for Balance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(&self.shared.upstreams).finish()
    }
}
