//! How many requests may wait for the image store at once, found out from how long it takes: the pure part.
//!
//! A store that can do no more does not answer fewer requests, it answers all of them later. The limit follows the
//! ratio of two times, as TCP Vegas (Brakmo and Peterson 1995) and the gradient limiters do: what an answer takes when
//! nothing queues, the *baseline*, and what answers take now.
//!
//! - While they take less than one and a half times the baseline, the limit grows by its square root a window. It only
//!   grows while it is used: a limit that nobody reaches says nothing.
//! - When they take longer, it shrinks in proportion, at most by half a window.
//! - The baseline is the least that a window ever took. If answers stay slower, either the store has become slower, or
//!   they queue behind what the gate itself sends. Every hundred such windows the gate looks: for two windows it sends
//!   half as much. What answers take then is the new baseline.

/// Between which numbers the limit stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// It never sheds below this many.
    pub min: usize,
    /// It never admits more than this many.
    pub max: usize,
}

/// Finds the limit from one window of answers after the other.
#[derive(Debug)]
pub struct Controller {
    min: f64,
    max: f64,
    limit: f64,
    baseline: f64,
    pressed: u32,
    look: Option<Look>,
}

/// Two windows of less traffic, to see what an answer takes without a queue.
#[derive(Debug)]
struct Look {
    windows_left: u32,
    limit: f64,
}

/// How many times the baseline an answer may take.
const TOLERANCE: f64 = 1.5;
/// Up to how many times the baseline is no pressure.
const NOISE: f64 = 1.25;
/// How far one window can shrink the limit.
const STEEPEST: f64 = 0.5;
/// After how many windows under pressure the baseline is looked at anew.
const LOOK_AFTER: u32 = 100;
/// How many windows a look takes: the answers of the first one had queued before.
const LOOK_WINDOWS: u32 = 2;

impl Controller {
    /// Starts at the lower bound: from there the first baseline is a true one.
    pub fn new(bounds: Bounds) -> Self {
        let (min, max) = (as_float(bounds.min.max(1)), as_float(bounds.max.max(bounds.min).max(1)));
        Self { min, max, limit: min, baseline: 0.0, pressed: 0, look: None }
    }

    /// Returns how many may wait.
    pub fn limit(&self) -> usize {
        let limit = self.look.as_ref().map_or(self.limit, |look| look.limit);
        as_count(limit.clamp(self.min, self.max))
    }

    /// Takes in a window: what its answers took on average, in any unit, and how many waited at most.
    pub fn observe(&mut self, mean: f64, peak: usize) {
        if !mean.is_finite() || mean <= 0.0 {
            return;
        }
        if let Some(look) = &mut self.look {
            look.windows_left = look.windows_left.saturating_sub(1);
            if look.windows_left == 0 {
                self.baseline = mean;
                self.look = None;
            }
            return;
        }
        let peak = as_float(peak);
        if self.baseline <= 0.0 || mean < self.baseline {
            self.baseline = mean;
        }
        self.pressed = if mean > self.baseline * NOISE { self.pressed + 1 } else { 0 };
        if self.pressed >= LOOK_AFTER {
            self.pressed = 0;
            self.look = Some(Look { windows_left: LOOK_WINDOWS, limit: self.limit.min(peak) / 2.0 });
            return;
        }
        self.adjust(mean, peak);
    }

    fn adjust(&mut self, mean: f64, peak: f64) {
        let gradient = (TOLERANCE * self.baseline / mean).clamp(STEEPEST, 1.0);
        if gradient < 1.0 {
            // a limit far above what is under way would need many windows to be felt
            let felt = self.limit.min(peak * 2.0).max(self.min);
            self.limit = felt * gradient + felt.sqrt();
        } else if peak * 2.0 >= self.limit {
            self.limit += self.limit.sqrt();
        }
        self.limit = self.limit.clamp(self.min, self.max);
    }
}

/// Counts of requests are far below what a float holds exactly.
fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a u32 holds")]
fn as_count(limit: f64) -> usize {
    limit.clamp(1.0, f64::from(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A store that does so many at once, each in so long; the others queue.
    struct Store {
        places: f64,
        takes: f64,
    }

    impl Store {
        /// Lets one window pass in which so many want to be served.
        fn window(&self, controller: &mut Controller, wanted: usize) -> f64 {
            let under_way = wanted.min(controller.limit());
            let took = self.takes * (as_float(under_way) / self.places).max(1.0);
            controller.observe(took, under_way);
            took
        }
    }

    fn controller() -> Controller {
        Controller::new(Bounds { min: 8, max: 4096 })
    }

    #[test]
    fn the_limit_settles_a_little_above_what_the_store_can_do() {
        for (places, takes) in [(20.0, 1.0), (100.0, 5.0), (1000.0, 250.0)] {
            let store = Store { places, takes };
            let mut controller = controller();
            for _ in 0..1000 {
                store.window(&mut controller, 1_000_000);
            }
            // long under twice the load: still there, no drift
            for _ in 0..2000 {
                let took = store.window(&mut controller, 1_000_000);
                let limit = as_float(controller.limit());
                assert!(limit > places * 0.5 && limit < places * 2.6, "{limit} for {places} places");
                assert!(took < takes * 2.6, "{took} for {takes}");
            }
        }
    }

    #[test]
    fn nobody_is_shed_while_nothing_queues() {
        let store = Store { places: 500.0, takes: 3.0 };
        let mut controller = controller();
        for wanted in [5, 50, 100, 200, 400, 300, 400] {
            for _ in 0..300 {
                store.window(&mut controller, wanted);
            }
            assert!(controller.limit() > wanted, "{} for {wanted}", controller.limit());
        }
    }

    #[test]
    fn it_recovers_after_a_stall() {
        let store = Store { places: 100.0, takes: 5.0 };
        let mut controller = controller();
        for _ in 0..500 {
            store.window(&mut controller, 1_000_000);
        }
        for _ in 0..20 {
            controller.observe(5000.0, controller.limit());
        }
        assert!(controller.limit() < 20, "{}", controller.limit());
        for _ in 0..100 {
            store.window(&mut controller, 1_000_000);
        }
        assert!(controller.limit() > 70, "{}", controller.limit());
    }

    #[test]
    fn a_store_that_has_become_slower_for_good_is_taken_as_it_is() {
        let mut controller = controller();
        for _ in 0..500 {
            Store { places: 100.0, takes: 5.0 }.window(&mut controller, 80);
        }
        for _ in 0..1000 {
            Store { places: 100.0, takes: 50.0 }.window(&mut controller, 80);
        }
        assert!(controller.limit() >= 80, "{}", controller.limit());
    }

    proptest! {
        #[test]
        fn the_limit_never_leaves_its_bounds(
            min in 1_usize..100,
            more in 0_usize..1000,
            windows in proptest::collection::vec((-1.0_f64..1e9, 0_usize..100_000), 0..400),
        ) {
            let bounds = Bounds { min, max: min + more };
            let mut controller = Controller::new(bounds);
            for (mean, peak) in windows {
                controller.observe(mean, peak);
                prop_assert!((bounds.min..=bounds.max).contains(&controller.limit()));
            }
        }

        #[test]
        fn it_settles_for_any_store(places in 10.0_f64..1000.0, takes in 0.01_f64..10_000.0) {
            let store = Store { places, takes };
            let mut controller = controller();
            for _ in 0..1500 {
                store.window(&mut controller, 1_000_000);
            }
            let limit = as_float(controller.limit());
            prop_assert!(limit > places * 0.4 && limit < places * 3.0, "{} for {}", limit, places);
        }
    }
}
