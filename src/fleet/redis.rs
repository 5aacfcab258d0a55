//! The link to the other gates, over a Redis or Valkey: news are published, and counts of limits exchanged.
//!
//! One connection of RESP3 carries all of it. Each gate publishes a letter a second even without news, and gets its own
//! ones back: so a link that is silent is a link that is broken, and a letter that is missed is noticed by the next.

pub mod address;
pub mod config;
pub mod connection;
pub mod ledger;
pub mod post;
pub mod spent;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::tls;
use crate::fleet::hearing::Hearing;
use crate::fleet::news::News;
use crate::fleet::outbox::Waiting;
use crate::fleet::redis::address::Address;
use crate::fleet::redis::address::Transport;
use crate::fleet::redis::config::Config;
use crate::fleet::redis::config::Limits;
use crate::fleet::redis::connection::Connection;
use crate::fleet::redis::ledger::Ledger;
use crate::fleet::redis::post::Listener;
use crate::fleet::redis::post::Writer;
use crate::fleet::redis::spent::Exchange;
use crate::fleet::spending::Spending;
use crate::fleet::standing::Standing;
use crate::telemetry::metrics::Metrics;

/// The link, before it runs.
pub struct Link {
    config: Config,
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    name: Uuid,
    waiting: Waiting,
    spending: Spending,
    ledger: Ledger,
    standing: Standing,
    hearing: Hearing,
    metrics: Metrics,
}

/// Why a link has ended.
#[derive(Debug)]
pub enum Broken {
    /// It was told to end, and has sent what it had.
    Stopped,
    /// The server could not be reached, or not be spoken with.
    Error(String),
}

/// How often a gate says that it is there.
pub const HELLO: Duration = Duration::from_secs(1);
/// How long the last news may take to be sent.
const LAST_NEWS: Duration = Duration::from_millis(500);

/// What is needed to reach the server: its address, and whom to trust.
#[derive(Clone, Debug)]
pub struct Server {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    /// Reads the address and the certificates.
    ///
    /// # Errors
    /// Fails if the address or a certificate can not be used.
    pub fn new(config: &Config) -> io::Result<Self> {
        let address = Address::parse(&config.url).map_err(io::Error::other)?;
        let tls = match address.transport {
            Transport::Plain => None,
            Transport::Tls => Some(Arc::new(tls::settings(config.cafile.as_deref(), None)?)),
        };
        Ok(Self { address, tls })
    }
}

impl Link {
    /// Prepares a link.
    pub fn new(
        config: Config,
        server: Server,
        waiting: Waiting,
        spending: Spending,
        (standing, hearing): (Standing, Hearing),
        metrics: Metrics,
    ) -> Self {
        let Server { address, tls } = server;
        Self {
            config,
            address,
            tls,
            name: Uuid::new_v4(),
            waiting,
            spending,
            ledger: Ledger::default(),
            standing,
            hearing,
            metrics,
        }
    }

    /// Keeps the link up until it is to stop; then sends what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut outage = self.standing.outage();
        let mut writer = Writer::new(&self.config, self.name, self.metrics.clone());
        loop {
            let connected = tokio::select! {
                connected = Connection::open(&self.config, &self.address, self.tls.clone()) => connected,
                () = stop.cancelled() => break,
            };
            let broken = match connected {
                Ok(connection) => {
                    outage.ends();
                    // whatever the others told in the meantime was missed
                    self.hearing.hear(vec![News::AllImages, News::AllTokens]).await;
                    let broken = self.serve(connection, &mut writer, &stop).await;
                    self.metrics.fleet.gates.set(0);
                    broken
                }
                Err(broken) => broken,
            };
            let Broken::Error(cause) = broken else { break };
            let pause = outage.goes_on(&cause);
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                break;
            }
        }
    }

    /// Speaks over a connection until it breaks or the link is to stop.
    async fn serve(&mut self, connection: Connection, writer: &mut Writer, stop: &CancellationToken) -> Broken {
        let Connection { redis, driver, pushes } = connection;
        let mut listener = Listener::new(pushes, self.name, &mut self.hearing, self.metrics.clone());
        let silence = HELLO + self.config.response_timeout;
        let limits = async {
            match self.config.limits {
                Limits::Shared => {
                    let exchange = Exchange::new(&self.config, &self.spending, &mut self.ledger, &self.metrics);
                    exchange.run(self.config.max_keys, redis.clone()).await
                }
                Limits::Own => std::future::pending().await,
            }
        };
        let write = async {
            match writer.run(redis.clone(), &mut self.waiting, stop).await {
                // within a bound: who stops a gate waits for it
                Broken::Stopped => {
                    let rest = writer.send_rest(redis.clone(), &mut self.waiting);
                    let _ = tokio::time::timeout(LAST_NEWS, rest).await;
                    Broken::Stopped
                }
                broken @ Broken::Error(_) => broken,
            }
        };
        tokio::select! {
            () = driver => Broken::Error("the server has closed the connection".into()),
            broken = listener.run(silence) => broken,
            broken = limits => broken,
            broken = write => broken,
        }
    }
}

impl From<redis::RedisError> for Broken {
    fn from(error: redis::RedisError) -> Self {
        Self::Error(error.to_string())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}
