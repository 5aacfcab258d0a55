//! A notice board between requests and a link: they leave notes, the link shows a table. Nobody waits for the other.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use arc_swap::Guard;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

/// A board; closed, and free, until a link opens it. Cloning shares it.
pub struct Board<N, T> {
    notes: Arc<ArcSwapOption<Notes<N>>>,
    table: Arc<ArcSwap<T>>,
}

struct Notes<N> {
    sender: mpsc::Sender<N>,
    dropped: Counter,
}

/// The link's side of a [`Board`], which is closed when this is dropped.
pub struct Opened<N, T: Default> {
    receiver: mpsc::Receiver<N>,
    notes: Arc<Notes<N>>,
    board: Board<N, T>,
}

impl<N, T: Default> Board<N, T> {
    /// Tells whether a link has it open.
    pub fn is_open(&self) -> bool {
        self.notes.load().is_some()
    }

    /// Leaves a note; one that finds no room is dropped and counted.
    pub fn leave(&self, note: N) {
        if let Some(notes) = &*self.notes.load()
            && notes.sender.try_send(note).is_err()
        {
            notes.dropped.inc();
        }
    }

    /// Returns what the link shows; nothing while it is closed.
    pub fn table(&self) -> Guard<Arc<T>> {
        self.table.load()
    }

    /// Opens it; so many notes may wait.
    pub fn open(&self, max: usize, dropped: Counter) -> Opened<N, T> {
        let (sender, receiver) = mpsc::channel(max.max(1));
        let notes = Arc::new(Notes { sender, dropped });
        self.table.store(Arc::default());
        self.notes.store(Some(notes.clone()));
        Opened { receiver, notes, board: self.clone() }
    }
}

impl<N, T: Default> Opened<N, T> {
    /// Takes the next note, if there is one.
    pub fn take(&mut self) -> Option<N> {
        self.receiver.try_recv().ok()
    }

    /// Shows a table in place of the one before.
    pub fn show(&self, table: T) {
        if self.is_still_its_own() {
            self.board.table.store(Arc::new(table));
        }
    }

    /// Tells whether no other link has opened it since.
    fn is_still_its_own(&self) -> bool {
        self.board.notes.load().as_ref().is_some_and(|notes| Arc::ptr_eq(notes, &self.notes))
    }

    /// Counts a note that was taken, and for which there is no room.
    pub fn drop_note(&self) {
        self.notes.dropped.inc();
    }
}

impl<N, T: Default> Drop for Opened<N, T> {
    fn drop(&mut self) {
        if self.is_still_its_own() {
            self.board.notes.store(None);
            self.board.table.store(Arc::default());
        }
    }
}

impl<N, T> Clone for Board<N, T> {
    fn clone(&self) -> Self {
        Self { notes: self.notes.clone(), table: self.table.clone() }
    }
}

impl<N, T: Default> Default for Board<N, T> {
    fn default() -> Self {
        Self { notes: Arc::default(), table: Arc::default() }
    }
}

impl<N, T> fmt::Debug for Board<N, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Board").field("is_open", &self.notes.load().is_some()).finish_non_exhaustive()
    }
}

impl<N, T: Default> fmt::Debug for Opened<N, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Opened").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::Board;

    #[test]
    fn a_board_that_is_closed_takes_and_shows_nothing() {
        let (board, dropped) = (Board::<u8, u8>::default(), Counter::default());
        board.leave(1);
        let mut opened = board.open(1, dropped.clone());
        assert!(board.is_open() && opened.take().is_none());
        board.leave(2);
        board.leave(3);
        assert_eq!((opened.take(), opened.take(), dropped.get()), (Some(2), None, 1));
        opened.show(5);
        assert_eq!(**board.table(), 5);
        let again = board.open(1, dropped);
        assert_eq!(**board.table(), 0);
        again.show(7);
        opened.show(8);
        drop(opened);
        assert!(board.is_open() && **board.table() == 7, "it is another's");
        drop(again);
        assert!(!board.is_open() && **board.table() == 0);
    }
}
