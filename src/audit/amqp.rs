//! `OpenStack`'s message bus as a sink: what oslo.messaging's `messagingv2` driver would send over `RabbitMQ`.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::BasicPublishArguments;
use amqprs::channel::Channel;
use amqprs::channel::ConfirmSelectArguments;
use amqprs::channel::ExchangeDeclareArguments;
use amqprs::channel::QueueBindArguments;
use amqprs::channel::QueueDeclareArguments;
use amqprs::connection::Connection;
use amqprs::connection::OpenConnectionArguments;
use amqprs::tls::TlsAdaptor;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::audit::amqp_confirms::Confirm;
use crate::audit::amqp_confirms::Confirms;
use crate::audit::courier::Batch;
use crate::audit::courier::Carrier;
use crate::audit::courier::Trouble;
use crate::audit::event::Entry;
use crate::audit::stamp::stamp;
use crate::client::tls;
use crate::secret::Secret;

/// Where notifications are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server.
    pub server: Server,
    /// Who logs in.
    pub username: String,
    /// With what.
    pub password: Secret<String>,
    /// The topic exchange, oslo.messaging's `control_exchange`.
    pub exchange: String,
    /// The topic; the priority `info` is put behind it.
    pub topic: String,
    /// Whether an exchange or a queue that is not there yet is made durable, oslo.messaging's `amqp_durable_queues`.
    pub durable: bool,
}

/// A server, as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its virtual host.
    pub virtual_host: String,
    /// Whether it is spoken to through TLS.
    pub security: Security,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `amqp://`: in the clear.
    Plain,
    /// `amqps://`: through TLS.
    Tls,
}

/// Publishes notifications.
pub struct Amqp {
    config: Config,
    routing_key: String,
    publisher: String,
    tls: Option<TlsConnector>,
    open: Option<Open>,
}

struct Open {
    channel: Channel,
    confirms: mpsc::UnboundedReceiver<Confirm>,
    /// The number of the last message (`RabbitMQ`'s publisher confirms count from one).
    last: u64,
    /// Last, because the channel goes before it.
    _connection: Connection,
}

/// How long connecting and declaring may take, and then the confirmation of a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many messages are published before their confirmations are waited for.
const BATCH: usize = 64;
/// How often the server must hear from the gate, in seconds.
const HEARTBEAT: u16 = 30;
/// What keystonemiddleware calls an event that has its outcome.
const EVENT_TYPE: &str = "audit.http.response";

impl Server {
    /// Reads `amqp://host:port/vhost` or `amqps://…`; nothing if it is none, or has a user in it.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let (security, port) = match uri.scheme_str()? {
            "amqp" => (Security::Plain, 5672),
            "amqps" => (Security::Tls, 5671),
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        let virtual_host = percent_decode_str(path).decode_utf8().ok()?.into_owned();
        if uri.query().is_some() || path.contains('/') || authority.host().is_empty() || virtual_host.len() > 255 {
            return None;
        }
        Some(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(port),
            virtual_host: if virtual_host.is_empty() { "/".into() } else { virtual_host },
            security,
        })
    }
}

impl Amqp {
    /// Prepares to publish in this machine's name; nothing is connected yet.
    ///
    /// # Errors
    /// Fails if the certificates can not be read.
    pub fn new(config: &Config, hostname: &str, cafile: Option<&Path>) -> io::Result<Self> {
        let tls = match config.server.security {
            Security::Plain => None,
            Security::Tls => Some(TlsConnector::from(Arc::new(tls::settings(cafile, None)?))),
        };
        let routing_key = format!("{}.info", config.topic);
        let publisher = format!("glance-gate.{hostname}");
        Ok(Self { config: config.clone(), routing_key, publisher, tls, open: None })
    }

    async fn connect(&self) -> Result<Open, amqprs::error::Error> {
        let Config { server, username, password, .. } = &self.config;
        let host = server.host.as_str();
        let mut arguments = OpenConnectionArguments::new(host, server.port, username, password.expose());
        arguments.virtual_host(&server.virtual_host).connection_name("glance-gate audit").heartbeat(HEARTBEAT);
        if let Some(connector) = &self.tls {
            let name = host.trim_start_matches('[').trim_end_matches(']');
            arguments.tls_adaptor(TlsAdaptor::new(connector.clone(), name.to_owned()));
        }
        let connection = Connection::open(&arguments).await?;
        self.declare(&connection).await?;
        let channel = connection.open_channel(None).await?;
        let (sender, confirms) = mpsc::unbounded_channel();
        channel.register_callback(Confirms::new(sender)).await?;
        channel.confirm_select(ConfirmSelectArguments::default()).await?;
        Ok(Open { channel, confirms, last: 0, _connection: connection })
    }

