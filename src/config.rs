//! One configuration: a section a component, all defaults, all mistakes at once.

pub mod balance_section;
pub mod keystone_section;
pub mod load;
pub mod mistake;
pub mod oidc_section;
pub mod reader;
pub mod sections;
pub mod transport_section;
pub mod value;
pub mod wire_section;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::edge::overload;
use crate::glance;
use crate::keystone;
use crate::member_update::decide::Profile;
use crate::member_update::enforce::Enforcement;
use crate::member_update::limit;
use crate::member_update::rate;
use crate::member_update::validate;
use crate::oidc;
use crate::server;
use crate::server::wire;
use crate::telemetry::log;
use crate::upstream::balance;
use crate::vouch::Telling;

/// Everything an operator can set. `config/gate.toml` holds every key at its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which contract the gate keeps, and for Glance's which default policies.
    pub profile: Profile,
    /// Whether refusals of member updates are answered.
    pub enforcement: Enforcement,
    /// `[server]`: the listener for clients.
    pub server: Server,
    /// `[admin] listen`: the listener for operators.
    pub admin_listen: SocketAddr,
    /// `[log]`.
    pub log: log::Config,
    /// `[keystone_authtoken]`.
    pub keystone: keystone::config::Config,
    /// `[oidc]`.
    pub oidc: oidc::Config,
    /// `[upstream] identity`.
    pub telling: Telling,
    /// `[ownership]`.
    pub ownership: glance::Config,
    /// `[upstream]`.
    pub upstream: balance::Config,
    /// `[member_update] max_body, body_timeout`.
    pub body: validate::Config,
    /// `[member_update] max_in_flight, timeout`.
    pub member_limit: limit::Config,
    /// `[limits] max_in_flight…`.
    pub overload: overload::Config,
    /// `[limits] …_per_client, …_per_project`.
    pub rates: rate::Config,
}

/// The section `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// How many worker threads; zero is one a core.
    pub workers: usize,
    /// The prefix Glance is served under, `""` for none.
    pub mount: String,
    /// Whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// While this file exists, `/healthcheck` answers 503.
    pub healthcheck_disable_file: PathBuf,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// Where a new process takes the listeners over; empty for nowhere.
    pub handover_socket: PathBuf,
    /// How clients speak to the gate.
    pub wire: wire::Config,
    /// The bounds of a connection.
    pub connection: server::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::Documented,
            enforcement: Enforcement::Enforce,
            server: Server::default(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9294)),
            log: log::Config::default(),
            keystone: keystone::config::Config::default(),
            oidc: oidc::Config::default(),
            telling: Telling::Token,
            ownership: glance::Config::default(),
            upstream: balance::Config::default(),
            body: validate::Config::default(),
            member_limit: limit::Config::default(),
            overload: overload::Config::default(),
            rates: rate::Config::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9292)),
            workers: 0,
            mount: String::new(),
            trusted_proxies: Vec::new(),
            healthcheck_disable_file: "/etc/glance-gate/healthcheck_disable".into(),
            drain_timeout: Duration::from_secs(30),
            handover_socket: PathBuf::new(),
            wire: wire::Config::default(),
            connection: server::Settings::default(),
        }
    }
}
