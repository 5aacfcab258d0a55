//! Whether the upstream's answers about members keep the schema that it serves itself. It only observes.
//!
//! Nothing here is on a request's way: [`Contract::look`] is called with copies of answers that were given already, and
//! [`Contract::watch`] keeps the schemas fresh.

pub mod schema;

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header::ACCEPT;
use http_body_util::BodyExt;
use http_body_util::Limited;
use tower::Service;
use tower::ServiceExt;

use crate::body::Body;
use crate::call::Account;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::contract::schema::MAX_BYTES;
use crate::contract::schema::Schema;
use crate::contract::schema::Violation;
use crate::diff::answered::Answered;
use crate::diff::answered::Content;
use crate::diff::asked::Asked;
use crate::openstack::request_id::RequestId;
use crate::peer::Peer;
use crate::secret::Secret;
use crate::telemetry::contract_answers::ContractAnswers;

/// How long fetching one schema may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a schema that could not be had is not asked for again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// How long violations are only counted after one was told.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// The section `[contract]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is done with answers about members.
    pub answers: Answers,
    /// How long a schema is used before it is fetched again.
    pub schema_ttl: Duration,
}

/// What is done with answers about members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Nothing.
    Off,
    /// They are looked at, counted, and told of if they break their schema.
    Observe,
}

impl Default for Config {
    fn default() -> Self {
        Self { answers: Answers::Off, schema_ttl: Duration::from_hours(1) }
    }
}

/// What an answer is a document of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One member.
    Member,
    /// A list of members.
    Members,
}

/// Looks at answers; cloning shares it.
#[derive(Clone, Debug)]
pub struct Contract {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    mount: String,
    member: Slot,
    members: Slot,
    counts: ContractAnswers,
    telling: Mutex<Telling>,
}

/// A schema, if it is there.
#[derive(Debug, Default)]
struct Slot {
    schema: ArcSwapOption<Schema>,
    /// What was told last about its failing; nothing while it does not fail.
    failing: Mutex<Option<String>>,
}

/// When a violation was told last, and how many were not told since.
#[derive(Debug, Default)]
struct Telling {
    last: Option<Instant>,
    untold: u64,
}

impl Contract {
    /// Prepares to look at answers of the Glance below `mount`; there is no schema yet.
    pub fn new(config: Config, mount: &str, counts: ContractAnswers) -> Self {
        let (member, members, telling) = (Slot::default(), Slot::default(), Mutex::default());
        let shared = Shared { config, mount: mount.to_owned(), member, members, counts, telling };
        Self { shared: Arc::new(shared) }
    }

    /// Looks at an answer that was given, if it is a document about members; counts it, and tells what is wrong with it.
    pub fn look(&self, asked: &Asked, answered: &Answered) {
        let Some(kind) = kind(asked, answered).filter(|_| self.shared.config.answers == Answers::Observe) else {
            return;
        };
        let schema = self.slot(kind).schema.load_full();
        let (Some(schema), Content::Whole(body)) = (schema, &answered.body) else {
            self.shared.counts.answer(asked.route, "unchecked");
            return;
        };
        match schema.check(body) {
            Ok(()) => self.shared.counts.answer(asked.route, "valid"),
            Err(violation) => {
                self.shared.counts.answer(asked.route, "invalid");
                self.tell(asked, answered, &violation);
            }
        }
    }

    /// Fetches both schemas through `glance` with the gate's own token. One that can not be had, or used, is told once,
    /// and the one before it stays in use. Returns how long until the next time.
    pub async fn refresh<S, F>(&self, glance: &S, token: impl Fn() -> F) -> Duration
    where
        S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone,
        F: Future<Output = Result<Secret<HeaderValue>, String>>,
    {
        let mut wait = self.shared.config.schema_ttl;
        for kind in [Kind::Member, Kind::Members] {
            let fetched = async {
                let token = token().await?;
                let body = self.fetch(kind, glance.clone(), &token).await?;
                Schema::parse(&body).map_err(|error| format!("the schema can not be used: {error}"))
            };
            let fetched = pingora_timeout::timeout(FETCH_TIMEOUT, fetched).await;
            match fetched.unwrap_or_else(|_| Err("glance did not answer in time".into())) {
                Ok(schema) => self.takes(kind, schema),
                Err(cause) => {
                    self.fails(kind, cause);
                    wait = wait.min(RETRY_PAUSE);
                }
            }
        }
        wait
    }

