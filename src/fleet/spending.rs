//! What all gates have spent of limits, for limits that hold over all of them.
//!
//! Of each key it is one point in time: when all that was spent is given back (the generic cell rate algorithm, ITU-T
//! I.371). A request looks at the table and leaves a note of what it has spent, or would have; it never waits. A task tells
//! the server, which adds up what all have spent, and shows what it says of the keys that are asked for.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use std::time::Instant;

use aws_lc_rs::digest;
use prometheus_client::metrics::counter::Counter;

use crate::fleet::board::Board;
use crate::fleet::board::Opened;

/// What all gates have spent; off, and free, until a link opens it. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Spending {
    board: Board<Asked, Table>,
}

/// Whose spending it is, under which limit: a hash of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 16]);

/// A key was asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who asked, and for which limit.
    pub key: Key,
    /// How many were spent.
    pub spent: u32,
    /// When.
    pub at: Instant,
    /// After what time one is given back.
    pub interval: Duration,
    /// After what time all is, if all of the burst is spent.
    pub whole: Duration,
}

/// What is known of the keys that are asked for.
pub type Table = HashMap<Key, Shown>;

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When all that was spent of it is given back.
    pub full_at: Instant,
    /// Until when the server is asked for it again and again, without more being asked here.
    pub followed_until: Instant,
}

/// For how long the server is asked for a key that was asked for here.
pub const FOLLOWED: Duration = Duration::from_secs(2);

impl Key {
    /// Hashes who is counted by this limit.
    pub fn new(limit: &str, subject: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(limit.as_bytes());
        context.update(b"\0");
        context.update(subject.as_bytes());
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(short)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl Spending {
    /// Tells whether it is shared.
    pub fn is_open(&self) -> bool {
        self.board.is_open()
    }

    /// Returns when all that all gates have spent of it will be given back, as far as it is known here.
    pub fn full_at(&self, key: &Key) -> Option<Instant> {
        self.board.table().get(key).map(|shown| shown.full_at)
    }

    /// Notes what was asked for here, if that is news.
    pub fn note(&self, asked: Asked) {
        // or those who are refused would take the room of those who are not
        let is_known =
            || self.board.table().get(&asked.key).is_some_and(|shown| shown.followed_until > asked.at + FOLLOWED / 2);
        if asked.spent > 0 || !is_known() {
            self.board.leave(asked);
        }
    }

    /// Shares from now on; so many notes may wait.
    pub fn open(&self, max: usize, dropped: Counter) -> Opened<Asked, Table> {
        self.board.open(max, dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use prometheus_client::metrics::counter::Counter;

    use super::Asked;
    use super::FOLLOWED;
    use super::Key;
    use super::Shown;
    use super::Spending;

    #[test]
    fn limits_and_subjects_are_told_apart_and_not_shown() {
        let key = Key::new("client", "127.0.0.1");
        assert_eq!(key, Key::new("client", "127.0.0.1"));
        for other in
            [Key::new("project", "127.0.0.1"), Key::new("client", "127.0.0.2"), Key::new("clien", "t127.0.0.1")]
        {
            assert_ne!(key, other);
        }
        let shown = key.to_string();
        assert!(shown.len() == 32 && !shown.contains("127"));
    }

    #[test]
    fn what_is_refused_is_noted_once_a_while_and_what_is_spent_always() {
        let (spending, now, key) = (Spending::default(), Instant::now(), Key::new("limit", "a"));
        let interval = Duration::from_secs(1);
        let note = |spent, at| spending.note(Asked { key, spent, at, interval, whole: interval });
        let mut opened = spending.open(10, Counter::default());
        note(0, now);
        opened.show([(key, Shown { full_at: now, followed_until: now + FOLLOWED })].into());
        note(0, now);
        note(1, now);
        note(0, now + FOLLOWED);
        let noted: Vec<_> = std::iter::from_fn(|| opened.take()).map(|asked| (asked.spent, asked.at)).collect();
        assert_eq!(noted, [(0, now), (1, now), (0, now + FOLLOWED)]);
    }
}
