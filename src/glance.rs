//! Who owns an image: asked of Glance, remembered, and forgotten when a change passes by.

pub mod answer;
pub mod asked;
pub mod policy;
pub mod watch;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use tower::Service;
use tower::ServiceExt;
use uuid::Uuid;

use crate::cache::Answer as CacheAnswer;
use crate::cache::Bounds;
use crate::cache::Failure;
use crate::cache::Remembered;
use crate::cache::forgotten::Forgotten;
use crate::call::Account;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::fleet::news::News;
use crate::fleet::outbox::Outbox;
use crate::glance::asked::Asked;
use crate::openstack::identity::ProjectId;
use crate::openstack::image::ImageOwnership;
use crate::openstack::token::TokenDigest;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// The section `[ownership]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose token asks Glance.
    pub lookup_as: LookupAs,
    /// How long an owner is remembered, give or take a tenth.
    pub cache_time: Duration,
    /// How long "no such image" is remembered.
    pub negative_cache_time: Duration,
    /// How many owners are remembered.
    pub cache_entries: u64,
    /// How long a look-up may take.
    pub lookup_timeout: Duration,
    /// How many bytes Glance's answer may have.
    pub max_answer_bytes: usize,
}

/// Whose token asks Glance who owns an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupAs {
    /// The caller's own: no credential needed, remembered per image and caller.
    Caller,
    /// The gate's, which must be an admin's: remembered per image.
    Service,
}

impl LookupAs {
    /// Returns the word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Service => "service",
        }
    }
}

/// Whose eyes an answer was seen with; what one caller sees says nothing of what another does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Viewer {
    /// The gate, as admin.
    Service,
    /// Any caller of the project with exactly these roles.
    Roles(ProjectId, Arc<[Box<str>]>),
    /// The holder of one token, whose roles are unknown.
    Token(TokenDigest),
}

/// An owner, and when Glance told it.
#[derive(Clone, Debug)]
pub struct Known {
    /// What Glance told.
    pub ownership: ImageOwnership,
    /// When it was asked.
    pub since: Instant,
    remember: Duration,
}

/// Why the owner is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// Glance shows no such image to the viewer.
    Absent,
    /// Glance does not take the token.
    TokenRefused,
    /// Glance was not asked, because it had to be asked too often for the sake of this client.
    TooManyQuestions,
    /// Glance was not asked, because it has too much to do; the refusal says of what.
    TooBusy(Refusal),
    /// Glance could not be asked: nothing is known.
    Unavailable(String),
}

/// The owners that are remembered; cloning shares them.
#[derive(Clone)]
pub struct Ownerships {
    cache: Remembered<(Uuid, Viewer), Known, LookupError>,
    forgotten: Arc<Forgotten>,
    outbox: Outbox,
}

/// Looks owners up through a service that reaches Glance.
#[derive(Clone, Debug)]
pub struct OwnershipLookup<S> {
    ownerships: Ownerships,
    config: Arc<Config>,
    glance: S,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lookup_as: LookupAs::Caller,
            cache_time: Duration::from_mins(1),
            negative_cache_time: Duration::from_secs(5),
            cache_entries: 500_000,
            lookup_timeout: Duration::from_secs(10),
            max_answer_bytes: 1024 * 1024,
        }
    }
}

impl Ownerships {
    /// Makes an empty memory; other gates are told of changes that pass by.
    pub fn new(config: &Config, outbox: Outbox, metrics: &Metrics) -> Self {
        Self { cache: empty(config, metrics), forgotten: Arc::default(), outbox }
    }

    /// Makes an empty memory in the place of this one.
    ///
    /// Requests that began with the old one may still change images: what they make it forget, the new one must not
    /// believe either.
    #[must_use]
    pub fn emptied(&self, config: &Config, metrics: &Metrics) -> Self {
        Self { cache: empty(config, metrics), forgotten: self.forgotten.clone(), outbox: self.outbox.clone() }
    }

    /// Returns about how many owners are remembered.
    pub async fn remembered(&self) -> u64 {
        self.cache.entries().await
    }

    /// Forgets what is known of the image, and what is being asked right now; other gates are told.
    pub fn forget(&self, image: Uuid) {
        self.heard_of(image);
        self.outbox.tell(News::Image(image));
    }

