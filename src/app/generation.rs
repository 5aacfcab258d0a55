//! A generation is what one configuration became. Each request keeps the one it began with.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::app::built::Built;
use crate::app::per_worker::PerWorker;
use crate::config::Config;
use crate::server;
use crate::server::wire::Wire;
use crate::stack::HttpService;

/// One configuration, with everything that was built from it.
pub struct Generation {
    /// The configuration.
    pub config: Config,
    /// Its parts.
    pub built: Built,
    /// Its number; the first is one.
    pub number: u64,
    /// A digest of the configuration, without its secrets.
    pub revision: String,
    /// The bounds of a worker's connections.
    pub connection: Arc<server::Settings>,
    /// How clients speak to the gate.
    pub wire: Arc<Wire>,
    stacks: PerWorker<Arc<Stack>>,
}

/// One worker's stack; whoever holds it keeps its generation in use. Two of them share no cache line: each worker
/// counts on its own for every request.
#[repr(align(128))]
pub struct Stack {
    /// The way of a request.
    pub service: HttpService,
    _in_use: Arc<InUse>,
}

/// Counts a generation while anybody uses it.
struct InUse(Gauge);

/// The generation that new requests begin with.
pub struct Current {
    generation: ArcSwap<Generation>,
    changed: Notify,
}

impl Generation {
    /// Puts the first generation together.
    pub fn first(config: Config, built: Built) -> Self {
        Self::numbered(1, config, built)
    }

    /// Puts the next generation together.
    #[must_use]
    pub fn next(&self, config: Config, built: Built) -> Self {
        Self::numbered(self.number + 1, config, built)
    }

    fn numbered(number: u64, config: Config, built: Built) -> Self {
        let in_use = Arc::new(InUse::new(&built.metrics.life.generations_in_use));
        let stacks = built.stacks(&config);
        let stacks = stacks.map(|service| Arc::new(Stack { service: service.clone(), _in_use: in_use.clone() }));
        let mut connection = config.server.connection.clone();
        connection.max_connections = connection.max_connections.div_ceil(stacks.workers());
        let (revision, wire) = (config.revision(), Arc::new(built.wire.clone()));
        Self { config, built, number, revision, connection: Arc::new(connection), wire, stacks }
    }

    /// Tells the operators which one is in use.
    pub fn tell(&self) {
        for notice in &self.config.policy.notices {
            tracing::warn!(%notice, "a policy is worth a look");
        }
        self.built.metrics.life.uses(self.number, &self.revision);
        self.built.rules.take_effect();
        self.built.shadow.take_effect();
        self.built.audit.take_effect();
    }
}

impl Current {
    /// Begins with a generation.
    pub fn new(generation: Generation) -> Self {
        generation.tell();
        Self { generation: ArcSwap::from_pointee(generation), changed: Notify::new() }
    }

    /// Returns the generation in use.
    pub fn load(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// Returns a worker's stack for one request: the one step that every request takes to find its generation.
    pub fn stack(&self, worker: usize) -> Arc<Stack> {
        self.generation.load().stacks.of(worker).clone()
    }

    /// Returns the bounds of a worker's connections.
    pub fn connection(&self) -> Arc<server::Settings> {
        self.generation.load().connection.clone()
    }

    /// Returns how clients speak to the gate.
    pub fn wire(&self) -> Arc<Wire> {
        self.generation.load().wire.clone()
    }

    /// Returns how long a drain may take.
    pub fn drain_timeout(&self) -> Duration {
        self.generation.load().config.server.drain_timeout
    }

    /// Lets new requests begin with another generation, in all workers at once.
    pub fn replace(&self, generation: Generation) {
        generation.tell();
        self.generation.store(Arc::new(generation));
        self.changed.notify_one();
    }

    /// Waits until there is another generation. For one waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl InUse {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}
