//! Recorded calls asked again: of a staging Glance, at a chosen rate, with the comparison that live copies have.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::app::built::Built;
use crate::config::Config;
use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::diff::judge::Judge;
use crate::page::reading::Reading;
use crate::shadow::Desk;
use crate::shadow::consumer::Consumer;
use crate::shadow::copied::Copied;
use crate::shadow::plan::Plan;
use crate::shadow::recorded::Recorded;
use crate::shadow::recorded::as_recorded;
use crate::shadow::sample::is_safe;

/// Asks recorded calls again.
pub struct Replaying {
    built: Built,
    desk: Desk,
    pause: Duration,
}

/// What became of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// They were handed on to be asked.
    pub asked: u64,
    /// They are writes that `[shadow] writes` does not name.
    pub not_named: u64,
    /// They can not be asked again.
    pub unusable: u64,
    /// How many were asked and not compared, by what came of them or by the reason, as the metrics name it.
    pub not_compared: BTreeMap<String, u64>,
    /// How many lines of differences could not be written.
    pub unwritten: u64,
}

/// The comparison of what was recorded with what is answered now.
#[derive(Debug)]
struct WithRecorded(Judge);

/// How often is looked whether there is room for the next call.
const LOOK: Duration = Duration::from_millis(2);

impl Replaying {
    /// Prepares to ask the target of the configuration, so many calls a second at most.
    ///
    /// # Errors
    /// Fails if there is no target, or if what the configuration points to can not be used.
    pub fn new(config: &Config, calls_a_second: NonZero<u32>) -> io::Result<Self> {
        let built = Built::new(config)?;
        let desk = built.shadow.desk().filter(|_| config.shadow.has_target());
        let desk = desk.ok_or_else(|| io::Error::other("there is nobody to ask: [shadow] target, or --to"))?;
        let consumers: Vec<Arc<dyn Consumer>> = vec![Arc::new(WithRecorded(built.shadow.judge.clone()))];
        let plan = Arc::new(Plan { consumers, ..Plan::clone(&desk.plan) });
        let desk = Desk { shadow: desk.shadow.clone(), plan };
        let pause = (Duration::from_secs(1) / calls_a_second.get()).max(Duration::from_nanos(1));
        Ok(Self { built, desk, pause })
    }

    /// Asks them one after the other, and waits for the last answer; tells `skipped` of each that is not asked.
    pub async fn run(self, mut calls: Receiver<Recorded>, mut skipped: impl FnMut(&str)) -> Totals {
        let (shadow, limits) = (&self.desk.shadow, &self.desk.plan.ways.config.limits);
        shadow.follow(Some(self.desk.plan.clone()));
        self.built.shadow.judge.take_effect();
        let ending = CancellationToken::new();
        let longest = limits.age + limits.call_timeout;
        let thread = tokio::spawn(shadow.clone().run(ending.clone(), move || longest));
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut totals = Totals::default();
        while let Some(call) = calls.recv().await {
            let copied = match call.into_copied(&self.desk.plan.mount) {
                Ok(copied) => copied,
                Err(why) => {
                    totals.unusable += 1;
                    skipped(&why);
                    continue;
                }
            };
            if !self.is_named(&copied) {
                totals.not_named += 1;
                continue;
            }
            ticks.tick().await;
            // each copy that waits grows old: they wait here instead, and a write for those before it
            let room = if is_safe(&copied.asked.method) { limits.in_flight } else { 1 };
            let room = i64::try_from(room).unwrap_or(i64::MAX);
            self.until(|waiting, under_way| waiting == 0 && under_way < room).await;
            self.desk.ask_again(Copied { since: std::time::Instant::now(), ..copied });
            totals.asked += 1;
        }
        self.until(|waiting, under_way| waiting == 0 && under_way == 0).await;
        ending.cancel();
        // it has nothing left to do
        drop(thread.await);
        self.built.shadow.finish();
        self.count_lost(&mut totals);
        totals
    }

    /// Reads from the counters what was not compared, and what was not written.
    fn count_lost(&self, totals: &mut Totals) {
        let reading = Reading::of(&self.built.metrics.encode());
        let outcomes = reading.all("shadow_copies_total").map(|sample| (sample.label("outcome"), sample.count()));
        let reasons = reading.all("shadow_dropped_total").map(|sample| (sample.label("reason"), sample.count()));
        let lost = outcomes.filter(|(outcome, _)| *outcome != "sent").chain(reasons).filter(|(_, count)| *count > 0);
        totals.not_compared = lost.map(|(why, count)| (why.to_owned(), count)).collect();
        let lines = |outcome| reading.sum("shadow_difference_lines_total", "outcome", outcome);
        totals.unwritten = lines("dropped") + lines("failed");
    }

    fn is_named(&self, copied: &Copied) -> bool {
        let (asked, config) = (&copied.asked, &self.desk.plan.ways.config);
        is_safe(&asked.method)
            || config.writes.iter().any(|(method, route)| *method == asked.method && *route == asked.route)
    }

    /// Waits until so many copies wait, and so many are under way. Every copy ends by its own deadlines.
    async fn until(&self, holds: impl Fn(i64, i64) -> bool) {
        let counts = self.desk.shadow.counts();
        while !holds(counts.waiting.get(), counts.in_flight.get()) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Consumer for WithRecorded {
    fn copied(&self, _: &Copied) {}

    fn compared(&self, asked: &Asked, primary: &Answered, staging: &Answered) {
        self.0.judge(asked, primary, &as_recorded(staging));
    }

    fn learned(&self, asked: &Asked, first: &Answered, second: &Answered) {
        self.0.learn(asked, &as_recorded(first), &as_recorded(second));
    }
}
