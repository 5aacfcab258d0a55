//! The section `[audit]`: which calls are told to auditors, and where.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::audit::amqp;
use crate::audit::post;
use crate::audit::syslog;
use crate::call::Account;
use crate::call::Branch;
use crate::telemetry::rotated_file;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which calls are told.
    pub events: Events,
    /// pycadf's audit map; none is the built-in one for Glance.
    pub map_file: Option<PathBuf>,
    /// What the gate is called as the observer; empty is the machine's name.
    pub observer: String,
    /// Where clients reach the image service, the target's address; empty is none.
    pub endpoint: String,
    /// How many bytes of events may wait: to be put into words, and then for each sink.
    pub queue_bytes: usize,
    /// How long the end of the gate, or a reload, waits for a sink to take what is left.
    pub drain_timeout: Duration,
    /// Certificates to trust for sinks that are spoken to with TLS; none are the system's.
    pub cafile: Option<PathBuf>,
    /// A file of JSON lines.
    pub file: Option<rotated_file::Settings>,
    /// A syslog.
    pub syslog: Option<syslog::Config>,
    /// A server that takes JSON over HTTP.
    pub post: Option<post::Config>,
    /// An exchange of `OpenStack`'s message bus.
    pub amqp: Option<amqp::Config>,
}

/// Which calls are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// None.
    Off,
    /// The guarded calls, and all that the gate itself has refused.
    Guarded,
    /// Those, and all whose method may change something.
    Writes,
    /// All but health checks.
    All,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            events: Events::Off,
            map_file: None,
            observer: String::new(),
            endpoint: String::new(),
            queue_bytes: 8 * 1024 * 1024,
            drain_timeout: Duration::from_secs(2),
            cafile: None,
            file: None,
            syslog: None,
            post: None,
            amqp: None,
        }
    }
}

impl Config {
    /// Tells whether there is somebody to be told.
    pub fn has_sink(&self) -> bool {
        self.file.is_some() || self.syslog.is_some() || self.post.is_some() || self.amqp.is_some()
    }
}

impl Events {
    /// Tells whether this call is one of them.
    pub fn have(self, account: &Account) -> bool {
        match self {
            Self::Off => false,
            Self::Guarded => is_guarded(account),
            Self::Writes => is_guarded(account) || may_change(account),
            Self::All => account.branch != Branch::Healthcheck,
        }
    }

    /// Tells whether calls that the gate passes on unread are among them.
    pub fn have_unread(self) -> bool {
        match self {
            Self::Off | Self::Guarded => false,
            Self::Writes | Self::All => true,
        }
    }
}

fn is_guarded(account: &Account) -> bool {
    match account.branch {
        Branch::Member(_) => true,
        Branch::Healthcheck => false,
        Branch::Unrouted | Branch::Passthrough | Branch::Limits => account.refusal.is_some(),
    }
}

/// Tells whether the method is not one that only reads (RFC 9110 section 9.2.1).
fn may_change(account: &Account) -> bool {
    let is_safe = matches!(account.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    !is_safe && account.branch != Branch::Healthcheck
}
