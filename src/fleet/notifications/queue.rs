//! The gate's own queue on `RabbitMQ`: declared, bound to the services' exchanges, read, and looked after.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use std::time::Instant;

use amqprs::FieldTable;
use amqprs::FieldValue;
use amqprs::channel::BasicAckArguments;
use amqprs::channel::BasicConsumeArguments;
use amqprs::channel::BasicQosArguments;
use amqprs::channel::Channel;
use amqprs::channel::ConsumerMessage;
use amqprs::channel::ExchangeDeclareArguments;
use amqprs::channel::QueueBindArguments;
use amqprs::channel::QueueDeclareArguments;
use amqprs::channel::QueueDeleteArguments;
use amqprs::connection::Connection;
use amqprs::connection::OpenConnectionArguments;
use amqprs::tls::TlsAdaptor;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::fleet::notifications::Broken;
use crate::fleet::notifications::Bus;
use crate::fleet::notifications::config::Config;
use crate::fleet::transport_url::Host;

/// A queue that is read.
pub struct Queue {
    name: String,
    connection: Connection,
    channel: Channel,
    deliveries: mpsc::UnboundedReceiver<ConsumerMessage>,
    arguments: QueueDeclareArguments,
    bound: BTreeSet<String>,
    missing: BTreeSet<String>,
    opened: Instant,
    routing_keys: Vec<String>,
    response_timeout: Duration,
}

/// How many notifications the server sends before one is acknowledged: the bound of those that wait in memory.
const PREFETCH: u16 = 64;
/// How often both sides show that they are there, in seconds (AMQP 0-9-1 section 4.2.7).
const HEARTBEAT_SECONDS: u16 = 10;
/// How often it is asked whether the queue and its exchanges are still there.
const CHECK: Duration = Duration::from_secs(2);
/// How often missing exchanges are looked for in the time in which services come back.
const CHECK_SOON: Duration = Duration::from_millis(400);
/// How often they are looked for later.
const CHECK_MISSING: Duration = Duration::from_secs(5);
/// How long services may take to come back after the server has.
const COMING_BACK: Duration = Duration::from_mins(1);
/// How long taking the queue away may take.
const LEAVING: Duration = Duration::from_millis(500);
/// The priorities whose notifications are read: Keystone and Glance send changes as `info`, failures as `error`.
const PRIORITIES: [&str; 3] = ["info", "warn", "error"];

impl Queue {
    /// Connects, declares the queue, binds it to those exchanges that are there, and begins to read.
    ///
    /// # Errors
    /// Tells what went wrong, or that it took too long.
    pub async fn open(config: &Config, bus: &Bus, host: &Host, name: &str) -> Result<Self, Broken> {
        let mut queue = within(config.connect_timeout, Self::connected(config, bus, host, name)).await??;
        queue.bind_missing().await?;
        Ok(queue)
    }

    async fn connected(config: &Config, bus: &Bus, host: &Host, name: &str) -> Result<Self, Broken> {
        let mut login = OpenConnectionArguments::new(&host.name, host.port, &host.user, host.password.expose());
        login.virtual_host(&bus.url.virtual_host).heartbeat(HEARTBEAT_SECONDS).connection_name(name);
        if let Some(tls) = &bus.tls {
            login.tls_adaptor(TlsAdaptor::new(TlsConnector::from(tls.clone()), host.certificate_name().to_owned()));
        }
        let connection = Connection::open(&login).await?;
        let channel = connection.open_channel(None).await?;
        let arguments = declaration(config, name)?;
        channel.queue_declare(arguments.clone()).await?;
        channel.basic_qos(BasicQosArguments::new(0, PREFETCH, false)).await?;
        let consume = BasicConsumeArguments::new(name, "glance-gate").manual_ack(true).finish();
        let (_, deliveries) = channel.basic_consume_rx(consume).await?;
        let keys = |topic: &String| PRIORITIES.map(|priority| format!("{topic}.{priority}"));
        Ok(Self {
            name: name.to_owned(),
            connection,
            channel,
            deliveries,
            arguments,
            bound: BTreeSet::new(),
            missing: config.exchanges.iter().cloned().collect(),
            opened: Instant::now(),
            routing_keys: config.topics.iter().flat_map(keys).collect(),
            response_timeout: config.response_timeout,
        })
    }

    /// Returns the next notification, and what it is acknowledged by. Nothing is lost if nobody waits for it any more.
    ///
    /// # Errors
    /// Fails if there will be no more.
    pub async fn next(&mut self) -> Result<(Vec<u8>, u64), Broken> {
        let gone = || Broken::Error("the server reads out the queue no more".into());
        let message = self.deliveries.recv().await.ok_or_else(gone)?;
        let tag = message.deliver.as_ref().ok_or_else(gone)?.delivery_tag();
        Ok((message.content.unwrap_or_default(), tag))
    }

