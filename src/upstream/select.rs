//! Which of several upstreams is next: three ways to choose, without a lock and without an allocation.
//!
//! `pingora-load-balancing` checks the upstreams' health, but does not choose: its iterators allocate a set for every
//! request, know no counts of requests, and have no place for a share that grows.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// How an upstream is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastInFlight,
    /// The same one for the same image (highest random weight, Thaler and Ravishankar 1998): if an upstream goes, only
    /// its own images move.
    ConsistentHash,
}

/// What is known of an upstream that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many requests it has.
    pub in_flight: usize,
    /// Which part of its share it gets, in thousandths: less than [`WHOLE`] while it starts slowly.
    pub share: u32,
    /// A hash of its name.
    pub seed: u64,
}

/// A whole share.
pub const WHOLE: u32 = 1000;

/// Chooses by one strategy.
#[derive(Debug)]
pub struct Selection {
    strategy: Strategy,
    turn: AtomicUsize,
}

impl Selection {
    /// Makes a selection that starts with the first upstream.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, turn: AtomicUsize::new(0) }
    }

    /// Returns how it chooses.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Returns the index of one of `count` upstreams, of those that have a standing; nothing if none has.
    ///
    /// `key` is a hash of what the request is about.
    pub fn pick(&self, count: usize, key: u64, standing: impl Fn(usize) -> Option<Standing>) -> Option<usize> {
        if count <= 1 {
            return (count == 1 && standing(0).is_some()).then_some(0);
        }
        match self.strategy {
            Strategy::RoundRobin => self.in_turn(count, standing),
            Strategy::LeastInFlight => self.least(count, standing),
            Strategy::ConsistentHash => highest(count, key, standing),
        }
    }

    /// Who may not have it, or has only a part of a share, leaves it to the next draw, not to the next in the row: else
    /// its neighbour would get all that it lacks.
    fn in_turn(&self, count: usize, standing: impl Fn(usize) -> Option<Standing>) -> Option<usize> {
        let mut last = None;
        for _ in 0..count * 2 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let index = turn % count;
            let Some(standing) = standing(index) else { continue };
            if takes(standing.share, turn as u64) {
                return Some(index);
            }
            last = Some(index);
        }
        last.or_else(|| (0..count).find(|index| standing(*index).is_some()))
    }

    fn least(&self, count: usize, standing: impl Fn(usize) -> Option<Standing>) -> Option<usize> {
        // lots are drawn among equals: going round would favour the next one to one that is out
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as u64;
        (0..count)
            .filter_map(|index| {
                let standing = standing(index)?;
                let load = standing.in_flight.saturating_add(1).saturating_mul(WHOLE as usize);
                Some((load / (standing.share.max(1) as usize), mix(turn ^ standing.seed), index))
            })
            .min()
            .map(|(_, _, index)| index)
    }
}

/// Returns the upstream with the highest score for the key. One that starts slowly gets ever more of its keys.
fn highest(count: usize, key: u64, standing: impl Fn(usize) -> Option<Standing>) -> Option<usize> {
    (0..count)
        .filter_map(|index| {
            let standing = standing(index)?;
            let score = mix(key ^ standing.seed);
            Some((takes(standing.share, score), score, index))
        })
        .max_by_key(|(takes, score, _)| (*takes, *score))
        .map(|(_, _, index)| index)
}

/// Tells whether one with this share takes the request that has drawn `lot`.
fn takes(share: u32, lot: u64) -> bool {
    share >= WHOLE || mix(lot) % u64::from(WHOLE) < u64::from(share)
}

