//! The operators' page: what the gate does, at a glance, for a browser or a script.
//!
//! It reads the gate's own counters now and then, on the control thread; no request ever waits for it.

pub mod assets;
pub mod compose;
pub mod decision;
pub mod document;
pub mod feed;
pub mod history;
pub mod latency;
pub mod reading;
pub mod shadow;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header::RETRY_AFTER;
use http::request::Parts;
use serde_json::Map;
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::diff::judge::Overview;
use crate::page::assets::Kind;
use crate::page::assets::Origin;
use crate::page::compose::Facts;
use crate::page::compose::Moment;
use crate::page::compose::compose;
use crate::page::document::Document;
use crate::page::feed::Feed;
use crate::page::history::History;
use crate::page::history::STEP;
use crate::page::reading::Reading;
use crate::server::admin::is_addressed;

/// The page and what it reads; cloning shares it.
#[derive(Clone)]
pub struct Page {
    shared: Arc<Shared>,
}

struct Shared {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    look: Box<dyn Fn() -> Looking + Send + Sync>,
    names: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    differences: Box<dyn Fn() -> Overview + Send + Sync>,
    history: Mutex<History>,
    feed: Feed,
    /// What those who listen know, section by section.
    known: Mutex<Map<String, Value>>,
}

/// Looking up what only the gate knows.
type Looking = Pin<Box<dyn Future<Output = Facts> + Send>>;

/// How often those who listen are told what has changed.
const TICK: Duration = Duration::from_secs(1);
/// After how many ticks a step of the history ends.
const TICKS_A_STEP: u64 = STEP.as_secs();
/// After how many ticks a connection on which nothing changed is kept alive.
const TICKS_A_HEARTBEAT: u64 = 10;
/// The sections that the feed tells of in events of their own.
const OWN_EVENTS: [&str; 1] = ["series"];

impl Page {
    /// Shows the metrics that `read` reads, what `look` finds, and what differs between staging and the primary, to browsers
    /// that name an address or one of `names`.
    pub fn new<F>(
        read: impl Fn() -> Reading + Send + Sync + 'static,
        look: impl Fn() -> F + Send + Sync + 'static,
        names: impl Fn() -> Vec<String> + Send + Sync + 'static,
        differences: impl Fn() -> Overview + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Facts> + Send + 'static,
    {
        let history = Mutex::new(History::new(SystemTime::now(), &read()));
        let shared = Shared {
            read: Box::new(read),
            look: Box::new(move || -> Looking { Box::pin(look()) }),
            names: Box::new(names),
            differences: Box::new(differences),
            history,
            feed: Feed::default(),
            known: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Answers a request for the page or for what it reads; nothing if it is for something else.
    pub async fn answer(self, request: Parts) -> Option<Response<Body>> {
        let kind = Kind::of(request.uri.path())?;
        if !is_addressed(&request, &(self.shared.names)()) {
            let hint = "by an address, localhost, or a name that admin.names lists\n";
            return Some(assets::text(StatusCode::FORBIDDEN, hint));
        }
        if Origin::of(&request, kind) == Origin::Foreign {
            return Some(assets::text(StatusCode::FORBIDDEN, "not for pages of another origin\n"));
        }
        Some(match kind {
            Kind::Page => assets::page(),
            Kind::File(file) => assets::file(file),
            Kind::Status => self.status().await,
            Kind::Events => self.events().await,
            Kind::Shadow => assets::shadow(),
            Kind::ShadowStatus => self.differences(),
        })
    }

    /// Ends steps and tells those who listen, until it is told to stop.
    pub async fn watch(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // the first is at once, when nothing has happened yet
        ticks.tick().await;
        for number in 1_u64.. {
            tokio::select! {
                _ = ticks.tick() => self.tick(number).await,
                () = stop.cancelled() => break,
            }
        }
        self.shared.feed.close();
    }

    async fn tick(&self, number: u64) {
        if number.is_multiple_of(TICKS_A_STEP) {
            self.step();
        }
        if self.shared.feed.listeners() > 0 {
            self.tell_changes().await;
        }
        if number.is_multiple_of(TICKS_A_HEARTBEAT) {
            self.shared.feed.send(&feed::heartbeat());
        }
    }

    fn step(&self) {
        let reading = (self.shared.read)();
        let step = {
            let mut history = lock(&self.shared.history);
            history.push(SystemTime::now(), &reading);
            compose::series(history.steps().last().into_iter())
        };
        self.shared.feed.send(&feed::event("step", &json(&step)));
    }

    /// Tells those who listen which sections have changed, and returns the whole document.
    async fn tell_changes(&self) -> Map<String, Value> {
        let document = self.document().await;
        let Ok(Value::Object(sections)) = serde_json::to_value(document) else { return Map::new() };
        let mut known = lock(&self.shared.known);
        let is_news = |(name, section): &(&String, &Value)| {
            !OWN_EVENTS.contains(&name.as_str()) && known.get(*name) != Some(section)
        };
        let changed: Map<String, Value> =
            sections.iter().filter(is_news).map(|(name, section)| (name.clone(), section.clone())).collect();
        if !changed.is_empty() {
            self.shared.feed.send(&feed::event("change", &json(&changed)));
        }
        known.extend(changed);
        sections
    }

    async fn document(&self) -> Document {
        let facts = (self.shared.look)().await;
        let moment = Moment { reading: (self.shared.read)(), now: SystemTime::now() };
        compose(facts, &moment, &lock(&self.shared.history), self.shared.feed.listeners())
    }

    async fn status(&self) -> Response<Body> {
        assets::json(json(&self.document().await))
    }

    fn differences(&self) -> Response<Body> {
        let told = shadow::tell((self.shared.differences)(), &(self.shared.read)(), SystemTime::now());
        assets::json(json(&told))
    }

    async fn events(&self) -> Response<Body> {
        // what is told from now on is told on top of this
        let whole = self.tell_changes().await;
        match self.shared.feed.listen(feed::event("status", &json(&whole))) {
            Ok(body) => assets::feed(body),
            Err(no_place) => {
                let mut response = assets::text(StatusCode::SERVICE_UNAVAILABLE, no_place.as_str());
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
                response
            }
        }
    }
}

/// Writes JSON on one line; what is written here can always be.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Page").field("feed", &self.shared.feed).finish_non_exhaustive()
    }
}
