//! How often who may ask for what: limits by project, user, role or address, by method and route.
//!
//! They stand beside the rates of `[limits]`, which keep the gate and its neighbours alive; these are an operator's terms.

pub mod config;
pub mod document;
pub mod layer;
pub mod subject;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http::Method;

use crate::fleet::counter::Counter;
use crate::fleet::counter::Left;
use crate::fleet::spending::Spending;
use crate::limits::config::Config;
use crate::limits::config::Limit;
use crate::limits::config::OverLimitAnswer;
use crate::limits::subject::Asker;
use crate::refusal::Refusal;
use crate::telemetry::limiting::LimitCounts;
use crate::telemetry::metrics::Metrics;

/// The limits of one configuration; cloning shares them.
#[derive(Clone, Debug)]
pub struct Limits {
    config: Arc<Config>,
    counter: Counter,
    counts: Arc<[LimitCounts]>,
    metrics: Metrics,
}

/// A limit was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// What is answered.
    pub refusal: Refusal,
    /// Which limit it was, for the log.
    pub cause: Cow<'static, str>,
    /// How long to wait, if that is known.
    pub retry_after: Option<Duration>,
}

impl Limits {
    /// Counts from nothing; what all gates together have spent stands in `spending`.
    pub fn new(config: Config, spending: Spending, metrics: &Metrics) -> Self {
        Self::with(config, Counter::new(metrics.limiting.keys.clone(), spending), metrics.clone())
    }

    /// Goes on counting under other limits; what was spent stays spent under the same name.
    #[must_use]
    pub fn renewed(&self, config: Config) -> Self {
        Self::with(config, self.counter.clone(), self.metrics.clone())
    }

    fn with(config: Config, counter: Counter, metrics: Metrics) -> Self {
        let counts = config.limits.iter().map(|limit| metrics.limiting.of(&limit.name, limit.group.as_str())).collect();
        Self { config: Arc::new(config), counter, counts, metrics }
    }

    /// Returns how they are set.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells whether there are no limits at all.
    pub fn is_empty(&self) -> bool {
        self.config.limits.is_empty()
    }

    /// Counts a request under the first limit that is for it.
    ///
    /// # Errors
    /// Says that it is over that limit.
    pub fn admit(
        &self,
        asker: &Asker<'_>,
        method: &Method,
        route: Option<&'static str>,
        now: Instant,
    ) -> Result<(), Over> {
        let found = self.config.limits.iter().zip(self.counts.iter()).find_map(|(limit, counts)| {
            let subject = if limit.covers(method, route) { limit.subject(asker) } else { None };
            subject.map(|subject| (limit, counts, subject.to_string()))
        });
        let Some((limit, counts, subject)) = found else { return Ok(()) };
        let spent = self.counter.spend(&limit.name, &subject, limit.allowance(), self.config.max_keys, now);
        match spent {
            Ok(()) => {
                counts.admitted.inc();
                Ok(())
            }
            Err(retry_after) => {
                counts.over.inc();
                let cause = Cow::Owned(format!("limit {}", limit.name));
                Err(Over { refusal: self.refusal(), cause, retry_after: Some(retry_after) })
            }
        }
    }

