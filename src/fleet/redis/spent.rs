//! What was spent of limits, told to the server and asked of it a few times a second.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use redis::aio::MultiplexedConnection;
use tokio::time::MissedTickBehavior;

use crate::fleet::board::Opened;
use crate::fleet::redis::Broken;
use crate::fleet::redis::config::Config;
use crate::fleet::spending::Asked;
use crate::fleet::spending::Spending;
use crate::fleet::spending::Table;
use crate::fleet::tally::Key;
use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// Tells and asks over one connection.
#[derive(Debug)]
pub struct Spendings {
    prefix: String,
    interval: Duration,
    opened: Opened<Asked, Table>,
    ledger: Ledger,
    done: Counter,
}

/// What this gate has to tell, and what it was told, by key.
#[derive(Debug, Default)]
struct Ledger {
    max_keys: usize,
    entries: HashMap<Key, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// What was asked for last, with how many were spent and are not told yet.
    asked: Asked,
    /// When that was.
    asked_at: Instant,
    /// When all will be given back, by what the server says.
    full_at: Instant,
}

/// Adds what was spent to a point in time a key, none of which may be too far away, and returns how far each is away.
/// In microseconds of the server's clock; written out whole, as Lua would round such numbers.
const ADD: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ahead = {}
for i, key in ipairs(KEYS) do
  local full = math.max(tonumber(redis.call('GET', key) or now), now) + ARGV[2 * i - 1]
  full = math.min(full, now + ARGV[2 * i])
  ahead[i] = full - now
  if ahead[i] > 0 then
    redis.call('SET', key, string.format('%.0f', full), 'PX', math.floor(ahead[i] / 1000) + 1000)
  end
end
return ahead
";

/// For how long a key is looked at after it was asked for.
const LOOKED_AT: Duration = Duration::from_secs(2);

/// How many keys are told at once: the server does nothing else meanwhile.
const MOST_AT_ONCE: usize = 500;

impl Spendings {
    /// Opens the spending; it is closed again when this is dropped with its connection.
    pub fn new(config: &Config, spending: &Spending, metrics: &Metrics) -> Self {
        let dropped = metrics.fleet.messages(LinkName::Redis, "count", "dropped");
        Self {
            prefix: config.prefix.clone(),
            interval: config.rate_interval,
            opened: spending.open(config.max_queue, dropped),
            ledger: Ledger { max_keys: config.max_keys, ..Ledger::default() },
            done: metrics.fleet.rate_syncs("done"),
        }
    }

    /// Tells and asks until the connection breaks.
    pub async fn run(mut self, mut redis: MultiplexedConnection) -> Broken {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // who may not do this is told at once, and not when the first limit is spent of
        if let Err(broken) = self.exchange(&[], &mut redis).await {
            return broken;
        }
        loop {
            ticks.tick().await;
            let now = Instant::now();
            while let Some(asked) = self.opened.take() {
                if !self.ledger.note(asked, now) {
                    self.opened.drop_note();
                }
            }
            let due = self.ledger.due(now);
            for some in due.chunks(MOST_AT_ONCE) {
                if let Err(broken) = self.exchange(some, &mut redis).await {
                    return broken;
                }
            }
            if !due.is_empty() {
                self.opened.show(self.ledger.table(now));
                self.done.inc();
            }
        }
    }

    async fn exchange(&mut self, entries: &[Entry], redis: &mut MultiplexedConnection) -> Result<(), Broken> {
        let mut command = redis::cmd("EVAL");
        command.arg(ADD).arg(entries.len());
        for entry in entries {
            command.arg(format!("{}:spent:{}", self.prefix, entry.asked.key));
        }
        for entry in entries {
            command.arg(micros(entry.advance())).arg(micros(entry.bound()));
        }
        // before the server's time, so that nothing is taken for given back later than it is
        let asked = Instant::now();
        let ahead: Vec<u64> = command.query_async(redis).await?;
        for (entry, ahead) in entries.iter().zip(ahead) {
            self.ledger.told(entry, asked + Duration::from_micros(ahead));
        }
        Ok(())
    }
}

impl Entry {
    fn advance(&self) -> Duration {
        self.asked.interval.saturating_mul(self.asked.spent)
    }

    /// How far away the point may be at most. What several gates grant before they know of each other is paid back, but
    /// nobody waits for more than once what may be spent at once.
    fn bound(&self) -> Duration {
        self.asked.whole.saturating_mul(2).max(self.asked.interval.saturating_mul(16))
    }
}

