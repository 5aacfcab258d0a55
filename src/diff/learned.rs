//! Noise that was learned: what differs between two answers of one side to one question means nothing between two sides.

use std::collections::HashMap;
use std::time::Duration;
use std::time::SystemTime;

use crate::diff::field;
use crate::diff::found::Kind;

/// What was learned, in bounded memory.
#[derive(Debug, Default)]
pub struct Learned {
    noise: HashMap<Key, Noise>,
}

/// A field of one route.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Key {
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: Kind,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// How often it differed.
    pub seen: u32,
    /// When it did last.
    pub last: SystemTime,
    /// How many differences it has explained.
    pub hits: u64,
}

/// When a field is noise.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often it must have differed.
    pub after: u32,
    /// How long ago at most.
    pub ttl: Duration,
}

/// How many fields are remembered; the one not seen for longest makes room.
const MAX_NOISE: usize = 1000;

impl Learned {
    /// Notes that a field differed between two answers of one side. A status never is noise.
    pub fn note(&mut self, key: Key, patience: Patience, now: SystemTime) {
        if key.field == field::STATUS {
            return;
        }
        // what one answer lacks, the next may have
        let other = match key.kind {
            Kind::Missing => Some(Kind::Added),
            Kind::Added => Some(Kind::Missing),
            Kind::Changed | Kind::Type | Kind::Order => None,
        };
        if let Some(kind) = other {
            self.add(Key { kind, ..key.clone() }, patience, now);
        }
        self.add(key, patience, now);
    }

    fn add(&mut self, key: Key, patience: Patience, now: SystemTime) {
        if !self.noise.contains_key(&key) && self.noise.len() >= MAX_NOISE {
            let oldest = self.noise.iter().min_by_key(|(_, noise)| noise.last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.noise.remove(&oldest);
            }
        }
        let noise = self.noise.entry(key).or_insert(Noise { seen: 0, last: now, hits: 0 });
        if !is_fresh(noise, patience, now) {
            noise.seen = 0;
        }
        noise.seen = noise.seen.saturating_add(1);
        noise.last = now;
    }

    /// Tells whether a difference is known noise, and counts it if so.
    pub fn explains(&mut self, key: &Key, patience: Patience, now: SystemTime) -> bool {
        let Some(noise) = self.noise.get_mut(key) else { return false };
        let explains = noise.seen >= patience.after && is_fresh(noise, patience, now);
        if explains {
            noise.hits += 1;
        }
        explains
    }

    /// Returns what is remembered, with whether it is noise by now; what has expired is forgotten.
    pub fn entries(&mut self, patience: Patience, now: SystemTime) -> Vec<(Key, Noise, bool)> {
        self.noise.retain(|_, noise| is_fresh(noise, patience, now));
        self.noise.iter().map(|(key, noise)| (key.clone(), *noise, noise.seen >= patience.after)).collect()
    }

    /// Returns how many fields are remembered.
    pub fn len(&self) -> usize {
        self.noise.len()
    }

    /// Tells whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.noise.is_empty()
    }
}

fn is_fresh(noise: &Noise, patience: Patience, now: SystemTime) -> bool {
    now.duration_since(noise.last).unwrap_or_default() <= patience.ttl
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use super::Key;
    use super::Learned;
    use super::MAX_NOISE;
    use super::Patience;
    use crate::diff::found::Kind;

    const PATIENCE: Patience = Patience { after: 2, ttl: Duration::from_mins(1) };
    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn key(field: &str, kind: Kind) -> Key {
        Key { method: "GET", route: "/v2/images", field: field.into(), kind }
    }

    #[test]
    fn a_field_is_noise_after_it_was_seen_often_enough_and_for_a_while() {
        let mut learned = Learned::default();
        learned.note(key("/x", Kind::Changed), PATIENCE, START);
        assert!(!learned.explains(&key("/x", Kind::Changed), PATIENCE, START));
        learned.note(key("/x", Kind::Changed), PATIENCE, START);
        assert!(learned.explains(&key("/x", Kind::Changed), PATIENCE, START));
        assert!(!learned.explains(&key("/x", Kind::Type), PATIENCE, START));
        let later = START + Duration::from_secs(61);
        assert!(!learned.explains(&key("/x", Kind::Changed), PATIENCE, later));
        // and it must be seen as often again
        learned.note(key("/x", Kind::Changed), PATIENCE, later);
        assert!(!learned.explains(&key("/x", Kind::Changed), PATIENCE, later));
        assert!(learned.entries(PATIENCE, later + PATIENCE.ttl * 2).is_empty());
    }

    #[test]
    fn what_comes_and_goes_is_noise_both_ways_and_a_status_never() {
        let mut learned = Learned::default();
        for _ in 0..5 {
            learned.note(key("/x", Kind::Missing), PATIENCE, START);
            learned.note(key("status", Kind::Changed), PATIENCE, START);
        }
        assert!(learned.explains(&key("/x", Kind::Added), PATIENCE, START));
        assert!(!learned.explains(&key("status", Kind::Changed), PATIENCE, START));
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_was_seen_last() {
        let mut learned = Learned::default();
        for number in 0..MAX_NOISE + 10 {
            let now = START + Duration::from_millis(number as u64);
            learned.note(key(&format!("/{number}"), Kind::Changed), PATIENCE, now);
        }
        assert_eq!(learned.len(), MAX_NOISE);
        assert!(learned.noise.contains_key(&key(&format!("/{}", MAX_NOISE + 9), Kind::Changed)));
        assert!(!learned.noise.contains_key(&key("/9", Kind::Changed)));
    }
}
