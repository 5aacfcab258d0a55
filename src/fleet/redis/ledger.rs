//! What this gate has to tell the server of spending, and what it was told.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use crate::fleet::spending::Asked;
use crate::fleet::spending::FOLLOWED;
use crate::fleet::spending::Key;
use crate::fleet::spending::Shown;
use crate::fleet::spending::Table;

/// What this gate has to tell, and what it was told, by key. It outlives connections, and the server's memory.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<Key, Entry>,
    /// The most gates that were there lately, and when that was seen; none before the first exchange.
    gates: Option<(u32, Instant)>,
}

/// What is known of one key.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What was asked for, with how many were spent and are not told yet, and when the first of them was.
    pub asked: Asked,
    followed_until: Instant,
    /// When all will be given back, by what the server says.
    full_at: Instant,
    /// Whether the server may have forgotten that.
    may_be_lost: bool,
}

/// How much debt of each gate there may be at least: of a quick limit, several times its burst is granted between two
/// exchanges.
const LEAST_DEBT: Duration = Duration::from_secs(1);
/// How many gates there may be before it is known.
const GATES_AT_FIRST: u32 = 16;
/// For how long a gate counts that is no longer heard.
const GATES_KNOWN: Duration = Duration::from_mins(1);
/// By how much later than the server says a point is taken for right, as the way to it is not always as long.
const TOLERANCE: Duration = Duration::from_millis(100);

impl Entry {
    /// Asks for what may be done, and nothing else.
    pub fn probe(now: Instant) -> Self {
        let time = Duration::from_secs(1);
        let asked = Asked { key: Key::new("", ""), spent: 1, at: now, interval: time, whole: time };
        Self { asked, followed_until: now, full_at: now, may_be_lost: false }
    }

    /// Returns how much was spent, how long ago, and how far away the point is at least.
    pub fn tells(&self, now: Instant) -> (Duration, Duration, Duration) {
        let spent = self.asked.interval.saturating_mul(self.asked.spent);
        // the way to the server would be added each time
        let least = if self.may_be_lost { self.full_at.saturating_duration_since(now) } else { Duration::ZERO };
        (spent, now.saturating_duration_since(self.asked.at), least)
    }

    /// How far away the point may be at most: what so many gates grant before they know of each other is paid back; what a
    /// clock that was turned, or another's number, says beyond that is not.
    pub fn most(&self, gates: u32, interval: Duration) -> Duration {
        let whole = self.asked.whole;
        let of_each = whole.max(LEAST_DEBT).max(interval.saturating_mul(3));
        whole.saturating_add(of_each.saturating_mul(gates))
    }

    fn is_due(&self, now: Instant) -> bool {
        // what is soon given back is not followed, or callers without a good token could take all the room
        let is_worth_it = self.full_at > now || self.asked.whole > FOLLOWED / 2;
        self.asked.spent > 0 || (self.followed_until > now && is_worth_it)
    }
}

impl Ledger {
    /// Notes what was asked for; tells whether there was room for it.
    pub fn note(&mut self, asked: Asked, max_keys: usize) -> bool {
        if self.entries.len() >= max_keys && !self.entries.contains_key(&asked.key) {
            return false;
        }
        let fresh = Entry {
            asked: Asked { spent: 0, ..asked },
            followed_until: asked.at,
            full_at: asked.at,
            may_be_lost: false,
        };
        let entry = self.entries.entry(asked.key).or_insert(fresh);
        let at = if entry.asked.spent == 0 { asked.at } else { entry.asked.at };
        entry.asked = Asked { spent: entry.asked.spent.saturating_add(asked.spent), at, ..asked };
        entry.followed_until = asked.at + FOLLOWED;
        true
    }

    /// Returns what is to be told, or was asked for lately.
    pub fn due(&self, now: Instant) -> Vec<Entry> {
        self.entries.values().filter(|entry| entry.is_due(now)).copied().collect()
    }

    /// Notes what the server says of what it was told.
    pub fn told(&mut self, what: &Entry, full_at: Instant) {
        if let Some(entry) = self.entries.get_mut(&what.asked.key) {
            entry.asked.spent = entry.asked.spent.saturating_sub(what.asked.spent);
            // it has forgotten what it said before: it is told again
            entry.may_be_lost = full_at + TOLERANCE < entry.full_at && !what.may_be_lost;
            if !entry.may_be_lost {
                entry.full_at = full_at;
            }
        }
    }

    /// Takes for spent what the server was told without an answer; it is told in a way that counts once, whether it heard it
    /// or not.
    pub fn lost(&mut self, what: &[Entry]) {
        for what in what {
            if let Some(entry) = self.entries.get_mut(&what.asked.key) {
                let spent = entry.asked.interval.saturating_mul(what.asked.spent);
                entry.asked.spent = entry.asked.spent.saturating_sub(what.asked.spent);
                entry.full_at = entry.full_at.max(what.asked.at) + spent;
                entry.may_be_lost = true;
            }
        }
    }

