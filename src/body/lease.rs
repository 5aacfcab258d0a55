//! A place in a count that is held until whatever holds it is done.

use prometheus_client::metrics::gauge::Gauge;

/// One of a bounded number of places; it is free again when it is dropped.
#[derive(Debug)]
pub struct Lease {
    count: Gauge,
}

impl Lease {
    /// Takes a place in a count of at most `bound`, where zero is no bound.
    pub fn take(count: &Gauge, bound: usize) -> Option<Self> {
        let before = count.inc();
        let lease = Self { count: count.clone() };
        let is_over = bound > 0 && usize::try_from(before).is_ok_and(|before| before >= bound);
        (!is_over).then_some(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.count.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_places_are_given_than_there_are() {
        let count = Gauge::default();
        let held: Vec<_> = (0..5).filter_map(|_| Lease::take(&count, 3)).collect();
        assert_eq!((held.len(), count.get()), (3, 3));
        drop(held);
        assert_eq!(count.get(), 0);
        assert!((0..5).map(|_| Lease::take(&count, 0)).all(|lease| lease.is_some()));
        assert_eq!(count.get(), 0);
    }
}