    /// Forgets what is known of the image because another told so.
    pub fn heard_of(&self, image: Uuid) {
        self.forgotten.forget(&image);
    }

    /// Forgets what is known of any image, because changes may have been missed.
    pub fn forget_all(&self) {
        self.forgotten.forget_all();
    }

    fn holds(&self, image: Uuid, since: Instant) -> bool {
        self.forgotten.holds(&image, since)
    }
}

fn empty(config: &Config, metrics: &Metrics) -> Remembered<(Uuid, Viewer), Known, LookupError> {
    let bounds = Bounds { entries: config.cache_entries, negative: config.negative_cache_time };
    Remembered::new("ownership", &bounds, metrics)
}

impl<S> OwnershipLookup<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send,
    S::Future: Send,
{
    /// Looks up through `glance`, remembering in `ownerships`.
    pub fn new(config: Config, ownerships: Ownerships, glance: S) -> Self {
        Self { ownerships, config: Arc::new(config), glance }
    }

    /// Tells whose token is to be used.
    pub fn lookup_as(&self) -> LookupAs {
        self.config.lookup_as
    }

    /// Returns the owner, if that is remembered.
    pub fn at_hand(&self, viewer: &Viewer, image: Uuid) -> Option<Known> {
        let holds = |known: &Known| self.ownerships.holds(image, known.since);
        self.ownerships.cache.at_hand(&(image, viewer.clone()), holds)
    }

    /// Returns the owner; those who ask the same at the same time share one question to Glance.
    ///
    /// The credential is only awaited when Glance must be asked, and may object to that.
    ///
    /// # Errors
    /// Tells why the owner is not known.
    pub async fn find<F>(&self, viewer: Viewer, asked: &Asked, credential: impl Fn() -> F) -> Result<Known, LookupError>
    where
        F: Future<Output = Result<Secret<HeaderMap>, LookupError>>,
    {
        let image = asked.image;
        let load = async || {
            let credential = credential().await?;
            pingora_timeout::timeout(self.config.lookup_timeout, self.ask(asked, &credential))
                .await
                .unwrap_or_else(|_| Err(LookupError::Unavailable("glance did not answer in time".into())))
        };
        self.ownerships.cache.get_or_load((image, viewer), |since| self.ownerships.holds(image, since), load).await
    }

    /// Asks `GET /v2/images/{image_id}` (Image API v2, "Show image").
    async fn ask(&self, asked: &Asked, credential: &Secret<HeaderMap>) -> Result<Known, LookupError> {
        let since = Instant::now();
        let request = asked.request(credential)?;
        let (head, body) = request.into_parts();
        let mut account = Box::new(Account::new(asked.request_id, Peer::plain(asked.peer), &head));
        account.trace.clone_from(&asked.trace);
        let answer = self.glance.clone().oneshot(Call { head: Box::new(head), body, account }).await;
        let answer = answer.map_err(|refused| LookupError::of(*refused))?;
        let ownership = answer::read(answer.response, self.config.max_answer_bytes).await?;
        Ok(Known { ownership, since, remember: with_jitter(self.config.cache_time) })
    }
}

/// Spreads the ends of entries that were made together over a tenth of the time in either direction.
fn with_jitter(time: Duration) -> Duration {
    let dice = u32::try_from(Uuid::new_v4().as_u128() % 201).unwrap_or_default();
    time * (900 + dice) / 1000
}

impl CacheAnswer for Known {
    fn since(&self) -> Instant {
        self.since
    }

    fn lasts(&self) -> Duration {
        self.remember
    }
}

impl LookupError {
    /// Says why the question did not get through.
    fn of(refused: Refused) -> Self {
        if refused.refusal.is_crowd() {
            return Self::TooBusy(refused.refusal);
        }
        Self::Unavailable(refused.call.account.cause.unwrap_or("glance cannot be reached".into()).into_owned())
    }
}

impl Failure for LookupError {
    fn is_final(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::TokenRefused | Self::TooManyQuestions | Self::TooBusy(_) | Self::Unavailable(_) => false,
        }
    }

    fn is_askers_own(&self) -> bool {
        match self {
            Self::TokenRefused | Self::TooManyQuestions => true,
            Self::Absent | Self::TooBusy(_) | Self::Unavailable(_) => false,
        }
    }
}

impl fmt::Debug for Ownerships {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ownerships").finish_non_exhaustive()
    }
}