    /// Forgets what was given back before anybody counted it.
    pub fn let_go(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            if entry.asked.at + entry.tells(now).0 <= now {
                entry.asked.spent = 0;
            }
        }
    }

    /// Returns how many gates there may be, when so many are heard now.
    pub fn gates(&mut self, heard: u32, now: Instant) -> u32 {
        let (most, seen_at) = self.gates.unwrap_or((GATES_AT_FIRST, now));
        let is_old = now.saturating_duration_since(seen_at) >= GATES_KNOWN;
        let gates = if heard >= most || is_old { (heard, now) } else { (most, seen_at) };
        self.gates = Some(gates);
        gates.0
    }

    /// Forgets what was given back; and if there is no room, also what the server knows and nobody asks for.
    pub fn sweep(&mut self, now: Instant, max_keys: usize) {
        self.entries.retain(|_, entry| entry.is_due(now) || entry.full_at > now);
        if self.entries.len() >= max_keys {
            self.entries.retain(|_, entry| entry.is_due(now));
        }
    }

    /// Has the server told all again.
    pub fn retell(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.may_be_lost = true;
            entry.followed_until = now + FOLLOWED;
        }
    }

    /// Returns what requests are shown.
    pub fn table(&self) -> Table {
        let shown = |entry: &Entry| Shown { full_at: entry.full_at, followed_until: entry.followed_until };
        self.entries.iter().map(|(key, entry)| (*key, shown(entry))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use super::Entry;
    use super::FOLLOWED;
    use super::Ledger;
    use crate::fleet::spending::Asked;
    use crate::fleet::spending::Key;

    const SECOND: Duration = Duration::from_secs(1);

    fn asked(name: &str, spent: u32, at: Instant) -> Asked {
        Asked { key: Key::new("limit", name), spent, at, interval: SECOND, whole: SECOND * 5 }
    }

    #[test]
    fn what_was_told_is_kept_until_it_is_given_back() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        for (spent, at) in [(0, now), (1, now + SECOND / 10), (0, now + SECOND / 5), (1, now + SECOND / 4)] {
            assert!(ledger.note(asked("a", spent, at), 1));
        }
        assert!(!ledger.note(asked("b", 1, now), 1), "no room");
        let now = now + SECOND / 2;
        let tells =
            |ledger: &Ledger, at| ledger.due(at).iter().map(|entry| entry.tells(now).0.as_secs()).collect::<Vec<_>>();
        let told = ledger.due(now);
        let [entry] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(entry.tells(now), (SECOND * 2, SECOND * 2 / 5, Duration::ZERO), "since the first that was spent");
        assert!(ledger.note(asked("a", 1, now), 1), "while it is told");
        let full_at = now + SECOND * 7;
        ledger.told(entry, full_at);
        assert_eq!(tells(&ledger, now + FOLLOWED), [1]);
        assert_eq!(ledger.table().values().map(|shown| shown.full_at).collect::<Vec<_>>(), [full_at]);
        for entry in ledger.due(now) {
            ledger.told(&entry, full_at);
        }
        assert_eq!((tells(&ledger, now), tells(&ledger, now + FOLLOWED)), (vec![0], vec![]), "followed for a while");
        ledger.sweep(now + FOLLOWED, 2);
        assert_eq!(ledger.table().len(), 1);
        ledger.retell(now + FOLLOWED);
        assert_eq!(
            ledger.due(now + FOLLOWED).first().map(|entry| entry.tells(now).2),
            Some(SECOND * 7),
            "what is known"
        );
        ledger.sweep(full_at, 2);
        assert!(ledger.table().is_empty());
    }

    #[test]
    fn who_asks_no_more_makes_room_even_if_nothing_is_due() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.note(asked("a", 1, now), 1));
        let told = ledger.due(now);
        for entry in &told {
            ledger.told(entry, now + Duration::from_hours(24));
        }
        ledger.sweep(now, 1);
        assert!(!ledger.note(asked("b", 1, now), 1), "it is asked for");
        ledger.sweep(now + FOLLOWED, 1);
        assert!(ledger.note(asked("b", 1, now + FOLLOWED), 1));
    }

    #[test]
    fn what_nobody_answered_is_told_so_that_it_counts_once() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.note(asked("a", 3, now), 1));
        let due = ledger.due(now);
        ledger.lost(&due);
        let again = ledger.due(now + SECOND);
        let [entry] = again.as_slice() else { panic!("{again:?}") };
        assert_eq!(
            entry.tells(now + SECOND),
            (Duration::ZERO, SECOND, SECOND * 2),
            "nothing is added, and three are known"
        );
        // the server says less than it said before: it is told once more, and then believed
        ledger.told(entry, now + SECOND * 3);
        for (may_be_lost, full_at) in [(true, now + SECOND * 3), (false, now + SECOND)] {
            let due = ledger.due(now + SECOND);
            ledger.told(due.first().expect("it is followed"), now + SECOND);
            let entry = ledger.entries.values().next().expect("an entry");
            assert_eq!((entry.may_be_lost, entry.full_at), (may_be_lost, full_at));
        }
    }

    #[test]
    fn what_was_given_back_before_it_was_counted_is_let_go() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.note(asked("a", 2, now), 1));
        ledger.let_go(now + SECOND);
        assert_eq!(ledger.due(now + SECOND).len(), 1);
        ledger.let_go(now + SECOND * 2);
        ledger.sweep(now + SECOND * 2, 1);
        assert!(ledger.entries.is_empty());
    }

    #[test]
    fn gates_that_are_no_longer_heard_count_for_a_minute() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert_eq!((ledger.gates(1, now), ledger.gates(20, now), ledger.gates(1, now + SECOND * 59)), (16, 20, 20));
        assert_eq!((ledger.gates(3, now + SECOND * 60), ledger.gates(1, now + SECOND * 61)), (3, 3));
    }

    #[test]
    fn a_debt_is_bounded() {
        let most = |interval: Duration, burst, gates| {
            let asked = Asked { interval, whole: interval * burst, ..asked("a", 1, Instant::now()) };
            Entry { asked, ..Entry::probe(Instant::now()) }.most(gates, SECOND / 2)
        };
        assert_eq!(most(SECOND * 60, 10, 3), SECOND * 2400, "the bursts of three, and one more");
        assert_eq!(most(SECOND / 100, 5, 2), SECOND * 3 + SECOND / 20, "what two may grant between two exchanges");
    }
}
