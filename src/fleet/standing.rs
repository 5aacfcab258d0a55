//! Whether a link stands: told in the log once when it breaks and once when it is back, in a gauge, and to operators.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use uuid::Uuid;

use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// How a link stands; cloning shares it.
#[derive(Clone, Debug)]
pub struct Standing {
    link: LinkName,
    stands: Arc<AtomicBool>,
    gauge: Gauge,
}

/// Told to nobody but once: that a link is down, and since when.
#[derive(Debug)]
pub struct Outage {
    standing: Standing,
    since: Option<Instant>,
    tries: u32,
}

/// The first pause before a link is tried again; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: whoever comes back is found within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Standing {
    /// Begins with a link that does not stand yet.
    pub fn new(link: LinkName, metrics: &Metrics) -> Self {
        Self { link, stands: Arc::default(), gauge: metrics.fleet.connected(link) }
    }

    /// Tells whether it stands.
    pub fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }

    /// Returns who tells of its outages.
    pub fn outage(&self) -> Outage {
        self.gauge.set(0);
        Outage { standing: self.clone(), since: None, tries: 0 }
    }
}

impl Outage {
    /// Notes that the link stands.
    pub fn ends(&mut self) {
        self.standing.stands.store(true, Ordering::Relaxed);
        self.standing.gauge.set(1);
        self.tries = 0;
        let link = self.standing.link.as_str();
        if let Some(since) = self.since.take() {
            let away = since.elapsed().as_secs_f64();
            tracing::info!(link, away, "connected again: what was remembered is asked anew");
        } else {
            tracing::info!(link, "connected");
        }
    }

    /// Notes why it does not stand, and returns how long to wait before it is tried again.
    pub fn goes_on(&mut self, cause: &dyn fmt::Display) -> Duration {
        self.standing.stands.store(false, Ordering::Relaxed);
        self.standing.gauge.set(0);
        if self.since.is_none() {
            self.since = Some(Instant::now());
            let link = self.standing.link.as_str();
            tracing::warn!(link, %cause, "not connected: until it is, this gate knows only what it sees itself");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(LONGEST_PAUSE);
        self.tries = self.tries.saturating_add(1);
        with_jitter(pause)
    }
}

/// Takes half of the time to all of it, so that gates that lost the same server do not come back all at once.
fn with_jitter(time: Duration) -> Duration {
    let dice = u32::try_from(Uuid::new_v4().as_u128() % 501).unwrap_or_default();
    time * (500 + dice) / 1000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Standing;
    use crate::telemetry::fleet::LinkName;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let standing = Standing::new(LinkName::Redis, &Metrics::default());
        let mut outage = standing.outage();
        let first = outage.goes_on(&"refused");
        assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&first));
        for _ in 0..100 {
            assert!(outage.goes_on(&"refused") <= Duration::from_secs(2));
        }
        assert!(outage.goes_on(&"refused") >= Duration::from_secs(1));
        outage.ends();
        assert!(standing.stands());
        assert!(outage.goes_on(&"gone") <= Duration::from_millis(100) && !standing.stands());
    }
}
