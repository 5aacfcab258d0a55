//! Counts what another configuration would change of recorded decisions, in bounded memory.

use std::collections::BTreeMap;

use http::StatusCode;

use crate::call::Verdict;
use crate::review::anew::Gap;
use crate::review::plan::Outcome;
use crate::review::plan::Plan;
use crate::rules::drift::Agreement;
use crate::rules::record::Record;
use crate::rules::setting::Setting;

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    plan: Plan,
    /// What was counted so far.
    pub tally: Tally,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The decisions that were read.
    pub decisions: u64,
    /// Those that would come out as they did.
    pub unchanged: u64,
    /// Those that can not be decided anew.
    pub gaps: BTreeMap<Gap, u64>,
    /// Those that would come out otherwise, by what they were and would be.
    pub changes: BTreeMap<(String, String), Change>,
    /// The same by rule.
    pub rules: BTreeMap<&'static str, Counts>,
    /// The same by project; `-` for calls whose project is not known.
    pub projects: BTreeMap<String, Counts>,
    /// The changes of projects that came when there was no room for more.
    pub other_projects: Counts,
    /// All changes.
    pub all: Counts,
}

/// One kind of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it means to the client.
    pub kind: Kind,
    /// How often.
    pub count: u64,
    /// The request ids of the first ones.
    pub examples: Vec<String>,
}

/// How often what changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All changes.
    pub changed: u64,
    /// Calls that went to Glance and would be refused.
    pub newly_refused: u64,
    /// Calls that were refused and would go to Glance.
    pub no_longer_refused: u64,
    /// Of the newly refused: Glance answered the same.
    pub agreed: u64,
    /// Of the newly refused: Glance answered otherwise.
    pub disagreed: u64,
    /// Of the newly refused: Glance gave no answer that can be compared.
    pub unknown: u64,
}

/// What a change means to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Glance answered, and the gate would refuse.
    NewlyRefused,
    /// The gate refused, and Glance would answer.
    NoLongerRefused,
    /// It would be refused with another status or for another reason.
    RefusedOtherwise,
    /// Glance answers in both.
    OnlyTold,
}

/// How many projects are told apart.
const MAX_PROJECTS: usize = 10_000;
/// How many request ids are given for each kind of change.
const EXAMPLES: usize = 3;

impl Kind {
    fn of(was: Outcome, would_be: Outcome) -> Self {
        match (was.refusal(), would_be.refusal()) {
            (None, Some(_)) => Self::NewlyRefused,
            (Some(_), None) => Self::NoLongerRefused,
            (Some(_), Some(_)) => Self::RefusedOtherwise,
            (None, None) => Self::OnlyTold,
        }
    }

    /// Returns the words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewlyRefused => "newly refused",
            Self::NoLongerRefused => "no longer refused",
            Self::RefusedOtherwise => "refused otherwise",
            Self::OnlyTold => "only told otherwise",
        }
    }
}

impl Replay {
    /// Tells whether only what a rule had earned makes the difference: it was and is set to earn its enforcement, and the
    /// call came before that, or was forwarded so that Glance goes on judging.
    fn still_earns(&self, record: &Record, was: Outcome, would_be: Outcome) -> bool {
        record.setting.as_deref() == Some("earn")
            && was.rule() == would_be.rule()
            && would_be.rule().is_some_and(|rule| self.plan.rules.setting(rule) == Setting::Earn)
    }

    /// Begins a replay under this plan.
    pub fn new(plan: Plan) -> Self {
        Self { plan, tally: Tally::default() }
    }

    /// Decides one more call anew.
    pub fn take(&mut self, record: &Record) {
        self.tally.decisions += 1;
        let outcomes = Outcome::of(record).and_then(|was| Ok((was, self.plan.outcome(record)?)));
        match outcomes {
            Ok((was, would_be)) if was == would_be || self.still_earns(record, was, would_be) => {
                self.tally.unchanged += 1;
            }
            Ok((was, would_be)) => self.tally.change(record, was, would_be),
            Err(gap) => *self.tally.gaps.entry(gap).or_default() += 1,
        }
    }
}

