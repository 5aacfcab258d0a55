//! Counts of limits, exchanged with the other gates a few times a second.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use redis::Pipeline;
use redis::aio::MultiplexedConnection;
use tokio::time::MissedTickBehavior;

use crate::fleet::redis::Broken;
use crate::fleet::redis::config::Config;
use crate::fleet::tally::Clock;
use crate::fleet::tally::Counted;
use crate::fleet::tally::Key;
use crate::fleet::tally::Noted;
use crate::fleet::tally::Others;
use crate::fleet::tally::Tally;
use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// Exchanges counts over one connection.
#[derive(Debug)]
pub struct Rates {
    prefix: String,
    interval: Duration,
    tally: Tally,
    noted: Noted,
    ledger: Ledger,
    done: Counter,
    untracked: Counter,
}

/// What this gate has admitted, by key.
#[derive(Debug, Default)]
struct Ledger {
    max_keys: usize,
    second: u64,
    entries: HashMap<Key, Entry>,
}

/// What this gate has admitted of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// In this second, and sent.
    now: u64,
    /// In the second before.
    before: u64,
    /// In this second, and not sent yet.
    unsent: u64,
    /// The last second it was asked for in.
    used: u64,
}

/// What the server counts, in the order of the keys; nothing for keys it does not know.
type Counts = Vec<Option<u64>>;

/// How long a count is kept by the server: it is looked at in its own second and in the next.
const KEPT_SECONDS: i64 = 5;

impl Rates {
    /// Opens the tally; it is closed again when this is dropped with its connection.
    pub fn new(config: &Config, tally: Tally, metrics: &Metrics) -> Self {
        let dropped = metrics.fleet.messages(LinkName::Redis, "count", "dropped");
        Self {
            prefix: config.prefix.clone(),
            interval: config.rate_interval,
            noted: tally.open(config.max_queue, dropped.clone()),
            tally,
            ledger: Ledger { max_keys: config.max_keys, ..Ledger::default() },
            done: metrics.fleet.rate_syncs("done"),
            untracked: dropped,
        }
    }

    /// Exchanges counts until the connection breaks.
    pub async fn run(mut self, mut redis: MultiplexedConnection) -> Broken {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock = match read_clock(&mut redis).await {
            Ok(clock) => clock,
            Err(broken) => return broken,
        };
        loop {
            ticks.tick().await;
            self.ledger.turn(clock.at(Instant::now()).0);
            while let Ok((key, counted)) = self.noted.keys.try_recv() {
                if !self.ledger.note(key, counted) {
                    self.untracked.inc();
                }
            }
            if self.ledger.entries.is_empty() {
                continue;
            }
            match self.exchange(&mut redis).await {
                Ok(read) => clock = read,
                Err(broken) => return broken,
            }
            self.done.inc();
        }
    }

    /// Sends what was admitted here, and fetches what was admitted anywhere.
    async fn exchange(&mut self, redis: &mut MultiplexedConnection) -> Result<Clock, Broken> {
        let second = self.ledger.second;
        let keys: Vec<Key> = self.ledger.entries.keys().copied().collect();
        let name = |second: u64, key: &Key| format!("{}:rate:{second}:{key}", self.prefix);
        let mut pipeline = Pipeline::new();
        for (key, entry) in self.ledger.entries.iter().filter(|(_, entry)| entry.unsent > 0) {
            let name = name(second, key);
            pipeline.cmd("INCRBY").arg(&name).arg(entry.unsent).ignore();
            pipeline.cmd("EXPIRE").arg(&name).arg(KEPT_SECONDS).ignore();
        }
        pipeline.cmd("MGET").arg(keys.iter().map(|key| name(second, key)).collect::<Vec<_>>());
        pipeline.cmd("MGET").arg(keys.iter().map(|key| name(second.saturating_sub(1), key)).collect::<Vec<_>>());
        pipeline.cmd("TIME");
        let (now, before, time): (Counts, Counts, (u64, u32)) = pipeline.query_async(redis).await?;
        let clock = Clock::read(since_epoch(time));
        let totals = keys.iter().zip(now.into_iter().zip(before));
        let others = totals.map(|(key, (now, before))| {
            (*key, self.ledger.sent(*key, now.unwrap_or_default(), before.unwrap_or_default()))
        });
        let others: HashMap<Key, Others> = others.collect();
        self.tally.show(clock, second, others);
        Ok(clock)
    }
}

async fn read_clock(redis: &mut MultiplexedConnection) -> Result<Clock, Broken> {
    let time: (u64, u32) = redis::cmd("TIME").query_async(redis).await?;
    Ok(Clock::read(since_epoch(time)))
}

fn since_epoch((seconds, micros): (u64, u32)) -> Duration {
    Duration::from_secs(seconds) + Duration::from_micros(micros.into())
}

impl Ledger {
    /// Goes on to a second; what was not touched for two of them is dropped.
    fn turn(&mut self, second: u64) {
        if second == self.second {
            return;
        }
        let is_next = second == self.second.wrapping_add(1);
        self.second = second;
        self.entries.retain(|_, entry| {
            entry.before = if is_next { entry.now } else { 0 };
            entry.now = 0;
            second.saturating_sub(entry.used) <= 2
        });
    }

    /// Notes what became of one; tells whether there was room for it.
    fn note(&mut self, key: Key, counted: Counted) -> bool {
        if self.entries.len() >= self.max_keys && !self.entries.contains_key(&key) {
            return false;
        }
        let entry = self.entries.entry(key).or_default();
        entry.unsent += match counted {
            Counted::Admitted => 1,
            Counted::Refused => 0,
        };
        entry.used = self.second;
        true
    }

    /// Notes that all of a key is sent, and returns what is others' of the totals.
    fn sent(&mut self, key: Key, now: u64, before: u64) -> Others {
        let entry = self.entries.entry(key).or_default();
        entry.now += std::mem::take(&mut entry.unsent);
        Others { now: now.saturating_sub(entry.now), before: before.saturating_sub(entry.before) }
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use crate::fleet::tally::Counted;
    use crate::fleet::tally::Key;
    use crate::fleet::tally::Others;

    #[test]
    fn what_is_ones_own_is_not_counted_as_others() {
        let (mut ledger, key) = (Ledger { max_keys: 1, ..Ledger::default() }, Key::new("client", "a"));
        ledger.turn(100);
        assert!(ledger.note(key, Counted::Admitted) && ledger.note(key, Counted::Admitted));
        assert!(!ledger.note(Key::new("client", "b"), Counted::Admitted), "no room");
        assert_eq!(ledger.sent(key, 5, 0), Others { now: 3, before: 0 });
        assert!(ledger.note(key, Counted::Admitted));
        assert_eq!(ledger.sent(key, 7, 0), Others { now: 4, before: 0 });
        ledger.turn(101);
        assert_eq!(ledger.sent(key, 0, 7), Others { now: 0, before: 4 });
        ledger.turn(103);
        assert_eq!(ledger.sent(key, 2, 9), Others { now: 2, before: 9 }, "two seconds later all of it is others'");
        ledger.turn(104);
        assert!(ledger.note(key, Counted::Refused));
        ledger.turn(106);
        assert_eq!(ledger.sent(key, 9, 0), Others { now: 9, before: 0 }, "still looked at, and nothing counted");
        ledger.turn(110);
        assert!(ledger.entries.is_empty());
    }
}
