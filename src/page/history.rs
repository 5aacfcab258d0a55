//! An hour of the gate's life in steps of some seconds: what was counted in each, in bounded memory.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::page::latency::Counted;
use crate::page::latency::Latency;
use crate::page::reading::Reading;
use crate::page::reading::Sample;

/// How long a step is.
pub const STEP: Duration = Duration::from_secs(5);
/// How many steps are kept: one hour.
pub const STEPS: usize = 720;

/// What can become of a request, in the order of [`Step::verdicts`].
pub const VERDICTS: [&str; 6] = ["passed_through", "permitted", "asked", "refused", "would_refuse", "rule_off"];
/// The classes of an answer's status, in the order of [`Step::statuses`].
pub const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// The ways whose durations are told, in the order of [`Step::latencies`].
pub const BRANCHES: [&str; 2] = ["member_update", "passthrough"];
/// The memories, in the order of [`Step::caches`].
pub const CACHES: [&str; 4] = ["token", "access_token", "ended_token", "ownership"];
/// Who is asked, in the order of [`Step::neighbours`].
pub const NEIGHBOURS: [&str; 3] = ["keystone", "glance", "issuer"];

/// What was counted within one step. Load balancers' health checks are no traffic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// When it ended, in seconds since 1970.
    pub at: f64,
    /// How long it was.
    pub seconds: f64,
    /// Requests by what became of them.
    pub verdicts: [u64; VERDICTS.len()],
    /// Requests by the class of their answer's status.
    pub statuses: [u64; STATUSES.len()],
    /// Refusals by reason, answered or only told.
    pub refusals: Vec<(String, u64)>,
    /// How long requests took.
    pub latencies: [Latency; BRANCHES.len()],
    /// Look-ups of each memory.
    pub caches: [Lookups; CACHES.len()],
    /// Questions to each neighbour.
    pub neighbours: [Questions; NEIGHBOURS.len()],
    /// Requests under way at its end.
    pub in_flight: u64,
    /// Client connections at its end.
    pub connections: u64,
}

/// Look-ups of a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// That were answered from it, good and bad answers alike.
    pub hits: u64,
    /// That were not, or no longer.
    pub misses: u64,
}

/// Questions to a neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// That were answered.
    pub answered: u64,
    /// That were not, or not with an answer.
    pub failed: u64,
}

/// The steps of the last hour.
#[derive(Debug)]
pub struct History {
    steps: VecDeque<Step>,
    last: Totals,
}

/// What was counted since the gate started, at one moment.
#[derive(Clone, Debug)]
struct Totals {
    at: SystemTime,
    step: Step,
    counted: [Counted; BRANCHES.len()],
    questions: Vec<Asked>,
}

/// How often one neighbour gave one outcome.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    neighbour: String,
    outcome: String,
    kind: &'static str,
    count: u64,
}

impl History {
    /// Begins with what is counted so far.
    pub fn new(now: SystemTime, reading: &Reading) -> Self {
        Self { steps: VecDeque::with_capacity(STEPS), last: Totals::of(now, reading) }
    }

    /// Ends a step, and forgets the one of an hour ago.
    pub fn push(&mut self, now: SystemTime, reading: &Reading) {
        let totals = Totals::of(now, reading);
        if self.steps.len() >= STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(totals.since(&self.last));
        self.last = totals;
    }

    /// Returns the steps, the oldest first.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &Step> {
        self.steps.iter()
    }

    /// Returns all that was counted within this time up to now, the step that has not ended yet among it.
    pub fn within(&self, time: Duration, now: SystemTime, reading: &Reading) -> Step {
        let mut sum = Totals::of(now, reading).since(&self.last);
        let from = sum.at - time.as_secs_f64();
        // a step counts as a whole if it ended within the time
        for step in self.steps.iter().rev().take_while(|step| step.at > from) {
            sum.add(step);
        }
        sum
    }
}

impl Totals {
    fn of(now: SystemTime, reading: &Reading) -> Self {
        let traffic = || reading.all("requests_total").filter(|sample| sample.label("branch") != "healthcheck");
        let requests =
            |fits: &dyn Fn(&Sample) -> bool| traffic().filter(|sample| fits(sample)).map(Sample::count).sum();
        let mut refusals: Vec<(String, u64)> = Vec::new();
        for sample in reading.all("refusals_total") {
            add(&mut refusals, sample.label("reason"), sample.count());
        }
        let step = Step {
            at: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            seconds: 0.0,
            verdicts: VERDICTS.map(|verdict| requests(&|sample| sample.label("verdict") == verdict)),
            statuses: STATUSES.map(|class| requests(&|sample| sample.label("code").get(..1) == class.get(..1))),
            refusals,
            latencies: Default::default(),
            caches: CACHES.map(|cache| Lookups::of(reading, cache)),
            neighbours: Default::default(),
            in_flight: reading.gauge("in_flight_requests"),
            connections: reading.gauge("connections"),
        };
        let questions = reading.all("neighbour_requests_total").map(|sample| Asked::of(reading, sample)).collect();
        Self { at: now, step, counted: BRANCHES.map(|branch| Counted::of(reading, branch)), questions }
    }

