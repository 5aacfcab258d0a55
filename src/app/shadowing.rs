//! The shadow of one configuration: what copies go by; the queue and the ways that are still the same outlive a reload.

use std::io;
use std::sync::Arc;

use crate::app::basis;
use crate::app::contract_check;
use crate::app::contract_check::Looking;
use crate::app::vouching::keystone_client;
use crate::client::pool::Pool;
use crate::config::Config;
use crate::contract::Answers;
use crate::contract::Contract;
use crate::diff::judge::Judge;
use crate::fleet::outbox::Outbox;
use crate::fleet::spending::Spending;
use crate::keystone::SignedTokens;
use crate::keystone::TokenVerifier;
use crate::keystone::online::Keystone;
use crate::member_update::rate::Rates;
use crate::oidc::access_tokens::AccessTokens;
use crate::shadow::Desk;
use crate::shadow::Shadow;
use crate::shadow::consumer::Consumer;
use crate::shadow::layer::ShadowLayer;
use crate::shadow::plan::Names;
use crate::shadow::plan::Plan;
use crate::shadow::recording::Recording;
use crate::shadow::way::Ways;
use crate::telemetry::line_log;
use crate::telemetry::line_log::Destination;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Forward;
use crate::upstream::balance::Balance;
use crate::vouch::Vouchers;

/// How many times fewer verdicts are remembered for copies than for requests.
const FEWER: u64 = 16;

/// What is copied, where it goes, and what is made of it; cloning shares it.
#[derive(Clone)]
pub struct Shadowing {
    /// Who compares staging with the primary; what is known goes on through all configurations.
    pub judge: Judge,
    /// What looks at answers about members.
    pub contract: Contract,
    recording: Arc<Recording>,
    recorded: line_log::Config,
    copies: Shadow,
    metrics: Metrics,
    asker: Option<TokenVerifier>,
    ways: Option<Arc<Ways>>,
    desk: Option<Arc<Desk>>,
}

impl Shadowing {
    /// Prepares the ways of the first configuration.
    ///
    /// # Errors
    /// Fails if certificates can not be used.
    pub fn new(config: &Config, verifier: &TokenVerifier, metrics: &Metrics) -> io::Result<Self> {
        let first = Self {
            judge: Judge::new(&config.shadow_diff, config.shadow.ids.clone(), metrics),
            contract: contract_check::contract(config, metrics),
            recording: Arc::new(Recording::new(&metrics.shadows)),
            recorded: config.recording.clone(),
            copies: Shadow::new(metrics.shadows.clone()),
            metrics: metrics.clone(),
            asker: None,
            ways: None,
            desk: None,
        };
        first.ready(config, verifier)
    }

    /// Prepares those of another configuration; those that would be the same are kept.
    ///
    /// # Errors
    /// As [`Shadowing::new`].
    pub fn renewed(&self, config: &Config, verifier: &TokenVerifier) -> io::Result<Self> {
        let next = Self {
            judge: self.judge.renewed(&config.shadow_diff, config.shadow.ids.clone()),
            contract: contract_check::contract(config, &self.metrics),
            recorded: config.recording.clone(),
            ..self.clone()
        };
        next.ready(config, verifier)
    }

    fn ready(self, config: &Config, verifier: &TokenVerifier) -> io::Result<Self> {
        let off = Self { asker: None, ways: None, desk: None, ..self.clone() };
        if !config.copies() {
            return Ok(off);
        }
        let trust = basis::shadow_trust(config)?;
        let kept = self.ways.as_ref().filter(|ways| ways.are_those_of(&config.shadow, trust.as_ref()));
        let ways = match kept {
            Some(ways) => ways.clone(),
            None => Arc::new(Ways::new(&config.shadow, trust)?),
        };
        Ok(Self { asker: Some(asker(config, verifier, &self.metrics)?), ways: Some(ways), ..off })
    }

    /// Joins the ways with the other parts.
    #[must_use]
    pub fn joined(
        &self,
        config: &Config,
        balance: &Balance,
        vouchers: Vouchers,
        issuers: Option<AccessTokens>,
    ) -> Self {
        let desk = self.ways.as_ref().zip(self.asker.as_ref()).map(|(ways, asker)| {
            let rates = Rates::new(config.rates.clone(), Spending::default());
            let service_type = &config.keystone.service_type;
            let plan = Plan {
                ways: ways.clone(),
                mount: config.server.mount.as_str().into(),
                askers: Vouchers::new(asker.clone(), issuers, service_type, config.telling, rates),
                vouchers,
                primary: Forward::new(balance.clone(), Pool::new(config.upstream.connections.clone())),
                counts: self.metrics.shadows.clone(),
                consumers: self.consumers(config),
                names: if self.records() { Names::Wanted } else { Names::AsNeeded },
            };
            Arc::new(Desk { shadow: self.copies.clone(), plan: Arc::new(plan) })
        });
        Self { desk, ..self.clone() }
    }

    fn records(&self) -> bool {
        self.recorded.destination != Destination::Off
    }

    /// Returns who is told of copies.
    fn consumers(&self, config: &Config) -> Vec<Arc<dyn Consumer>> {
        let mut consumers: Vec<Arc<dyn Consumer>> = Vec::new();
        if config.shadow.has_target() {
            consumers.push(Arc::new(self.judge.clone()));
        }
        if config.contract.answers == Answers::Observe {
            consumers.push(Arc::new(Looking(self.contract.clone())));
        }
        if self.records() {
            consumers.push(self.recording.clone());
        }
        consumers
    }

    /// Lets copies go by this configuration from now on.
    pub fn take_effect(&self) {
        self.judge.take_effect();
        self.recording.follow(self.recorded.clone());
        self.copies.follow(self.desk.as_ref().map(|desk| desk.plan.clone()));
    }

    /// Writes what is left; there will be no more copies.
    pub fn finish(&self) {
        self.judge.finish();
        self.recording.finish();
    }

    /// Returns where copies wait.
    pub fn copies(&self) -> Shadow {
        self.copies.clone()
    }

    /// Returns where copies are made, if any are.
    pub fn desk(&self) -> Option<Arc<Desk>> {
        self.desk.clone()
    }

    /// Makes what copies calls on their way.
    pub fn layer(&self) -> ShadowLayer {
        ShadowLayer::new(self.desk.clone())
    }
}

/// Makes who asks Keystone for copies alone: with connections, a token and a memory of its own.
fn asker(config: &Config, verifier: &TokenVerifier, metrics: &Metrics) -> io::Result<TokenVerifier> {
    let mut settings = config.keystone.clone();
    settings.token_cache_entries = settings.token_cache_entries / FEWER + 1;
    let keystone = Keystone::new(&settings, keystone_client(config)?, metrics.clone());
    Ok(TokenVerifier::new(
        &settings,
        keystone,
        SignedTokens::new(settings.jws, verifier.key_ring()),
        Outbox::default(),
        metrics,
    ))
}
