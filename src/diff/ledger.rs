//! What differs and how often, in bounded memory, with the latest examples.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use crate::diff::found::Kind;
use crate::diff::line::Stands;

/// The account of all differences.
#[derive(Debug)]
pub struct Ledger {
    since: SystemTime,
    routes: BTreeMap<(&'static str, &'static str), Compared>,
    entries: HashMap<Key, Entry>,
    forgotten: u64,
}

/// One kind of difference.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Key {
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: Kind,
    /// The primary's status.
    pub primary: u16,
    /// The staging's status.
    pub staging: u16,
}

/// What is known of a kind of difference.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In how many pairs it was seen, by what was made of it.
    counts: [u64; Stands::ALL.len()],
    /// Why it was ignored last.
    pub reason: Option<Arc<str>>,
    /// When it was seen first.
    pub first: SystemTime,
    /// When it was seen last.
    pub last: SystemTime,
    /// The latest examples, the newest first.
    pub examples: VecDeque<Example>,
}

/// A pair of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The id of the request.
    pub request_id: String,
    /// Its path and query, with what looks secret hidden.
    pub target: String,
    /// What the primary says, as far as it may be told.
    pub primary: Option<String>,
    /// What staging says.
    pub staging: Option<String>,
}

/// How many pairs of answers were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Pairs in which nothing differs that counts.
    pub equal: u64,
    /// Pairs in which something does.
    pub differs: u64,
    /// Pairs whose bodies were not compared.
    pub not_compared: u64,
}

/// The account at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was begun.
    pub since: SystemTime,
    /// What was compared, by method and route.
    pub routes: Vec<((&'static str, &'static str), Compared)>,
    /// The kinds of difference, those first that count most often.
    pub entries: Vec<(Key, Entry)>,
    /// How many kinds were forgotten for the sake of others.
    pub forgotten: u64,
}

/// How many kinds of difference are remembered; the one not seen for longest makes room.
pub const MAX_ENTRIES: usize = 1000;

impl Compared {
    /// Returns how many pairs there were.
    pub fn all(self) -> u64 {
        self.equal + self.differs + self.not_compared
    }
}

impl Entry {
    /// Returns in how many pairs it was seen with this standing.
    pub fn count(&self, stands: Stands) -> u64 {
        Stands::ALL.into_iter().zip(self.counts).find(|(known, _)| *known == stands).map_or(0, |(_, count)| count)
    }
}

impl Ledger {
    /// Begins an account.
    pub fn new(now: SystemTime) -> Self {
        Self { since: now, routes: BTreeMap::new(), entries: HashMap::new(), forgotten: 0 }
    }

    /// Returns the count of pairs of a route, to be added to.
    pub fn route(&mut self, method: &'static str, route: &'static str) -> &mut Compared {
        self.routes.entry((method, route)).or_default()
    }

    /// Adds a difference, with this many examples kept.
    pub fn add(
        &mut self,
        key: Key,
        (stands, reason): (Stands, Option<Arc<str>>),
        example: Example,
        examples: usize,
        now: SystemTime,
    ) {
        if !self.entries.contains_key(&key) && self.entries.len() >= MAX_ENTRIES {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
                self.forgotten += 1;
            }
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            counts: [0; Stands::ALL.len()],
            reason: None,
            first: now,
            last: now,
            examples: VecDeque::new(),
        });
        if let Some((_, count)) = Stands::ALL.iter().zip(&mut entry.counts).find(|(known, _)| **known == stands) {
            *count += 1;
        }
        entry.last = now;
        entry.reason = reason.or(entry.reason.take());
        if stands != Stands::BuiltIn {
            entry.examples.push_front(example);
        }
        entry.examples.truncate(examples);
    }

    /// Returns the account at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let mut entries: Vec<(Key, Entry)> =
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let rank = |entry: &Entry| {
            std::cmp::Reverse(
                [Stands::Counts, Stands::Learned, Stands::Ignored, Stands::BuiltIn].map(|it| entry.count(it)),
            )
        };
        // the same order each time, also among equals
        entries.sort_by(|(left_key, left), (right_key, right)| {
            let names = |key: &Key| (key.route, key.method, key.field.clone(), key.kind, key.primary, key.staging);
            rank(left).cmp(&rank(right)).then_with(|| names(left_key).cmp(&names(right_key)))
        });
        Snapshot {
            since: self.since,
            routes: self.routes.iter().map(|(route, compared)| (*route, *compared)).collect(),
            entries,
            forgotten: self.forgotten,
        }
    }
}
