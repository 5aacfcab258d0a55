//! What has been spent of each limit here: one time a key, in bounded memory, shared by all workers.
//!
//! The algorithm is the generic cell rate algorithm (ITU-T I.371): a key is one point in time, the one at which all it
//! has spent will be given back. A key whose time has passed says nothing and is forgotten.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;

use crate::fleet::spending::Asked;
use crate::fleet::spending::Key;
use crate::fleet::spending::Spending;

/// How much may be spent: one each interval, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    interval: Duration,
    burst: u32,
}

/// What is left to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How many may be spent now.
    pub remaining: u32,
    /// How long until one may be; zero if one may now.
    pub next_in: Duration,
}

/// Counts what is spent; cloning shares the counts.
#[derive(Clone)]
pub struct Counter {
    shared: Arc<Shared>,
}

struct Shared {
    hasher: RandomState,
    kept: Gauge,
    spending: Spending,
    shards: Box<[Mutex<Shard>]>,
}

/// When each key will have got back all it has spent.
#[derive(Default)]
struct Shard {
    full_at: HashMap<Key, Instant>,
    swept: Option<Instant>,
}

/// Into how many parts the keys are split, so that workers seldom wait for each other.
const SHARDS: usize = 32;

/// No subject's name: all those for whom there is no room.
const NO_ROOM: &str = "";

/// How long a full part is not searched again for what can be forgotten.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

impl Allowance {
    /// So many in a time, of which `burst` may come at once.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        Self { interval: per / requests.max(1), burst: burst.max(1) }
    }

    /// How far in the future a key's time may be for one more to be granted.
    fn slack(self) -> Duration {
        self.interval.saturating_mul(self.burst.saturating_sub(1))
    }

    /// How far in the future a key's time is once all of the burst is spent.
    fn whole(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }

    /// Tells what is left when all that was spent here will be given back at that time, and what all gates have spent
    /// at the other.
    fn left(self, here: Instant, all: Option<Instant>, now: Instant) -> Left {
        // more than all can not be spent here; what was under a longer limit of the same name is no more than that
        let here = here.saturating_duration_since(now).min(self.whole());
        let spent = all.map_or(here, |all| all.saturating_duration_since(now).max(here));
        let next_in = spent.saturating_sub(self.slack());
        let free = self.whole().saturating_sub(spent);
        let remaining = free.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or_default();
        Left { remaining: u32::try_from(remaining).unwrap_or(self.burst), next_in }
    }
}

