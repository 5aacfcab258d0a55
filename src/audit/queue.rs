//! A queue whose bound is counted in bytes; who puts something in never waits.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

/// Where things are put in; cloning shares it.
#[derive(Debug)]
pub struct Inlet<T> {
    sender: mpsc::UnboundedSender<(usize, T)>,
    waiting: Arc<AtomicUsize>,
}

/// Where they come out. What is still there when it is dropped is lost, and counted.
#[derive(Debug)]
pub struct Outlet<T> {
    receiver: mpsc::UnboundedReceiver<(usize, T)>,
    waiting: Arc<AtomicUsize>,
    lost: Counter,
}

/// What became of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits.
    Waiting,
    /// There was no room, or nobody takes it any more.
    Lost,
}

/// Makes a queue; what is left in it at its end is counted in `lost`.
pub fn queue<T>(lost: Counter) -> (Inlet<T>, Outlet<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Inlet { sender, waiting: waiting.clone() }, Outlet { receiver, waiting, lost })
}

impl<T> Inlet<T> {
    /// Puts a thing of this weight in, if no more than `bound` bytes wait then. Does not count what is lost.
    pub fn put(&self, thing: T, weight: usize, bound: usize) -> Put {
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        if before.saturating_add(weight) <= bound && self.sender.send((weight, thing)).is_ok() {
            return Put::Waiting;
        }
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
        Put::Lost
    }

    /// Puts in what is no load, whatever waits.
    pub fn order(&self, thing: T) {
        // nobody takes orders any more at the end
        let _ = self.sender.send((0, thing));
    }
}

impl<T> Outlet<T> {
    /// Waits for the next thing; nothing when there will be no more.
    pub async fn next(&mut self) -> Option<T> {
        let (weight, thing) = self.receiver.recv().await?;
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
        Some(thing)
    }

    /// Returns what is there without waiting.
    pub fn at_once(&mut self) -> Option<T> {
        let (weight, thing) = self.receiver.try_recv().ok()?;
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
        Some(thing)
    }
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waiting: self.waiting.clone() }
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        // from here on nothing is put in
        self.receiver.close();
        while self.at_once().is_some() {
            self.lost.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::Put;
    use super::queue;

    #[test]
    fn what_is_over_the_bound_finds_no_room_until_something_is_taken() {
        let (inlet, mut outlet) = queue(Counter::default());
        assert_eq!(inlet.put("a", 60, 100), Put::Waiting);
        assert_eq!(inlet.put("b", 60, 100), Put::Lost);
        assert_eq!(inlet.put("c", 40, 100), Put::Waiting);
        assert_eq!((outlet.at_once(), outlet.at_once(), outlet.at_once()), (Some("a"), Some("c"), None));
        assert_eq!(inlet.put("d", 100, 100), Put::Waiting);
    }

    #[test]
    fn what_is_left_at_the_end_is_counted_as_lost() {
        let lost = Counter::default();
        let (inlet, outlet) = queue(lost.clone());
        for _ in 0..3 {
            inlet.put((), 1, 100);
        }
        drop(outlet);
        assert_eq!((lost.get(), inlet.put((), 1, 100)), (3, Put::Lost));
    }
}
