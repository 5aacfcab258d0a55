//! Hands news on to the caches, and keeps a flood of them from turning into a flood of questions to Keystone and Glance.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures_util::future::BoxFuture;

use crate::fleet::news::News;
use crate::telemetry::fleet::LinkName;
use crate::telemetry::metrics::Metrics;

/// Lets the caches forget.
pub type Forget = Arc<dyn Fn(Vec<News>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What one link hears.
pub struct Hearing {
    link: LinkName,
    forget: Forget,
    metrics: Metrics,
    all_tokens: Wholesale,
    all_images: Wholesale,
}

/// How often everything may be forgotten: some times at once, then one by one. What comes too often waits, and is one.
#[derive(Debug)]
struct Wholesale {
    left: u32,
    since: Instant,
    is_due: bool,
}

/// How often everything may be forgotten without a wait.
const AT_ONCE: u32 = 5;
/// How long it takes to earn one more.
const EARNED_IN: Duration = Duration::from_secs(5);

impl Hearing {
    /// Hears for the caches behind `forget`.
    pub fn new(link: LinkName, forget: Forget, metrics: Metrics) -> Self {
        let now = Instant::now();
        let (all_tokens, all_images) = (Wholesale::new(now), Wholesale::new(now));
        Self { link, forget, metrics, all_tokens, all_images }
    }

    /// Lets be forgotten what there is news of.
    pub async fn hear(&mut self, news: Vec<News>) {
        let now = Instant::now();
        let mut wanted = (false, false);
        let mut single: Vec<News> = Vec::with_capacity(news.len());
        for one in news {
            match one {
                News::AllTokens => wanted.0 = true,
                News::AllImages => wanted.1 = true,
                News::Image(_) | News::Token(_) | News::User(_) | News::Project(_) => single.push(one),
            }
        }
        self.all_tokens.is_due |= wanted.0;
        self.all_images.is_due |= wanted.1;
        self.pass_on(single, now).await;
    }

    /// Lets be forgotten what had to wait; to be called about every second.
    pub async fn catch_up(&mut self) {
        if self.all_tokens.is_due || self.all_images.is_due {
            self.pass_on(Vec::new(), Instant::now()).await;
        }
    }

    /// Notes a message of this kind, and what became of it.
    pub fn count(&self, kind: &'static str, outcome: &'static str) {
        self.metrics.fleet.message(self.link, kind, outcome);
    }

    /// Notes how long a message took.
    pub fn took(&self, lag: Duration) {
        self.metrics.fleet.lag(self.link, lag);
    }

    async fn pass_on(&mut self, mut news: Vec<News>, now: Instant) {
        if self.all_tokens.comes(now) {
            news.push(News::AllTokens);
        }
        if self.all_images.comes(now) {
            news.push(News::AllImages);
        }
        if news.is_empty() {
            return;
        }
        for one in &news {
            self.metrics.fleet.forgotten(self.link, one.as_str());
        }
        (self.forget)(news).await;
    }
}

impl Wholesale {
    fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, since: now, is_due: false }
    }

    /// Tells whether it is due and may be done now.
    fn comes(&mut self, now: Instant) -> bool {
        while self.left < AT_ONCE && now.saturating_duration_since(self.since) >= EARNED_IN {
            self.left += 1;
            self.since += EARNED_IN;
        }
        if self.left == AT_ONCE {
            self.since = now;
        }
        if !self.is_due || self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.is_due = false;
        true
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Hearing").field("link", &self.link).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::time::Duration;
    use std::time::Instant;

    use super::Hearing;
    use super::Wholesale;
    use crate::fleet::news::News;
    use crate::telemetry::fleet::LinkName;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn forgetting_everything_is_bounded_and_never_lost() {
        let start = Instant::now();
        let mut all = Wholesale::new(start);
        let mut done = 0;
        // a hundred times a second, for twenty seconds
        for tick in 0..2_000 {
            all.is_due = true;
            done += u32::from(all.comes(start + Duration::from_millis(10 * tick)));
        }
        assert_eq!(done, 5 + 3, "five at once, one each five seconds");
        assert!(all.is_due);
        assert!(!all.comes(start + Duration::from_millis(19_990)));
        assert!(all.comes(start + Duration::from_secs(20)), "what waits comes");
        assert!(!all.comes(start + Duration::from_mins(1)), "and only once");
    }

    #[tokio::test]
    async fn single_news_never_wait() {
        let heard: Arc<Mutex<Vec<News>>> = Arc::default();
        let (into, metrics) = (heard.clone(), Metrics::default());
        let forget = Arc::new(move |news: Vec<News>| -> futures_util::future::BoxFuture<'static, ()> {
            into.lock().expect("no test has failed").extend(news);
            Box::pin(async {})
        });
        let mut hearing = Hearing::new(LinkName::Redis, forget, metrics);
        for _ in 0..20 {
            hearing.hear(vec![News::AllImages, News::Image(uuid::Uuid::nil())]).await;
        }
        let heard = heard.lock().expect("no test has failed");
        let images = heard.iter().filter(|news| matches!(news, News::Image(_))).count();
        assert_eq!((images, heard.len()), (20, 25));
    }
}
