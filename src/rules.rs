//! Which refusals of member updates are acted on: each reason is a rule that is enforced, only observes, or is off; and
//! what Glance said to the verdicts of those that observe.

pub mod config;
pub mod decision_log;
pub mod drift;
pub mod earned;
pub mod kill_switch;
pub mod overview;
pub mod record;
pub mod setting;
pub mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;

use crate::call::Account;
use crate::call::Verdict;
use crate::refusal::Refusal;
use crate::rules::config::Config;
use crate::rules::decision_log::DecisionLog;
use crate::rules::drift::Agreement;
use crate::rules::drift::Ring;
use crate::rules::earned::Change;
use crate::rules::earned::Earned;
use crate::rules::kill_switch::Hand;
use crate::rules::kill_switch::KillSwitch;
use crate::rules::record::DecidedBy;
use crate::rules::record::Record;
use crate::rules::record::Stance;
use crate::rules::setting::Mode;
use crate::rules::setting::Setting;
use crate::telemetry::judgement::DriftLabels;
use crate::telemetry::judgement::RuleChangeLabels;
use crate::telemetry::metrics::Metrics;

/// The rules of one configuration, with what all configurations before it have learned; cloning shares them.
#[derive(Clone)]
pub struct Rules {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// Whose decisions these are.
    by: DecidedBy,
    learned: Arc<Learned>,
}

/// What outlives a reload.
struct Learned {
    metrics: Metrics,
    switch: KillSwitch,
    earned: Earned,
    decisions: Ring,
    disagreements: Ring,
    permitted: AtomicU64,
    /// Whether it was told that the state file can not be written.
    is_save_told: AtomicBool,
    log: DecisionLog,
    /// The counters that nearly every request needs: permitted, and asked, where Glance said yes.
    agreed: Counter,
    granted: Counter,
}

/// Of so many calls that the gate and Glance let through one is kept to look at; of all others each is.
const KEPT_OF_PERMITTED: u64 = 100;

impl Rules {
    /// Begins with what the state file tells; one that can not be used is told, and all rules begin anew.
    pub fn new(config: Config, by: DecidedBy, metrics: &Metrics) -> Self {
        let known = if config.state_file.as_os_str().is_empty() {
            Vec::new()
        } else {
            state::read(&config.state_file).unwrap_or_else(|error| {
                let file = config.state_file.display();
                tracing::error!(%file, %error, "what rules have earned can not be read: they begin to earn it anew");
                Vec::new()
            })
        };
        let counter = |verdict, agree| {
            metrics.judgement.drift.get_or_create_owned(&DriftLabels { rule: "none", verdict, status: 200, agree })
        };
        let learned = Learned {
            metrics: metrics.clone(),
            switch: KillSwitch::new(metrics.judgement.kill_switch.clone()),
            earned: Earned::new(&known, SystemTime::now()),
            decisions: Ring::new(config.kept),
            disagreements: Ring::new(config.kept),
            permitted: AtomicU64::new(0),
            is_save_told: AtomicBool::new(false),
            log: DecisionLog::new(metrics),
            agreed: counter("permitted", "yes"),
            granted: counter("asked", "unknown"),
        };
        Self::with(config, by, Arc::new(learned))
    }

    /// Goes on with other settings.
    #[must_use]
    pub fn renewed(&self, config: Config, by: DecidedBy) -> Self {
        Self::with(config, by, self.shared.learned.clone())
    }

    fn with(config: Config, by: DecidedBy, learned: Arc<Learned>) -> Self {
        Self { shared: Arc::new(Shared { config, by, learned }) }
    }

    /// Puts the settings that act on all requests to use; done once, when this becomes the configuration in use.
    pub fn take_effect(&self) {
        self.shared.learned.log.follow(&self.shared.config.log);
        self.shared.learned.switch.hold(Hand::Config, self.shared.config.kill_switch);
        self.shared.learned.switch.look(&self.shared.config.kill_switch_file);
        self.show();
    }

    /// Returns the kill switch.
    pub fn kill_switch(&self) -> &KillSwitch {
        &self.shared.learned.switch
    }

    /// Looks whether the kill switch's file is there.
    pub fn look_for_switch_file(&self) {
        let was_on = self.shared.learned.switch.is_on();
        self.shared.learned.switch.look(&self.shared.config.kill_switch_file);
        if was_on != self.shared.learned.switch.is_on() {
            self.show();
        }
    }

    /// Holds the kill switch on by an operator's hand, or lets go of it.
    pub fn switch(&self, on: bool) {
        self.shared.learned.switch.hold(Hand::Operator, on);
        self.show();
    }

    /// Decides what becomes of one refused call. Where it is only told of, the account says so.
    pub fn weigh(&self, refusal: Refusal, account: &mut Account) -> Mode {
        let (config, learned) = (&self.shared.config, &self.shared.learned);
        let has_earned =
            || learned.earned.is_enforced(refusal) && !learned.earned.is_probe(refusal, config.probe_percent);
        let mode = config.mode(refusal, account.project(), learned.switch.is_on(), has_earned);
        account.verdict = match mode {
            Mode::Enforce => return mode,
            Mode::Observe => Verdict::WouldRefuse,
            Mode::Off => Verdict::RuleOff,
        };
        account.refusal = Some(refusal);
        mode
    }

