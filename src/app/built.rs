//! Builds every part of the gate from a configuration; after a reload, with what may be kept of the parts before.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pingora_limits::inflight::Inflight;

use crate::app::basis;
use crate::app::basis::Basis;
use crate::app::basis::Keep;
use crate::app::basis::Trust;
use crate::app::exports::Tracing;
use crate::app::fleet::Fleet;
use crate::app::per_worker;
use crate::app::per_worker::PerWorker;
use crate::app::shadowing::Shadowing;
use crate::app::vouching;
use crate::audit::Audit;
use crate::client::pool::Pool;
use crate::config::Config;
use crate::edge::headers::HeadersLayer;
use crate::edge::healthcheck::Healthcheck;
use crate::edge::overload::OverloadLayer;
use crate::edge::respond::RespondLayer;
use crate::edge::trace::TraceLayer;
use crate::glance::OwnershipLookup;
use crate::glance::Ownerships;
use crate::keystone::SignedTokens;
use crate::keystone::TokenVerifier;
use crate::keystone::online::Keystone;
use crate::limits::Limits;
use crate::member_update::limit::LimitLayer;
use crate::member_update::rate::Rates;
use crate::oidc::access_tokens::AccessTokens;
use crate::rules::Rules;
use crate::server::wire::Wire;
use crate::service_token::ServiceTokens;
use crate::stack;
use crate::stack::Parts;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Forward;
use crate::upstream::balance;
use crate::upstream::balance::Balance;
use crate::vouch::Vouchers;

/// Every part of one configuration, built before a port is bound or a request sees it.
#[derive(Clone)]
pub struct Built {
    basis: Basis,
    upstream: balance::Config,
    upstream_trust: Option<Trust>,
    pools: PerWorker<Pool>,
    member_limit: LimitLayer,
    rates: Rates,
    limits: Limits,
    overload: OverloadLayer,
    /// What refusals lead to; what was learned goes on through all configurations.
    pub rules: Rules,
    /// How many connections each client has; counted on through all configurations.
    pub clients: Arc<Inflight>,
    /// What is counted; counted on through all configurations.
    pub metrics: Metrics,
    /// The upstreams.
    pub balance: Balance,
    /// Who vouches for Keystone's tokens.
    pub verifier: TokenVerifier,
    /// Whether the gate ever got a token of its own from that Keystone.
    pub has_own_token: Arc<AtomicBool>,
    /// Who owns the images, as far as it is remembered.
    pub ownerships: Ownerships,
    /// Whether the policy files are those that are in use, as far as is known; bad ones are not used.
    pub policy_in_use: Arc<AtomicBool>,
    /// Who vouches for access tokens.
    pub issuers: Option<AccessTokens>,
    /// How clients speak to the gate.
    pub wire: Wire,
    /// Where traces go.
    pub tracing: Tracing,
    /// What is copied to staging.
    pub shadow: Shadowing,
    /// Where audit events go.
    pub audit: Audit,
    /// What is shared with other gates, and heard of `OpenStack`.
    pub fleet: Fleet,
}

impl Built {
    /// Builds all parts; nothing is bound and nothing is sent yet.
    ///
    /// # Errors
    /// Fails if a key, a certificate or a name of the configuration can not be used.
    pub fn new(config: &Config) -> io::Result<Self> {
        let metrics = Metrics::default();
        let fleet = Fleet::new(config)?;
        let verifier = vouching::verifier(config, &metrics, vouching::key_ring(config)?, &fleet)?;
        let built = Self {
            basis: Basis::of(config)?,
            has_own_token: Arc::default(),
            issuers: vouching::issuers(config, &metrics)?,
            ownerships: Ownerships::new(&config.ownership, fleet.outbox.clone(), &metrics),
            policy_in_use: Arc::new(AtomicBool::new(true)),
            member_limit: LimitLayer::new(config.member_limit.clone()),
            rates: Rates::new(config.rates.clone(), fleet.spending.clone()),
            limits: Limits::new(config.limits.clone(), fleet.spending.clone(), &metrics),
            rules: Rules::new(config.rules(), config.decided_by(), &metrics),
            overload: OverloadLayer::new(config.overload.clone()),
            clients: Arc::new(Inflight::new()),
            wire: Wire::new(&config.server.wire, &config.server.trusted_proxies, &metrics)?,
            pools: pools(config, per_worker::count(config)),
            balance: Balance::new(&config.upstream, &metrics)?,
            upstream: config.upstream.clone(),
            upstream_trust: basis::upstream_trust(config)?,
            tracing: Tracing::new(config, &metrics)?,
            shadow: Shadowing::new(config, &verifier, &metrics)?,
            verifier,
            audit: Audit::new(&config.audit, &config.server.mount, config.guard.actions().collect(), &metrics)?,
            fleet,
            metrics,
        };
        Ok(built.shadowed(config))
    }

