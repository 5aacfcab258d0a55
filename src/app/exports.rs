//! The traces of one configuration, and the task that sends them; both outlive a reload that does not change them.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::basis;
use crate::app::basis::Trust;
use crate::client::collector::Collector;
use crate::config::Config;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces;
use crate::telemetry::traces::Traces;

/// What begins traces, and what sends them until it is started; cloning shares it.
#[derive(Clone)]
pub struct Tracing {
    config: traces::Config,
    trust: Option<Trust>,
    /// What begins traces; none without a collector.
    pub traces: Option<Traces>,
    collector: Arc<Mutex<Option<Collector>>>,
}

/// The tasks that send spans. Each ends when the last request that it may have spans of has ended.
#[derive(Clone, Default)]
pub struct Exports {
    tasks: TaskTracker,
    /// Is cancelled when there will be no more requests.
    pub ending: CancellationToken,
}

impl Tracing {
    /// Builds what the configuration asks for; nothing is sent yet.
    ///
    /// # Errors
    /// Fails if the certificates of the collector can not be used.
    pub fn new(config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let trust = basis::collector_trust(config)?;
        Self::build(&config.tracing, trust, metrics)
    }

    /// Builds it anew if the configuration asks for something else.
    ///
    /// # Errors
    /// As [`Tracing::new`].
    pub fn succeed(&self, config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let trust = basis::collector_trust(config)?;
        if self.config == config.tracing && self.trust == trust {
            return Ok(self.clone());
        }
        Self::build(&config.tracing, trust, metrics)
    }

    fn build(config: &traces::Config, trust: Option<Trust>, metrics: &Metrics) -> io::Result<Self> {
        let (mut traces, mut collector) = (None, None);
        if config.is_on() {
            let (begun, pending) = Traces::new(config, metrics);
            collector = Some(Collector::new(config, pending, metrics)?);
            traces = Some(begun);
        }
        Ok(Self { config: config.clone(), trust, traces, collector: Arc::new(Mutex::new(collector)) })
    }

    /// Lets spans be sent, unless they are already.
    pub fn start(&self, exports: &Exports) {
        if let Some(collector) = self.collector.lock().unwrap_or_else(PoisonError::into_inner).take() {
            exports.tasks.spawn(collector.run(exports.ending.clone()));
        }
    }
}

impl Exports {
    /// Runs a task that is waited for at the end, as those that send spans are.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until all spans are sent.
    pub async fn end(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