    fn since(&self, before: &Self) -> Step {
        let (now, then) = (&self.step, &before.step);
        let refusals = now.refusals.iter().filter_map(|(reason, count)| {
            let known = then.refusals.iter().find(|(known, _)| known == reason).map_or(0, |(_, count)| *count);
            (*count > known).then(|| (reason.clone(), count - known))
        });
        Step {
            at: now.at,
            seconds: self.at.duration_since(before.at).unwrap_or_default().as_secs_f64(),
            verdicts: zip(&now.verdicts, &then.verdicts, |now, then| now.saturating_sub(*then)),
            statuses: zip(&now.statuses, &then.statuses, |now, then| now.saturating_sub(*then)),
            refusals: refusals.collect(),
            latencies: zip(&self.counted, &before.counted, Counted::since),
            caches: zip(&now.caches, &then.caches, |now, then| Lookups {
                hits: now.hits.saturating_sub(then.hits),
                misses: now.misses.saturating_sub(then.misses),
            }),
            neighbours: NEIGHBOURS.map(|neighbour| Questions::since(&self.questions, &before.questions, neighbour)),
            in_flight: now.in_flight,
            connections: now.connections,
        }
    }
}

impl Step {
    /// Returns how many requests there were.
    pub fn requests(&self) -> u64 {
        self.verdicts.iter().sum()
    }

    /// Adds an earlier step.
    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.verdicts = zip(&self.verdicts, &other.verdicts, |one, more| one + more);
        self.statuses = zip(&self.statuses, &other.statuses, |one, more| one + more);
        for (reason, count) in &other.refusals {
            add(&mut self.refusals, reason, *count);
        }
        for (latency, more) in self.latencies.iter_mut().zip(other.latencies) {
            *latency += more;
        }
        self.caches = zip(&self.caches, &other.caches, |one, more| Lookups {
            hits: one.hits + more.hits,
            misses: one.misses + more.misses,
        });
        self.neighbours = zip(&self.neighbours, &other.neighbours, |one, more| Questions {
            answered: one.answered + more.answered,
            failed: one.failed + more.failed,
        });
    }
}

impl Lookups {
    fn of(reading: &Reading, cache: &str) -> Self {
        let mut lookups = Self::default();
        for sample in reading.all("cache_requests_total").filter(|sample| sample.label("cache") == cache) {
            match sample.label("result") {
                "hit" | "negative_hit" => lookups.hits += sample.count(),
                _ => lookups.misses += sample.count(),
            }
        }
        lookups
    }

    /// Returns which part of all look-ups was answered; nothing if there were none.
    pub fn rate(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
        let rate = self.hits as f64 / all as f64;
        (all > 0).then_some((rate * 1e4).round() / 1e4)
    }
}

impl Questions {
    fn since(now: &[Asked], before: &[Asked], kind: &str) -> Self {
        let mut questions = Self::default();
        for asked in now {
            let earlier = before.iter().find(|earlier| earlier.is_of(asked));
            // an upstream that is configured away stays what it was
            let was =
                earlier.map_or(asked.kind, |earlier| if earlier.kind == "glance" { "glance" } else { asked.kind });
            let more = asked.count.saturating_sub(earlier.map_or(0, |earlier| earlier.count));
            match asked.outcome.as_str() {
                _ if was != kind => {}
                "ok" | "unknown_token" => questions.answered += more,
                // nobody knows what the answer would have been
                "client_aborted" => {}
                _ => questions.failed += more,
            }
        }
        questions
    }
}

impl Asked {
    /// Tells who was asked: the upstreams are those that have a health.
    fn of(reading: &Reading, sample: &Sample) -> Self {
        let neighbour = sample.label("neighbour");
        let kind = if neighbour == "keystone" {
            "keystone"
        } else if reading.all("upstream_healthy").any(|upstream| upstream.label("upstream") == neighbour) {
            "glance"
        } else {
            "issuer"
        };
        Self { neighbour: neighbour.into(), outcome: sample.label("outcome").into(), kind, count: sample.count() }
    }