    /// Builds all parts for another configuration. Counts go on; what is remembered stays if it would be remembered
    /// under the new configuration too. These parts stay as they are, whatever happens.
    ///
    /// # Errors
    /// As [`Built::new`].
    pub fn succeed(&self, config: &Config) -> io::Result<Self> {
        let metrics = &self.metrics;
        let basis = Basis::of(config)?;
        let keys = vouching::key_ring(config)?;
        let keep = match (&keys, self.verifier.key_ring()) {
            (Some(new), Some(old)) if !new.holds_those_of(&old) => Keep::Nothing,
            _ => self.basis.keeps_keystone(&basis),
        };
        let (verifier, has_own_token) = match keep {
            Keep::All => (self.verifier.clone(), self.has_own_token.clone()),
            Keep::Verdicts => {
                let client = vouching::keystone_client(config)?;
                let keystone = Keystone::new(&config.keystone, client, metrics.clone());
                let signed = SignedTokens::new(config.keystone.jws, keys);
                (self.verifier.renewed(keystone, signed), Arc::default())
            }
            Keep::Nothing => (vouching::verifier(config, metrics, keys, &self.fleet)?, Arc::default()),
        };
        let keeps_issuers = self.basis.keeps_issuers(&basis);
        let issuers = if keeps_issuers { self.issuers.clone() } else { vouching::issuers(config, metrics)? };
        let ownerships = if keep != Keep::Nothing && keeps_issuers && self.basis.keeps_owners(&basis) {
            self.ownerships.clone()
        } else {
            self.ownerships.emptied(&config.ownership, metrics)
        };
        let wire = Wire::new(&config.server.wire, &config.server.trusted_proxies, metrics)?;
        let tracing = self.tracing.succeed(config, metrics)?;
        let shadow = self.shadow.renewed(config, &verifier)?;
        let guarded = config.guard.actions().collect();
        let audit = self.audit.renewed(&config.audit, &config.server.mount, guarded, metrics)?;
        let fleet = self.fleet.succeed(config)?;
        // what is known of the upstreams' health stays with them: a reload makes no dead one look alive
        let upstream_trust = basis::upstream_trust(config)?;
        let is_same = self.upstream == config.upstream
            && self.upstream_trust == upstream_trust
            && self.balance.is_still(&config.upstream)?;
        // the last that can fail: from here on the metrics are touched
        let (balance, pools) = if is_same {
            (self.balance.clone(), self.pools.clone())
        } else {
            (Balance::new(&config.upstream, metrics)?, pools(config, self.pools.workers()))
        };
        let built = Self {
            basis,
            verifier,
            has_own_token,
            policy_in_use: Arc::new(AtomicBool::new(true)),
            issuers,
            ownerships,
            member_limit: self.member_limit.renewed(config.member_limit.clone()),
            rates: self.rates.renewed(config.rates.clone()),
            limits: self.limits.renewed(config.limits.clone()),
            rules: self.rules.renewed(config.rules(), config.decided_by()),
            overload: self.overload.renewed(config.overload.clone()),
            clients: self.clients.clone(),
            wire,
            pools,
            balance,
            upstream: config.upstream.clone(),
            upstream_trust,
            tracing,
            shadow,
            audit,
            fleet,
            metrics: self.metrics.clone(),
        };
        Ok(built.shadowed(config))
    }

    /// Joins the shadow with the parts that it needs.
    fn shadowed(self, config: &Config) -> Self {
        let vouchers = self.vouchers(config, self.rates.clone());
        let shadow = self.shadow.joined(config, &self.balance, vouchers, self.issuers.clone());
        Self { shadow, ..self }
    }

    fn vouchers(&self, config: &Config, rates: Rates) -> Vouchers {
        let service_type = &config.keystone.service_type;
        Vouchers::new(self.verifier.clone(), self.issuers.clone(), service_type, config.telling, rates)
    }

    /// Drops the metrics of upstreams that are no longer there; their health is not looked at any more.
    pub fn forget_upstreams_of(&self, before: &Self) {
        for label in before.balance.labels().filter(|label| self.balance.labels().all(|kept| kept != *label)) {
            self.metrics.forget_upstream(label);
        }
    }

    /// Returns about how many owners are remembered.
    pub async fn remembered_owners(&self) -> u64 {
        self.ownerships.remembered().await
    }

    /// Returns who looks owners up for operators, over connections of its own.
    pub fn lookup(&self, config: &Config) -> OwnershipLookup<Forward> {
        let forward = Forward::new(self.balance.clone(), Pool::new(config.upstream.connections.clone()));
        OwnershipLookup::new(config.ownership.clone(), self.ownerships.clone(), forward)
    }

    /// Returns how many workers there are.
    pub fn workers(&self) -> usize {
        self.pools.workers()
    }

    /// Builds each worker's stack.
    pub fn stacks(&self, config: &Config) -> PerWorker<stack::HttpService> {
        self.pools.map(|pool| self.stack(config, pool.clone()))
    }

    fn stack(&self, config: &Config, pool: Pool) -> stack::HttpService {
        stack::build(Parts {
            forward: Forward::new(self.balance.clone(), pool),
            verifier: self.verifier.clone(),
            ownerships: self.ownerships.clone(),
            ownership: config.ownership.clone(),
            profile: config.profile,
            policy: config.contract().policy,
            rules: self.rules.clone(),
            guard: config.guard,
            body: config.body.clone(),
            vouchers: self.vouchers(config, self.rates.clone()),
            mount: config.server.mount.as_str().into(),
            member_limit: self.member_limit.clone(),
            service_tokens: ServiceTokens::new(
                self.verifier.clone(),
                &config.keystone.service_token_roles,
                self.rates.clone(),
            ),
            rates: self.rates.clone(),
            limits: self.limits.clone(),
            overload: self.overload.clone(),
            headers: HeadersLayer::new(&config.server.trusted_proxies, config.server.connection.max_head_bytes),
            respond: RespondLayer::new(&config.keystone.www_authenticate_uri),
            healthcheck: Healthcheck::new(config.server.healthcheck_disable_file.clone(), self.balance.clone()),
            traces: TraceLayer::new(self.tracing.traces.clone(), &config.server.mount),
            shadow: self.shadow.layer(),
            metrics: self.metrics.clone(),
            audit: self.audit.clone(),
        })
    }
}

/// Makes each worker's connections to the upstreams.
fn pools(config: &Config, workers: usize) -> PerWorker<Pool> {
    PerWorker::new(workers, || Pool::new(config.upstream.connections.clone()))
}