    /// Makes the exchange and the queue named like the topic, as oslo.messaging does so that nothing is lost before
    /// somebody listens. What is there stays as it is, however it was made.
    async fn declare(&self, connection: &Connection) -> Result<(), amqprs::error::Error> {
        let (exchange, key) = (&self.config.exchange, &self.routing_key);
        let mut asked = ExchangeDeclareArguments::new(exchange, "topic");
        asked.passive(true);
        // a name that is not there closes the channel that it was asked on
        let channel = connection.open_channel(None).await?;
        if channel.exchange_declare(asked.clone()).await.is_err() {
            let channel = connection.open_channel(None).await?;
            asked.passive(false).durable(self.config.durable);
            channel.exchange_declare(asked).await?;
        }
        let mut asked = QueueDeclareArguments::new(key);
        asked.passive(true);
        let channel = connection.open_channel(None).await?;
        if channel.queue_declare(asked.clone()).await.is_ok() {
            return Ok(());
        }
        let channel = connection.open_channel(None).await?;
        asked.passive(false).durable(self.config.durable).exclusive(false).auto_delete(false);
        channel.queue_declare(asked).await?;
        channel.queue_bind(QueueBindArguments::new(key, exchange, key)).await
    }

    /// Puts an event into oslo.messaging's envelope of version 2.
    fn message(&self, entry: &Entry) -> Vec<u8> {
        let payload: Value = serde_json::from_slice(&entry.json).unwrap_or_default();
        let message = json!({
            "message_id": Uuid::new_v4().to_string(),
            "publisher_id": self.publisher,
            "event_type": EVENT_TYPE,
            "priority": "INFO",
            "payload": payload,
            "timestamp": stamp(entry.at, ' ', ""),
            "_unique_id": Uuid::new_v4().simple().to_string(),
        });
        json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string().into_bytes()
    }

    /// Publishes all of a batch, and returns the numbers of those that no queue wanted once all are confirmed.
    async fn publish(&self, open: &mut Open, batch: &Batch) -> Result<BTreeSet<u64>, String> {
        let first = open.last + 1;
        for entry in batch.entries() {
            open.last += 1;
            let mut properties = BasicProperties::default();
            properties
                .with_content_type("application/json")
                .with_content_encoding("utf-8")
                // persistent: it outlives the server where its queue does
                .with_delivery_mode(2)
                .with_message_id(&open.last.to_string());
            let mut arguments = BasicPublishArguments::new(&self.config.exchange, &self.routing_key);
            arguments.mandatory(true);
            let published = open.channel.basic_publish(properties, self.message(entry), arguments).await;
            published.map_err(|error| error.to_string())?;
        }
        let (mut unsettled, mut unwanted): (BTreeSet<u64>, _) = ((first..=open.last).collect(), BTreeSet::new());
        while !unsettled.is_empty() {
            match open.confirms.recv().await {
                Some(Confirm::UpTo(number)) => unsettled.retain(|waiting| *waiting > number),
                Some(Confirm::Single(number)) => drop(unsettled.remove(&number)),
                Some(Confirm::Unwanted(number)) => drop(unwanted.insert(number - first)),
                Some(Confirm::Refused) => return Err("it could not keep a message".into()),
                None => return Err("the connection broke".into()),
            }
        }
        Ok(unwanted)
    }
}

impl Carrier for Amqp {
    fn max_batch(&self) -> usize {
        BATCH
    }

    async fn carry(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        let mut open = match self.open.take() {
            Some(open) if open.channel.is_open() => open,
            Some(_) | None => within(self.connect()).await?,
        };
        // what was published and not confirmed is published again: rather twice than never
        let unwanted = within(self.publish(&mut open, batch)).await?;
        let (count, unwanted) = (batch.entries().len(), unwanted.len());
        if unwanted > 0 {
            batch.refused(unwanted, "no queue of the exchange wants the topic".into());
        }
        batch.written(count - unwanted);
        self.open = Some(open);
        Ok(())
    }
}

async fn within<T, E: fmt::Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, Trouble> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(done) => done.map_err(Trouble::new),
        Err(_) => Err(Trouble::new("it takes too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::Security;
    use super::Server;

    #[test]
    fn a_server_is_named_by_a_url_without_credentials() {
        let server = |host: &str, port, virtual_host: &str, security| {
            Some(Server { host: host.into(), port, virtual_host: virtual_host.into(), security })
        };
        for (text, expected) in [
            ("amqp://rabbit", server("rabbit", 5672, "/", Security::Plain)),
            ("amqp://rabbit:5673/", server("rabbit", 5673, "/", Security::Plain)),
            ("amqp://rabbit:5673/openstack", server("rabbit", 5673, "openstack", Security::Plain)),
            ("amqps://rabbit/%2Fnova", server("rabbit", 5671, "/nova", Security::Tls)),
            ("amqp://user:word@rabbit:5672/", None),
            ("rabbit://rabbit:5672/", None),
            ("amqp://rabbit/a/b", None),
            ("amqp://rabbit/a?ssl=1", None),
            ("rabbit:5672", None),
        ] {
            assert_eq!(Server::parse(text), expected, "{text}");
        }
    }
}
