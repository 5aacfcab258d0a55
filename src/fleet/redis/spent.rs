//! What was spent of limits, told to the server and asked of it a few times a second.

use std::time::Duration;
use std::time::Instant;

use redis::ErrorKind;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::MissedTickBehavior;

use crate::fleet::board::Opened;
use crate::fleet::redis::Broken;
use crate::fleet::redis::config::Config;
use crate::fleet::redis::ledger::Entry;
use crate::fleet::redis::ledger::Ledger;
use crate::fleet::spending::Asked;
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
    /// How long the last answer took.
    way: Duration,
    /// What the server says of this gate's counting.
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was not asked yet.
    Unknown,
    /// It counts.
    Counts,
    /// It does not.
    Refuses,
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
  if type(kept) == 'table' and not string.find(kept.err, 'WRONGTYPE', 1, true) then
    return kept
  end
  kept = type(kept) == 'string' and tonumber(kept) or 0
  if kept ~= kept then
    kept = 0
  end
  local before = kept
  if tonumber(least) > 0 then
    before = math.max(before, now + least)
  end
  local full = math.max(before, now - ago) + spent
  full = math.min(full, now + most)
  ahead[i] = math.max(full - now, 0)
  local counts = ahead[i] > 0 or tonumber(spent) > 0 and full > now - 1000000
  if counts and full ~= kept then
    redis.call('SET', key, string.format('%.0f', full), 'PX', math.floor((full - now) / 1000) + 2000)
  end
end
return ahead
";

/// How many keys are told at once: the server does nothing else meanwhile.
const MOST_AT_ONCE: usize = 500;
/// How much earlier than it is known spending is taken to have been.
const LEAST_GRACE: Duration = Duration::from_millis(5);

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
            way: Duration::ZERO,
            state: State::Unknown,
        }
    }

    /// Tells and asks until the connection breaks.
    pub async fn run(mut self, max_keys: usize, mut redis: MultiplexedConnection) -> Broken {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // a server that has lost its memory is told again
        self.ledger.retell(Instant::now());
        loop {
            if let Err(error) = self.turn(&mut redis, max_keys).await {
                return error.into();
            }
            ticks.tick().await;
        }
    }

    /// Takes the notes, and exchanges what is due; but while the server does not count, only asks whether it would.
    async fn turn(&mut self, redis: &mut MultiplexedConnection, max_keys: usize) -> Result<(), RedisError> {
        let now = Instant::now();
        self.ledger.sweep(now, max_keys);
        while let Some(asked) = self.opened.take() {
            if !self.ledger.note(asked, max_keys) {
                self.opened.drop_note();
            }
        }
        if self.state != State::Counts {
            self.ledger.let_go(now);
            // who may not do this is told at once, and not when the first limit is spent of
            match self.exchange(&[Entry::probe(now)], redis).await {
                Ok(()) => self.counts(),
                Err(error) if is_answer(&error) => self.refuses(&error),
                Err(error) => return Err(error),
            }
        }
        let due = if self.state == State::Counts { self.ledger.due(now) } else { Vec::new() };
        for some in due.chunks(MOST_AT_ONCE) {
            match self.exchange(some, redis).await {
                Ok(()) => {}
                // another server has become the one that counts: whoever connects anew finds it
                Err(error) if is_answer(&error) && !is_no_longer_the_one(&error) => {
                    self.refuses(&error);
                    return Ok(());
                }
                Err(error) => {
                    // nobody knows whether it was counted
                    self.ledger.lost(some);
                    return Err(error);
                }
            }
        }
        if !due.is_empty() {
            self.metrics.fleet.rate_syncs("done").inc();
            self.opened.show(self.ledger.table());
        }
        Ok(())
    }

    async fn exchange(&mut self, entries: &[Entry], redis: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut command = redis::cmd("EVAL");
        command.arg(ADD).arg(entries.len());
        for entry in entries {
            command.arg(format!("{}:spent:{}", self.prefix, entry.asked.key));
        }
        // before the server's time, so that nothing is taken for given back later than it is
        let now = Instant::now();
        let heard = u32::try_from(self.metrics.fleet.gates.get()).unwrap_or_default().saturating_add(1);
        let gates = self.ledger.gates(heard, now);
        for entry in entries {
            let (spent, ago, least) = entry.tells(now);
            // not counted from when it arrives, or who comes again just when it is given back would be refused
            let ago = ago + LEAST_GRACE.max(self.way * 2);
            for time in [spent, ago, least, entry.most(gates, self.interval)] {
                command.arg(micros(time));
            }
        }
        let ahead: Vec<u64> = command.query_async(redis).await?;
        self.way = now.elapsed();
        for (entry, ahead) in entries.iter().zip(ahead) {
            let ahead = Duration::from_micros(ahead).min(entry.most(gates, self.interval));
            self.ledger.told(entry, now + ahead);
        }
        Ok(())
    }

    fn counts(&mut self) {
        if std::mem::replace(&mut self.state, State::Counts) == State::Refuses {
            tracing::info!(link = "redis", "the server counts again");
        }
    }

    fn refuses(&mut self, cause: &RedisError) {
        self.metrics.fleet.rate_syncs("refused").inc();
        if std::mem::replace(&mut self.state, State::Refuses) != State::Refuses {
            tracing::warn!(link = "redis", %cause, "the server refuses to count: limits are each gate's own");
        }
    }
}

/// Tells whether the server answered, and will answer the next question as well.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !error.is_unrecoverable_error()
}

/// Tells whether a server that has counted no longer may; from within a script it says so in words.
fn is_no_longer_the_one(error: &RedisError) -> bool {
    let words = error.to_string();
    ["READONLY", "MASTERDOWN", "read only replica"].iter().any(|word| words.contains(word))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX).min(LONGEST)
}

/// About 30 years: what the server's Lua can add to its clock without losing a microsecond.
const LONGEST: u64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::micros;

    #[test]
    fn times_are_whole_microseconds_that_lua_can_add() {
        let times = [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(2), Duration::MAX];
        assert_eq!(times.map(micros), [0, 1, 2, 1_000_000_000_000_000]);
    }
}
