//! Copies of the traffic for a staging Glance: made on the requests' way without waiting, sent from a thread of their own.
//!
//! Each copy has a [`ticket::Ticket`] that bounds its memory and is counted exactly once, whatever becomes of it. What was
//! copied ([`copied::Copied`]) stands apart from what is done with it ([`consumer::Consumer`]).

pub mod config;
pub mod consumer;
pub mod copied;
pub mod draft;
pub mod exchange;
pub mod headers;
pub mod layer;
pub mod plan;
pub mod recorded;
pub mod recording;
pub mod repeated;
pub mod sample;
pub mod send;
pub mod thread;
pub mod ticket;
pub mod twice;
pub mod upload;
pub mod way;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;

use crate::shadow::config::Config;
use crate::shadow::copied::Copied;
use crate::shadow::plan::Plan;
use crate::shadow::ticket::Reason;
use crate::shadow::ticket::Ticket;
use crate::telemetry::shadows::Shadows;

/// The way from the requests to the shadow thread; through all configurations the same one. Cloning shares it.
#[derive(Clone)]
pub struct Shadow {
    shared: Arc<Shared>,
}

struct Shared {
    counts: Shadows,
    /// Bounded by the places that tickets have.
    queue: UnboundedSender<Queued>,
    /// There until the thread takes it.
    waiting: Mutex<Option<UnboundedReceiver<Queued>>>,
    current: ArcSwapOption<Plan>,
}

/// A copy that waits to be sent.
#[derive(Debug)]
pub struct Queued {
    copied: Copied,
    /// The plan that it was copied under.
    plan: Arc<Plan>,
    ticket: Ticket,
}

/// Where copies of one configuration are made.
#[derive(Debug)]
pub struct Desk {
    /// Where they go.
    pub shadow: Shadow,
    /// What is copied, and how.
    pub plan: Arc<Plan>,
}

impl Shadow {
    /// Copies nothing until there is a plan.
    pub fn new(counts: Shadows) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let shared =
            Shared { counts, queue, waiting: Mutex::new(Some(waiting)), current: ArcSwapOption::const_empty() };
        Self { shared: Arc::new(shared) }
    }

    /// Goes on by this plan, or with none. What was copied for another staging is dropped.
    pub fn follow(&self, plan: Option<Arc<Plan>>) {
        self.shared.current.store(plan);
    }

    /// Returns what is counted.
    pub fn counts(&self) -> &Shadows {
        &self.shared.counts
    }

    /// Puts a copy behind the others; if too many wait, it is dropped.
    fn push(&self, copied: Copied, plan: Arc<Plan>, mut ticket: Ticket) {
        if !ticket.wait(plan.ways.config.limits.queue) {
            return ticket.drop_for(Reason::QueueFull);
        }
        ticket.otherwise(Reason::Stopped);
        // without a thread the copy is dropped with its ticket
        drop(self.shared.queue.send(Queued { copied, plan, ticket }));
    }

    /// Tells whether a copy may still be sent: its staging is that of the configuration in use.
    fn is_current(&self, plan: &Plan) -> bool {
        self.shared.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(&current.ways, &plan.ways))
    }

    fn take_waiting(&self) -> Option<UnboundedReceiver<Queued>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Desk {
    /// Sends a copy that was made before.
    pub fn ask_again(&self, copied: Copied) {
        let mut ticket = Ticket::new(self.shadow.counts().clone(), self.config().limits.bytes);
        if ticket.take(copied.body.len() + copied.asked.target.len()) {
            self.shadow.push(copied, self.plan.clone(), ticket);
        } else {
            ticket.drop_for(Reason::BytesFull);
        }
    }

    fn config(&self) -> &Config {
        &self.plan.ways.config
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Shadow")
    }
}
