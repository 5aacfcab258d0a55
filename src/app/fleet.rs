//! The links of one configuration to other gates and to `OpenStack`'s bus; each outlives a reload that does not change it.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::app::basis;
use crate::app::basis::Trust;
use crate::app::built::Built;
use crate::app::exports::Exports;
use crate::app::generation::Current;
use crate::config::Config;
use crate::fleet::hearing::Forget;
use crate::fleet::hearing::Hearing;
use crate::fleet::news::News;
use crate::fleet::notifications;
use crate::fleet::notifications::Bus;
use crate::fleet::outbox::Outbox;
use crate::fleet::redis;
use crate::fleet::redis::Server;
use crate::fleet::spending::Spending;
use crate::fleet::standing::Standing;
use crate::telemetry::fleet::LinkName;

/// What is shared with other gates, and heard of `OpenStack`; cloning shares it.
#[derive(Clone)]
pub struct Fleet {
    /// Where news for the other gates go; the same through all configurations.
    pub outbox: Outbox,
    /// What all gates have spent of limits; the same through all configurations.
    pub spending: Spending,
    redis: Part<redis::config::Config, Server>,
    notifications: Part<notifications::config::Config, Bus>,
}

/// One link: what it is made from, and what ends it.
#[derive(Clone)]
struct Part<C, S> {
    config: C,
    trust: Option<Trust>,
    link: Option<Arc<Link<S>>>,
}

struct Link<S> {
    /// What is reached over it, until it is started.
    unstarted: Mutex<Option<S>>,
    standing: Mutex<Option<Standing>>,
    retired: CancellationToken,
}

impl Fleet {
    /// Reads what is to be reached; nothing is connected yet.
    ///
    /// # Errors
    /// Fails if an address or a certificate can not be used.
    pub fn new(config: &Config) -> io::Result<Self> {
        Ok(Self {
            outbox: Outbox::default(),
            spending: Spending::default(),
            redis: Part::new(&config.redis, redis_trust(config)?, redis_server)?,
            notifications: Part::new(&config.notifications, notifications_trust(config)?, notifications_bus)?,
        })
    }

    /// Keeps the links that the configuration asks for in the same way.
    ///
    /// # Errors
    /// As [`Fleet::new`].
    pub fn succeed(&self, config: &Config) -> io::Result<Self> {
        Ok(Self {
            outbox: self.outbox.clone(),
            spending: self.spending.clone(),
            redis: self.redis.succeed(&config.redis, redis_trust(config)?, redis_server)?,
            notifications: self.notifications.succeed(
                &config.notifications,
                notifications_trust(config)?,
                notifications_bus,
            )?,
        })
    }

    /// Starts the links that do not run yet; what they hear is forgotten by the generation in use. They go on until the
    /// last request has ended.
    pub fn start(&self, current: &Arc<Current>, exports: &Exports) {
        let metrics = current.load().built.metrics.clone();
        self.redis.start(LinkName::Redis, current, exports, |server, standing, hearing| {
            let config = self.redis.config.clone();
            let dropped = metrics.fleet.messages(LinkName::Redis, "news", "dropped");
            let waiting = self.outbox.open(config.max_queue, dropped);
            let spending = self.spending.clone();
            let link = redis::Link::new(config, server, waiting, spending, (standing, hearing), metrics.clone());
            move |stop| Box::pin(link.run(stop))
        });
        self.notifications.start(LinkName::Notifications, current, exports, |bus, standing, hearing| {
            let link = notifications::Link::new(self.notifications.config.clone(), bus, standing, hearing);
            move |stop| Box::pin(link.run(stop))
        });
        if self.redis.link.is_none() {
            self.outbox.close();
            metrics.fleet.forget_link(LinkName::Redis);
        }
        if self.notifications.link.is_none() {
            metrics.fleet.forget_link(LinkName::Notifications);
        }
    }

    /// Ends the links of the configuration before that this one does not go on with.
    pub fn replaces(&self, before: &Self) {
        before.redis.retire(&self.redis);
        before.notifications.retire(&self.notifications);
    }

