//! Letters from one gate to the others: written, published, received, and checked for gaps.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use redis::PushInfo;
use redis::PushKind;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fleet::hearing::Hearing;
use crate::fleet::letter::Letter;
use crate::fleet::letter::MAX_NEWS;
use crate::fleet::letter::Unread;
use crate::fleet::news::News;
use crate::fleet::outbox::Waiting;
use crate::fleet::redis::Broken;
use crate::fleet::redis::HELLO;
use crate::fleet::redis::config::Config;
use crate::fleet::redis::connection;
use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// Publishes this gate's letters; outlives the connections that it does so over.
#[derive(Debug)]
pub struct Writer {
    channel: String,
    name: Uuid,
    number: u64,
    unsent: Vec<News>,
    has_lost: bool,
    metrics: Metrics,
}

/// Reads the letters of all gates over one connection.
#[derive(Debug)]
pub struct Listener<'a> {
    pushes: mpsc::Receiver<PushInfo>,
    name: Uuid,
    hearing: &'a mut Hearing,
    others: HashMap<Uuid, Heard>,
    metrics: Metrics,
}

/// What was heard of another gate last.
#[derive(Clone, Copy, Debug)]
struct Heard {
    number: u64,
    at: Instant,
}

/// Of how many gates it is known which letter came last; more are heard, but gaps in theirs are not noticed.
const MAX_GATES: usize = 1024;
/// After this time without a letter a gate is taken to be gone.
const GONE: Duration = Duration::from_secs(5);

impl Writer {
    /// Writes in this name.
    pub fn new(config: &Config, name: Uuid, metrics: Metrics) -> Self {
        let channel = connection::channel(config);
        Self { channel, name, number: 0, unsent: Vec::new(), has_lost: false, metrics }
    }

    /// Publishes news as they come, and a letter a second in any case.
    pub async fn run(
        &mut self,
        mut redis: MultiplexedConnection,
        waiting: &mut Waiting,
        stop: &CancellationToken,
    ) -> Broken {
        let mut hellos = tokio::time::interval(HELLO);
        hellos.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = MAX_NEWS.saturating_sub(self.unsent.len());
            tokio::select! {
                biased;
                // before the news: a gate that always has some must end, too
                () = stop.cancelled() => return Broken::Stopped,
                _ = hellos.tick() => {}
                count = waiting.take(&mut self.unsent, room), if room > 0 => {
                    // the outbox is somebody else's now, and empty: this link is about to be stopped
                    if count == 0 {
                        stop.cancelled().await;
                        return Broken::Stopped;
                    }
                }
            }
            if let Err(broken) = self.publish(&mut redis, waiting).await {
                return broken;
            }
        }
    }

    /// Publishes what is left.
    pub async fn send_rest(&mut self, mut redis: MultiplexedConnection, waiting: &mut Waiting) {
        loop {
            waiting.take_rest(&mut self.unsent, MAX_NEWS);
            self.has_lost |= waiting.has_dropped();
            if self.unsent.is_empty() && !self.has_lost || self.publish(&mut redis, waiting).await.is_err() {
                return;
            }
        }
    }

    async fn publish(&mut self, redis: &mut MultiplexedConnection, waiting: &Waiting) -> Result<(), Broken> {
        self.has_lost |= waiting.has_dropped();
        self.number += 1;
        let letter = Letter::new(self.name, self.number, self.has_lost, &self.unsent);
        let done: redis::RedisResult<()> =
            redis::cmd("PUBLISH").arg(&self.channel).arg(letter.encode()).query_async(redis).await;
        // what may not have arrived is sent again over the next connection
        done?;
        self.metrics.fleet.message(LinkName::Redis, if self.unsent.is_empty() { "letter" } else { "news" }, "sent");
        self.unsent.clear();
        self.has_lost = false;
        Ok(())
    }
}

impl<'a> Listener<'a> {
    /// Listens to all gates but the one of this name.
    pub fn new(pushes: mpsc::Receiver<PushInfo>, name: Uuid, hearing: &'a mut Hearing, metrics: Metrics) -> Self {
        Self { pushes, name, hearing, others: HashMap::new(), metrics }
    }

    /// Reads letters until there are none for this long: the gate's own ones, at the least, must come back.
    pub async fn run(&mut self, silence: Duration) -> Broken {
        loop {
            let push = match tokio::time::timeout(silence, self.pushes.recv()).await {
                Err(_) => return Broken::Error("what this gate publishes does not come back".into()),
                Ok(None) => return Broken::Error("more letters than can be read".into()),
                Ok(Some(push)) => push,
            };
            match push.kind {
                PushKind::Message => self.read(&push.data).await,
                PushKind::Disconnection => return Broken::Error("the server has closed the connection".into()),
                _ => {}
            }
        }
    }

    /// Reads one letter: the channel's name, then the text.
    async fn read(&mut self, data: &[Value]) {
        let Some(Value::BulkString(bytes)) = data.get(1) else {
            return self.hearing.count("letter", "unreadable");
        };
        match Letter::decode(bytes) {
            Ok(letter) if letter.from == self.name => self.hearing.catch_up().await,
            Ok(letter) => self.heard(&letter).await,
            Err(Unread::Version) => self.hearing.count("letter", "other_version"),
            Err(Unread::Garbage) => self.hearing.count("letter", "unreadable"),
        }
        self.others.retain(|_, heard| heard.at.elapsed() < GONE);
        self.metrics.fleet.gates.set(i64::try_from(self.others.len()).unwrap_or(i64::MAX));
    }

    async fn heard(&mut self, letter: &Letter) {
        self.hearing.took(letter.age());
        let mut news = letter.news();
        let kind = if news.is_empty() { "letter" } else { "news" };
        self.hearing.count(kind, "applied");
        let before = self.others.get(&letter.from).map(|heard| heard.number);
        if before.is_some_and(|before| letter.number != before.wrapping_add(1)) {
            self.hearing.count("letter", "gap");
            news.extend([News::AllImages, News::AllTokens]);
        }
        if before.is_some() || self.others.len() < MAX_GATES {
            self.others.insert(letter.from, Heard { number: letter.number, at: Instant::now() });
        }
        if !news.is_empty() {
            self.hearing.hear(news).await;
        }
    }
}
