//! What all gates have spent of limits over any time, for limits that hold over all of them.
//!
//! Of each key it is one point in time: when all that was spent is given back (the generic cell rate algorithm, ITU-T
//! I.371). A request looks at the table and leaves a note of what it has spent, or would have; it never waits. A task tells
//! the server, which adds up what all have spent, and shows what it says of the keys that are asked for.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;

use crate::fleet::board::Board;
use crate::fleet::board::Opened;
use crate::fleet::tally::Key;

/// What all gates have spent; off, and free, until a link opens it. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Spending {
    board: Board<Asked, Table>,
}

/// A key was asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who asked, and for which limit.
    pub key: Key,
    /// How many were spent.
    pub spent: u32,
    /// After what time one is given back.
    pub interval: Duration,
    /// After what time all is, if all of the burst is spent.
    pub whole: Duration,
}

/// When all that was spent of a key is given back.
pub type Table = HashMap<Key, Instant>;

impl Spending {
    /// Tells whether it is shared.
    pub fn is_open(&self) -> bool {
        self.board.is_open()
    }

    /// Returns when all that all gates have spent of it will be given back, as far as it is known here.
    pub fn full_at(&self, key: &Key) -> Option<Instant> {
        self.board.table().get(key).copied()
    }

    /// Notes what was asked for here.
    pub fn note(&self, asked: Asked) {
        self.board.leave(asked);
    }

    /// Shares from now on; so many notes may wait.
    pub fn open(&self, max: usize, dropped: Counter) -> Opened<Asked, Table> {
        self.board.open(max, dropped)
    }
}
