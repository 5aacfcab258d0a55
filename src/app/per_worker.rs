//! One of a kind for each worker thread.

use std::num::NonZero;
use std::thread;

use crate::config::Config;

/// As many as there are workers: never none, so that each worker finds its own.
#[derive(Clone, Debug)]
pub struct PerWorker<T> {
    first: T,
    others: Box<[T]>,
}

impl<T> PerWorker<T> {
    /// Makes one for each worker; for one worker at least.
    pub fn new(workers: usize, mut make: impl FnMut() -> T) -> Self {
        Self { first: make(), others: (1..workers).map(|_| make()).collect() }
    }

    /// Returns how many workers there are.
    pub fn workers(&self) -> usize {
        self.others.len() + 1
    }

    /// Returns the worker's own; workers are counted from zero.
    pub fn of(&self, worker: usize) -> &T {
        worker.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    /// Makes something of each.
    pub fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> PerWorker<U> {
        PerWorker { first: make(&self.first), others: self.others.iter().map(make).collect() }
    }
}

/// Returns how many worker threads a configuration wants; a gate that runs keeps those it has.
pub fn count(config: &Config) -> usize {
    match config.server.workers {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        workers => workers,
    }
}

#[cfg(test)]
mod tests {
    use super::PerWorker;

    #[test]
    fn each_worker_has_its_own() {
        let mut next = 0;
        let numbers = PerWorker::new(3, || {
            next += 1;
            next
        });
        assert_eq!(numbers.workers(), 3);
        let doubled = numbers.map(|number| number * 2);
        assert_eq!([0, 1, 2].map(|worker| *doubled.of(worker)), [2, 4, 6]);
        assert_eq!(PerWorker::new(0, || 'x').workers(), 1);
    }
}
