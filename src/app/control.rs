//! What is not on a request's way: health checks, key refresh, the operators' listener, the hand-over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use futures_util::future::join_all;
use pingora_limits::inflight::Inflight;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::contract_check;
use crate::app::explain::Explainer;
use crate::app::exports::Exports;
use crate::app::generation::Current;
use crate::app::generation::Generation;
use crate::app::operators;
use crate::app::policy_watch;
use crate::app::reload::Reloader;
use crate::contract::Answers;
use crate::keystone::TokenVerifier;
use crate::keystone::keys::KeyRing;
use crate::keystone::keys::Refreshed;
use crate::peer::Peer;
use crate::rules::Rules;
use crate::rules::kill_switch::Hand;
use crate::server;
use crate::server::Counts;
use crate::server::admin::Admin;
use crate::server::handover::Offer;
use crate::server::wire::Wire;

/// What the control thread works with.
pub struct Control {
    /// The generation in use.
    pub current: Arc<Current>,
    /// Who replaces it.
    pub reloader: Reloader,
    /// The listeners, for a process that comes after this one.
    pub offer: Option<Offer>,
    /// Is cancelled when such a process has taken over.
    pub replaced: CancellationToken,
    /// Ends all of it.
    pub stop: CancellationToken,
    /// What sends traces, to the last request and a little longer.
    pub exports: Exports,
}

/// How long the operators' own requests may take to end.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the last spans may take at least.
const LAST_EXPORT: Duration = Duration::from_secs(1);
/// How often the gate tries to get its own token while Keystone can not be reached.
const WARM_UP_PAUSE: Duration = Duration::from_secs(2);
/// How often the kill switch's file is looked for: it acts within a second.
const RULES_PAUSE: Duration = Duration::from_millis(250);
/// Every how many of these pauses what rules have shown is written down.
const COUNTS_EVERY: u32 = 40;

impl Control {
    /// Works until it is told to stop.
    pub async fn run(self, listeners: Vec<TcpListener>) -> usize {
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(self.current.clone(), self.exports.clone()));
        tasks.spawn(policy_watch::watch(self.current.clone(), self.reloader.clone()));
        if let Some(offer) = self.offer {
            tasks.spawn(hand_over(offer, self.replaced));
        }
        // in the clear, whatever clients do
        let wire = Arc::new(Wire::default());
        let connection = Arc::new(self.current.load().config.server.connection.clone());
        let current = self.current.clone();
        let page = operators::page(self.current.clone(), self.stop.clone());
        tasks.spawn(page.clone().watch(self.stop.clone()));
        let admin = admin(self.current, self.reloader, self.stop.clone());
        let own = listeners.first().and_then(|listener| listener.local_addr().ok());
        let own = own.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        let admin = admin.with_page(move |request| page.clone().answer(request)).at(own);
        // the operators' connections are not the clients': they are not counted, and end with the gate
        let counts = Counts { connections: Gauge::default(), clients: Arc::new(Inflight::new()) };
        let serve = |listener| {
            let admin = admin.clone();
            let answer = move |peer: Peer, violation, request| admin.clone().answer(peer.address, violation, request);
            let (wire, bounds) = (|| wire.clone(), || connection.clone());
            server::serve(listener, wire, bounds, answer, counts.clone(), self.stop.clone(), || DRAIN)
        };
        join_all(listeners.into_iter().map(serve)).await;
        tasks.shutdown().await;
        flush(&self.exports, current.drain_timeout()).await;
        // the last requests are judged by now
        current.load().built.rules.save();
        0
    }
}

