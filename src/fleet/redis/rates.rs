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
use crate::fleet::tally::Tally;
use crate::fleet::tally::Total;
use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// Exchanges counts over one connection.
#[derive(Debug)]
pub struct Rates {
    prefix: String,
    interval: Duration,
    noted: Noted,
    ledger: Ledger,
    done: Counter,
}

/// What this gate has to send, by key.
#[derive(Debug, Default)]
struct Ledger {
    max_keys: usize,
    second: u64,
    entries: HashMap<Key, Entry>,
}

/// What this gate has to send of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// How many were admitted and are not sent yet.
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
    pub fn new(config: &Config, tally: &Tally, metrics: &Metrics) -> Self {
        let dropped = metrics.fleet.messages(LinkName::Redis, "count", "dropped");
        Self {
            prefix: config.prefix.clone(),
            interval: config.rate_interval,
            noted: tally.open(config.max_queue, dropped),
            ledger: Ledger { max_keys: config.max_keys, ..Ledger::default() },
            done: metrics.fleet.rate_syncs("done"),
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
            self.noted.begin();
            while let Some((key, counted)) = self.noted.take() {
                if !self.ledger.note(key, counted) {
                    self.noted.drop_note();
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
        self.ledger.sent();
        let counts = now.into_iter().zip(before);
        let counts =
            counts.map(|(now, before)| Total { now: now.unwrap_or_default(), before: before.unwrap_or_default() });
        self.noted.end(clock, second, keys.into_iter().zip(counts).collect());
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
        if second != self.second {
            self.second = second;
            self.entries.retain(|_, entry| second.saturating_sub(entry.used) <= 2);
        }
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

    /// Notes that all is sent.
    fn sent(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.unsent = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use crate::fleet::tally::Counted;
    use crate::fleet::tally::Key;

    #[test]
    fn a_key_is_looked_at_until_nobody_asks_for_it() {
        let (mut ledger, key) = (Ledger { max_keys: 1, ..Ledger::default() }, Key::new("client", "a"));
        let unsent = |ledger: &Ledger| ledger.entries.get(&key).map(|entry| entry.unsent);
        ledger.turn(100);
        assert!(ledger.note(key, Counted::Admitted) && ledger.note(key, Counted::Admitted));
        assert!(!ledger.note(Key::new("client", "b"), Counted::Admitted), "no room");
        assert_eq!(unsent(&ledger), Some(2));
        ledger.turn(101);
        assert_eq!(unsent(&ledger), Some(2), "not lost between two seconds");
        ledger.sent();
        assert_eq!(unsent(&ledger), Some(0));
        ledger.turn(102);
        assert!(ledger.note(key, Counted::Refused));
        ledger.turn(104);
        assert_eq!(unsent(&ledger), Some(0), "still looked at, and nothing counted");
        ledger.turn(105);
        assert_eq!(unsent(&ledger), None);
    }
}
