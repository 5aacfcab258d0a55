//! The check of answers against the upstream's own schemas, put together: through which way, and with whose token.

use http::HeaderValue;

use crate::app::built::Built;
use crate::client::pool::Pool;
use crate::config::Config;
use crate::contract::Contract;
use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::keystone::TokenVerifier;
use crate::secret::Secret;
use crate::shadow::consumer::Consumer;
use crate::shadow::copied::Copied;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Forward;

/// Has the primary's answers looked at, on the shadow's thread.
pub struct Looking(pub Contract);

impl Consumer for Looking {
    fn copied(&self, copied: &Copied) {
        self.0.look(&copied.asked, &copied.answered);
    }

    fn compared(&self, _: &Asked, _: &Answered, _: &Answered) {}

    fn learned(&self, _: &Asked, _: &Answered, _: &Answered) {}
}

/// Makes what looks at answers. The schemas are fetched anew for each configuration.
pub fn contract(config: &Config, metrics: &Metrics) -> Contract {
    Contract::new(config.contract.clone(), &config.server.mount, metrics.contract.clone())
}

/// Keeps the schemas fresh, over connections of its own, for as long as the configuration is in use.
pub fn watch(built: &Built, config: &Config) -> impl Future<Output = ()> + Send + use<> {
    let forward = Forward::new(built.balance.clone(), Pool::new(config.upstream.connections.clone()));
    let (contract, verifier) = (built.shadow.contract.clone(), built.verifier.clone());
    contract.watch(forward, move || own_token(verifier.clone()))
}

async fn own_token(verifier: TokenVerifier) -> Result<Secret<HeaderValue>, String> {
    verifier.own_token().await.map_err(|error| error.to_string())
}
