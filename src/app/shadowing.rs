//! The shadow of one configuration: what copies go by; the queue and the ways that are still the same outlive a reload.

use std::io;
use std::sync::Arc;

use crate::app::basis;
use crate::app::contract_check::Looking;
use crate::client::pool::Pool;
use crate::config::Config;
use crate::contract::Answers;
use crate::contract::Contract;
use crate::shadow::Desk;
use crate::shadow::Shadow;
use crate::shadow::consumer::Consumer;
use crate::shadow::consumer::StatusCount;
use crate::shadow::layer::ShadowLayer;
use crate::shadow::plan::Plan;
use crate::shadow::way::Ways;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Forward;
use crate::upstream::balance::Balance;
use crate::vouch::Vouchers;

/// What is copied, and where it goes; cloning shares it.
#[derive(Clone)]
pub struct Shadowing {
    copies: Shadow,
    ways: Option<Arc<Ways>>,
    desk: Option<Arc<Desk>>,
}

impl Shadowing {
    /// Prepares the ways of the first configuration.
    ///
    /// # Errors
    /// Fails if certificates can not be used.
    pub fn new(config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let none = Self { copies: Shadow::new(metrics.shadows.clone()), ways: None, desk: None };
        none.renewed(config)
    }

    /// Prepares those of another configuration; those that would be the same are kept.
    ///
    /// # Errors
    /// As [`Shadowing::new`].
    pub fn renewed(&self, config: &Config) -> io::Result<Self> {
        let copies = self.copies.clone();
        if !config.shadow.is_on() {
            return Ok(Self { copies, ways: None, desk: None });
        }
        let trust = basis::shadow_trust(config)?;
        let kept = self.ways.as_ref().filter(|ways| ways.are_those_of(&config.shadow, trust.as_ref()));
        let ways = match kept {
            Some(ways) => ways.clone(),
            None => Arc::new(Ways::new(&config.shadow, trust)?),
        };
        Ok(Self { copies, ways: Some(ways), desk: None })
    }

    /// Joins the ways with the other parts.
    #[must_use]
    pub fn joined(
        &self,
        config: &Config,
        balance: &Balance,
        vouchers: Vouchers,
        contract: &Contract,
        metrics: &Metrics,
    ) -> Self {
        let desk = self.ways.as_ref().map(|ways| {
            let counts = metrics.shadows.clone();
            let mut consumers: Vec<Arc<dyn Consumer>> = vec![Arc::new(StatusCount(counts.clone()))];
            if config.contract.answers == Answers::Observe {
                consumers.push(Arc::new(Looking(contract.clone())));
            }
            let plan = Plan {
                ways: ways.clone(),
                mount: config.server.mount.as_str().into(),
                vouchers,
                primary: Forward::new(balance.clone(), Pool::new(config.upstream.connections.clone())),
                counts,
                consumers,
            };
            Arc::new(Desk { shadow: self.copies.clone(), plan: Arc::new(plan) })
        });
        Self { desk, ..self.clone() }
    }

    /// Lets copies go by this configuration from now on.
    pub fn take_effect(&self) {
        self.copies.follow(self.desk.as_ref().map(|desk| desk.plan.clone()));
    }

    /// Returns where copies wait.
    pub fn copies(&self) -> Shadow {
        self.copies.clone()
    }

    /// Makes what copies calls on their way.
    pub fn layer(&self) -> ShadowLayer {
        ShadowLayer::new(self.desk.clone())
    }
}
