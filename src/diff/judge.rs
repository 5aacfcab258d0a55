//! The judge: compares, explains what can be explained, counts all of it, and writes down what is left.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::diff::compare;
use crate::diff::compare::Terms;
use crate::diff::config::Config;
use crate::diff::found::Cause;
use crate::diff::found::Found;
use crate::diff::ids::Ids;
use crate::diff::ignore::RuleState;
use crate::diff::ignore::Rules;
use crate::diff::judgement::Case;
use crate::diff::judgement::Difference;
use crate::diff::judgement::Judgement;
use crate::diff::judgement::Outcome;
use crate::diff::learned;
use crate::diff::learned::Learned;
use crate::diff::learned::Noise;
use crate::diff::learned::Patience;
use crate::diff::ledger::Compared;
use crate::diff::ledger::Ledger;
use crate::diff::ledger::Snapshot;
use crate::diff::line::Line;
use crate::diff::line::Stands;
use crate::diff::line::Summary;
use crate::diff::line::VERSION;
use crate::telemetry::differences::Differences;
use crate::telemetry::differences::RuleStateLabel;
use crate::telemetry::line_log::Destination;
use crate::telemetry::line_log::LineLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::timestamp;

/// Judges pairs of answers; cloning shares it. What is remembered and written goes on through all configurations.
#[derive(Clone, Debug)]
pub struct Judge {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
}

/// What one configuration says.
#[derive(Debug)]
struct Plan {
    config: Config,
    ids: Ids,
    rules: Rules,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    log: LineLog,
    counts: Differences,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    learned: Learned,
    /// What was compared since the last summary was written.
    unwritten: Compared,
    summed_up: SystemTime,
}

/// All that operators are shown.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What was compared and what differs.
    pub account: Snapshot,
    /// The rules, and what each has explained.
    pub rules: Vec<RuleState>,
    /// What was learned; and whether it is noise by now.
    pub learned: Vec<(learned::Key, Noise, bool)>,
}

/// How often what was compared is written down at most.
const SUMMARY_PAUSE: Duration = Duration::from_secs(10);

impl Judge {
    /// Judges as this configuration says; `ids` are those that have another name in staging.
    pub fn new(config: &Config, ids: Ids, metrics: &Metrics) -> Self {
        let now = SystemTime::now();
        let counts = metrics.differences.clone();
        let state = State {
            ledger: Ledger::new(now),
            learned: Learned::default(),
            unwritten: Compared::default(),
            summed_up: now,
        };
        let log = LineLog::new("differences", &counts.lines);
        let plan = Plan { config: config.clone(), ids, rules: Rules::new(&config.ignore, None) };
        Self { plan: Arc::new(plan), shared: Arc::new(Shared { state: Mutex::new(state), log, counts }) }
    }

    /// Judges as another configuration says, on top of what is known.
    #[must_use]
    pub fn renewed(&self, config: &Config, ids: Ids) -> Self {
        let rules = Rules::new(&config.ignore, Some(&self.plan.rules));
        Self { plan: Arc::new(Plan { config: config.clone(), ids, rules }), shared: self.shared.clone() }
    }

    /// Opens the file of this configuration, and tells of rules that have expired.
    pub fn take_effect(&self) {
        let plan = &self.plan;
        self.shared.log.follow(plan.config.log.clone());
        let file = plan.config.ignore_file.display();
        let states = plan.rules.states(SystemTime::now());
        for state in states.iter().filter(|state| state.is_expired) {
            let (line, rule, reason) = (state.rule.line, state.rule.about(), &state.rule.reason);
            tracing::warn!(%file, line, rule, %reason, "a rule for differences has expired and ignores no more");
        }
        self.count_rules(&states);
    }

