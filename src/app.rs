//! Builds everything from a configuration and runs it: generations, workers, listeners, reload, hand-over, drain.

pub mod basis;
pub mod built;
pub mod contract_check;
pub mod control;
pub mod explain;
pub mod exports;
pub mod fleet;
pub mod generation;
pub mod listeners;
pub mod operators;
pub mod per_worker;
pub mod policy_watch;
pub mod reload;
pub mod replaying;
pub mod shadowing;
pub mod vouching;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::app::built::Built;
use crate::app::control::Control;
use crate::app::exports::Exports;
use crate::app::generation::Current;
use crate::app::generation::Generation;
use crate::app::listeners::Listeners;
use crate::app::reload::Reloader;
use crate::app::reload::Source;
use crate::audit::Audit;
use crate::config::Config;
use crate::diff::judge::Judge;
use crate::rules::Rules;
use crate::server;
use crate::server::Counts;
use crate::server::inherited::Inherited;
use crate::server::workers;

/// How much less urgent copies are than requests, where both want the same core (nice(2)).
const YIELDS: i32 = 10;

/// A gate that runs.
pub struct App {
    /// Where clients connect to.
    pub address: SocketAddr,
    /// Where operators connect to.
    pub admin_address: SocketAddr,
    reloader: Reloader,
    rules: Rules,
    audit: Audit,
    replaced: CancellationToken,
    stop: CancellationToken,
    exports: Exports,
    workers: Vec<JoinHandle<usize>>,
    control: JoinHandle<usize>,
    shadow: JoinHandle<usize>,
}

impl App {
    /// Binds the ports and starts all threads. A reload reads keys, certificates and names anew.
    ///
    /// # Errors
    /// Fails if a part can not be built or a port can not be bound; nothing runs then.
    pub fn start(config: &Config) -> io::Result<Self> {
        let same = config.clone();
        Self::start_with(config, Inherited::default(), Arc::new(move || Ok(same.clone())))
    }

    /// Takes or binds the ports and starts all threads; a reload reads from `source`.
    ///
    /// # Errors
    /// As [`App::start`]. The process before this one, if there is one, then goes on.
    pub fn start_with(config: &Config, inherited: Inherited, source: Source) -> io::Result<Self> {
        let built = Built::new(config)?;
        let workers = built.workers();
        let listeners = Listeners::open(config, inherited, workers)?;
        let address = address_of(&listeners.main)?;
        let admin_address = address_of(&listeners.admin)?;
        let offer = listeners.offer(config)?;
        let (rules, audit, copies) = (built.rules.clone(), built.audit.clone(), built.shadow.copies());
        let current = Arc::new(Current::new(Generation::first(config.clone(), built)));
        let reloader = Reloader::new(current.clone(), source);
        let (stop, replaced) = (CancellationToken::new(), CancellationToken::new());
        let mut threads = Vec::with_capacity(workers);
        for (index, hand) in listeners::deal(listeners.main, workers)?.into_iter().enumerate() {
            threads.push(worker(index, hand, current.clone(), stop.clone())?);
        }
        let exports = Exports::default();
        let (lasts, ended) = (current.clone(), exports.ending.clone());
        let shadow = workers::spawn("shadow".into(), Vec::new(), move |_| async move {
            // requests first, where cores are few; a system that does not let it yield has its reasons
            let _ = rustix::process::nice(YIELDS);
            copies.run(ended, || lasts.drain_timeout()).await
        })?;
        let control = Control {
            current,
            reloader: reloader.clone(),
            offer,
            replaced: replaced.clone(),
            stop: stop.clone(),
            exports: exports.clone(),
        };
        let control = workers::spawn("control".into(), listeners.admin, move |listeners| control.run(listeners))?;
        tracing::info!(listener = "main", %address, workers, "listening");
        tracing::info!(listener = "admin", address = %admin_address, "listening");
        if let Some(predecessor) = listeners.predecessor
            && let Err(error) = predecessor.relieve()
        {
            // it is gone already, or it goes on: then both serve, and nobody is lost
            tracing::warn!(%error, "the process before did not say that it stops");
        }
        Ok(Self {
            address,
            admin_address,
            reloader,
            rules,
            audit,
            replaced,
            stop,
            exports,
            workers: threads,
            control,
            shadow,
        })
    }

    /// Returns who replaces the configuration.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Returns who compares staging with the primary as the configuration in use says.
    pub fn judge(&self) -> Judge {
        self.reloader.current().built.shadow.judge.clone()
    }

    /// Waits until another process has taken the listeners over.
    pub async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Accepts nothing new, lets what is under way end, and returns how many connections had to be cut off.
    ///
    /// # Errors
    /// Fails if a worker had panicked.
    pub fn stop(self) -> io::Result<usize> {
        self.stop.cancel();
        let ended: Vec<_> = self.workers.into_iter().map(JoinHandle::join).collect();
        // there will be no more spans
        self.exports.ending.cancel();
        let ended = ended.into_iter().chain([self.control.join(), self.shadow.join()]);
        let cut = ended.map(|cut| cut.map_err(|_| io::Error::other("a worker thread panicked"))).sum();
        // no request will end after this
        self.rules.finish();
        self.reloader.current().built.shadow.finish();
        self.audit.finish();
        cut
    }
}

impl fmt::Debug for App {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("App")
            .field("address", &self.address)
            .field("admin_address", &self.admin_address)
            .finish_non_exhaustive()
    }
}

fn address_of(listeners: &[StdListener]) -> io::Result<SocketAddr> {
    listeners.first().ok_or_else(|| io::Error::other("no listener"))?.local_addr()
}

fn worker(
    index: usize,
    hand: Vec<StdListener>,
    current: Arc<Current>,
    stop: CancellationToken,
) -> io::Result<JoinHandle<usize>> {
    workers::spawn(format!("worker-{index}"), hand, move |hand| async move {
        let counts = counts(&current.load().built);
        let serve = |listener| {
            let stacks = current.clone();
            let answer = move |peer, violation, request| {
                // the generation that this request begins with, and keeps
                let stack = stacks.stack(index);
                let answer = stack.service.answer(peer, violation, request);
                async move {
                    // held to the end: a generation is in use as long as a request of it is under way
                    let _stack = stack;
                    answer.await
                }
            };
            let (wire, bounds) = (|| current.wire(), || current.connection());
            server::serve(listener, wire, bounds, answer, counts.clone(), stop.clone(), || current.drain_timeout())
        };
        join_all(hand.into_iter().map(serve)).await.into_iter().sum()
    })
}

/// Returns what counts connections, through all generations.
fn counts(built: &Built) -> Counts {
    Counts { connections: built.metrics.connections.clone(), clients: built.clients.clone() }
}