    /// Tells the server that what a notification says is done, so that it sends more.
    ///
    /// # Errors
    /// Fails if the server can not be told.
    pub async fn acknowledge(&self, tag: u64) -> Result<(), Broken> {
        Ok(within(self.response_timeout, self.channel.basic_ack(BasicAckArguments::new(tag, false))).await??)
    }

    /// Returns what waits until the connection breaks, and says how.
    pub fn breaks(&self) -> impl Future<Output = String> + Send + use<> {
        let connection = self.connection.clone();
        async move {
            connection.listen_network_io_failure().await;
            "the server has closed the connection".into()
        }
    }

    /// Returns how long to wait for the next [`Queue::check`]. Exchanges that are gone with a restart of the server come
    /// back with the services, and then quickly; asking for those that never come is an error in the server's log.
    pub fn check_in(&self) -> Duration {
        match (self.missing.is_empty(), self.opened.elapsed() < COMING_BACK) {
            (true, _) => CHECK,
            (false, true) => CHECK_SOON,
            (false, false) => CHECK_MISSING,
        }
    }

    /// Makes sure that the server answers and that the queue and what it is bound to are there, and binds it to exchanges
    /// that were not there before; returns to how many.
    ///
    /// # Errors
    /// Fails if the queue is gone, or the server.
    pub async fn check(&mut self) -> Result<usize, Broken> {
        let mut arguments = self.arguments.clone();
        let arguments = arguments.passive(true).finish();
        within(self.response_timeout, self.channel.queue_declare(arguments)).await??;
        for exchange in &self.bound {
            self.bind(exchange).await?;
        }
        self.bind_missing().await
    }

    async fn bind(&self, exchange: &str) -> Result<(), Broken> {
        for key in &self.routing_keys {
            let bind = QueueBindArguments::new(&self.name, exchange, key);
            within(self.response_timeout, self.channel.queue_bind(bind)).await??;
        }
        Ok(())
    }

    /// Binds the queue to the exchanges that were not there before; services make them when they first send something.
    async fn bind_missing(&mut self) -> Result<usize, Broken> {
        let mut bound = 0;
        for exchange in self.missing.clone() {
            if !within(self.response_timeout, self.has_exchange(&exchange)).await?? {
                continue;
            }
            self.bind(&exchange).await?;
            tracing::info!(%exchange, queue = %self.name, "notifications are read");
            self.missing.remove(&exchange);
            self.bound.insert(exchange);
            bound += 1;
        }
        Ok(bound)
    }

    /// Tells whether an exchange is there: on a channel of its own, which the server closes if it is not.
    async fn has_exchange(&self, exchange: &str) -> Result<bool, Broken> {
        let channel = self.connection.open_channel(None).await?;
        let ask = ExchangeDeclareArguments::new(exchange, "topic").passive(true).finish();
        let is_there = channel.exchange_declare(ask).await.is_ok();
        if is_there {
            channel.close().await?;
        }
        Ok(is_there)
    }

    /// Takes the queue away, when the gate ends; one that is left behind goes by itself after its time.
    pub async fn delete(self) {
        let delete = QueueDeleteArguments::new(&self.name);
        let away = async {
            let _ = self.channel.queue_delete(delete).await;
            let _ = self.connection.close().await;
        };
        // who stops a gate waits for it
        let _ = tokio::time::timeout(self.response_timeout.min(LEAVING), away).await;
    }
}

/// Returns how the queue is declared: durable, because `RabbitMQ` gives up others that are shared, but gone some time after
/// the gate is.
fn declaration(config: &Config, name: &str) -> Result<QueueDeclareArguments, Broken> {
    let mut table = FieldTable::new();
    let ttl = i64::try_from(config.queue_ttl.as_millis()).unwrap_or(i64::MAX);
    for (key, value) in [
        ("x-expires", FieldValue::l(ttl)),
        ("x-message-ttl", FieldValue::l(ttl)),
        ("x-max-length", FieldValue::l(config.queue_length.into())),
    ] {
        let key = key.try_into().map_err(|_| Broken::Error("a name is too long".into()))?;
        table.insert(key, value);
    }
    Ok(QueueDeclareArguments::durable_client_named(name).arguments(table).finish())
}

/// Waits for this long at most.
async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Broken> {
    tokio::time::timeout(time, work).await.map_err(|_| Broken::Error("the server did not answer in time".into()))
}

impl From<amqprs::error::Error> for Broken {
    fn from(error: amqprs::error::Error) -> Self {
        Self::Error(error.to_string())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Queue").field("name", &self.name).finish_non_exhaustive()
    }
}
