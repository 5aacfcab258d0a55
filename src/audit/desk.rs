//! The thread that puts events into words and spreads them to the sinks; the same through all configurations.

use std::io;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::audit::plan::Followed;
use crate::audit::plan::Plan;
use crate::audit::queue::Inlet;
use crate::audit::queue::Outlet;
use crate::audit::queue::Put;
use crate::audit::queue::queue;
use crate::audit::told::Told;

/// Where workers hand events in.
pub struct Desk {
    inlet: Inlet<Message>,
    state: Mutex<State>,
}

enum State {
    /// No configuration has wanted it yet.
    Idle(Outlet<Message>),
    /// It works, and tells here when it has ended; it may take so long for that.
    Working(Receiver<()>, Duration),
    Ended,
}

enum Message {
    Told(Told),
    Follow(Box<Plan>),
    End,
}

/// How long events gather after the first one: waking the thread for each would cost the workers a system call each.
const GATHER: Duration = Duration::from_millis(50);
/// How long the end may take besides what sinks have.
const GRACE: Duration = Duration::from_secs(1);

impl Default for Desk {
    /// Opens it; nobody sits at it yet.
    fn default() -> Self {
        // what is left at the end was counted when it was handed in, or comes after the last request
        let (inlet, outlet) = queue(Counter::default());
        Self { inlet, state: Mutex::new(State::Idle(outlet)) }
    }
}

impl Desk {
    /// Hands an event in, if no more than `bound` bytes wait then.
    pub fn put(&self, told: Told, bound: usize) -> Put {
        let weight = told.weight();
        self.inlet.put(Message::Told(told), weight, bound)
    }

    /// Works by this plan from now on; what was handed in before goes by the one before.
    pub fn follow(&self, plan: Plan) {
        let mut state = self.lock();
        let drain = plan.drain;
        *state = match std::mem::replace(&mut *state, State::Ended) {
            State::Idle(outlet) if plan.has_sink() => match start(outlet) {
                Ok(ended) => State::Working(ended, drain),
                Err(error) => {
                    tracing::error!(%error, "nothing can be audited: no thread");
                    State::Ended
                }
            },
            State::Working(ended, before) => State::Working(ended, drain.max(before)),
            idle_or_ended => idle_or_ended,
        };
        if matches!(*state, State::Working(..)) {
            self.inlet.order(Message::Follow(Box::new(plan)));
        }
    }

    /// Ends it when what was handed in is spread and the sinks had their time.
    pub fn finish(&self) {
        let state = std::mem::replace(&mut *self.lock(), State::Ended);
        if let State::Working(ended, drain) = state {
            self.inlet.order(Message::End);
            // a thread that is stuck ends with the process
            let _ = ended.recv_timeout(drain + GRACE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(outlet: Outlet<Message>) -> io::Result<Receiver<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (ending, ended) = mpsc::channel();
    thread::Builder::new().name("audit".into()).spawn(move || {
        runtime.block_on(work(outlet));
        runtime.shutdown_background();
        // who waits has gone if it took too long
        let _ = ending.send(());
    })?;
    Ok(ended)
}

async fn work(mut outlet: Outlet<Message>) {
    let mut tasks = JoinSet::new();
    let mut followed: Option<Followed> = None;
    while let Some(message) = outlet.next().await {
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Told(told) => {
                    if let Some(followed) = &followed {
                        followed.spread(&followed.words.find(&told));
                    }
                }
                Message::Follow(plan) => {
                    if let Some(before) = followed.replace(plan.start(&mut tasks)) {
                        before.close(&mut tasks);
                    }
                }
                Message::End => return end(followed, tasks).await,
            }
            next = outlet.at_once();
        }
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(GATHER).await;
    }
}

async fn end(followed: Option<Followed>, mut tasks: JoinSet<()>) {
    if let Some(followed) = followed {
        followed.close(&mut tasks);
    }
    // each task has a deadline of its own
    while tasks.join_next().await.is_some() {}
}
