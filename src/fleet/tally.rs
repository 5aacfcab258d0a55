//! What all gates have admitted in this second, for limits that hold over all of them.
//!
//! A request looks at a table, adds what was admitted here since, and leaves a note; it never waits. A task sends the
//! notes on and fetches the table anew, a few times a second. So a limit may be overshot by what the other gates admit
//! between two exchanges. What was admitted in the second before fades out over this one, the others' and one's own, by
//! the server's clock: a flood that lasts is held to the limit from its second second on, and an overshoot is paid back.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use aws_lc_rs::digest;
use pingora_limits::estimator::Estimator;
use prometheus_client::metrics::counter::Counter;

use crate::fleet::board::Board;
use crate::fleet::board::Opened;

/// The counts of all gates; off, and free, until a link opens it. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    board: Board<(Key, Counted), Table>,
    recent: Arc<Recent>,
}

/// What is counted: the hash of what kind of thing it is, and which one. No address and no project leaves the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 16]);

/// What became of one that was counted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It was admitted: all have less left.
    Admitted,
    /// It was refused for the sake of what all have admitted: that must go on being known here.
    Refused,
}

/// What was admitted here and is in no table yet: since the exchange that is under way began, and before it began.
struct Recent {
    halves: [Estimator; 2],
    is_second: AtomicBool,
}

/// The link's side of a [`Tally`], which counts on alone when this is dropped.
#[derive(Debug)]
pub struct Noted {
    opened: Opened<(Key, Counted), Table>,
    recent: Arc<Recent>,
}

/// What all gates have admitted.
#[derive(Debug, Default)]
struct Table {
    clock: Option<Clock>,
    second: u64,
    totals: HashMap<Key, Total>,
}

/// What all gates have admitted of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// In the second of the table.
    pub now: u64,
    /// In the second before it.
    pub before: u64,
}

/// The one clock that all gates count by: the server's.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    read: Instant,
    since_epoch: Duration,
}

