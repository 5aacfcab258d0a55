//! The connections that wait for their next exchange, the freshest first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

use tokio_util::task::AbortOnDropHandle;

use crate::client::endpoint::Endpoint;
use crate::client::h1::Connection;

/// The kept connections to all endpoints; cloning shares them.
#[derive(Clone, Debug)]
pub struct IdleConnections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    timeout: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Few endpoints, so that looking through them is cheaper than hashing.
    endpoints: Vec<(Endpoint, VecDeque<Idle>)>,
    /// Closes what nobody takes; there is one while there is something to close.
    sweeper: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// How often the kept connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl IdleConnections {
    /// Keeps so many connections to each endpoint, each so long.
    pub fn new(max: usize, timeout: Duration) -> Self {
        Self { shared: Arc::new(Shared { max, timeout, kept: Mutex::default() }) }
    }

    /// Takes a connection that is good as far as it is known.
    pub fn take(&self, endpoint: &Endpoint) -> Option<Connection> {
        loop {
            let mut idle = self.shared.kept().of(endpoint)?.pop_back()?;
            if idle.since.elapsed() <= self.shared.timeout && !idle.connection.is_over() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection, or closes it if there are enough.
    pub fn give_back(&self, endpoint: &Endpoint, connection: Connection) {
        if self.shared.max == 0 || self.shared.timeout.is_zero() {
            return;
        }
        let idle = Idle { connection, since: Instant::now() };
        let mut kept = self.shared.kept();
        match kept.of(endpoint) {
            Some(of_endpoint) if of_endpoint.len() >= self.shared.max => return,
            Some(of_endpoint) => of_endpoint.push_back(idle),
            None => kept.endpoints.push((endpoint.clone(), VecDeque::from([idle]))),
        }
        if kept.sweeper.is_none() {
            let sweeper = sweep(Arc::downgrade(&self.shared));
            kept.sweeper = Some(AbortOnDropHandle::new(tokio::spawn(sweeper)));
        }
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn of(&mut self, endpoint: &Endpoint) -> Option<&mut VecDeque<Idle>> {
        self.endpoints.iter_mut().find(|(known, _)| known == endpoint).map(|(_, idle)| idle)
    }
}

/// Closes what is too old or was closed by the other side, until nothing is left.
async fn sweep(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let mut kept = shared.kept();
        for (_, idle) in &mut kept.endpoints {
            idle.retain_mut(|idle| idle.since.elapsed() <= shared.timeout && !idle.connection.is_over());
        }
        kept.endpoints.retain(|(_, idle)| !idle.is_empty());
        if kept.endpoints.is_empty() {
            // its own handle: who keeps the next connection starts the next one
            drop(kept.sweeper.take());
            return;
        }
    }
}
