//! When something remembered became untrue: what was asked earlier no longer holds, not even what is being asked.

use std::fmt;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The latest change of each thing, by a hash of its name; constant memory, and no lock.
pub struct Forgotten {
    epoch: Instant,
    last: AtomicU64,
    all: AtomicU64,
    at: Box<[AtomicU64]>,
}

/// How many hashes things are told apart by; two that share one are asked about more often than needed.
const SLOTS: usize = 16_384;

impl Default for Forgotten {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            last: AtomicU64::new(0),
            all: AtomicU64::new(0),
            at: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Forgotten {
    /// Denies what was asked of this before now.
    pub fn forget<K: Hash + ?Sized>(&self, key: &K) {
        let now = self.stamp(Instant::now());
        if let Some(slot) = self.slot(key) {
            slot.fetch_max(now, Ordering::AcqRel);
        }
        self.last.fetch_max(now, Ordering::AcqRel);
    }

    /// Denies what was asked of anything before now.
    pub fn forget_all(&self) {
        let now = self.stamp(Instant::now());
        self.all.fetch_max(now, Ordering::AcqRel);
        self.last.fetch_max(now, Ordering::AcqRel);
    }

    /// Tells whether what was asked of this at that time still holds.
    pub fn holds<K: Hash + ?Sized>(&self, key: &K, since: Instant) -> bool {
        let since = self.stamp(since);
        // most of what is remembered is younger than every change: no need to look for its own
        self.last.load(Ordering::Acquire) < since
            || self.all.load(Ordering::Acquire) < since
                && self.slot(key).is_none_or(|slot| slot.load(Ordering::Acquire) < since)
    }

    /// Nanoseconds since this began, never zero.
    fn stamp(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn slot<K: Hash + ?Sized>(&self, key: &K) -> Option<&AtomicU64> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.at.get(usize::try_from(hasher.finish() >> 32).unwrap_or_default() % SLOTS)
    }
}

impl fmt::Debug for Forgotten {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Forgotten").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::Forgotten;

    #[test]
    fn only_what_was_asked_before_a_change_is_denied() {
        let forgotten = Forgotten::default();
        let before = Instant::now();
        assert!(forgotten.holds("a", before));
        forgotten.forget("a");
        assert!(!forgotten.holds("a", before));
        assert!(forgotten.holds("b", before), "another one");
        assert!(forgotten.holds("a", Instant::now() + std::time::Duration::from_nanos(1)));
    }

    #[test]
    fn a_change_of_all_denies_everything_asked_before() {
        let forgotten = Forgotten::default();
        let before = Instant::now();
        forgotten.forget_all();
        assert!(!forgotten.holds("a", before) && !forgotten.holds("b", before));
        assert!(forgotten.holds("a", Instant::now() + std::time::Duration::from_nanos(1)));
    }
}
