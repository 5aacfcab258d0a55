//! Who did what, for auditors: one CADF event a call, permitted or refused, put into words and sent off the calls' way.
//!
//! A worker only moves what is known of a call into a queue. A thread of its own ([`desk`]) finds the words ([`event`]),
//! by the same map and types as `keystonemiddleware.audit` ([`map`]), and each sink has a queue and a task of its own
//! ([`courier`]). What finds no room is lost and counted; no call ever waits.

pub mod amqp;
pub mod amqp_confirms;
pub mod attached;
pub mod config;
pub mod courier;
pub mod desk;
pub mod event;
pub mod map;
pub mod map_file;
pub mod plan;
pub mod post;
pub mod queue;
pub mod stamp;
pub mod syslog;
pub mod told;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use http::StatusCode;
use http::Uri;
use http::uri::Parts;
use prometheus_client::metrics::counter::Counter;

use crate::audit::config::Config;
use crate::audit::config::Events;
use crate::audit::desk::Desk;
use crate::audit::plan::Plan;
use crate::audit::queue::Put;
use crate::audit::told::Ended;
use crate::audit::told::Noted;
use crate::audit::told::Told;
use crate::call::Account;
use crate::call::Branch;
use crate::call::Call;
use crate::openstack::member_action::Action;
use crate::openstack::target::MemberPath;
use crate::openstack::target::Target;
use crate::telemetry::metrics::Metrics;

/// The audit of one configuration; the desk it hands events to is the same through all of them. Cloning shares it.
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
}

struct Shared {
    events: Events,
    mount: String,
    /// Which calls on members are guarded.
    guarded: Vec<Action>,
    queue_bytes: usize,
    /// What counts an event that never got to the desk: it is lost to each sink.
    lost: Vec<Counter>,
    desk: Arc<Desk>,
    /// There until this becomes the configuration in use.
    plan: Mutex<Option<Plan>>,
}

impl Audit {
    /// Prepares what the configuration asks for; nothing is opened and nothing is sent yet. `mount` is the prefix that
    /// Glance is served under, and `guarded` are the calls on members that are.
    ///
    /// # Errors
    /// Fails if the map, a certificate or a name can not be used.
    pub fn new(config: &Config, mount: &str, guarded: Vec<Action>, metrics: &Metrics) -> io::Result<Self> {
        Self::with(config, mount, guarded, metrics, Arc::default())
    }

    /// Prepares another configuration.
    ///
    /// # Errors
    /// As [`Audit::new`].
    pub fn renewed(&self, config: &Config, mount: &str, guarded: Vec<Action>, metrics: &Metrics) -> io::Result<Self> {
        Self::with(config, mount, guarded, metrics, self.shared.desk.clone())
    }

    fn with(
        config: &Config,
        mount: &str,
        guarded: Vec<Action>,
        metrics: &Metrics,
        desk: Arc<Desk>,
    ) -> io::Result<Self> {
        let plan = Plan::new(config, metrics)?;
        let shared = Shared {
            events: config.events,
            mount: mount.to_owned(),
            guarded,
            queue_bytes: config.queue_bytes,
            lost: plan.lost(),
            desk,
            plan: Mutex::new(Some(plan)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Lets events go where this configuration says; done once, when it becomes the one in use.
    pub fn take_effect(&self) {
        if let Some(plan) = self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.shared.desk.follow(plan);
        }
    }

    /// Tells whether it is worth knowing who asks where the gate itself need not know.
    pub fn wants_callers(&self) -> bool {
        self.shared.events.have_unread()
    }

    /// Notes what is known of a call at its start; nothing while the audit is off.
    pub fn note(&self, call: &Call) -> Option<Box<Noted>> {
        (self.shared.events != Events::Off).then(|| Noted::of(call))
    }

    /// Tells of a call that was answered.
    pub fn tell(&self, noted: Box<Noted>, account: Box<Account>, status: StatusCode, took: Duration) {
        self.hand_in(noted, account, Ended::Answered(status), took);
    }

    /// Tells of a call whose client hung up before its answer: all but what was known at its start is gone.
    pub fn tell_cut_off(&self, noted: Box<Noted>, took: Duration) {
        let mut account = noted.outline.clone().into_account();
        self.route(&mut account);
        self.hand_in(noted, account, Ended::CutOff, took);
    }

    /// Finds out again which way a call went.
    fn route(&self, account: &mut Account) {
        let mut parts = Parts::default();
        parts.path_and_query.clone_from(&account.target);
        let target = Uri::from_parts(parts).ok().and_then(|uri| Target::parse(&uri, &self.shared.mount).ok());
        let guarded = |action: Option<Action>| {
            let action = action.filter(|action| self.shared.guarded.contains(action));
            action.map_or(Branch::Passthrough, Branch::Member)
        };
        account.branch = match target {
            Some(Target::Member(path)) => {
                account.path = Some(path);
                guarded(Action::on_member(&account.method))
            }
            Some(Target::Members(_)) => {
                let text = account.target.as_ref();
                account.path = text.and_then(|text| MemberPath::of_members(text, &self.shared.mount).ok());
                guarded(Action::on_members(&account.method))
            }
            Some(Target::Healthcheck) => Branch::Healthcheck,
            Some(Target::Image(_) | Target::Other) => Branch::Passthrough,
            None => Branch::Unrouted,
        };
    }

    fn hand_in(&self, noted: Box<Noted>, account: Box<Account>, ended: Ended, took: Duration) {
        if !self.shared.events.have(&account) {
            return;
        }
        let told = Told { noted, account, ended, at: SystemTime::now(), took };
        if self.shared.desk.put(told, self.shared.queue_bytes) == Put::Lost {
            self.shared.lost.iter().for_each(|lost| {
                lost.inc();
            });
        }
    }

    /// Sends the last events, when there will be no more; waits no longer for it than the configuration says.
    pub fn finish(&self) {
        self.shared.desk.finish();
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Audit").field("events", &self.shared.events).finish_non_exhaustive()
    }
}
