//! One configuration: a section a component, all defaults, all mistakes at once.

pub mod admin_section;
pub mod audit_section;
pub mod balance_section;
pub mod contract_section;
pub mod decisions_section;
pub mod files_apart;
pub mod fleet_section;
pub mod guard_key;
pub mod keystone_section;
pub mod limits_file;
pub mod load;
pub mod mistake;
pub mod oidc_section;
pub mod policy_section;
pub mod rate_limits_section;
pub mod reader;
pub mod rules_section;
pub mod sections;
pub mod settings;
pub mod shadow_diff_section;
pub mod shadow_files;
pub mod shadow_section;
pub mod tracing_section;
pub mod transport_section;
pub mod value;
pub mod wire_section;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA256;
use ipnet::IpNet;

use crate::audit;
use crate::config::settings::Settings;
use crate::contract;
use crate::contract::Answers;
use crate::diff;
use crate::edge::overload;
use crate::fleet;
use crate::glance;
use crate::keystone;
use crate::limits;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::member_update::guard::Guard;
use crate::member_update::limit;
use crate::member_update::rate;
use crate::member_update::validate;
use crate::oidc;
use crate::review::anew::Contract;
use crate::review::plan::Plan;
use crate::rules;
use crate::rules::record::DecidedBy;
use crate::server;
use crate::server::wire;
use crate::shadow;
use crate::telemetry::line_log;
use crate::telemetry::line_log::Destination;
use crate::telemetry::log;
use crate::telemetry::traces;
use crate::upstream::balance;
use crate::vouch::Telling;

/// Everything an operator can set. `config/gate.toml` holds every key at its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which contract the gate keeps, and for Glance's which default policies.
    pub profile: Profile,
    /// `enforcement` and `[rules]`: which refusals of member updates are answered.
    pub rules: rules::config::Config,
    /// `[server]`: the listener for clients.
    pub server: Server,
    /// `[admin] listen`: the listener for operators.
    pub admin_listen: SocketAddr,
    /// `[admin] names`: the names that browsers may reach it by.
    pub admin_names: Vec<String>,
    /// `[log]`.
    pub log: log::Config,
    /// `[tracing]`.
    pub tracing: traces::Config,
    /// `[keystone_authtoken]`.
    pub keystone: keystone::config::Config,
    /// `[oidc]`.
    pub oidc: oidc::Config,
    /// `[upstream] identity`.
    pub telling: Telling,
    /// `[policy]`, with what its files say.
    pub policy: glance::policy::Config,
    /// `[ownership]`.
    pub ownership: glance::Config,
    /// `[upstream]`.
    pub upstream: balance::Config,
    /// `[member_update] guard`: which calls on members are guarded.
    pub guard: Guard,
    /// `[member_update] max_body, body_timeout`.
    pub body: validate::Config,
    /// `[member_update] max_in_flight, timeout`.
    pub member_limit: limit::Config,
    /// `[limits] max_in_flight…`.
    pub overload: overload::Config,
    /// `[limits] …_per_client, …_per_project`.
    pub rates: rate::Config,
    /// `[shadow]`.
    pub shadow: shadow::config::Config,
    /// `[shadow_diff]`.
    pub shadow_diff: diff::config::Config,
    /// `[recording]`.
    pub recording: line_log::Config,
    /// `[contract]`.
    pub contract: contract::Config,
    /// `[audit]`.
    pub audit: audit::config::Config,
    /// `[redis]`.
    pub redis: fleet::redis::config::Config,
    /// `[notifications]`.
    pub notifications: fleet::notifications::config::Config,
    /// `[rate_limits]`, with the limits of its file.
    pub limits: limits::config::Config,
    /// What each key was set to, to be told; empty if it was not read from text.
    pub settings: Settings,
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

impl Config {
    /// Returns a short digest of the configuration. Secrets are not in it: one could try passwords against it.
    pub fn revision(&self) -> String {
        let digest = digest::digest(&SHA256, format!("{self:?}").as_bytes());
        digest.as_ref().iter().take(6).fold(String::new(), |mut text, byte| {
            // writing to a string can not fail
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl Config {
    /// Tells whether requests are copied for anybody: for staging, for a recording, or to look at their answers.
    pub fn copies(&self) -> bool {
        self.shadow.has_target()
            || self.recording.destination != Destination::Off
            || self.contract.answers == Answers::Observe
    }

    /// Names the configuration in the records of its decisions.
    pub fn decided_by(&self) -> DecidedBy {
        DecidedBy {
            revision: self.revision(),
            profile: self.profile.as_str(),
            policy_defaults: self.profile.policy_defaults().map(PolicyDefaults::as_str),
            lookup_as: self.ownership.lookup_as.as_str(),
        }
    }

    /// Returns how the rules are set, as far as it also depends on other sections.
    pub fn rules(&self) -> rules::config::Config {
        rules::config::Config { tells_identity: self.telling == Telling::Headers, ..self.rules.clone() }
    }

    /// Returns what decisions are made by.
    pub fn contract(&self) -> Contract {
        let defaults = self.profile.policy_defaults().unwrap_or(PolicyDefaults::New);
        let policy = self.policy.policy(defaults.old_defaults()).clone();
        Contract { profile: self.profile, policy, lookup_as: self.ownership.lookup_as }
    }

    /// Returns how this configuration decides, if these rules, by reason, have earned their enforcement.
    pub fn plan(&self, earned: BTreeSet<&'static str>) -> Plan {
        Plan { contract: self.contract(), rules: self.rules(), kill_switch: self.rules.kill_switch, earned }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::Documented,
            rules: rules::config::Config::default(),
            server: Server::default(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9294)),
            admin_names: Vec::new(),
            log: log::Config::default(),
            tracing: traces::Config::default(),
            keystone: keystone::config::Config::default(),
            oidc: oidc::Config::default(),
            telling: Telling::Token,
            policy: glance::policy::Config::default(),
            ownership: glance::Config::default(),
            upstream: balance::Config::default(),
            guard: Guard::default(),
            body: validate::Config::default(),
            member_limit: limit::Config::default(),
            overload: overload::Config::default(),
            rates: rate::Config::default(),
            shadow: shadow::config::Config::default(),
            shadow_diff: diff::config::Config::default(),
            recording: line_log::Config::default(),
            contract: contract::Config::default(),
            audit: audit::config::Config::default(),
            redis: fleet::redis::config::Config::default(),
            notifications: fleet::notifications::config::Config::default(),
            limits: limits::config::Config::default(),
            settings: Settings::default(),
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

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::keystone::config::Credentials;
    use crate::secret::Secret;

    #[test]
    fn a_revision_tells_configurations_apart_and_no_secret() {
        let first = Config::default();
        let mut other = first.clone();
        other.server.workers = 7;
        assert_eq!(first.revision(), first.revision());
        assert_ne!(first.revision(), other.revision());
        assert_eq!(first.revision().len(), 12);
        let mut secret = first.clone();
        if let Credentials::Password { password, .. } = &mut secret.keystone.credentials {
            *password = Secret::new("another".into());
        }
        assert_eq!(first.revision(), secret.revision());
    }
}
