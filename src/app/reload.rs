//! Another configuration for a gate that runs: read and built in whole before the first request sees it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::Mutex;

use crate::app::generation::Current;
use crate::app::generation::Generation;
use crate::config::Config;
use crate::config::mistake::Mistake;
use crate::telemetry::log;

/// Reads the configuration anew, or tells all that is wrong with it.
pub type Source = Arc<dyn Fn() -> Result<Config, Vec<Mistake>> + Send + Sync>;

/// Replaces the configuration; cloning shares it.
#[derive(Clone)]
pub struct Reloader {
    shared: Arc<Shared>,
}

struct Shared {
    current: Arc<Current>,
    source: Source,
    one_at_a_time: Mutex<()>,
}

/// What is in use after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Its number.
    pub generation: u64,
    /// Its digest.
    pub revision: String,
}

/// Why nothing has changed.
#[derive(Debug)]
pub enum ReloadError {
    /// The configuration has mistakes, or changes what can not be changed while the gate runs.
    Mistakes(Vec<Mistake>),
    /// It is well written, but can not be used here.
    Unusable(io::Error),
}

/// How long reading and building may take; names are resolved in it.
const DEADLINE: Duration = Duration::from_secs(30);

impl Reloader {
    /// Replaces the configuration of `current` by what `source` reads.
    pub fn new(current: Arc<Current>, source: Source) -> Self {
        Self { shared: Arc::new(Shared { current, source, one_at_a_time: Mutex::new(()) }) }
    }

    /// Returns the generation in use.
    pub fn current(&self) -> Arc<Generation> {
        self.shared.current.load()
    }

    /// Reads the configuration and puts it to use in all workers at once, or changes nothing.
    ///
    /// # Errors
    /// Tells all that is wrong; it is logged as well.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let source = self.shared.source.clone();
        self.replace(move || source()).await
    }

    /// Puts this configuration to use instead of what the source reads.
    ///
    /// # Errors
    /// As [`Reloader::reload`].
    pub async fn apply(&self, config: Config) -> Result<Reloaded, ReloadError> {
        self.replace(move || Ok(config)).await
    }

    /// Puts the configuration in use to use again, with a part of it changed.
    ///
    /// # Errors
    /// As [`Reloader::reload`].
    pub async fn adjust<F>(&self, change: F) -> Result<Reloaded, ReloadError>
    where
        F: FnOnce(Config) -> Config + Send + 'static,
    {
        let current = self.shared.current.clone();
        // read while nobody else can replace it
        self.replace(move || Ok(change(current.load().config.clone()))).await
    }

    async fn replace<F>(&self, read: F) -> Result<Reloaded, ReloadError>
    where
        F: FnOnce() -> Result<Config, Vec<Mistake>> + Send + 'static,
    {
        let _alone = self.shared.one_at_a_time.lock().await;
        notify(&[NotifyState::Reloading]);
        let before = self.shared.current.load();
        let old = before.clone();
        // files and names are waited for, and nothing else may wait for them
        let built = tokio::task::spawn_blocking(move || next(&old, read));
        let built = tokio::time::timeout(DEADLINE, built)
            .await
            .map_err(|_| io::Error::other("reading it took longer than 30 s: a name server, or a file system"))
            .and_then(|ended| ended.map_err(io::Error::other))
            .unwrap_or_else(|error| Err(ReloadError::Unusable(error)));
        let outcome = built.map(|generation| self.put_to_use(generation));
        let life = &before.built.metrics.life;
        match &outcome {
            Ok(Reloaded { generation, revision }) => {
                life.reloaded("applied");
                tracing::info!(generation, %revision, "configuration reloaded");
                notify_ready(&format!("configuration {revision}, reloaded"));
            }
            Err(error) => {
                life.reloaded("refused");
                error.log();
                notify_ready("the last reload was refused: the configuration before it stays in use");
            }
        }
        outcome
    }

    fn put_to_use(&self, generation: Generation) -> Reloaded {
        log::set_level(generation.config.log.level);
        let reloaded = Reloaded { generation: generation.number, revision: generation.revision.clone() };
        self.shared.current.replace(generation);
        reloaded
    }
}

/// Reads and builds the next generation.
fn next(old: &Generation, read: impl FnOnce() -> Result<Config, Vec<Mistake>>) -> Result<Generation, ReloadError> {
    let config = read().map_err(ReloadError::Mistakes)?;
    let fixed = changes_of_fixed(&old.config, &config);
    if !fixed.is_empty() {
        return Err(ReloadError::Mistakes(fixed));
    }
    // a part with files of its own, such as the listener's certificates, is read in there
    let built = old.built.succeed(&config).map_err(ReloadError::Unusable)?;
    Ok(old.next(config, built))
}

/// Returns what the new configuration changes of that which is only read at the start.
fn changes_of_fixed(old: &Config, new: &Config) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut hold = |key: &str, old: &dyn fmt::Debug, new: &dyn fmt::Debug| {
        let (old, new) = (format!("{old:?}"), format!("{new:?}"));
        if old != new {
            mistakes.push(Mistake {
                source: "reload".into(),
                line: None,
                key: key.into(),
                what: format!("{old} can not become {new} while the gate runs"),
                hint: "restart the gate, or leave this key as it was".into(),
            });
        }
    };
    hold("[server] listen", &old.server.listen, &new.server.listen);
    hold("[server] workers", &old.server.workers, &new.server.workers);
    hold("[server] handover_socket", &old.server.handover_socket, &new.server.handover_socket);
    hold("[admin] listen", &old.admin_listen, &new.admin_listen);
    hold("[rules] kept", &old.rules.kept, &new.rules.kept);
    hold("[log] format", &old.log.format, &new.log.format);
    mistakes
}

impl ReloadError {
    fn log(&self) {
        match self {
            Self::Mistakes(mistakes) => {
                for mistake in mistakes {
                    tracing::error!(%mistake, "the new configuration has a mistake");
                }
            }
            Self::Unusable(cause) => tracing::error!(%cause, "the new configuration can not be used here"),
        }
        tracing::error!("reload refused: the configuration before it stays in use");
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mistakes(mistakes) => {
                for mistake in mistakes {
                    writeln!(out, "{mistake}")?;
                }
                write!(out, "{} mistake(s) in the configuration: the one before it stays in use", mistakes.len())
            }
            Self::Unusable(error) => write!(out, "{error}: the configuration before it stays in use"),
        }
    }
}

impl std::error::Error for ReloadError {}

/// Tells systemd, if there is one: it waits for the end of a reload that was announced.
fn notify(states: &[NotifyState<'_>]) {
    let states: Vec<NotifyState<'_>> = states.iter().cloned().chain(NotifyState::monotonic_usec_now()).collect();
    // without systemd there is nobody to tell
    let _ = sd_notify::notify(&states);
}

fn notify_ready(status: &str) {
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}