    /// Keeps both schemas fresh, for good.
    pub async fn watch<S, F>(self, glance: S, token: impl Fn() -> F)
    where
        S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone,
        F: Future<Output = Result<Secret<HeaderValue>, String>>,
    {
        loop {
            let wait = self.refresh(&glance, &token).await;
            tokio::time::sleep(wait).await;
        }
    }

    fn slot(&self, kind: Kind) -> &Slot {
        match kind {
            Kind::Member => &self.shared.member,
            Kind::Members => &self.shared.members,
        }
    }

    /// Asks `GET /v2/schemas/…` (Image API v2, "Schemas").
    async fn fetch<S>(&self, kind: Kind, glance: S, token: &Secret<HeaderValue>) -> Result<Vec<u8>, String>
    where
        S: Service<Call, Response = Answer, Error = Box<Refused>>,
    {
        let request = Request::get(format!("{}/v2/schemas/{}", self.shared.mount, kind.as_str()))
            .header(ACCEPT, "application/json")
            .header("x-auth-token", token.expose().clone())
            .body(Body::Empty)
            .map_err(|error| error.to_string())?;
        let (head, body) = request.into_parts();
        let own = Peer::plain(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let account = Box::new(Account::new(RequestId::random(), own, &head));
        let answer = glance.oneshot(Call { head: Box::new(head), body, account }).await;
        let answer = answer.map_err(|refused| {
            refused.call.account.cause.map_or_else(|| "glance cannot be reached".to_owned(), Cow::into_owned)
        })?;
        let status = answer.response.status();
        if status != StatusCode::OK {
            return Err(format!("glance answered {}", status.as_u16()));
        }
        let body = Limited::new(answer.response.into_body(), MAX_BYTES).collect().await;
        Ok(body.map_err(|_| "the schema is too long, or broke off")?.to_bytes().into())
    }

    fn takes(&self, kind: Kind, schema: Schema) {
        let slot = self.slot(kind);
        slot.schema.store(Some(Arc::new(schema)));
        self.shared.counts.schema(kind.as_str(), "taken");
        if slot.failing.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(schema = kind.as_str(), "glance's schema is there again");
        }
    }

    fn fails(&self, kind: Kind, cause: String) {
        self.shared.counts.schema(kind.as_str(), "failed");
        let mut failing = self.slot(kind).failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.as_ref() != Some(&cause) {
            tracing::warn!(schema = kind.as_str(), %cause, "glance's schema can not be had");
            *failing = Some(cause);
        }
    }

    /// Tells of a violation, at most once a second: where it is and which rule it breaks, but no value.
    fn tell(&self, asked: &Asked, answered: &Answered, violation: &Violation) {
        let mut telling = self.shared.telling.lock().unwrap_or_else(PoisonError::into_inner);
        if telling.last.is_some_and(|last| last.elapsed() < TELL_PAUSE) {
            telling.untold += 1;
            return;
        }
        let untold = std::mem::take(&mut telling.untold);
        telling.last = Some(Instant::now());
        tracing::warn!(
            request_id = %asked.request_id,
            method = %asked.method,
            route = asked.route,
            status = answered.status.as_u16(),
            at = %violation.pointer,
            rule = %violation.keyword,
            untold,
            "an answer breaks the schema that glance serves"
        );
    }
}

impl Kind {
    /// Returns the name of its schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Members => "members",
        }
    }
}

/// Returns what an answer is a document of; nothing if it is no answer with a document about members.
fn kind(asked: &Asked, answered: &Answered) -> Option<Kind> {
    if answered.status != StatusCode::OK {
        return None;
    }
    match asked.route {
        "/v2/images/{image_id}/members" if asked.method == Method::GET => Some(Kind::Members),
        "/v2/images/{image_id}/members" if asked.method == Method::POST => Some(Kind::Member),
        "/v2/images/{image_id}/members/{member_id}" if asked.method == Method::GET || asked.method == Method::PUT => {
            Some(Kind::Member)
        }
        _ => None,
    }
}