impl Counter {
    /// Has counted nothing yet; `kept` shows how many keys it holds, and `spending` what all gates have spent.
    pub fn new(kept: Gauge, spending: Spending) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shared: Arc::new(Shared { hasher: RandomState::new(), kept, spending, shards }) }
    }

    /// Tells whether all gates count together.
    pub fn is_shared(&self) -> bool {
        self.shared.spending.is_open()
    }

    /// Spends one of what a subject has under the limit of this name. At most `max_keys` are told apart; those for which
    /// there is no room share one for each limit.
    ///
    /// # Errors
    /// Tells how long to wait until one may be spent.
    pub fn spend(
        &self,
        limit: &str,
        subject: &str,
        allowance: Allowance,
        max_keys: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        let fleet_key = self.fleet_key(limit, subject, allowance);
        let all = fleet_key.and_then(|key| self.shared.spending.full_at(&key));
        let key = Key::new(limit, subject);
        let Some(mut shard) = self.shard(&key) else { return Ok(()) };
        let before = shard.full_at.len();
        let room = max_keys / SHARDS;
        let spent = if shard.has_room(&key, room, now) {
            shard.spend(key, allowance, all, now)
        } else {
            // what all have spent of one of them is not what all of them have
            match allowance.left(now, all, now).next_in {
                Duration::ZERO => shard.spend(Key::new(limit, NO_ROOM), allowance, None, now),
                next_in => Err(next_in),
            }
        };
        let after = shard.full_at.len();
        drop(shard);
        let change = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.shared.kept.inc_by(change(after) - change(before));
        self.tell(fleet_key, allowance, u32::from(spent.is_ok()), now);
        spent
    }

    /// Tells what is left, without spending.
    pub fn look(&self, limit: &str, subject: &str, allowance: Allowance, now: Instant) -> Left {
        let fleet_key = self.fleet_key(limit, subject, allowance);
        let all = fleet_key.and_then(|key| self.shared.spending.full_at(&key));
        self.tell(fleet_key, allowance, 0, now);
        let key = Key::new(limit, subject);
        let full_at = self.shard(&key).and_then(|shard| shard.full_at.get(&key).copied());
        allowance.left(full_at.unwrap_or(now), all, now)
    }

    fn tell(&self, key: Option<Key>, allowance: Allowance, spent: u32, at: Instant) {
        if let Some(key) = key {
            let (interval, whole) = (allowance.interval, allowance.whole());
            self.shared.spending.note(Asked { key, spent, at, interval, whole });
        }
    }

    /// Returns what all gates know it by, if they count together. Another allowance is another count.
    fn fleet_key(&self, limit: &str, subject: &str, allowance: Allowance) -> Option<Key> {
        let limit = || format!("{limit} {} {}", allowance.interval.as_nanos(), allowance.burst);
        self.is_shared().then(|| Key::new(&limit(), subject))
    }

    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        let hash = usize::try_from(self.shared.hasher.hash_one(key) >> 32).unwrap_or_default();
        // an entry is whole, whatever happened to whoever held it
        self.shared.shards.get(hash % SHARDS).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn spend(&mut self, key: Key, allowance: Allowance, all: Option<Instant>, now: Instant) -> Result<(), Duration> {
        let here = self.full_at.get(&key).copied().map_or(now, |full_at| full_at.max(now));
        let next_in = allowance.left(here, all, now).next_in;
        if !next_in.is_zero() {
            // written down, so that it ends under the limit that holds now
            self.full_at.insert(key, here.min(now + allowance.whole()));
            return Err(next_in);
        }
        self.full_at.insert(key, all.map_or(here, |all| all.max(here)) + allowance.interval);
        Ok(())
    }

    /// Tells whether the key is one of its own, or can be.
    fn has_room(&mut self, key: &Key, room: usize, now: Instant) -> bool {
        if self.full_at.len() < room || self.full_at.contains_key(key) {
            return true;
        }
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_PAUSE) {
            self.swept = Some(now);
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        self.full_at.len() < room
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Counter").field("kept", &self.shared.kept.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use prometheus_client::metrics::counter::Counter as PrometheusCounter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::Allowance;
    use super::Asked;
    use super::Counter;
    use super::SHARDS;
    use crate::fleet::spending::FOLLOWED;
    use crate::fleet::spending::Shown;
    use crate::fleet::spending::Spending;

    const MANY: usize = 100_000;

    fn counter() -> Counter {
        Counter::new(Gauge::default(), Spending::default())
    }

    #[test]
    fn a_burst_is_granted_at_once_and_then_one_each_interval() {
        let (counter, start) = (counter(), Instant::now());
        let allowance = Allowance::new(6, Duration::from_mins(1), 3);
        let spend = |after: u64| counter.spend("limit", "1", allowance, MANY, start + Duration::from_secs(after));
        assert_eq!([spend(0), spend(0), spend(0)], [Ok(()); 3]);
        assert_eq!(spend(0), Err(Duration::from_secs(10)));
        assert_eq!(spend(4), Err(Duration::from_secs(6)));
        assert_eq!((spend(10), spend(10)), (Ok(()), Err(Duration::from_secs(10))));
        // who waited long has the burst again, and no more
        assert_eq!([spend(500), spend(500), spend(500)], [Ok(()); 3]);
        assert_eq!(spend(500), Err(Duration::from_secs(10)));
        // nobody else has spent anything
        assert_eq!(counter.spend("limit", "2", allowance, MANY, start), Ok(()));
    }

    #[test]
    fn what_other_gates_have_spent_is_spent_here_too() {
        let (spending, start) = (Spending::default(), Instant::now());
        let counter = Counter::new(Gauge::default(), spending.clone());
        let (allowance, longer) =
            (Allowance::new(6, Duration::from_mins(1), 3), Allowance::new(6, Duration::from_mins(2), 3));
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let spend = |seconds| counter.spend("limit", "1", allowance, MANY, after(seconds));
        assert_eq!(spend(0), Ok(()), "of three, and nobody else knows");
        let mut opened = spending.open(10, PrometheusCounter::default());
        assert_eq!(spend(0), Ok(()));
        let told = opened.take().expect("a note");
        assert_eq!((told.spent, told.interval, told.whole), (1, Duration::from_secs(10), Duration::from_secs(30)));
        assert!(opened.take().is_none());
        // together they have spent five: one gets back to the burst, the debt is waited for
        opened.show([(told.key, Shown { full_at: after(50), followed_until: start + FOLLOWED })].into());
        assert_eq!(counter.look("limit", "1", allowance, start).next_in, Duration::from_secs(30));
        assert_eq!(counter.look("limit", "1", longer, start).next_in, Duration::ZERO, "another limit of this name");
        assert_eq!(spend(0), Err(Duration::from_secs(30)));
        assert!(opened.take().is_some_and(|asked| asked.spent == 0 && asked.key != told.key), "the other limit's");
        assert!(opened.take().is_none(), "nothing was spent, and the key is followed");
        assert_eq!((spend(30), spend(30)), (Ok(()), Err(Duration::from_secs(10))));
        assert_eq!(opened.take(), Some(Asked { at: after(30), ..told }));
        // nobody else has
        assert_eq!(counter.spend("limit", "2", allowance, MANY, start), Ok(()));
        drop(opened);
        assert_eq!(spend(50), Ok(()), "each is on its own again");
    }

    #[test]
    fn over_a_long_time_no_more_is_granted_than_the_rate() {
        let (counter, start) = (counter(), Instant::now());
        let allowance = Allowance::new(100, Duration::from_secs(1), 10);
        let granted = (0..100_000u64)
            .filter(|step| counter.spend("limit", "1", allowance, MANY, start + Duration::from_millis(*step)).is_ok())
            .count();
        assert_eq!(granted, 10_000 + 9);
    }

    #[test]
    fn what_is_left_is_told_without_spending() {
        let (counter, start) = (counter(), Instant::now());
        let allowance = Allowance::new(2, Duration::from_secs(10), 2);
        let look = |after: u64| {
            let left = counter.look("limit", "1", allowance, start + Duration::from_secs(after));
            (left.remaining, left.next_in.as_secs())
        };
        assert_eq!(look(0), (2, 0));
        for (left, wait) in [(1, 0), (0, 5)] {
            assert_eq!(counter.spend("limit", "1", allowance, MANY, start), Ok(()));
            assert_eq!(look(0), (left, wait));
        }
        assert_eq!((look(2), look(5), look(9), look(10)), ((0, 3), (1, 0), (1, 0), (2, 0)));
    }

    #[test]
    fn who_has_spent_a_long_limit_waits_no_longer_than_the_new_one_says() {
        let (counter, start) = (counter(), Instant::now());
        let (old, new) =
            (Allowance::new(1, Duration::from_hours(24), 1), Allowance::new(10, Duration::from_mins(1), 10));
        let spend =
            |allowance, after: u64| counter.spend("limit", "1", allowance, MANY, start + Duration::from_secs(after));
        assert_eq!((spend(old, 0).is_ok(), spend(old, 0).is_ok()), (true, false));
        let left = counter.look("limit", "1", new, start);
        assert_eq!((left.remaining, left.next_in), (0, Duration::from_secs(6)));
        assert_eq!(spend(new, 0), Err(Duration::from_secs(6)), "what was spent stays spent");
        assert_eq!((spend(new, 6), spend(new, 6)), (Ok(()), Err(Duration::from_secs(6))));
        assert!((0..10).all(|_| spend(new, 66).is_ok()), "and is given back as always");
    }

    #[test]
    fn keys_are_bounded_and_those_without_room_share_one() {
        let kept = Gauge::default();
        let (counter, start) = (Counter::new(kept.clone(), Spending::default()), Instant::now());
        let allowance = Allowance::new(1, Duration::from_mins(1), 1);
        let room = 32 * SHARDS;
        let granted = (0..10_000)
            .filter(|number| counter.spend("limit", &number.to_string(), allowance, room, start).is_ok())
            .count();
        assert!((1_000..=1_056).contains(&kept.get()), "{} keys", kept.get());
        assert!(granted <= room + SHARDS, "{granted} were granted");
        // what is over is forgotten, and there is room again
        let later = start + Duration::from_mins(2);
        assert!(
            (0..100).all(|number| counter.spend("limit", &format!("new {number}"), allowance, room, later).is_ok())
        );
    }
}
