//! News for the other gates wait here to be sent; who has them never waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::fleet::news::News;

/// Takes news; as long as nobody sends them on, they go nowhere. Cloning shares it.
#[derive(Clone, Default)]
pub struct Outbox {
    slot: Arc<ArcSwapOption<Slot>>,
}

struct Slot {
    news: mpsc::Sender<News>,
    is_full: Arc<AtomicBool>,
    dropped: Counter,
}

/// The other end of an [`Outbox`].
#[derive(Debug)]
pub struct Waiting {
    news: mpsc::Receiver<News>,
    is_full: Arc<AtomicBool>,
}

impl Outbox {
    /// Hands the news over, if somebody sends them on; what finds no room is dropped, counted, and noted.
    pub fn tell(&self, news: News) {
        if let Some(slot) = &*self.slot.load()
            && let Err(mpsc::error::TrySendError::Full(_)) = slot.news.try_send(news)
        {
            slot.is_full.store(true, Ordering::Release);
            slot.dropped.inc();
        }
    }

    /// Lets the news go to a new receiver from now on, of whom so many may wait.
    pub fn open(&self, max: usize, dropped: Counter) -> Waiting {
        let (news, receiver) = mpsc::channel(max.max(1));
        let is_full = Arc::new(AtomicBool::new(false));
        self.slot.store(Some(Arc::new(Slot { news, is_full: is_full.clone(), dropped })));
        Waiting { news: receiver, is_full }
    }

    /// Lets the news go nowhere.
    pub fn close(&self) {
        self.slot.store(None);
    }
}

impl Waiting {
    /// Waits for news, and takes up to `max` of them into `batch`; zero when there will be no more.
    pub async fn take(&mut self, batch: &mut Vec<News>, max: usize) -> usize {
        self.news.recv_many(batch, max).await
    }

    /// Takes what waits, without waiting for more.
    pub fn take_rest(&mut self, batch: &mut Vec<News>, max: usize) {
        while batch.len() < max
            && let Ok(news) = self.news.try_recv()
        {
            batch.push(news);
        }
    }

    /// Tells whether news were dropped since this was asked before.
    pub fn has_dropped(&self) -> bool {
        self.is_full.swap(false, Ordering::AcqRel)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::Outbox;
    use crate::fleet::news::News;

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_noted_once() {
        let (outbox, dropped) = (Outbox::default(), Counter::default());
        outbox.tell(News::AllImages);
        let mut waiting = outbox.open(2, dropped.clone());
        for _ in 0..5 {
            outbox.tell(News::AllTokens);
        }
        let mut batch = Vec::new();
        assert_eq!(waiting.take(&mut batch, 10).await, 2, "nothing from before it was open");
        assert_eq!((dropped.get(), waiting.has_dropped(), waiting.has_dropped()), (3, true, false));
    }
}
