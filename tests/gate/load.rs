//! A steady load: so many calls a second whatever the answers are like, and not one of them may fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::Call;
use crate::client::Connection;

/// How calls share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A connection goes on until an answer says that it was the last.
    KeptAlive,
    /// A connection a call.
    Fresh,
}

/// What is sent, and how.
#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    /// The calls that are sent in turn; each must be answered with 200.
    pub calls: Vec<Call>,
    pub style: Style,
    /// How many calls there are a second, and how many in all.
    pub rate: u32,
    pub total: u32,
}

/// What became of the calls.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answered: u32,
    pub failed: Vec<String>,
}

/// How many clients share the load; a call that is late does not keep the others back.
const CLIENTS: u32 = 50;

impl Load {
    /// Two thousand calls a second for four seconds; as many as an unoptimized build gets done on a busy machine, if it
    /// is one.
    pub fn heavy(address: SocketAddr, calls: Vec<Call>, style: Style) -> Self {
        let total = if cfg!(debug_assertions) { 2000 } else { 8000 };
        Self { address, calls, style, rate: 2000, total }
    }

    /// Sends all of it.
    pub async fn run(self) -> Outcome {
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(self.clone().client(client, Arc::clone(&outcome)));
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client ends");
        }
        let mut outcome = outcome.lock().expect("no client has failed");
        std::mem::take(&mut *outcome)
    }

    async fn client(self, client: u32, outcome: Arc<Mutex<Outcome>>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) * CLIENTS / self.rate);
        // what could not be sent in time is made up for: the rate is the clients', not the gate's
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut kept = None;
        for index in 0..self.total / CLIENTS {
            ticks.tick().await;
            let call = &self.calls[(index + client) as usize % self.calls.len()];
            let failed = self.call(call, &mut kept).await.err();
            let mut outcome = outcome.lock().expect("no client has failed");
            match failed {
                None => outcome.answered += 1,
                Some(failed) => outcome.failed.push(format!("call {index} of client {client}: {failed}")),
            }
        }
    }

    async fn call(&self, call: &Call, kept: &mut Option<Connection>) -> Result<(), String> {
        let is_used = kept.is_some();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::try_open(self.address).await.map_err(|error| format!("no connection: {error}"))?,
        };
        connection.try_send(call.bytes()).await;
        let reply = connection.try_reply(call.method()).await;
        let reply = reply.ok_or_else(|| format!("no answer on a connection that was used before: {is_used}"))?;
        if reply.status != 200 || !reply.is_whole {
            return Err(format!("{}, whole: {}, {}", reply.status, reply.is_whole, reply.text()));
        }
        if self.style == Style::KeptAlive && reply.header("connection") != Some("close") {
            *kept = Some(connection);
        }
        Ok(())
    }
}

impl Outcome {
    /// Asserts that every call was answered as it should be.
    pub fn expect_whole(&self, total: u32) {
        let first: Vec<&String> = self.failed.iter().take(5).collect();
        assert!(self.failed.is_empty(), "{} of {total} calls failed, such as {first:#?}", self.failed.len());
        assert_eq!(self.answered, total);
    }
}