    /// Judges a pair.
    pub fn judge(&self, asked: &Asked, primary: &Answered, staging: &Answered) -> Judgement {
        let comparison = compare::compare(asked, primary, staging, self.terms(&self.plan.ids));
        let now = SystemTime::now();
        let case = Case::new(asked, primary, staging, now);
        let mut state = self.state();
        let differences = comparison.found.into_iter().map(|found| self.weigh(&case, found, &mut state)).collect();
        let judgement = Judgement::new(differences, comparison.body, comparison.is_cut);
        self.remember(&case, &judgement, &mut state);
        let is_due = now.duration_since(state.summed_up).is_ok_and(|passed| passed >= SUMMARY_PAUSE);
        let summary = is_due.then(|| state.sum_up(now)).flatten();
        drop(state);
        self.write(case.line(&judgement).map(|pair| Line::Pair(Box::new(pair))));
        self.write(summary.map(Line::Summary));
        judgement
    }

    /// Learns that what differs between two answers of one side to one question is noise.
    pub fn learn(&self, asked: &Asked, first: &Answered, second: &Answered) {
        // one side has one name for each id
        let none = Ids::default();
        let comparison = compare::compare(asked, first, second, self.terms(&none));
        let case = Case::new(asked, first, second, SystemTime::now());
        let mut state = self.state();
        for found in comparison.found.iter().filter(|found| found.cause == Cause::Answer) {
            state.learned.note(case.learned_key(found), self.patience(), case.now);
        }
        let known = state.learned.len();
        drop(state);
        self.shared.counts.learned.set(i64::try_from(known).unwrap_or(i64::MAX));
    }

    /// Returns all that operators are shown.
    pub fn overview(&self) -> Overview {
        let now = SystemTime::now();
        let rules = self.plan.rules.states(now);
        // rules expire while the gate runs
        self.count_rules(&rules);
        let mut state = self.state();
        let mut learned = state.learned.entries(self.patience(), now);
        let account = state.ledger.snapshot();
        drop(state);
        self.shared.counts.learned.set(i64::try_from(learned.len()).unwrap_or(i64::MAX));
        let names = |key: &learned::Key| (key.route, key.method, key.field.clone(), key.kind);
        learned.sort_by(|(left, noise, _), (right, other, _)| {
            other.hits.cmp(&noise.hits).then_with(|| names(left).cmp(&names(right)))
        });
        Overview { account, rules, learned }
    }

