//! An identity that somebody vouched for, and how long it may be remembered.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use crate::cache::Answer;
use crate::call::Account;
use crate::openstack::identity::Identity;

/// An identity, and when somebody vouched for it.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// What the token proves.
    pub identity: Arc<Identity>,
    /// When it was proved.
    pub since: Instant,
    remember: Duration,
}

impl Vouched {
    /// Notes that the identity was proved just now; it is remembered for the cache time at most.
    pub fn now(identity: Identity, cache_time: Duration) -> Self {
        let left = identity.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        Self { identity: Arc::new(identity), since: Instant::now(), remember: left.min(cache_time) }
    }

    /// Notes in the account of a call who asks, and how long ago that was proved.
    pub fn note_in(&self, account: &mut Account) {
        account.identity = Some(self.identity.clone());
        account.token_age = Some(self.since.elapsed());
    }

    /// Notes that it was asked for earlier than it was proved.
    #[must_use]
    pub fn asked(self, since: Instant) -> Self {
        Self { since, ..self }
    }

    /// Notes that Keystone vouched for it although it may have ended; it is remembered for the cache time.
    pub fn although_ended(identity: Identity, cache_time: Duration) -> Self {
        Self { identity: Arc::new(identity), since: Instant::now(), remember: cache_time }
    }
}

impl Answer for Vouched {
    fn since(&self) -> Instant {
        self.since
    }

    fn lasts(&self) -> Duration {
        self.remember
    }
}