    /// Tells whether the other gates can be reached, if they are to be.
    pub fn reaches_gates(&self) -> bool {
        self.redis.stands()
    }

    /// Tells whether `OpenStack`'s bus can be reached, if it is to be.
    pub fn reaches_bus(&self) -> bool {
        self.notifications.stands()
    }
}

impl<C: Clone + PartialEq, S: Clone> Part<C, S> {
    fn new(config: &C, trust: Option<Trust>, reach: fn(&C) -> io::Result<Option<S>>) -> io::Result<Self> {
        let link = reach(config)?.map(|reached| {
            Arc::new(Link {
                unstarted: Mutex::new(Some(reached)),
                standing: Mutex::default(),
                retired: CancellationToken::new(),
            })
        });
        Ok(Self { config: config.clone(), trust, link })
    }

    fn succeed(&self, config: &C, trust: Option<Trust>, reach: fn(&C) -> io::Result<Option<S>>) -> io::Result<Self> {
        if self.config == *config && self.trust == trust {
            return Ok(self.clone());
        }
        Self::new(config, trust, reach)
    }

    fn start<R>(
        &self,
        name: LinkName,
        current: &Arc<Current>,
        exports: &Exports,
        prepare: impl FnOnce(S, Standing, Hearing) -> R,
    ) where
        R: FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send + 'static,
    {
        let Some(link) = &self.link else { return };
        let Some(reached) = link.unstarted.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let metrics = current.load().built.metrics.clone();
        let standing = Standing::new(name, &metrics);
        *link.standing.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing.clone());
        let run = prepare(reached, standing, Hearing::new(name, forget(current), metrics));
        let (retired, ending) = (link.retired.clone(), exports.ending.clone());
        exports.spawn(async move {
            let stop = CancellationToken::new();
            let run = run(stop.clone());
            let end = async {
                tokio::select! {
                    () = retired.cancelled() => {}
                    () = ending.cancelled() => {}
                }
                stop.cancel();
            };
            tokio::join!(run, end);
        });
    }

    fn retire(&self, next: &Self) {
        if let Some(link) = &self.link
            && !next.link.as_ref().is_some_and(|next| Arc::ptr_eq(link, next))
        {
            link.retired.cancel();
        }
    }

    fn stands(&self) -> bool {
        let Some(link) = &self.link else { return true };
        let standing = link.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.as_ref().is_some_and(Standing::stands)
    }
}

/// Returns what lets the generation in use forget; it keeps none alive.
fn forget(current: &Arc<Current>) -> Forget {
    let current: Weak<Current> = Arc::downgrade(current);
    Arc::new(move |news| {
        let generation = current.upgrade().map(|current| current.load());
        Box::pin(async move {
            if let Some(generation) = generation {
                forget_in(&generation.built, news).await;
            }
        })
    })
}

async fn forget_in(built: &Built, news: Vec<News>) {
    for one in news {
        match one {
            News::Image(image) => built.ownerships.heard_of(image),
            News::AllImages => built.ownerships.forget_all(),
            News::Token(_) | News::User(_) | News::Project(_) | News::AllTokens => built.verifier.heard_of(&one).await,
        }
    }
}

fn redis_server(config: &redis::config::Config) -> io::Result<Option<Server>> {
    config.is_on().then(|| Server::new(config)).transpose()
}

fn notifications_bus(config: &notifications::config::Config) -> io::Result<Option<Bus>> {
    config.is_on().then(|| Bus::new(config)).transpose()
}

fn redis_trust(config: &Config) -> io::Result<Option<Trust>> {
    let is_secured = config.redis.url.starts_with("rediss:");
    basis::trust_of(config.redis.cafile.as_deref(), is_secured)
}

fn notifications_trust(config: &Config) -> io::Result<Option<Trust>> {
    let url = config.notifications.transport_url.expose();
    basis::trust_of(config.notifications.cafile.as_deref(), url.contains("ssl="))
}