/// Hashes bytes, the same in every gate and every version (FNV-1a, 64 bits).
pub fn hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// Spreads what differs in few bits over all (the finalizer of `SplitMix64`).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Returns what a request is about: the image if its path names one, else the path.
pub fn subject(path: &str) -> &str {
    const IMAGES: &str = "/images/";
    path.find(IMAGES)
        .and_then(|at| path.get(at + IMAGES.len()..))
        .and_then(|rest| rest.split('/').next())
        .filter(|image| !image.is_empty())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: [u64; 4] = [11, 222, 3333, 44444];

    fn standing(index: usize, in_flight: usize, share: u32) -> Standing {
        Standing { in_flight, share, seed: mix(SEEDS[index]) }
    }

    /// Chooses so often and counts.
    fn counts(strategy: Strategy, of: usize, view: impl Fn(usize) -> Option<Standing>) -> [usize; 4] {
        let selection = Selection::new(strategy);
        let mut counts = [0; 4];
        for number in 0..of {
            counts[selection.pick(4, hash(&number.to_be_bytes()), &view).unwrap_or_default()] += 1;
        }
        counts
    }

    #[test]
    fn everybody_gets_an_equal_share() {
        let all = |index| Some(standing(index, 0, WHOLE));
        assert_eq!(counts(Strategy::RoundRobin, 400, all), [100; 4]);
        for strategy in [Strategy::LeastInFlight, Strategy::ConsistentHash] {
            for count in counts(strategy, 4000, all) {
                assert!((850..1150).contains(&count), "{strategy:?}: {count} of 1000");
            }
        }
    }

    #[test]
    fn who_may_not_have_it_leaves_it_to_all_others_alike() {
        for strategy in [Strategy::RoundRobin, Strategy::LeastInFlight, Strategy::ConsistentHash] {
            let counts = counts(strategy, 3000, |index| Some(standing(index, 0, WHOLE)).filter(|_| index != 1));
            assert_eq!(counts[1], 0, "{strategy:?}");
            for index in [0, 2, 3] {
                assert!((850..1150).contains(&counts[index]), "{strategy:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_part_of_a_share_is_that_part() {
        for strategy in [Strategy::RoundRobin, Strategy::ConsistentHash] {
            let counts = counts(strategy, 4000, |index| Some(standing(index, 0, if index == 2 { 200 } else { WHOLE })));
            assert!((130..330).contains(&counts[2]), "{strategy:?}: {counts:?}");
        }
        // ten under way with a tenth of the share weigh as a hundred
        let selection = Selection::new(Strategy::LeastInFlight);
        let view = |index| Some(if index == 0 { standing(0, 9, 100) } else { standing(index, 98, WHOLE) });
        for _ in 0..4 {
            assert_ne!(selection.pick(4, 0, view), Some(0));
        }
    }

    #[test]
    fn the_least_loaded_is_chosen() {
        let selection = Selection::new(Strategy::LeastInFlight);
        for _ in 0..8 {
            assert_eq!(selection.pick(4, 0, |index| Some(standing(index, [5, 3, 1, 2][index], WHOLE))), Some(2));
        }
    }

    #[test]
    fn one_image_stays_where_it_is_and_only_the_images_of_one_that_goes_move() {
        let selection = Selection::new(Strategy::ConsistentHash);
        let all = |index| Some(standing(index, 0, WHOLE));
        let without_two = |index| all(index).filter(|_| index != 2);
        for number in 0..1000_u32 {
            let key = hash(&number.to_be_bytes());
            let before = selection.pick(4, key, all);
            assert_eq!(selection.pick(4, key, all), before);
            let after = selection.pick(4, key, without_two);
            assert!(after == before || before == Some(2), "{number} moved from {before:?} to {after:?}");
        }
    }

    #[test]
    fn whoever_is_left_is_chosen_even_with_no_share() {
        for strategy in [Strategy::RoundRobin, Strategy::LeastInFlight, Strategy::ConsistentHash] {
            let selection = Selection::new(strategy);
            for _ in 0..10 {
                assert_eq!(selection.pick(4, 7, |index| Some(standing(index, 0, 0)).filter(|_| index == 3)), Some(3));
            }
            assert_eq!(selection.pick(4, 7, |_| None), None);
            assert_eq!(selection.pick(1, 7, |_| None), None);
            assert_eq!(selection.pick(0, 7, |index| Some(standing(index, 0, WHOLE))), None);
        }
    }

    #[test]
    fn all_calls_on_one_image_are_about_it() {
        for path in ["/v2/images/I", "/v2/images/I/members/M", "/image/v2/images/I/file", "/v2/images/I/"] {
            assert_eq!(subject(path), "I", "{path}");
        }
        for path in ["/v2/images", "/v2/schemas/image", "/", "/v2/images/"] {
            assert_eq!(subject(path), path);
        }
    }
}