impl Key {
    /// Hashes a key of this kind.
    pub fn new(kind: &str, key: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(kind.as_bytes());
        context.update(b"\0");
        context.update(key.as_bytes());
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

impl Clock {
    /// Notes what the server's clock shows now.
    pub fn read(since_epoch: Duration) -> Self {
        Self { read: Instant::now(), since_epoch }
    }

    /// Returns what it shows at that time: a whole second, and the part of it that has gone by, from 0 to 1.
    pub fn at(&self, now: Instant) -> (u64, f64) {
        let shows = self.since_epoch + now.saturating_duration_since(self.read);
        (shows.as_secs(), f64::from(shows.subsec_millis()) / 1000.0)
    }
}

impl Tally {
    /// Tells whether counts are shared.
    pub fn is_open(&self) -> bool {
        self.board.is_open()
    }

    /// Takes one of so many a second that all gates have together; tells whether there was one left.
    pub fn admits(&self, key: Key, bound: u64) -> bool {
        if !self.is_open() {
            return true;
        }
        let used = self.board.table().used(key, Instant::now());
        let is_admitted = self.recent.take(key, bound.saturating_sub(used));
        self.board.leave((key, if is_admitted { Counted::Admitted } else { Counted::Refused }));
        is_admitted
    }

    /// Shares counts from now on; so many notes may wait.
    pub fn open(&self, max: usize, dropped: Counter) -> Noted {
        self.recent.halves.iter().for_each(Estimator::reset);
        Noted { opened: self.board.open(max, dropped), recent: self.recent.clone() }
    }
}

impl Noted {
    /// Begins an exchange, which takes along all that is noted before.
    pub fn begin(&self) {
        self.recent.turn();
    }

    /// Takes the next note, if there is one.
    pub fn take(&mut self) -> Option<(Key, Counted)> {
        self.opened.take()
    }

    /// Counts a note that was taken, and for which there is no room.
    pub fn drop_note(&self) {
        self.opened.drop_note();
    }

    /// Ends an exchange with what all gates have admitted by then.
    pub fn end(&self, clock: Clock, second: u64, totals: HashMap<Key, Total>) {
        self.opened.show(Table { clock: Some(clock), second, totals });
        self.recent.forget();
    }
}

impl Default for Recent {
    fn default() -> Self {
        // the measures of pingora's own rates: 32 KiB each
        Self { halves: [Estimator::new(4, 1024), Estimator::new(4, 1024)], is_second: AtomicBool::new(false) }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recent").finish_non_exhaustive()
    }
}

impl Recent {
    /// Takes one if no more than so many were taken with it.
    fn take(&self, key: Key, left: u64) -> bool {
        let (now, before) = self.in_order();
        let taken = before.get(key).max(0).saturating_add(now.incr(key, 1).max(0));
        let is_taken = u64::try_from(taken).unwrap_or(u64::MAX) <= left;
        if !is_taken {
            now.decr(key, 1);
        }
        is_taken
    }

    fn turn(&self) {
        self.is_second.fetch_xor(true, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.in_order().1.reset();
    }

    /// Returns what is filled now, and what was filled before.
    fn in_order(&self) -> (&Estimator, &Estimator) {
        let [first, second] = &self.halves;
        if self.is_second.load(Ordering::Relaxed) { (second, first) } else { (first, second) }
    }
}

impl Table {
    fn used(&self, key: Key, now: Instant) -> u64 {
        let (Some(clock), Some(total)) = (&self.clock, self.totals.get(&key)) else { return 0 };
        let (second, part) = clock.at(now);
        total.used(second.saturating_sub(self.second), part)
    }
}

impl Total {
    /// Returns how much is used up, so many seconds after the table's, when this part of the second has gone by.
    fn used(self, seconds_later: u64, part: f64) -> u64 {
        let (now, before) = match seconds_later {
            0 => (self.now, self.before),
            1 => (0, self.now),
            // the table is too old to tell
            _ => return 0,
        };
        // counts of one second: far from where a float loses a unit
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small, and never negative")]
        #[expect(clippy::cast_sign_loss, reason = "both factors are positive")]
        let fading = (before as f64 * (1.0 - part)).ceil() as u64;
        now.saturating_add(fading)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use prometheus_client::metrics::counter::Counter;

    use super::Clock;
    use super::Counted;
    use super::Key;
    use super::Tally;
    use super::Total;

    #[test]
    fn what_was_admitted_before_fades_out_over_a_second() {
        let total = Total { now: 3, before: 10 };
        for (later, part, used) in
            [(0, 0.0, 13), (0, 0.25, 11), (0, 0.5, 8), (0, 1.0, 3), (1, 0.0, 3), (1, 0.5, 2), (1, 1.0, 0), (2, 0.0, 0)]
        {
            assert_eq!(total.used(later, part), used, "{later} s and {part} later");
        }
    }

    #[test]
    fn a_clock_goes_on_from_what_the_server_showed() {
        let clock = Clock::read(Duration::from_millis(12_900));
        let (second, part) = clock.at(clock.read + Duration::from_millis(350));
        assert_eq!(second, 13);
        assert!((0.24..0.26).contains(&part));
    }

    #[test]
    fn kinds_and_keys_are_told_apart_and_not_shown() {
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
    fn a_tally_that_is_closed_admits_and_notes_nothing() {
        let (tally, dropped, key) = (Tally::default(), Counter::default(), Key::new("client", "a"));
        assert!(!tally.is_open() && tally.admits(key, 0));
        let mut noted = tally.open(1, dropped.clone());
        assert!(tally.is_open() && noted.take().is_none());
        assert!(tally.admits(key, 2) && tally.admits(key, 2));
        assert_eq!((noted.take(), dropped.get()), (Some((key, Counted::Admitted)), 1));
        assert!(!tally.admits(key, 2));
        let again = tally.open(1, dropped);
        assert!(tally.admits(key, 1), "counted from nothing");
        drop((noted, again));
        assert!(!tally.is_open() && tally.admits(key, 0));
    }

    #[test]
    fn what_is_admitted_counts_before_during_and_after_an_exchange() {
        let (tally, key, other) = (Tally::default(), Key::new("client", "a"), Key::new("client", "b"));
        let mut noted = tally.open(20, Counter::default());
        let clock = || Clock::read(Duration::from_secs(5));
        let admitted = |bound| (0..10).filter(|_| tally.admits(key, bound)).count();
        assert_eq!(admitted(3), 3);
        noted.begin();
        assert_eq!(admitted(5), 2, "three are under way");
        let under_way = std::iter::from_fn(|| noted.take());
        assert_eq!(under_way.filter(|(_, counted)| *counted == Counted::Admitted).count(), 5);
        // the three are in the table now, with four of others'
        noted.end(clock(), 5, HashMap::from([(key, Total { now: 7, before: 0 })]));
        assert_eq!(admitted(10), 1, "seven and two");
        assert!(tally.admits(other, 1));
        noted.begin();
        noted.end(clock(), 5, HashMap::from([(key, Total { now: 10, before: 0 })]));
        assert_eq!((admitted(10), admitted(12)), (0, 2));
    }
}
