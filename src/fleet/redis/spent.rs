//! What was spent of limits, told to the server and asked of it a few times a second.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use redis::ErrorKind;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::MissedTickBehavior;

use crate::fleet::board::Opened;
use crate::fleet::redis::Broken;
use crate::fleet::redis::config::Config;
use crate::fleet::spending::Asked;
use crate::fleet::spending::FOLLOWED;
use crate::fleet::spending::Key;
use crate::fleet::spending::Shown;
use crate::fleet::spending::Spending;
use crate::fleet::spending::Table;
use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// Tells and asks over one connection.
#[derive(Debug)]
pub struct Exchange<'a> {
    prefix: String,
    interval: Duration,
    opened: Opened<Asked, Table>,
    ledger: &'a mut Ledger,
    metrics: Metrics,
    /// How many other gates there are.
    gates: Gauge,
    /// How long the last answer took.
    way: Duration,
    is_refused: bool,
}

/// What this gate has to tell, and what it was told, by key. It outlives connections, and the server's memory.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<Key, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// What was asked for, with how many were spent and are not told yet, and when the first of them was.
    asked: Asked,
    followed_until: Instant,
    /// When all will be given back, by what the server says.
    full_at: Instant,
    /// Whether the server may have forgotten that.
    may_be_lost: bool,
}

/// Adds what was spent to a point in time a key, and returns how far each is away; in microseconds of the server's clock.
/// For each key: how much is added, how long ago it was spent, how far away the point is at least, and at most. Numbers are written out, as Lua would round them.
const ADD: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ahead = {}
for i, key in ipairs(KEYS) do
  local spent, ago, least, most = ARGV[4 * i - 3], ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i]
  local kept = redis.pcall('GET', key)
  kept = type(kept) == 'string' and tonumber(kept) or 0
  local before = kept
  if tonumber(least) > 0 then
    before = math.max(before, now + least)
  end
  local full = math.max(before, now - ago) + spent
  full = math.min(full, now + most)
  ahead[i] = math.max(full - now, 0)
  if ahead[i] > 0 and full ~= kept then
    redis.call('SET', key, string.format('%.0f', full), 'PX', math.floor(ahead[i] / 1000) + 1000)
  end
end
return ahead
";

/// How many keys are told at once: the server does nothing else meanwhile.
const MOST_AT_ONCE: usize = 500;
/// How much earlier than it is known spending is taken to have been.
const LEAST_GRACE: Duration = Duration::from_millis(5);
/// How much debt there may be at least: of a quick limit, several times its burst is granted between two exchanges.
const LEAST_DEBT: Duration = Duration::from_secs(3);

impl<'a> Exchange<'a> {
    /// Opens the spending; it is closed again when this is dropped with its connection.
    pub fn new(config: &Config, spending: &Spending, ledger: &'a mut Ledger, metrics: &Metrics) -> Self {
        let dropped = metrics.fleet.messages(LinkName::Redis, "count", "dropped");
        Self {
            prefix: config.prefix.clone(),
            interval: config.rate_interval,
            opened: spending.open(config.max_queue, dropped),
            ledger,
            metrics: metrics.clone(),
            gates: metrics.fleet.gates.clone(),
            way: Duration::ZERO,
            is_refused: false,
        }
    }

    /// Tells and asks until the connection breaks.
    pub async fn run(mut self, max_keys: usize, mut redis: MultiplexedConnection) -> Broken {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // who may not do this is told at once, and not when the first limit is spent of
        let mut due = vec![Entry::probe(Instant::now())];
        // a server that has lost its memory is told again
        self.ledger.retell(Instant::now());
        loop {
            for some in due.chunks(MOST_AT_ONCE) {
                match self.exchange(some, &mut redis).await {
                    Ok(()) => self.told("done", None),
                    Err(error) if is_answer(&error) => self.told("refused", Some(&error)),
                    Err(error) => return error.into(),
                }
            }
            if !due.is_empty() {
                self.opened.show(self.ledger.table());
            }
            ticks.tick().await;
            let now = Instant::now();
            self.ledger.sweep(now, max_keys);
            while let Some(asked) = self.opened.take() {
                if !self.ledger.note(asked, max_keys) {
                    self.opened.drop_note();
                }
            }
            due = self.ledger.due(now);
        }
    }

