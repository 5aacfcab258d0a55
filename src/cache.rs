//! What neighbours said, remembered for a bounded time: good and bad answers apart, misses coalesced.

pub mod forgotten;
pub mod vouched;

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use futures_util::FutureExt;
use moka::Expiry;
use moka::future::Cache;
use prometheus_client::metrics::counter::Counter;

use crate::telemetry::metrics::Metrics;

/// An answer worth remembering.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Returns when it was asked for.
    fn since(&self) -> Instant;

    /// Returns how long it may be remembered from now on.
    fn lasts(&self) -> Duration;
}

/// A failure to answer.
pub trait Failure: Clone + Send + Sync + 'static {
    /// Tells whether the neighbour itself said no; an outage is not remembered.
    fn is_final(&self) -> bool;

    /// Tells whether it is only about the one who asked, and no answer for those who waited for the same.
    fn is_askers_own(&self) -> bool {
        false
    }
}

/// The bounds of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many good answers are kept; a quarter as many bad ones.
    pub entries: u64,
    /// How long a bad answer is kept.
    pub negative: Duration,
}

/// A cache whose bad answers can not push good ones out; cloning shares it.
#[derive(Clone)]
pub struct Remembered<K, V, E> {
    name: &'static str,
    good: Cache<K, V>,
    bad: Cache<K, (E, Instant)>,
    counts: Counts,
}

/// What is counted; found once, because a look-up is faster than finding its counter.
#[derive(Clone)]
struct Counts {
    hit: Counter,
    negative_hit: Counter,
    miss: Counter,
    stale: Counter,
}

/// Ends each entry when its answer says so.
struct AsAnswered;

impl<K, V, E> Remembered<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Answer,
    E: Failure,
{
    /// Makes an empty cache; the name is its label in the metrics.
    pub fn new(name: &'static str, bounds: &Bounds, metrics: &Metrics) -> Self {
        Self {
            name,
            good: Cache::builder().max_capacity(bounds.entries).expire_after(AsAnswered).build(),
            bad: Cache::builder().max_capacity(bounds.entries / 4 + 1).time_to_live(bounds.negative).build(),
            counts: Counts {
                hit: metrics.cache(name, "hit"),
                negative_hit: metrics.cache(name, "negative_hit"),
                miss: metrics.cache(name, "miss"),
                stale: metrics.cache(name, "stale"),
            },
        }
    }

    /// Returns the good answer that is remembered, if it is one that `holds`; waits for nobody. Only what is found is
    /// counted: whoever finds nothing asks [`Remembered::get_or_load`].
    pub fn at_hand(&self, key: &K, holds: impl FnOnce(&V) -> bool) -> Option<V> {
        // a look-up only waits while another thread tidies up
        let answer = self.good.get(key).now_or_never().flatten().filter(holds)?;
        self.counts.hit.inc();
        Some(answer)
    }

    /// Returns the remembered answer, or loads it once for all who ask at the same time.
    ///
    /// An answer asked for at a time that `holds` denies is loaded again. If the caller that loads goes away,
    /// one of those who wait takes over.
    ///
    /// # Errors
    /// Returns the failure that is remembered or that loading ended with.
    pub async fn get_or_load<F>(&self, key: K, holds: impl Fn(Instant) -> bool, load: impl Fn() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        if let Some(remembered) = self.remembered(&key, &holds).await {
            return remembered;
        }
        // on the heap, or every request would carry the room that asking a neighbour needs
        Box::pin(self.load_anew(key, holds, load)).await
    }

    /// Drops the good answer, if there is one.
    pub async fn drop_good(&self, key: &K) {
        self.good.invalidate(key).await;
    }

    /// Returns about how many good answers are kept; what has ended is dropped first.
    pub async fn entries(&self) -> u64 {
        self.good.run_pending_tasks().await;
        self.good.entry_count()
    }

    /// Returns what is remembered and holds.
    async fn remembered(&self, key: &K, holds: &impl Fn(Instant) -> bool) -> Option<Result<V, E>> {
        if let Some(answer) = self.good.get(key).await {
            if holds(answer.since()) {
                self.counts.hit.inc();
                return Some(Ok(answer));
            }
            self.counts.stale.inc();
            self.good.invalidate(key).await;
        } else if let Some((failure, since)) = self.bad.get(key).await
            && holds(since)
        {
            self.counts.negative_hit.inc();
            return Some(Err(failure));
        } else {
            self.counts.miss.inc();
        }
        None
    }

    async fn load_anew<F>(&self, key: K, holds: impl Fn(Instant) -> bool, load: impl Fn() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let loaded = self.load(&key, &load).await;
        match &loaded {
            // somebody else had asked before the change that made this request look again
            Ok(answer) if !holds(answer.since()) => {
                self.good.invalidate(&key).await;
                self.load(&key, &load).await
            }
            Ok(_) | Err(_) => loaded,
        }
    }

    async fn load<F>(&self, key: &K, load: &impl Fn() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        loop {
            let asked = Instant::now();
            let has_asked = AtomicBool::new(false);
            let loading = async {
                has_asked.store(true, Ordering::Relaxed);
                load().await
            };
            let loaded = self.good.try_get_with(key.clone(), loading).await.map_err(|failure| (*failure).clone());
            match &loaded {
                Err(failure) if failure.is_askers_own() && !has_asked.load(Ordering::Relaxed) => continue,
                Err(failure) if failure.is_final() => self.bad.insert(key.clone(), (failure.clone(), asked)).await,
                Ok(_) | Err(_) => {}
            }
            return loaded;
        }
    }
}

