//! Which upstream gets a request: `pingora-load-balancing` chooses among those whose health checks pass.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::health_check::HttpHealthCheck;
use pingora_load_balancing::health_check::TcpHealthCheck;
use pingora_load_balancing::selection::RoundRobin;

use crate::client::endpoint::Address;
use crate::client::endpoint::Endpoint;
use crate::client::endpoint::Transport;
use crate::client::pool;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::UpstreamLabel;

/// The section `[upstream]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The image stores: `http://host:port`.
    pub servers: Vec<String>,
    /// How often each is checked.
    pub health_check_interval: Duration,
    /// The path that must answer 200; empty means that connecting is enough.
    pub health_check_path: String,
    /// The bounds of each worker's connections.
    pub connections: pool::Limits,
}

/// The upstreams and their health; cloning shares them.
#[derive(Clone)]
pub struct Balance {
    shared: Arc<Shared>,
}

struct Shared {
    balancer: LoadBalancer<RoundRobin>,
    upstreams: Vec<Upstream>,
    interval: Duration,
}

struct Upstream {
    address: SocketAddr,
    endpoint: Endpoint,
}

/// The upstream chosen for one try.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// Where its health is looked up.
    pub address: SocketAddr,
    /// Where to connect to.
    pub endpoint: &'a Endpoint,
}

/// A health check that tells the operator.
struct Watched {
    check: Box<dyn HealthCheck + Send + Sync>,
    names: Vec<(SocketAddr, String)>,
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
        }
    }
}

impl Balance {
    /// Resolves the configured names; all count as healthy until a check says otherwise.
    ///
    /// # Errors
    /// Fails if a name can not be resolved.
    pub fn new(config: &Config, metrics: Metrics) -> io::Result<Self> {
        let mut upstreams = Vec::new();
        for server in &config.servers {
            for endpoint in Endpoint::resolve(server, &Transport::default())? {
                let Address::Tcp(address) = *endpoint.address() else {
                    return Err(io::Error::other(format!("upstream {server}: not an address of TCP")));
                };
                upstreams.push(Upstream { address, endpoint });
            }
        }
        let names = upstreams
            .iter()
            .map(|upstream| (upstream.address, upstream.endpoint.name().to_owned()))
            .collect::<Vec<_>>();
        for (_, name) in &names {
            metrics.upstream_healthy.get_or_create(&UpstreamLabel { upstream: name.clone() }).set(1);
        }
        let mut balancer =
            LoadBalancer::<RoundRobin>::try_from_iter(upstreams.iter().map(|upstream| upstream.address))?;
        balancer.set_health_check(Box::new(Watched { check: health_check(config)?, names, metrics }));
        Ok(Self { shared: Arc::new(Shared { balancer, upstreams, interval: config.health_check_interval }) })
    }

    /// Chooses an upstream that was not tried yet. If none of them is healthy, any is tried: a health check that
    /// fails everywhere must not lock everybody out.
    pub fn choose(&self, tried: &[SocketAddr]) -> Option<Chosen<'_>> {
        let shared = &*self.shared;
        let is_new = |address: &SocketAddr| !tried.contains(address);
        let healthy = shared.balancer.select_with(b"", shared.upstreams.len(), |backend, is_healthy| {
            is_healthy && backend.addr.as_inet().is_some_and(is_new)
        });
        let chosen = match healthy.and_then(|backend| backend.addr.as_inet().copied()) {
            Some(address) => shared.upstreams.iter().find(|upstream| upstream.address == address),
            None => shared.upstreams.iter().find(|upstream| is_new(&upstream.address)),
        };
        chosen.map(|upstream| Chosen { address: upstream.address, endpoint: &upstream.endpoint })
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
        self.check.check(target).await
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        let name = self.names.iter().find(|(address, _)| Some(address) == target.addr.as_inet()).map(|(_, name)| name);
        if let Some(name) = name {
            self.metrics
                .upstream_healthy
                .get_or_create(&UpstreamLabel { upstream: name.clone() })
                .set(i64::from(healthy));
            if healthy {
                tracing::info!(upstream = %name, "upstream passes its health check again");
            } else {
                tracing::warn!(upstream = %name, "upstream fails its health check");
            }
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.check.health_threshold(success)
    }
}

/// Returns `host:port` of a server's URL.
fn authority(server: &str) -> &str {
    server.strip_prefix("http://").unwrap_or(server).trim_end_matches('/')
}

fn health_check(config: &Config) -> io::Result<Box<dyn HealthCheck + Send + Sync>> {
    if config.health_check_path.is_empty() {
        return Ok(TcpHealthCheck::new());
    }
    let host = config.servers.first().map_or("", |server| authority(server));
    let mut check = HttpHealthCheck::new(host, false);
    let mut request =
        RequestHeader::build("GET", config.health_check_path.as_bytes(), None).map_err(io::Error::other)?;
    request.insert_header("Host", host).map_err(io::Error::other)?;
    request.insert_header("User-Agent", "glance-gate").map_err(io::Error::other)?;
    check.req = request;
    // one failure takes an upstream out only for the moment; two are needed to say it is down
    check.consecutive_failure = 2;
    check.peer_template.options.connection_timeout = Some(config.connections.connect_timeout);
    check.peer_template.options.read_timeout = Some(config.connections.connect_timeout);
    Ok(Box::new(check))
}

impl fmt::Debug for Balance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.shared.upstreams.iter().map(|upstream| &upstream.endpoint)).finish()
    }
}
