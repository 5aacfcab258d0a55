//! The link to `OpenStack`'s own bus: Glance's and Keystone's notifications, over `RabbitMQ` (AMQP 0-9-1).
//!
//! The gate has a queue of its own, so that it takes nothing from anybody else who reads them. It declares no exchange:
//! one that was declared in another way than oslo.messaging does would keep the services from sending.

pub mod config;
pub mod queue;

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::tls;
use crate::fleet::hearing::Hearing;
use crate::fleet::news::News;
use crate::fleet::notifications::config::Config;
use crate::fleet::notifications::queue::Queue;
use crate::fleet::oslo::Notification;
use crate::fleet::standing::Standing;
use crate::fleet::transport_url::Transport;
use crate::fleet::transport_url::TransportUrl;

/// The link, before it runs.
pub struct Link {
    config: Config,
    bus: Bus,
    queue_name: String,
    standing: Standing,
    hearing: Hearing,
}

/// What is needed to reach the bus: its servers, and whom to trust.
#[derive(Clone, Debug)]
pub struct Bus {
    /// Where the servers are.
    pub url: TransportUrl,
    /// How TLS is spoken with them, if it is.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Why a link has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// It was told to end.
    Stopped,
    /// The server could not be reached, or not be spoken with.
    Error(String),
}

/// How often what had to wait is forgotten.
const CATCH_UP: Duration = Duration::from_secs(1);

impl Bus {
    /// Reads the URL and the certificates.
    ///
    /// # Errors
    /// Fails if the URL or a certificate can not be used.
    pub fn new(config: &Config) -> io::Result<Self> {
        let url = TransportUrl::parse(config.transport_url.expose()).map_err(io::Error::other)?;
        let tls = match url.transport {
            Transport::Plain => None,
            Transport::Tls => Some(Arc::new(tls::settings(config.cafile.as_deref(), None)?)),
        };
        Ok(Self { url, tls })
    }
}

impl Link {
    /// Prepares a link.
    pub fn new(config: Config, bus: Bus, standing: Standing, hearing: Hearing) -> Self {
        // the same name over all connections, another one for each gate
        let queue_name = format!("glance-gate.{}.{}", host_name(), Uuid::new_v4());
        Self { config, bus, queue_name, standing, hearing }
    }

    /// Keeps the link up until it is to stop, at one server of the cluster after the other.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut outage = self.standing.outage();
        let hosts = self.bus.url.hosts.clone();
        for host in hosts.iter().cycle() {
            let open = Queue::open(&self.config, &self.bus, host, &self.queue_name);
            let opened = tokio::select! {
                opened = open => opened,
                () = stop.cancelled() => break,
            };
            let broken = match opened {
                Ok(queue) => {
                    outage.ends();
                    self.serve(queue, &stop).await
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

    /// Reads notifications until the connection breaks or the link is to stop.
    async fn serve(&mut self, mut queue: Queue, stop: &CancellationToken) -> Broken {
        // what was sent before the queue was bound, or while nobody read it, may be lost
        self.hearing.hear(vec![News::AllImages, News::AllTokens]).await;
        let mut check = pin!(tokio::time::sleep(queue.check_in()));
        let mut late = tokio::time::interval(CATCH_UP);
        let mut breaks = pin!(queue.breaks());
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    queue.delete().await;
                    return Broken::Stopped;
                }
                cause = &mut breaks => return Broken::Error(cause),
                delivered = queue.next() => match delivered {
                    Ok((bytes, tag)) => {
                        self.read(&bytes).await;
                        if let Err(broken) = queue.acknowledge(tag).await {
                            return broken;
                        }
                    }
                    Err(broken) => return broken,
                },
                _ = late.tick() => self.hearing.catch_up().await,
                () = &mut check => {
                    match queue.check().await {
                        Ok(0) => {}
                        Ok(_) => self.hearing.hear(vec![News::AllImages, News::AllTokens]).await,
                        Err(broken) => return broken,
                    }
                    check.set(tokio::time::sleep(queue.check_in()));
                }
            }
        }
    }

    async fn read(&mut self, bytes: &[u8]) {
        let Ok(notification) = Notification::decode(bytes) else {
            self.hearing.count("other", "unreadable");
            // it may have been about anything
            return self.hearing.hear(vec![News::AllImages, News::AllTokens]).await;
        };
        if let Some(age) = notification.age() {
            self.hearing.took(age);
        }
        let outcome = if notification.news.is_empty() { "ignored" } else { "applied" };
        self.hearing.count(notification.kind.as_str(), outcome);
        self.hearing.hear(notification.news).await;
    }
}

/// Returns the machine's name, so that operators find whose queue it is.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    name.chars().filter(is_plain).take(64).collect()
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("bus", &self.bus.url).finish_non_exhaustive()
    }
}
