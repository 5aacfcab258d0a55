//! The section `[rate_limits]` and the limits of its file.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::fleet::counter::Allowance;
use crate::limits::subject::Asker;
use crate::limits::subject::Subject;
use crate::openstack::identity::ProjectId;

/// What is limited, and how it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The limits; the first that matches a request is the one that counts it.
    pub limits: Arc<[Limit]>,
    /// How far the gate goes to know who asks for what just passes through.
    pub identify: Identify,
    /// What is answered to who is over a limit.
    pub answer: OverLimitAnswer,
    /// The path, below the mount, at which callers see their limits; empty for none.
    pub document: String,
    /// How many counts are kept.
    pub max_keys: usize,
}

/// How the gate knows who asks for what passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identify {
    /// By what is remembered of the token; else it counts for the client's address.
    Remembered,
    /// Keystone is asked about a token that is not remembered.
    Asked,
}

/// What is answered to who is over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimitAnswer {
    /// 429 in Glance's layout (RFC 6585 section 4).
    TooManyRequests,
    /// 413 with an `overLimit`, as Repose answered.
    OverLimit,
}

/// Who is counted together by a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Each project by itself.
    Project,
    /// Each user by itself.
    User,
    /// All who have one of the limit's roles, each role by itself.
    Role,
    /// Each client address by itself.
    Address,
    /// All together.
    Any,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name, for metrics, the log and its counts.
    pub name: Arc<str>,
    /// Who is counted together.
    pub group: Group,
    /// The projects it is for; empty for all.
    pub projects: Vec<ProjectId>,
    /// The users it is for, by id; empty for all.
    pub users: Vec<String>,
    /// The roles of which a caller must have one; empty for any.
    pub roles: Vec<String>,
    /// The methods it is for; empty for all.
    pub methods: Vec<Method>,
    /// The routes it is for; empty for all.
    pub routes: Vec<&'static str>,
    /// How many requests in `per`.
    pub requests: u32,
    /// In which time.
    pub per: Duration,
    /// How many of them at once.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: [].into(),
            identify: Identify::Remembered,
            answer: OverLimitAnswer::TooManyRequests,
            document: String::new(),
            max_keys: 100_000,
        }
    }
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 5] = [Self::Project, Self::User, Self::Role, Self::Address, Self::Any];

    /// Returns the word used in the file and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::User => "user",
            Self::Role => "role",
            Self::Address => "address",
            Self::Any => "any",
        }
    }

    /// Parses the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == word)
    }
}

impl Limit {
    /// Returns how much may be spent.
    pub fn allowance(&self) -> Allowance {
        Allowance::new(self.requests, self.per, self.burst)
    }

    /// Tells whether the limit is for such requests.
    pub fn covers(&self, method: &Method, route: Option<&'static str>) -> bool {
        let is_its_method = self.methods.is_empty() || self.methods.contains(method);
        is_its_method && (self.routes.is_empty() || route.is_some_and(|route| self.routes.contains(&route)))
    }

    /// Returns who the asker is counted with; nothing if the limit is for others.
    pub fn subject(&self, asker: &Asker<'_>) -> Option<Subject> {
        let project = asker.identity.and_then(|identity| identity.project());
        let user = asker.identity.map(|identity| &identity.user);
        let has = |role: &&String| asker.identity.is_some_and(|identity| identity.roles.has(role));
        let role = self.roles.iter().find(has);
        let is_for_others = !(self.projects.is_empty() || project.is_some_and(|own| self.projects.contains(own)))
            || !(self.users.is_empty() || user.is_some_and(|own| self.users.iter().any(|user| user == own.as_str())))
            || !(self.roles.is_empty() || role.is_some());
        if is_for_others {
            return None;
        }
        match self.group {
            Group::Project => project.cloned().map(Subject::Project),
            Group::User => user.cloned().map(Subject::User),
            Group::Role => role.map(|role| Subject::Role(role.as_str().into())),
            Group::Address => Some(Subject::of_address(asker.address)),
            Group::Any => Some(Subject::All),
        }
    }
}