    /// Writes what is left; there will be no more.
    pub fn finish(&self) {
        let summary = self.state().sum_up(SystemTime::now());
        self.write(summary.map(Line::Summary));
        self.shared.log.finish();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn terms<'a>(&'a self, ids: &'a Ids) -> Terms<'a> {
        Terms { headers: &self.plan.config.headers, ids, values: self.plan.config.values }
    }

    fn patience(&self) -> Patience {
        Patience { after: self.plan.config.noise_after, ttl: self.plan.config.noise_ttl }
    }

    /// Finds out what is to be made of a difference.
    fn weigh(&self, case: &Case<'_>, found: Found, state: &mut State) -> Difference {
        let (stands, reason) = if found.cause == Cause::Noise {
            (Stands::BuiltIn, None)
        } else if let Some(reason) = self.plan.rules.reason(case.seen(&found), case.now) {
            (Stands::Ignored, Some(reason))
        } else if state.learned.explains(&case.learned_key(&found), self.patience(), case.now) {
            (Stands::Learned, None)
        } else {
            (Stands::Counts, None)
        };
        Difference { found, stands, reason }
    }

    fn remember(&self, case: &Case<'_>, judgement: &Judgement, state: &mut State) {
        let counts = &self.shared.counts;
        counts.compared(case.route, judgement.outcome.as_str());
        for compared in [&mut state.unwritten, state.ledger.route(case.method, case.route)] {
            match judgement.outcome {
                Outcome::Equal => compared.equal += 1,
                Outcome::Differs => compared.differs += 1,
                Outcome::NotCompared => compared.not_compared += 1,
            }
        }
        for Difference { found, stands, reason } in &judgement.differences {
            counts.differs((case.method, case.route), &found.field, stands.as_str());
            let standing = (*stands, reason.clone());
            let examples = self.plan.config.examples;
            state.ledger.add(case.ledger_key(found), standing, case.example(found), examples, case.now);
        }
    }

    fn write(&self, line: Option<Line>) {
        if let Some(line) = line
            && self.plan.config.log.destination != Destination::Off
        {
            self.shared.log.write(&line);
        }
    }

    fn count_rules(&self, states: &[RuleState]) {
        let expired = states.iter().filter(|state| state.is_expired).count();
        for (state, count) in [("in_force", states.len() - expired), ("expired", expired)] {
            let gauge = self.shared.counts.ignore_rules.get_or_create_owned(&RuleStateLabel { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

impl State {
    /// Takes what was compared since the last time, if anything was.
    fn sum_up(&mut self, now: SystemTime) -> Option<Summary> {
        self.summed_up = now;
        let Compared { equal, differs, not_compared } = std::mem::take(&mut self.unwritten);
        (equal + differs + not_compared > 0).then(|| Summary {
            version: VERSION,
            time: timestamp::of(now),
            equal,
            differs,
            not_compared,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use http::HeaderMap;
    use http::HeaderValue;
    use http::Method;
    use http::StatusCode;
    use serde_json::Value;
    use serde_json::json;

    use super::Judge;
    use crate::diff::answered::Answered;
    use crate::diff::answered::Content;
    use crate::diff::asked::Asked;
    use crate::diff::config::Config;
    use crate::diff::ids::Ids;
    use crate::diff::ignore_file;
    use crate::diff::judgement::Outcome;
    use crate::diff::ledger::MAX_ENTRIES;
    use crate::diff::line::Stands;
    use crate::openstack::request_id::RequestId;
    use crate::telemetry::metrics::Metrics;

    fn asked(target: &str) -> Asked {
        Asked {
            request_id: RequestId::random(),
            method: Method::GET,
            route: "/v2/images",
            target: target.into(),
            project: None,
        }
    }

    fn answered(status: StatusCode, value: &Value) -> Answered {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, json)]);
        Answered { status, headers, body: Content::Whole(value.to_string().into()) }
    }

    fn ok(value: &Value) -> Answered {
        answered(StatusCode::OK, value)
    }

    fn stands(judge: &Judge, primary: &Value, staging: &Value) -> Vec<(String, Stands)> {
        let judgement = judge.judge(&asked("/v2/images"), &ok(primary), &ok(staging));
        judgement.differences.into_iter().map(|it| (it.found.field, it.stands)).collect()
    }

    fn with_rules(text: &str) -> Config {
        Config { ignore: ignore_file::parse(text).expect("good rules"), ..Config::default() }
    }

    #[test]
    fn each_difference_has_its_standing_and_is_counted_with_it() {
        let metrics = Metrics::default();
        let config = with_rules("[[ignore]]\nfield = \"/known\"\nreason = \"a new key\"\n");
        let judge = Judge::new(&config, Ids::default(), &metrics);
        let (first, second) = (json!({"flaps": 1}), json!({"flaps": 2}));
        for _ in 0..config.noise_after {
            judge.learn(&asked("/v2/images"), &ok(&first), &ok(&second));
        }
        let primary = json!({"known": 1, "flaps": 1, "self": "http://a/v2/images", "status": "active"});
        let staging = json!({"known": 2, "flaps": 5, "self": "http://b/v2/images", "status": "queued"});
        let found = stands(&judge, &primary, &staging);
        let expected = [
            ("/flaps", Stands::Learned),
            ("/known", Stands::Ignored),
            ("/self", Stands::BuiltIn),
            ("/status", Stands::Counts),
        ];
        assert_eq!(found, expected.map(|(field, stands)| (field.to_owned(), stands)));
        let text = metrics.encode();
        for (field, stands) in expected {
            let standing = stands.as_str();
            let line = format!(
                "glance_gate_shadow_differences_total{{method=\"GET\",route=\"/v2/images\",field=\"{field}\",standing=\"{standing}\"}} 1\n"
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(text.contains("glance_gate_shadow_compared_total{route=\"/v2/images\",outcome=\"differs\"} 1\n"));
        let overview = judge.overview();
        assert_eq!(overview.account.entries.len(), 4);
        let (key, entry) = &overview.account.entries[0];
        assert_eq!((key.field.as_str(), entry.count(Stands::Counts), entry.examples.len()), ("/status", 1, 1));
        assert_eq!(entry.examples[0].staging.as_deref(), Some("\"queued\""));
        assert_eq!((overview.rules[0].hits, overview.learned[0].1.hits), (1, 1));
    }

    #[test]
    fn what_is_explained_leaves_answers_equal_and_what_was_not_read_is_neither() {
        let config = with_rules(
            "[[ignore]]\nfield = \"status\"\nprimary = 403\nstaging = 404\nreason = \"new policies\"\nexpires = 2999-01-01\n\
             [[ignore]]\nfield = \"status\"\nreason = \"it was so last year\"\nexpires = 2020-01-01\n",
        );
        let judge = Judge::new(&config, Ids::default(), &Metrics::default());
        let none = json!({});
        let outcome = |primary: &Answered, staging: &Answered| judge.judge(&asked("/"), primary, staging).outcome;
        let (forbidden, absent) = (answered(StatusCode::FORBIDDEN, &none), answered(StatusCode::NOT_FOUND, &none));
        assert_eq!(outcome(&forbidden, &absent), Outcome::Equal);
        assert_eq!(outcome(&absent, &forbidden), Outcome::Differs);
        let unread = Answered { body: Content::Unread, ..ok(&none) };
        assert_eq!(outcome(&unread, &unread), Outcome::NotCompared);
        assert_eq!(outcome(&unread, &absent), Outcome::Differs);
        let rules = judge.overview().rules;
        assert_eq!(rules.iter().map(|rule| (rule.hits, rule.is_expired)).collect::<Vec<_>>(), [(1, false), (0, true)]);
    }

    #[test]
    fn a_status_is_never_learned_away_and_noise_ends() {
        let config = Config { noise_ttl: Duration::ZERO, noise_after: 1, ..Config::default() };
        let judge = Judge::new(&config, Ids::default(), &Metrics::default());
        let none = json!({});
        let (forbidden, absent) = (answered(StatusCode::FORBIDDEN, &none), answered(StatusCode::NOT_FOUND, &none));
        judge.learn(&asked("/"), &forbidden, &absent);
        assert_eq!(judge.judge(&asked("/"), &forbidden, &absent).outcome, Outcome::Differs);
        judge.learn(&asked("/"), &ok(&json!({"x": 1})), &ok(&json!({"x": 2})));
        let later = SystemTime::now() + Duration::from_secs(1);
        assert!(judge.state().learned.entries(judge.patience(), later).is_empty());
    }

    #[test]
    fn another_configuration_goes_on_with_what_is_known() {
        let metrics = Metrics::default();
        let judge = Judge::new(&Config::default(), Ids::default(), &metrics);
        let (primary, staging) = (json!({"owner": "p1"}), json!({"owner": "s1"}));
        assert_eq!(stands(&judge, &primary, &staging), [("/owner".to_owned(), Stands::Counts)]);
        let renamed = judge.renewed(&Config::default(), Ids::new([("p1".to_owned(), "s1".to_owned())]));
        assert_eq!(stands(&renamed, &primary, &staging), []);
        let ruled = judge.renewed(&with_rules("[[ignore]]\nfield = \"/owner\"\nreason = \"moved\"\n"), Ids::default());
        assert_eq!(stands(&ruled, &primary, &staging), [("/owner".to_owned(), Stands::Ignored)]);
        let account = ruled.overview().account;
        assert_eq!(account.routes[0].1.all(), 3);
        let (_, entry) = &account.entries[0];
        assert_eq!((entry.count(Stands::Counts), entry.count(Stands::Ignored)), (1, 1));
        assert_eq!(entry.reason.as_deref(), Some("moved"));
    }

    #[test]
    fn the_account_is_bounded_whatever_answers_name() {
        let judge = Judge::new(&Config::default(), Ids::default(), &Metrics::default());
        for number in 0..MAX_ENTRIES / 10 + 20 {
            let fields = |value: u32| (0..10).map(|at| (format!("p{number}-{at}"), json!(value))).collect::<Value>();
            judge.judge(&asked("/v2/images?token=abc"), &ok(&fields(1)), &ok(&fields(2)));
        }
        let account = judge.overview().account;
        assert_eq!((account.entries.len(), account.forgotten), (MAX_ENTRIES, 200));
        assert!(account.entries.iter().all(|(_, entry)| entry.examples[0].target == "/v2/images?token=hidden"));
    }
}