    /// Takes in how a request ended: compares, counts, keeps.
    pub fn judge(&self, account: &Account, status: StatusCode, took: Duration) {
        if account.action().is_none() {
            return;
        }
        let agreement =
            account.upstream_status.and_then(|glance| Agreement::of(account.verdict, account.refusal, glance));
        if let (Some(agreement), Some(glance)) = (agreement, account.upstream_status) {
            self.count(account, glance, agreement);
        }
        let is_plain = matches!(account.verdict, Verdict::Permitted | Verdict::Asked) && status.is_success();
        let number = is_plain.then(|| self.shared.learned.permitted.fetch_add(1, Ordering::Relaxed));
        let keeps = number.is_none_or(|number| number.is_multiple_of(KEPT_OF_PERMITTED));
        let writes = self.shared.config.log.wants(number);
        if !keeps && !writes {
            return;
        }
        let stance = Stance::of(&self.shared.config, account.refusal, self.shared.learned.switch.is_on());
        let record = Arc::new(Record::of(account, (status.as_u16(), took), &self.shared.by, stance, agreement));
        if writes {
            self.shared.learned.log.write(&record);
        }
        if agreement == Some(Agreement::No) {
            record.tell_disagreement();
            self.shared.learned.disagreements.keep(record.clone());
        }
        if keeps {
            self.shared.learned.decisions.keep(record);
        }
    }

    fn count(&self, account: &Account, glance: StatusCode, agreement: Agreement) {
        match account.verdict {
            Verdict::Permitted if glance == StatusCode::OK => {
                self.shared.learned.agreed.inc();
                return;
            }
            Verdict::Asked if glance == StatusCode::OK => {
                self.shared.learned.granted.inc();
                return;
            }
            _ => {}
        }
        let labels = DriftLabels {
            rule: account.refusal.map_or("none", Refusal::reason),
            verdict: account.verdict.as_str(),
            status: glance.as_u16(),
            agree: agreement.as_str(),
        };
        self.shared.learned.metrics.judgement.drift.get_or_create(&labels).inc();
        if let Some(refusal) = account.refusal
            && self.shared.config.setting(refusal) == Setting::Earn
            && agreement != Agreement::Unknown
        {
            self.earn(refusal, agreement == Agreement::Yes);
        }
    }

    fn earn(&self, refusal: Refusal, agrees: bool) {
        let after = &self.shared.config.enforce_after;
        let Some(change) = self.shared.learned.earned.judge(refusal, agrees, after, SystemTime::now()) else { return };
        let rule = refusal.reason();
        let change = match change {
            Change::Promoted => {
                tracing::warn!(rule, samples = after.samples, "rule promoted: it is enforced from now on");
                "promoted"
            }
            Change::Demoted => {
                tracing::error!(rule, "rule demoted: Glance disagrees with it again, and it only observes from now on");
                "demoted"
            }
        };
        self.shared.learned.metrics.judgement.rule_changes.get_or_create(&RuleChangeLabels { rule, change }).inc();
        self.show();
    }

    /// Tells whether a promotion or demotion waits to be written down.
    pub fn has_changed(&self) -> bool {
        self.shared.learned.earned.has_changed()
    }

    /// Writes down what rules have earned, if it has changed; told once if it can not be. Waits for the disk.
    pub fn save(&self) {
        let file = &self.shared.config.state_file;
        if file.as_os_str().is_empty() {
            return;
        }
        let Some(standings) = self.shared.learned.earned.take_counted() else { return };
        let is_told = &self.shared.learned.is_save_told;
        match state::write(file, &standings) {
            Ok(()) => is_told.store(false, Ordering::Relaxed),
            Err(error) => {
                self.shared.learned.earned.keep_counted();
                if !is_told.swap(true, Ordering::Relaxed) {
                    let file = file.display();
                    tracing::error!(%file, %error, "what rules have earned can not be written down: it is tried again");
                }
            }
        }
    }

    /// Writes down the last decisions, when there will be no more.
    pub fn finish(&self) {
        self.shared.learned.log.finish();
    }

    /// Returns the latest decisions, newest first: all but most of the plain permits.
    pub fn decisions(&self, count: usize) -> Vec<Arc<Record>> {
        self.shared.learned.decisions.latest(count)
    }

    /// Returns the latest disagreements, newest first.
    pub fn disagreements(&self, count: usize) -> Vec<Arc<Record>> {
        self.shared.learned.disagreements.latest(count)
    }

    /// Returns what is kept of one request; disagreements are kept longer than other decisions.
    pub fn find(&self, request_id: &str) -> Vec<Arc<Record>> {
        let found = self.shared.learned.decisions.find(request_id);
        if found.is_empty() { self.shared.learned.disagreements.find(request_id) } else { found }
    }

    fn show(&self) {
        for refusal in Refusal::rules() {
            self.shared.learned.metrics.judgement.sets(refusal.reason(), self.mode_in_general(refusal));
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rules").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