impl Ledger {
    /// Notes what was asked for; tells whether there was room for it.
    fn note(&mut self, asked: Asked, now: Instant) -> bool {
        if self.entries.len() >= self.max_keys && !self.entries.contains_key(&asked.key) {
            return false;
        }
        let of_none = Entry { asked: Asked { spent: 0, ..asked }, asked_at: now, full_at: now };
        let entry = self.entries.entry(asked.key).or_insert(of_none);
        let spent = entry.asked.spent.saturating_add(asked.spent);
        *entry = Entry { asked: Asked { spent, ..asked }, asked_at: now, ..*entry };
        true
    }

    /// Returns what is to be told, or was asked for lately.
    fn due(&self, now: Instant) -> Vec<Entry> {
        let is_due = |entry: &&Entry| entry.asked.spent > 0 || now.duration_since(entry.asked_at) < LOOKED_AT;
        self.entries.values().filter(is_due).copied().collect()
    }

    /// Notes what the server says of what it was told.
    fn told(&mut self, what: &Entry, full_at: Instant) {
        if let Some(entry) = self.entries.get_mut(&what.asked.key) {
            entry.asked.spent = entry.asked.spent.saturating_sub(what.asked.spent);
            entry.full_at = full_at;
        }
    }

    /// Returns what is to be shown, and forgets what was given back.
    fn table(&mut self, now: Instant) -> Table {
        self.entries.retain(|_, entry| {
            entry.asked.spent > 0 || entry.full_at > now || now.duration_since(entry.asked_at) < LOOKED_AT
        });
        self.entries.iter().map(|(key, entry)| (*key, entry.full_at)).collect()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX).min(LONGEST)
}

/// About 30 years: what the server's Lua can add to its clock without losing a microsecond.
const LONGEST: u64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use super::Entry;
    use super::LOOKED_AT;
    use super::Ledger;
    use super::micros;
    use crate::fleet::spending::Asked;
    use crate::fleet::tally::Key;

    fn asked(name: &str, spent: u32) -> Asked {
        let interval = Duration::from_secs(1);
        Asked { key: Key::new("limit", name), spent, interval, whole: interval * 5 }
    }

    #[test]
    fn what_was_told_is_kept_until_it_is_given_back() {
        let (mut ledger, now) = (Ledger { max_keys: 1, ..Ledger::default() }, Instant::now());
        assert!(ledger.note(asked("a", 1), now) && ledger.note(asked("a", 0), now) && ledger.note(asked("a", 1), now));
        assert!(!ledger.note(asked("b", 1), now), "no room");
        let advances =
            |ledger: &Ledger, at| ledger.due(at).iter().map(|entry| entry.advance().as_secs()).collect::<Vec<_>>();
        assert_eq!(advances(&ledger, now), [2]);
        let told = ledger.due(now);
        assert!(ledger.note(asked("a", 1), now), "while it is told");
        let full_at = now + Duration::from_secs(7);
        for entry in &told {
            ledger.told(entry, full_at);
        }
        assert_eq!(advances(&ledger, now + LOOKED_AT), [1]);
        assert_eq!(ledger.table(now), [(Key::new("limit", "a"), full_at)].into());
        for entry in ledger.due(now) {
            ledger.told(&entry, full_at);
        }
        assert_eq!(
            (advances(&ledger, now), advances(&ledger, now + LOOKED_AT)),
            (vec![0], vec![]),
            "looked at for a while"
        );
        assert_eq!(ledger.table(now + LOOKED_AT).len(), 1);
        assert!(ledger.table(full_at).is_empty());
        assert!(ledger.note(asked("b", 1), full_at), "there is room again");
    }

    #[test]
    fn a_debt_is_bounded() {
        let of = |seconds, burst| {
            let interval = Duration::from_secs(seconds);
            let asked = Asked { interval, whole: interval * burst, ..asked("a", 1) };
            Entry { asked, asked_at: Instant::now(), full_at: Instant::now() }.bound().as_secs()
        };
        assert_eq!((of(1, 1), of(1, 100), of(60, 10)), (16, 200, 1200));
        let times = [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(2), Duration::MAX];
        assert_eq!(times.map(micros), [0, 1, 2, 1_000_000_000_000_000]);
    }
}
