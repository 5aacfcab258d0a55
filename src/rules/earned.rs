//! Rules that earn their enforcement: each observes until Glance has agreed with it often and long enough, and goes
//! back to observing, loudly, when Glance disagrees again.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use serde::Deserialize;
use serde::Serialize;

use crate::refusal::Refusal;

/// What a rule must have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnforceAfter {
    /// How many of its refusals Glance must have judged.
    pub samples: u64,
    /// For how long it must have been watched; also the window in which disagreements count.
    pub period: Duration,
    /// How many disagreements it may have had in that time.
    pub max_disagreements: u64,
}

/// What one rule has shown since its watch began. A new watch begins with each promotion, demotion and lost window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it has earned to be enforced.
    pub is_enforced: bool,
    /// When the watch began, in seconds since 1970.
    pub since: u64,
    /// How often Glance judged a refusal of it.
    pub samples: u64,
    /// How often it judged otherwise.
    pub disagreements: u64,
}

/// What became of a rule by one more judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is enforced from now on.
    Promoted,
    /// It only observes from now on.
    Demoted,
}

/// In which time disagreements with an enforced rule count together if the period is zero.
const LEAST_WINDOW: Duration = Duration::from_hours(1);

/// The standing of all rules, and whether it was written down.
pub struct Earned {
    rules: Box<[Entry]>,
    has_counted: AtomicBool,
    has_changed: AtomicBool,
}

struct Entry {
    refusal: Refusal,
    is_enforced: AtomicBool,
    refused: AtomicU64,
    standing: Mutex<Standing>,
}

impl Default for EnforceAfter {
    fn default() -> Self {
        Self { samples: 1000, period: Duration::from_hours(24), max_disagreements: 0 }
    }
}

impl Standing {
    /// Begins to watch.
    pub fn new(now: SystemTime) -> Self {
        Self { is_enforced: false, since: seconds(now), samples: 0, disagreements: 0 }
    }

    /// Takes one judgement of Glance in.
    fn judge(&mut self, agrees: bool, after: &EnforceAfter, now: SystemTime) -> Option<Change> {
        let now = seconds(now);
        // a clock that was set back must not make a watch endless
        let watched = Duration::from_secs(now.saturating_sub(self.since));
        // disagreements far apart are no trend, but how far is never no time at all
        let window = if after.period.is_zero() { LEAST_WINDOW } else { after.period };
        if self.since > now || self.is_enforced && watched > window {
            (self.since, self.samples, self.disagreements) = (now, 0, 0);
        }
        self.samples += 1;
        self.disagreements += u64::from(!agrees);
        if self.disagreements > after.max_disagreements {
            let change = self.is_enforced.then_some(Change::Demoted);
            *self = Self { is_enforced: false, since: now, samples: 0, disagreements: 0 };
            return change;
        }
        if !self.is_enforced && self.samples >= after.samples && watched >= after.period {
            *self = Self { is_enforced: true, since: now, samples: 0, disagreements: 0 };
            return Some(Change::Promoted);
        }
        None
    }
}

impl Earned {
    /// Begins to watch all rules, or goes on with what is known of them.
    pub fn new(known: &[(Refusal, Standing)], now: SystemTime) -> Self {
        let rules = Refusal::rules()
            .map(|refusal| {
                let standing = known
                    .iter()
                    .find(|(other, _)| *other == refusal)
                    .map_or_else(|| Standing::new(now), |(_, standing)| *standing);
                Entry {
                    refusal,
                    is_enforced: AtomicBool::new(standing.is_enforced),
                    refused: AtomicU64::new(0),
                    standing: Mutex::new(standing),
                }
            })
            .collect();
        Self { rules, has_counted: AtomicBool::new(false), has_changed: AtomicBool::new(false) }
    }

    fn entry(&self, refusal: Refusal) -> Option<&Entry> {
        self.rules.iter().find(|entry| entry.refusal == refusal)
    }

    /// Tells whether the rule has earned to be enforced.
    pub fn is_enforced(&self, refusal: Refusal) -> bool {
        self.entry(refusal).is_some_and(|entry| entry.is_enforced.load(Ordering::Relaxed))
    }

    /// Tells whether this refusal of an enforced rule is forwarded all the same, so that Glance goes on judging it:
    /// `percent` of them are, evenly spread.
    pub fn is_probe(&self, refusal: Refusal, percent: u8) -> bool {
        let Some(entry) = self.entry(refusal) else { return false };
        let before = entry.refused.fetch_add(1, Ordering::Relaxed);
        before.wrapping_mul(u64::from(percent)) % 100 < u64::from(percent)
    }

    /// Takes a judgement of Glance on one refusal in; tells what it changed.
    pub fn judge(&self, refusal: Refusal, agrees: bool, after: &EnforceAfter, now: SystemTime) -> Option<Change> {
        let entry = self.entry(refusal)?;
        let mut standing = entry.standing();
        let change = standing.judge(agrees, after, now);
        entry.is_enforced.store(standing.is_enforced, Ordering::Relaxed);
        drop(standing);
        self.has_counted.store(true, Ordering::Relaxed);
        if change.is_some() {
            self.has_changed.store(true, Ordering::Relaxed);
        }
        change
    }