    /// Returns the limits that are for this caller, with what is left of each.
    pub fn of<'a>(&'a self, asker: &'a Asker<'a>, now: Instant) -> impl Iterator<Item = (&'a Limit, Left)> {
        self.config.limits.iter().filter_map(move |limit| {
            let subject = limit.subject(asker)?.to_string();
            Some((limit, self.counter.look(&limit.name, &subject, limit.allowance(), now)))
        })
    }

    fn refusal(&self) -> Refusal {
        match self.config.answer {
            OverLimitAnswer::TooManyRequests => Refusal::RateLimited,
            OverLimitAnswer::OverLimit => Refusal::OverLimit,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use std::time::Instant;
    use std::time::SystemTime;

    use http::Method;

    use super::Limits;
    use super::config::Config;
    use super::config::Group;
    use super::config::Limit;
    use super::subject::Asker;
    use crate::fleet::spending::Spending;
    use crate::openstack::identity::Identity;
    use crate::openstack::identity::ProjectId;
    use crate::openstack::identity::Roles;
    use crate::openstack::identity::Scope;
    use crate::openstack::identity::UserId;
    use crate::telemetry::metrics::Metrics;

    const LIST: &str = "/v2/images";

    fn limit(name: &str, group: Group) -> Limit {
        Limit {
            name: name.into(),
            group,
            projects: Vec::new(),
            users: Vec::new(),
            roles: Vec::new(),
            methods: Vec::new(),
            routes: Vec::new(),
            requests: 1,
            per: Duration::from_hours(1),
            burst: 1,
        }
    }

    fn limits(limits: Vec<Limit>) -> Limits {
        Limits::new(Config { limits: limits.into(), ..Config::default() }, Spending::default(), &Metrics::default())
    }

    fn identity(project: &str, user: &str, roles: &[&str]) -> Identity {
        Identity {
            user: UserId::new(user),
            scope: Scope::Project(ProjectId::new(project)),
            roles: Roles::known(roles.iter().copied()),
            expires_at: SystemTime::UNIX_EPOCH,
            access_rules: [].into(),
            audit_ids: [].into(),
        }
    }

    /// Tells which limit a request is over, if it is.
    fn over(limits: &Limits, identity: Option<&Identity>, last: u8, method: &Method) -> Option<String> {
        let asker = Asker { identity, address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)) };
        limits.admit(&asker, method, Some(LIST), Instant::now()).err().map(|over| over.cause.into_owned())
    }

    #[test]
    fn each_group_is_counted_by_itself() {
        let (anna, bert) = (identity("p", "anna", &["member"]), identity("p", "bert", &["member"]));
        let other = identity("q", "anna", &["member"]);
        let get = Method::GET;
        let shared = |group, first: &Identity, second: &Identity, address| {
            let mut limit = limit("l", group);
            limit.roles = if group == Group::Role { vec!["member".into()] } else { Vec::new() };
            let limits = limits(vec![limit]);
            assert_eq!(over(&limits, Some(first), 1, &get), None);
            over(&limits, Some(second), address, &get).is_some()
        };
        assert!(shared(Group::Project, &anna, &bert, 2) && !shared(Group::Project, &anna, &other, 1));
        assert!(shared(Group::User, &anna, &other, 2) && !shared(Group::User, &anna, &bert, 1));
        assert!(shared(Group::Role, &anna, &other, 2));
        assert!(shared(Group::Address, &anna, &other, 1) && !shared(Group::Address, &anna, &anna, 2));
        assert!(shared(Group::Any, &anna, &other, 2));
    }

    #[test]
    fn the_first_limit_that_matches_counts_and_no_other() {
        let mut writes = limit("writes", Group::Project);
        writes.methods = vec![Method::POST];
        let mut heavy = limit("heavy", Group::Project);
        heavy.roles = vec!["heavy".into()];
        let mut files = limit("files", Group::Any);
        files.routes = vec!["/v2/images/{image_id}/file"];
        let limits = limits(vec![writes, heavy, files, limit("rest", Group::Address)]);
        let (plain, special) = (identity("p", "u", &["member"]), identity("p", "u", &["Heavy"]));
        let told = |identity: Option<&Identity>, method: &Method| {
            (0..2).filter_map(|_| over(&limits, identity, 1, method)).next_back()
        };
        assert_eq!(told(Some(&special), &Method::POST).as_deref(), Some("limit writes"));
        assert_eq!(told(Some(&special), &Method::GET).as_deref(), Some("limit heavy"));
        assert_eq!(told(Some(&plain), &Method::GET).as_deref(), Some("limit rest"));
        // who is not known counts for the address, whatever the method
        assert_eq!(over(&limits, None, 1, &Method::POST).as_deref(), Some("limit rest"));
        assert_eq!(over(&limits, None, 2, &Method::POST), None);
    }
}
