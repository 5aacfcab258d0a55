//! The shadow thread: takes one copy after the other, sends several at once, and ends with the gate.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shadow::Queued;
use crate::shadow::Shadow;
use crate::shadow::send::Sending;
use crate::shadow::ticket::Reason;

/// How long the end of the gate waits for the last copies at most. They are nobody's request.
const LAST_COPIES: Duration = Duration::from_secs(2);

impl Shadow {
    /// Sends copies until there will be no more requests; `drain` bounds the time for those that still wait then.
    pub async fn run(self, end: CancellationToken, drain: impl FnOnce() -> Duration) -> usize {
        let Some(mut waiting) = self.take_waiting() else { return 0 };
        let sending = Arc::new(Sending::default());
        let mut tasks = JoinSet::new();
        let overdue = async {
            end.cancelled().await;
            tokio::time::sleep(drain().min(LAST_COPIES)).await;
        };
        tokio::select! {
            () = self.work(&mut waiting, &end, &sending, &mut tasks) => {}
            () = overdue => {}
        }
        // what is left is counted by its tickets
        tasks.shutdown().await;
        0
    }

    /// Begins with each copy, and returns when the last one has ended after there will be no more.
    async fn work(
        &self,
        waiting: &mut UnboundedReceiver<Queued>,
        end: &CancellationToken,
        sending: &Arc<Sending>,
        tasks: &mut JoinSet<()>,
    ) {
        loop {
            tokio::select! {
                queued = waiting.recv() => match queued {
                    Some(queued) => self.begin(queued, sending, tasks).await,
                    None => break,
                },
                () = end.cancelled(), if !waiting.is_closed() => waiting.close(),
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Begins with a copy as soon as there is room for it, unless it grows too old meanwhile.
    async fn begin(&self, mut queued: Queued, sending: &Arc<Sending>, tasks: &mut JoinSet<()>) {
        let limits = &queued.plan.ways.config.limits;
        let deadline = Instant::from_std(queued.copied.since) + limits.age;
        let room = async {
            while tasks.len() >= limits.in_flight {
                tasks.join_next().await;
            }
        };
        let has_room = tokio::time::timeout_at(deadline, room).await.is_ok();
        if !self.is_current(&queued.plan) {
            return queued.ticket.drop_for(Reason::Reloaded);
        }
        if !has_room || deadline <= Instant::now() {
            return queued.ticket.drop_for(Reason::TooOld);
        }
        queued.ticket.go();
        tasks.spawn(sending.clone().send(queued));
    }
}