    async fn exchange(&mut self, entries: &[Entry], redis: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut command = redis::cmd("EVAL");
        command.arg(ADD).arg(entries.len());
        for entry in entries {
            command.arg(format!("{}:spent:{}", self.prefix, entry.asked.key));
        }
        // before the server's time, so that nothing is taken for given back later than it is
        let now = Instant::now();
        let gates = u32::try_from(self.gates.get()).unwrap_or_default().saturating_add(1);
        for entry in entries {
            let (spent, ago, least) = entry.tells(now);
            // not counted from when it arrives, or who comes again just when it is given back would be refused
            let ago = ago + LEAST_GRACE.max(self.way * 2);
            for time in [spent, ago, least, entry.most(gates)] {
                command.arg(micros(time));
            }
        }
        let ahead: Vec<u64> = command.query_async(redis).await?;
        self.way = now.elapsed();
        for (entry, ahead) in entries.iter().zip(ahead) {
            let ahead = Duration::from_micros(ahead).min(entry.most(gates));
            self.ledger.told(entry, now + ahead);
        }
        Ok(())
    }

    /// Counts an exchange; what the server refuses is told once, and once when it no longer does.
    fn told(&mut self, outcome: &'static str, cause: Option<&RedisError>) {
        self.metrics.fleet.rate_syncs(outcome).inc();
        let was_refused = std::mem::replace(&mut self.is_refused, cause.is_some());
        match cause {
            Some(cause) if !was_refused => {
                tracing::warn!(link = "redis", %cause, "the server refuses to count: limits are each gate's own");
            }
            None if was_refused => tracing::info!(link = "redis", "the server counts again"),
            _ => {}
        }
    }
}

/// Tells whether the server answered, and will answer the next question as well.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !error.is_unrecoverable_error()
}

impl Entry {
    /// Asks for what may be done, and nothing else.
    fn probe(now: Instant) -> Self {
        let time = Duration::from_secs(1);
        let asked = Asked { key: Key::new("", ""), spent: 1, at: now, interval: time, whole: time };
        Self { asked, followed_until: now, full_at: now, may_be_lost: false }
    }

    /// Returns how much was spent, how long ago, and how far away the point is at least.
    fn tells(&self, now: Instant) -> (Duration, Duration, Duration) {
        let spent = self.asked.interval.saturating_mul(self.asked.spent);
        // the way to the server would be added each time
        let least = if self.may_be_lost { self.full_at.saturating_duration_since(now) } else { Duration::ZERO };
        (spent, now.saturating_duration_since(self.asked.at), least)
    }

    /// How far away the point may be at most: what so many gates grant before they know of each other is paid back; what a
    /// clock that was turned, or another's number, says beyond that is not.
    fn most(&self, gates: u32) -> Duration {
        let whole = self.asked.whole;
        whole.saturating_mul(gates.saturating_add(1)).max(whole.saturating_add(LEAST_DEBT))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.asked.spent > 0 || self.followed_until > now
    }
}

impl Ledger {
    /// Notes what was asked for; tells whether there was room for it.
    fn note(&mut self, asked: Asked, max_keys: usize) -> bool {
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
    fn due(&self, now: Instant) -> Vec<Entry> {
        self.entries.values().filter(|entry| entry.is_due(now)).copied().collect()
    }

    /// Notes what the server says of what it was told.
    fn told(&mut self, what: &Entry, full_at: Instant) {
        if let Some(entry) = self.entries.get_mut(&what.asked.key) {
            entry.asked.spent = entry.asked.spent.saturating_sub(what.asked.spent);
            entry.full_at = full_at;
            entry.may_be_lost = false;
        }
    }

    /// Forgets what was given back; and if there is no room, also what the server knows and nobody asks for.
    fn sweep(&mut self, now: Instant, max_keys: usize) {
        self.entries.retain(|_, entry| entry.is_due(now) || entry.full_at > now);
        if self.entries.len() >= max_keys {
            self.entries.retain(|_, entry| entry.is_due(now));
        }
    }

    /// Has the server told all again.
    fn retell(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.may_be_lost = true;
            entry.followed_until = now + FOLLOWED;
        }
    }

    fn table(&self) -> Table {
        let shown = |entry: &Entry| Shown { full_at: entry.full_at, followed_until: entry.followed_until };
        self.entries.iter().map(|(key, entry)| (*key, shown(entry))).collect()
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
    use super::FOLLOWED;
    use super::Ledger;
    use super::micros;
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
    fn a_debt_is_bounded() {
        let most = |interval: Duration, burst, gates| {
            let asked = Asked { interval, whole: interval * burst, ..asked("a", 1, Instant::now()) };
            Entry { asked, ..Entry::probe(Instant::now()) }.most(gates)
        };
        assert_eq!(most(SECOND * 60, 10, 3), SECOND * 2400, "the bursts of three, and one more");
        assert_eq!(most(SECOND / 100, 5, 3), SECOND * 3 + SECOND / 20, "what three may grant between two exchanges");
        let times = [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(2), Duration::MAX];
        assert_eq!(times.map(micros), [0, 1, 2, 1_000_000_000_000_000]);
    }
}
