//! What is said of a pair of answers, and how it is told.

use std::sync::Arc;
use std::time::SystemTime;

use http::Method;

use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::diff::found::Body;
use crate::diff::found::Found;
use crate::diff::ignore::Seen;
use crate::diff::learned;
use crate::diff::ledger;
use crate::diff::ledger::Example;
use crate::diff::line::Pair;
use crate::diff::line::Stands;
use crate::diff::line::Told;
use crate::diff::line::VERSION;
use crate::diff::shown;
use crate::telemetry::timestamp;

/// What is said of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// In a word.
    pub outcome: Outcome,
    /// All differences, also those that are explained.
    pub differences: Vec<Difference>,
    /// Whether the bodies were compared.
    pub body: Body,
    /// Whether there may be more differences.
    pub is_cut: bool,
}

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing differs that counts.
    Equal,
    /// Something does.
    Differs,
    /// Nothing differs in what was looked at, but the bodies were not.
    NotCompared,
}

/// A difference and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The difference.
    pub found: Found,
    /// What is made of it.
    pub stands: Stands,
    /// Why it is ignored, if it is.
    pub reason: Option<Arc<str>>,
}

/// What a pair is about.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    asked: &'a Asked,
    /// The method, of a bounded set.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    primary: u16,
    staging: u16,
    /// When it is judged.
    pub now: SystemTime,
}

impl Outcome {
    /// Names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::NotCompared => "not_compared",
        }
    }
}

impl Judgement {
    /// Sums up differences: what was cut off could count.
    pub fn new(differences: Vec<Difference>, body: Body, is_cut: bool) -> Self {
        let counts = is_cut || differences.iter().any(|difference| difference.stands == Stands::Counts);
        let outcome = match body {
            _ if counts => Outcome::Differs,
            Body::Compared | Body::OtherAnswer => Outcome::Equal,
            Body::Unread | Body::TooLong | Body::Encoded => Outcome::NotCompared,
        };
        Self { outcome, differences, body, is_cut }
    }
}

impl<'a> Case<'a> {
    /// Names what was asked, and the statuses of the answers.
    pub fn new(asked: &'a Asked, primary: &Answered, staging: &Answered, now: SystemTime) -> Self {
        let (primary, staging) = (primary.status.as_u16(), staging.status.as_u16());
        Self { asked, method: method_name(&asked.method), route: asked.route, primary, staging, now }
    }

    /// Returns a difference as rules look at it.
    pub fn seen<'f>(&self, found: &'f Found) -> Seen<'f> {
        let (field, kind) = (found.field.as_str(), found.kind);
        Seen { method: self.method, route: self.route, field, kind, primary: self.primary, staging: self.staging }
    }

    /// Returns what may have been learned of a difference.
    pub fn learned_key(&self, found: &Found) -> learned::Key {
        learned::Key { method: self.method, route: self.route, field: found.field.clone(), kind: found.kind }
    }

    /// Returns where a difference stands in the account.
    pub fn ledger_key(&self, found: &Found) -> ledger::Key {
        ledger::Key {
            method: self.method,
            route: self.route,
            field: found.field.clone(),
            kind: found.kind,
            primary: self.primary,
            staging: self.staging,
        }
    }

    /// Returns a difference as an example.
    pub fn example(&self, found: &Found) -> Example {
        Example {
            request_id: self.asked.request_id.to_string(),
            target: shown::target(&self.asked.target),
            primary: found.primary.clone(),
            staging: found.staging.clone(),
        }
    }

    /// Returns the line of the pair; nothing if it differs by nothing but what differs always.
    pub fn line(&self, judgement: &Judgement) -> Option<Pair> {
        let is_told = |difference: &&Difference| difference.stands != Stands::BuiltIn;
        let differences: Vec<Told> = judgement.differences.iter().filter(is_told).map(Difference::tell).collect();
        if differences.is_empty() && !judgement.is_cut {
            return None;
        }
        Some(Pair {
            version: VERSION,
            time: timestamp::of(self.now),
            request_id: self.asked.request_id.to_string(),
            method: self.method.into(),
            route: self.route.into(),
            target: shown::target(&self.asked.target),
            project: self.asked.project.as_ref().map(ToString::to_string),
            primary_status: self.primary,
            staging_status: self.staging,
            body: judgement.body,
            differences,
            is_cut: judgement.is_cut,
        })
    }
}

impl Difference {
    fn tell(&self) -> Told {
        let found = &self.found;
        Told {
            field: found.field.clone(),
            kind: found.kind,
            standing: self.stands,
            reason: self.reason.as_deref().map(Into::into),
            times: found.times,
            primary: found.primary.clone(),
            staging: found.staging.clone(),
        }
    }
}

/// Names a method; clients may invent others, and these have one name.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