impl Tally {
    fn change(&mut self, record: &Record, was: Outcome, would_be: Outcome) {
        let kind = Kind::of(was, would_be);
        let agreement = agreement(record, would_be);
        let change = self.changes.entry((was.to_string(), would_be.to_string())).or_insert_with(|| Change {
            kind,
            count: 0,
            examples: Vec::new(),
        });
        change.count += 1;
        if change.examples.len() < EXAMPLES {
            change.examples.push(record.request_id.clone());
        }
        self.all.count(kind, agreement);
        if let Some(rule) = would_be.rule().or(was.rule()) {
            self.rules.entry(rule.reason()).or_default().count(kind, agreement);
        }
        let project = record.inputs.project.as_deref().unwrap_or("-");
        let counts = if self.projects.contains_key(project) || self.projects.len() < MAX_PROJECTS {
            self.projects.entry(project.into()).or_default()
        } else {
            &mut self.other_projects
        };
        counts.count(kind, agreement);
    }

    /// Returns how many decisions would come out otherwise.
    pub fn changed(&self) -> u64 {
        self.all.changed
    }

    /// Returns how many can not be decided anew.
    pub fn undecided(&self) -> u64 {
        self.gaps.values().sum()
    }
}

impl Counts {
    fn count(&mut self, kind: Kind, agreement: Agreement) {
        self.changed += 1;
        match kind {
            Kind::NewlyRefused => {
                self.newly_refused += 1;
                match agreement {
                    Agreement::Yes => self.agreed += 1,
                    Agreement::No => self.disagreed += 1,
                    Agreement::Unknown => self.unknown += 1,
                }
            }
            Kind::NoLongerRefused => self.no_longer_refused += 1,
            Kind::RefusedOtherwise | Kind::OnlyTold => {}
        }
    }
}