impl<K, V: Answer> Expiry<K, V> for AsAnswered {
    fn expire_after_create(&self, _: &K, answer: &V, _: Instant) -> Option<Duration> {
        Some(answer.lasts())
    }
}

impl<K, V, E> fmt::Debug for Remembered<K, V, E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remembered").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use super::Answer;
    use super::Bounds;
    use super::Failure;
    use super::Remembered;
    use crate::telemetry::metrics::Metrics;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Good(Instant);

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Bad {
        Final,
        Outage,
    }

    impl Answer for Good {
        fn since(&self) -> Instant {
            self.0
        }

        fn lasts(&self) -> Duration {
            Duration::from_hours(1)
        }
    }

    impl Failure for Bad {
        fn is_final(&self) -> bool {
            *self == Self::Final
        }
    }

    fn cache(entries: u64) -> Remembered<u32, Good, Bad> {
        Remembered::new("test", &Bounds { entries, negative: Duration::from_hours(1) }, &Metrics::default())
    }

    #[tokio::test]
    async fn bad_answers_do_not_push_good_ones_out() {
        let cache = cache(100);
        let load = async || Ok(Good(Instant::now()));
        let first = cache.get_or_load(0, |_| true, load).await;
        for key in 1..10_000 {
            assert_eq!(cache.get_or_load(key, |_| true, async || Err(Bad::Final)).await, Err(Bad::Final));
        }
        let forbidden = async || -> Result<Good, Bad> { panic!("it was remembered") };
        assert_eq!(cache.get_or_load(0, |_| true, forbidden).await, first);
    }

    #[tokio::test]
    async fn an_outage_is_not_remembered() {
        let cache = cache(100);
        assert_eq!(cache.get_or_load(0, |_| true, async || Err(Bad::Outage)).await, Err(Bad::Outage));
        assert!(cache.get_or_load(0, |_| true, async || Ok(Good(Instant::now()))).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_no_longer_holds_is_loaded_again() {
        let cache = cache(100);
        let load = async || Ok(Good(Instant::now()));
        let first = cache.get_or_load(0, |_| true, load).await.expect("an answer");
        let second = cache.get_or_load(0, |since| since > first.0, load).await.expect("an answer");
        assert!(second.0 > first.0);
    }
}