/// Makes what the operators' listener tells.
fn admin(current: Arc<Current>, reloader: Reloader, stop: CancellationToken) -> Admin {
    let told = current.clone();
    let switched = current.clone();
    let probes = operators::probes(current.clone(), stop);
    let note = move || {
        let generation = told.load();
        let mut lines = vec![format!("configuration {}, generation {}", generation.revision, generation.number)];
        lines.extend(describe(&generation.built.rules));
        lines
    };
    let reload = move || {
        let reloader = reloader.clone();
        // a task of its own, or who asks and hangs up could stop it halfway; it ends with this thread
        let reload = tokio::spawn(async move { reloader.reload().await });
        async move {
            match reload.await {
                Ok(Ok(done)) => {
                    Ok(format!("reloaded: configuration {}, generation {}", done.revision, done.generation))
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        }
    };
    let switch = move |on| {
        let rules = switched.load().built.rules.clone();
        rules.switch(on);
        kill_switch_line(&rules)
    };
    let explainer = Explainer::new(current.clone());
    let explain = move |question| {
        let explainer = explainer.clone();
        async move { explainer.answer(question).await }
    };
    let named = current.clone();
    Admin::new(probes, note, move || current.load().built.metrics.encode(), reload, switch)
        .explaining(move || named.load().config.admin_names.clone(), explain)
}

/// Tells how the rules stand: the kill switch, and each kind of setting with the rules that have it.
fn describe(rules: &Rules) -> Vec<String> {
    let mut by_mode: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for rule in rules.overview() {
        let mode = match rule.mode {
            "enforce_part" => rule.setting.to_string(),
            mode if rule.standing.is_some() => format!("{mode} (earns its enforcement)"),
            mode => mode.to_owned(),
        };
        by_mode.entry(mode).or_default().push(rule.refusal.reason());
    }
    let lines = by_mode.into_iter().map(|(mode, rules)| format!("rules: {mode}: {}", rules.join(" ")));
    [kill_switch_line(rules)].into_iter().chain(lines).collect()
}

fn kill_switch_line(rules: &Rules) -> String {
    let switch = rules.kill_switch();
    let hands: Vec<&str> = Hand::ALL.into_iter().filter(|hand| switch.is_held_by(*hand)).map(Hand::as_str).collect();
    if hands.is_empty() {
        "kill switch: off".into()
    } else {
        format!("kill switch: on, held by {}: all rules only observe", hands.join(" and "))
    }
}

/// Keeps the generation in use fresh, and lets go of it when another one takes its place.
async fn keep(current: Arc<Current>, exports: Exports) {
    let mut before: Option<Arc<Generation>> = None;
    loop {
        let generation = current.load();
        generation.built.fleet.start(&current, &exports);
        if let Some(before) = before {
            generation.built.forget_upstreams_of(&before.built);
            generation.built.fleet.replaces(&before.built.fleet);
        }
        let mut tasks = JoinSet::new();
        start_tasks(&generation, &mut tasks);
        generation.built.tracing.start(&exports);
        current.changed().await;
        tasks.shutdown().await;
        before = Some(generation);
    }
}

fn start_tasks(generation: &Generation, tasks: &mut JoinSet<()>) {
    let built = &generation.built;
    tasks.spawn(built.balance.clone().watch());
    tasks.spawn(built.wire.clone().watch(built.metrics.clone()));
    tasks.spawn(watch_rules(built.rules.clone()));
    if generation.config.contract.answers == Answers::Observe {
        tasks.spawn(contract_check::watch(built, &generation.config));
    }
    if !built.has_own_token.load(Ordering::Relaxed) {
        tasks.spawn(warm_up(built.verifier.clone(), built.has_own_token.clone()));
    }
    if let Some(issuers) = &built.issuers {
        tasks.spawn(issuers.issuers().watch());
    }
    if let Some(keys) = built.verifier.key_ring() {
        tasks.spawn(refresh_keys(keys, generation.config.keystone.jws_key_refresh));
    }
}

/// Looks for the kill switch's file, and writes down what rules have earned.
async fn watch_rules(rules: Rules) {
    let mut ticks = tokio::time::interval(RULES_PAUSE);
    for count in (0..COUNTS_EVERY).cycle() {
        ticks.tick().await;
        rules.look_for_switch_file();
        // a promotion at once, mere counts now and then
        if count == 0 || rules.has_changed() {
            let rules = rules.clone();
            // it waits for the disk; one that was begun is ended
            drop(tokio::task::spawn_blocking(move || rules.save()).await);
        }
    }
}

/// Sends the spans of the last requests, in what they leave of the time for a drain, or in a second.
async fn flush(exports: &Exports, drain_timeout: Duration) {
    let draining = Instant::now();
    exports.ending.cancelled().await;
    let left = drain_timeout.saturating_sub(draining.elapsed()).max(LAST_EXPORT);
    if tokio::time::timeout(left, exports.end()).await.is_err() {
        tracing::warn!("the last spans were not exported: the trace collector does not take them in time");
    }
}

async fn hand_over(offer: Offer, replaced: CancellationToken) {
    match offer.given().await {
        Ok(()) => replaced.cancel(),
        Err(error) => tracing::error!(%error, "the listeners can not be handed over any more"),
    }
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