/// Compares what the gate would say with what Glance really answered.
fn agreement(record: &Record, would_be: Outcome) -> Agreement {
    let glance = record.upstream_status.and_then(|status| StatusCode::from_u16(status).ok());
    glance.and_then(|glance| Agreement::of(Verdict::WouldRefuse, would_be.rule(), glance)).unwrap_or(Agreement::Unknown)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;
    use std::time::SystemTime;

    use http::Request;
    use http::StatusCode;
    use http::Uri;
    use proptest::array::uniform16;
    use proptest::num::u8::ANY;
    use proptest::test_runner::TestRunner;

    use super::Kind;
    use super::MAX_PROJECTS;
    use super::Replay;
    use crate::call::Account;
    use crate::call::Branch;
    use crate::call::Verdict;
    use crate::glance::LookupAs;
    use crate::member_update::decide::Decision;
    use crate::member_update::decide::PolicyDefaults;
    use crate::member_update::decide::Profile;
    use crate::member_update::family::Question;
    use crate::member_update::family::decide;
    use crate::member_update::family::decide_by_identity;
    use crate::openstack::identity::Identity;
    use crate::openstack::identity::ProjectId;
    use crate::openstack::identity::Roles;
    use crate::openstack::identity::Scope;
    use crate::openstack::identity::UserId;
    use crate::openstack::image::ImageOwnership;
    use crate::openstack::image::Seen;
    use crate::openstack::image::Visibility;
    use crate::openstack::member::Media;
    use crate::openstack::member::MemberStatus;
    use crate::openstack::member::RequestedStatus;
    use crate::openstack::member_action::Action;
    use crate::openstack::member_request::MemberRequest;
    use crate::openstack::member_request::RequestedMember;
    use crate::openstack::request_id::RequestId;
    use crate::openstack::target::MemberPath;
    use crate::openstack::target::Target;
    use crate::peer::Peer;
    use crate::refusal::Refusal;
    use crate::review::anew::Contract;
    use crate::review::lines;
    use crate::review::plan::Plan;
    use crate::review::stage::Stage;
    use crate::rules::Rules;
    use crate::rules::config::Config;
    use crate::rules::drift::Agreement;
    use crate::rules::record::DecidedBy;
    use crate::rules::record::Record;
    use crate::rules::record::Stance;
    use crate::rules::setting::Mode;
    use crate::rules::setting::Setting;
    use crate::rules::setting::Share;
    use crate::telemetry::metrics::Metrics;

    const PROFILES: [Profile; 3] =
        [Profile::Documented, Profile::Glance(PolicyDefaults::New), Profile::Glance(PolicyDefaults::Legacy)];
    const LOOKUPS: [LookupAs; 2] = [LookupAs::Caller, LookupAs::Service];
    const SETTINGS: [Setting; 6] = [
        Setting::Enforce(Share::All),
        Setting::Enforce(Share::Percent(40)),
        Setting::Enforce(Share::Listed),
        Setting::Observe,
        Setting::Off,
        Setting::Earn,
    ];

    /// Picks by bytes, so that whatever is generated is a choice.
    struct Choices<'a>(std::slice::Iter<'a, u8>);

    impl Choices<'_> {
        fn of<T: Clone>(&mut self, all: &[T]) -> T {
            let byte = usize::from(*self.0.next().expect("enough bytes"));
            all[byte % all.len()].clone()
        }
    }

    fn plan(contract: Contract, setting: Setting) -> Plan {
        let rules =
            Config { default: setting, projects: [ProjectId::new("listed")].into(), kept: 0, ..Config::default() };
        Plan { contract, rules, kill_switch: false, earned: BTreeSet::new() }
    }

    fn account(choices: &mut Choices<'_>) -> Account {
        let (head, ()) = Request::new(()).into_parts();
        let mut account = Account::new(RequestId::random(), Peer::plain(Ipv4Addr::LOCALHOST.into()), &head);
        let action = choices.of(&[Action::Update, Action::Create, Action::Delete, Action::List, Action::Show]);
        account.branch = Branch::Member(action);
        account.method = action.method();
        let target = choices.of(&[
            "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/members/caller",
            "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/members/listed",
            "/v2/images/odd/members/other",
        ]);
        let of_all = target.rsplit_once('/').expect("a member").0.parse().expect("a path");
        account.path = match (action, Target::parse(&Uri::from_static(target), "")) {
            (Action::Create | Action::List, _) => MemberPath::of_members(&of_all, "").ok(),
            (_, Ok(Target::Member(path))) => Some(path),
            (_, other) => panic!("{other:?}"),
        };
        let project = |name| Scope::Project(ProjectId::new(name));
        account.identity = Some(Arc::new(Identity {
            user: UserId::new("user"),
            scope: choices.of(&[
                project("caller"),
                project("listed"),
                project("owner"),
                Scope::Domain("d".into()),
                Scope::System,
                Scope::Unscoped,
            ]),
            roles: choices.of(&[
                Roles::known(["member", "reader"]),
                Roles::known(["reader"]),
                Roles::known([]),
                Roles::known(["admin", "member", "reader"]),
                Roles::Unknown,
            ]),
            expires_at: SystemTime::UNIX_EPOCH,
            access_rules: [].into(),
            audit_ids: [].into(),
        }));
        let media = choices.of(&[Media::Json, Media::Json, Media::Other, Media::Encoded]);
        account.media = action.has_body().then_some(media);
        let status = choices.of(&[
            RequestedStatus::Known(MemberStatus::Accepted),
            RequestedStatus::Known(MemberStatus::Pending),
            RequestedStatus::Unknown("7".into()),
        ]);
        account.status = (action == Action::Update).then_some(status);
        let member = choices.of(&[RequestedMember::Known("new".into()), RequestedMember::Unknown("7".into())]);
        account.member = (action == Action::Create).then_some(member);
        account
    }

    /// Returns what the call asks for, as far as it was read.
    fn request(account: &Account) -> Option<MemberRequest> {
        match account.action()? {
            Action::Update => account.status.clone().map(MemberRequest::Update),
            Action::Create => account.member.clone().map(MemberRequest::Create),
            Action::Delete => Some(MemberRequest::Delete),
            Action::List => Some(MemberRequest::List),
            Action::Show => Some(MemberRequest::Show),
        }
    }

    /// Decides as the checks do, and forgets what they had not come to know.
    fn decision(account: &mut Account, contract: &Contract, choices: &mut Choices<'_>) -> Decision {
        let early = choices.of(Refusal::ALL);
        // whether a member is unfit is for the contract to say, below
        let is_early = !super::super::anew::is_decided(early) && early != Refusal::MemberUnfit;
        if choices.of(&[true, false]) && is_early {
            let stage = Stage::of(early, None);
            if stage <= Stage::Token {
                account.identity = None;
            }
            if stage <= Stage::Method {
                account.media = None;
            }
            if stage <= Stage::Body {
                (account.status, account.member) = (None, None);
            }
            let is_media = stage == Stage::Media;
            if !is_media && account.media.is_none_or(|media| contract.profile.check_media(media).is_ok()) {
                return Decision::Refuse(early);
            }
        }
        if let Some(Err(refusal)) = account.media.map(|media| contract.profile.check_media(media)) {
            (account.status, account.member) = (None, None);
            return Decision::Refuse(refusal);
        }
        let (Some(identity), Some(request)) = (account.identity.clone(), request(account)) else {
            return Decision::Refuse(Refusal::KeystoneUnavailable);
        };
        if let Some(Err(refusal)) = account.member.as_ref().map(|member| contract.profile.check_member(member)) {
            account.member = None;
            return Decision::Refuse(refusal);
        }
        if let Some(decision) = decide_by_identity(contract.profile, &contract.policy, &identity, &request) {
            return decision;
        }
        let image = |owner: Option<&str>, visibility| {
            Seen::Image(ImageOwnership { owner: owner.map(ProjectId::new), visibility })
        };
        let seen = choices.of(&[
            Seen::Absent,
            Seen::Impossible,
            image(Some("owner"), Visibility::Shared),
            image(Some("owner"), Visibility::Private),
            image(Some("caller"), Visibility::Public),
            image(None, Visibility::Shared),
            image(Some("owner"), Visibility::Community),
        ]);
        let decision = decide(Question {
            profile: contract.profile,
            policy: &contract.policy,
            lookup_as: contract.lookup_as,
            project: identity.project().expect("decided by identity otherwise"),
            identity: &identity,
            seen: &seen,
            member: account.path.as_ref().expect("a member path").member(),
            request: &request,
        });
        account.seen = Some(seen);
        decision
    }

    /// Returns what would be written down of a decision under the plan.
    fn record(bytes: &[u8; 16]) -> (Plan, Record) {
        let mut choices = Choices(bytes.iter());
        let contract = Contract::without_files(choices.of(&PROFILES), choices.of(&LOOKUPS));
        let plan = plan(contract.clone(), choices.of(&SETTINGS));
        let by = DecidedBy {
            revision: "0123456789ab".into(),
            profile: contract.profile.as_str(),
            policy_defaults: contract.profile.policy_defaults().map(PolicyDefaults::as_str),
            lookup_as: contract.lookup_as.as_str(),
        };
        let rules = Rules::new(plan.rules.clone(), by.clone(), &Metrics::default());
        let mut account = account(&mut choices);
        let decision = decision(&mut account, &contract, &mut choices);
        account.verdict = match decision {
            Decision::Permit => Verdict::Permitted,
            Decision::Ask => Verdict::Asked,
            Decision::Refuse(refusal) => {
                account.refusal = Some(refusal);
                match rules.weigh(refusal, &mut account) {
                    Mode::Enforce => Verdict::Refused,
                    Mode::Observe | Mode::Off => account.verdict,
                }
            }
        };
        if account.verdict != Verdict::Refused {
            account.upstream_status = StatusCode::from_u16(choices.of(&[200, 403, 404, 503])).ok();
        }
        let agreement =
            account.upstream_status.and_then(|glance| Agreement::of(account.verdict, account.refusal, glance));
        let stance = Stance::of(&plan.rules, account.refusal, false);
        let record = Record::of(&account, (200, Duration::from_millis(3)), &by, stance, agreement);
        let line = serde_json::to_vec(&record).expect("it can be written");
        assert_eq!(lines::parse(&line).as_ref(), Ok(&record), "it is read as it was written");
        (plan, record)
    }

    fn each_generated(mut look: impl FnMut(Plan, Record)) {
        let mut seeds = TestRunner::deterministic();
        for _ in 0..2_000 {
            use proptest::strategy::Strategy;
            use proptest::strategy::ValueTree;
            let bytes = uniform16(ANY).new_tree(&mut seeds).expect("bytes").current();
            let (plan, record) = record(&bytes);
            look(plan, record);
        }
    }

    #[test]
    fn the_same_configuration_changes_nothing_of_any_decision() {
        let mut verdicts = BTreeSet::new();
        each_generated(|plan, record| {
            verdicts.insert((record.verdict.clone(), record.rule.clone()));
            let mut replay = Replay::new(plan);
            replay.take(&record);
            let tally = &replay.tally;
            assert_eq!((tally.unchanged, tally.changed(), tally.undecided()), (1, 0, 0), "{tally:#?}\n{record:#?}");
        });
        assert!(verdicts.len() > 60, "{verdicts:#?}");
    }

    #[test]
    fn another_contract_decides_as_if_it_had_decided_in_the_first_place() {
        let (mut changed, mut undecided) = (0, 0);
        each_generated(|mut plan, record| {
            plan.rules.default = Setting::Enforce(Share::All);
            for profile in PROFILES {
                for lookup_as in LOOKUPS {
                    plan.contract = Contract::without_files(profile, lookup_as);
                    let mut replay = Replay::new(plan.clone());
                    replay.take(&record);
                    let tally = replay.tally;
                    assert_eq!(tally.decisions, tally.unchanged + tally.changed() + tally.undecided());
                    changed += tally.changed();
                    undecided += tally.undecided();
                }
            }
        });
        assert!(changed > 500 && undecided > 50, "{changed} {undecided}");
    }

    fn observed(project: &str, upstream_status: u16) -> Record {
        let (_, mut record) = record(&[0; 16]);
        record.verdict = "would_refuse".into();
        record.rule = Some("owner_forbidden".into());
        record.mode = Some("observe".into());
        record.upstream_status = Some(upstream_status);
        record.inputs.scope = Some("project".into());
        record.inputs.project = Some(project.into());
        record.inputs.roles = Some(vec!["member".into()]);
        record.inputs.media = Some("json".into());
        record.inputs.member_status = Some("accepted".into());
        record.inputs.lookup_as = Some("caller".into());
        record.inputs.seen = Some("image".into());
        record.inputs.owner = Some(project.into());
        record.inputs.visibility = Some("shared".into());
        record
    }

    fn documented(setting: Setting) -> Replay {
        Replay::new(plan(Contract::without_files(Profile::Documented, LookupAs::Caller), setting))
    }

    #[test]
    fn new_refusals_are_held_against_what_glance_answered() {
        let mut replay = documented(Setting::Enforce(Share::All));
        for status in [403, 403, 200, 503] {
            replay.take(&observed("owner", status));
        }
        let all = replay.tally.all;
        assert_eq!((all.newly_refused, all.agreed, all.disagreed, all.unknown), (4, 2, 1, 1));
        let (key, change) = replay.tally.changes.first_key_value().expect("a change");
        assert_eq!((key.0.as_str(), key.1.as_str()), ("observed 403 owner_forbidden", "refused 403 owner_forbidden"));
        assert_eq!((change.kind, change.count, change.examples.len()), (Kind::NewlyRefused, 4, 3));
        assert_eq!(replay.tally.rules["owner_forbidden"].changed, 4);
    }

    #[test]
    fn settings_count_by_project_and_the_kill_switch_before_them() {
        let mut replay = documented(Setting::Enforce(Share::Listed));
        replay.take(&observed("owner", 403));
        replay.take(&observed("listed", 403));
        assert_eq!((replay.tally.unchanged, replay.tally.projects["listed"].newly_refused), (1, 1));
        replay.plan.kill_switch = true;
        replay.take(&observed("listed", 403));
        assert_eq!(replay.tally.unchanged, 2);
        let mut earning = documented(Setting::Earn);
        earning.take(&observed("owner", 403));
        assert_eq!(earning.tally.unchanged, 1);
        earning.plan.earned.insert("owner_forbidden");
        earning.take(&observed("owner", 403));
        assert_eq!(earning.tally.all.newly_refused, 1);
        // the configuration is the same: this one was only forwarded so that Glance goes on judging
        earning.take(&Record { setting: Some("earn".into()), ..observed("owner", 403) });
        assert_eq!((earning.tally.unchanged, earning.tally.all.newly_refused), (2, 1));
    }

    #[test]
    fn only_so_many_projects_are_told_apart() {
        let mut replay = documented(Setting::Off);
        for number in 0..MAX_PROJECTS + 5 {
            replay.take(&observed(&format!("project-{number}"), 403));
        }
        let tally = &replay.tally;
        assert_eq!((tally.projects.len(), tally.other_projects.changed), (MAX_PROJECTS, 5));
        assert_eq!(tally.all.changed, (MAX_PROJECTS + 5) as u64);
    }
}
