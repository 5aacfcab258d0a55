//! The writes that were sent, as far back as there is room: a write that a client tries twice is sent once.

use std::collections::HashSet;
use std::collections::VecDeque;

use crate::shadow::copied::Write;

/// Remembers the latest writes.
#[derive(Debug, Default)]
pub struct Writes {
    known: HashSet<Write>,
    order: VecDeque<Write>,
}

impl Writes {
    /// Remembers a write, among at most so many; returns false if it was known.
    pub fn is_new(&mut self, write: Write, most: usize) -> bool {
        if !self.known.insert(write) {
            return false;
        }
        self.order.push_back(write);
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Writes;
    use crate::shadow::copied::Write;

    #[test]
    fn the_oldest_write_is_forgotten_first() {
        let mut writes = Writes::default();
        let write = |number| Write([number; 32]);
        assert!(writes.is_new(write(1), 2) && writes.is_new(write(2), 2));
        assert!(!writes.is_new(write(1), 2));
        assert!(writes.is_new(write(3), 2));
        assert!(writes.is_new(write(1), 2), "forgotten");
        assert!(!writes.is_new(write(3), 2));
        assert_eq!((writes.known.len(), writes.order.len()), (2, 2));
    }
}