    /// Returns how a rule stands.
    pub fn standing(&self, refusal: Refusal) -> Option<Standing> {
        self.entry(refusal).map(|entry| *entry.standing())
    }

    /// Tells whether a rule was promoted or demoted since it was last asked how all stand.
    pub fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// Returns how all rules stand, if anything was counted since it was last asked for.
    pub fn take_counted(&self) -> Option<Vec<(Refusal, Standing)>> {
        self.has_changed.store(false, Ordering::Relaxed);
        self.has_counted
            .swap(false, Ordering::Relaxed)
            .then(|| self.rules.iter().map(|entry| (entry.refusal, *entry.standing())).collect())
    }

    /// Notes that what was last asked for could not be written down.
    pub fn keep_counted(&self) {
        self.has_counted.store(true, Ordering::Relaxed);
        self.has_changed.store(true, Ordering::Relaxed);
    }
}

impl Entry {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        // four numbers are whole whatever happened to whoever held them
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use super::Change;
    use super::Earned;
    use super::EnforceAfter;
    use crate::refusal::Refusal;

    const RULE: Refusal = Refusal::OwnerForbidden;
    const AFTER: EnforceAfter = EnforceAfter { samples: 3, period: Duration::from_mins(1), max_disagreements: 1 };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_rule_is_promoted_when_it_was_right_often_and_long_enough() {
        let earned = Earned::new(&[], at(0));
        for second in 1..=50 {
            assert_eq!(earned.judge(RULE, true, &AFTER, at(second)), None, "often, but not long");
        }
        assert!(!earned.is_enforced(RULE));
        assert_eq!(earned.judge(RULE, false, &AFTER, at(60)), Some(Change::Promoted), "one disagreement is allowed");
        assert!(earned.is_enforced(RULE) && !earned.is_enforced(Refusal::NotTheMember));
        let rare = Earned::new(&[], at(0));
        assert_eq!(rare.judge(RULE, true, &AFTER, at(1000)), None, "long, but not often");
    }

    #[test]
    fn a_rule_that_is_wrong_too_often_begins_again() {
        let earned = Earned::new(&[], at(0));
        for _ in 0..2 {
            earned.judge(RULE, false, &AFTER, at(59));
        }
        assert_eq!(earned.standing(RULE).map(|standing| (standing.samples, standing.disagreements)), Some((0, 0)));
        for second in [60, 61, 62, 118] {
            assert_eq!(earned.judge(RULE, true, &AFTER, at(second)), None);
        }
        assert_eq!(earned.judge(RULE, true, &AFTER, at(119)), Some(Change::Promoted));
    }

    #[test]
    fn an_enforced_rule_falls_back_when_glance_disagrees_again() {
        let earned = Earned::new(&[], at(0));
        for _ in 0..3 {
            earned.judge(RULE, true, &AFTER, at(60));
        }
        assert!(earned.is_enforced(RULE));
        assert_eq!(earned.judge(RULE, false, &AFTER, at(70)), None);
        // disagreements far apart are no trend
        assert_eq!(earned.judge(RULE, false, &AFTER, at(200)), None);
        assert_eq!(earned.judge(RULE, false, &AFTER, at(201)), Some(Change::Demoted));
        assert!(!earned.is_enforced(RULE));
    }

    #[test]
    fn without_a_period_disagreements_of_an_hour_count_together() {
        let after = EnforceAfter { period: Duration::ZERO, ..AFTER };
        let earned = Earned::new(&[], at(0));
        for _ in 0..3 {
            earned.judge(RULE, true, &after, at(0));
        }
        assert!(earned.is_enforced(RULE));
        assert_eq!(earned.judge(RULE, false, &after, at(2)), None);
        assert_eq!(earned.judge(RULE, false, &after, at(4)), Some(Change::Demoted));
    }

    #[test]
    fn what_is_known_goes_on_after_a_restart() {
        let earned = Earned::new(&[], at(0));
        for _ in 0..3 {
            earned.judge(RULE, true, &AFTER, at(60));
        }
        assert!(earned.has_changed());
        let known = earned.take_counted().expect("it has counted");
        assert!(!earned.has_changed() && earned.take_counted().is_none());
        assert!(Earned::new(&known, at(100)).is_enforced(RULE));
    }

    #[test]
    fn probes_are_spread_evenly() {
        let earned = Earned::new(&[], at(0));
        for (percent, expected) in [(0, 0), (1, 10), (50, 500), (100, 1000)] {
            let probes = (0..1000).filter(|_| earned.is_probe(RULE, percent)).count();
            assert_eq!(probes, expected, "{percent}");
        }
    }
}