    fn is_of(&self, other: &Self) -> bool {
        self.neighbour == other.neighbour && self.outcome == other.outcome
    }
}

fn add(counts: &mut Vec<(String, u64)>, name: &str, more: u64) {
    match counts.iter_mut().find(|(known, _)| known == name) {
        Some((_, count)) => *count += more,
        None => counts.push((name.to_owned(), more)),
    }
}

fn zip<T, U: Default + Copy, const N: usize>(left: &[T; N], right: &[T; N], join: impl Fn(&T, &T) -> U) -> [U; N] {
    let mut joined = [U::default(); N];
    for (slot, (left, right)) in joined.iter_mut().zip(left.iter().zip(right)) {
        *slot = join(left, right);
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use super::History;
    use super::Lookups;
    use super::Questions;
    use super::STEP;
    use super::STEPS;
    use crate::page::reading::Reading;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::metrics::RefusalLabels;
    use crate::telemetry::metrics::RequestLabels;
    use crate::telemetry::upstreams::UpstreamLabel;

    const UPSTREAM: &str = "http://127.0.0.1:9293";

    fn read(metrics: &Metrics) -> Reading {
        Reading::of(&metrics.encode())
    }

    fn request(metrics: &Metrics, branch: &'static str, verdict: &'static str, code: u16) {
        metrics.request(&RequestLabels { branch, verdict, code }, Duration::from_millis(3));
    }

    #[test]
    fn a_step_holds_what_was_counted_in_it() {
        let metrics = Metrics::default();
        let upstream = UpstreamLabel { upstream: UPSTREAM.into() };
        metrics.upstream_healthy.get_or_create(&upstream).set(1);
        request(&metrics, "member_update", "refused", 403);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let mut history = History::new(start, &read(&metrics));
        request(&metrics, "member_update", "refused", 403);
        request(&metrics, "member_update", "permitted", 200);
        request(&metrics, "passthrough", "passed_through", 500);
        request(&metrics, "healthcheck", "passed_through", 200);
        metrics.refusals.get_or_create(&RefusalLabels { reason: "owner_forbidden", mode: "enforced" }).inc();
        metrics.cache("token", "hit").inc();
        metrics.cache("token", "negative_hit").inc();
        metrics.cache("token", "miss").inc();
        metrics.neighbour("keystone", "unavailable");
        metrics.neighbour(UPSTREAM, "ok");
        metrics.neighbour(UPSTREAM, "client_aborted");
        history.push(start + STEP, &read(&metrics));
        let step = history.steps().next().expect("a step").clone();
        assert_eq!((step.at, step.seconds), (1005.0, 5.0));
        assert_eq!(step.verdicts, [1, 1, 0, 1, 0, 0]);
        assert_eq!(step.statuses, [1, 0, 1, 1]);
        assert_eq!(step.refusals, [("owner_forbidden".to_owned(), 1)]);
        assert_eq!(step.latencies.map(|latency| latency.count()), [2, 1]);
        assert_eq!(step.caches[0], Lookups { hits: 2, misses: 1 });
        assert_eq!(step.caches[0].rate(), Some(0.6667));
        assert_eq!(step.neighbours[0], Questions { answered: 0, failed: 1 });
        assert_eq!(step.neighbours[1], Questions { answered: 1, failed: 0 });
        // an upstream that is configured away is no issuer all of a sudden
        metrics.forget_upstream(UPSTREAM);
        history.push(start + 2 * STEP, &read(&metrics));
        assert_eq!(history.steps().last().expect("a step").neighbours, [Questions::default(); 3]);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let metrics = Metrics::default();
        let start = SystemTime::UNIX_EPOCH;
        let mut history = History::new(start, &read(&metrics));
        let mut now = start;
        for _ in 0..STEPS + 10 {
            request(&metrics, "passthrough", "passed_through", 200);
            now += STEP;
            history.push(now, &read(&metrics));
        }
        assert_eq!(history.steps().len(), STEPS);
        let reading = read(&metrics);
        assert_eq!(history.within(Duration::from_hours(1), now, &reading).requests(), STEPS as u64);
        assert_eq!(history.within(Duration::from_mins(1), now, &reading).requests(), 12);
        // the step that has not ended counts too
        request(&metrics, "passthrough", "passed_through", 200);
        assert_eq!(history.within(Duration::from_mins(1), now + STEP / 5, &read(&metrics)).requests(), 13);
    }
}
