//! Explains to operators what became of a request, or what would become of a call.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use http::StatusCode;
use http::Uri;

use crate::app::generation::Current;
use crate::app::generation::Generation;
use crate::glance::LookupAs;
use crate::glance::LookupError;
use crate::glance::Viewer;
use crate::glance::asked::Asked as AskedOfGlance;
use crate::member_update::authorize::look_as_service;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::member_action::Action;
use crate::openstack::request_id::RequestId;
use crate::openstack::target::MemberPath;
use crate::openstack::target::Target;
use crate::review::explain::Answer;
use crate::review::explain::Explanation;
use crate::review::explain::Kind;
use crate::review::hypothesis::Hypothesis;
use crate::review::hypothesis::Look;
use crate::review::query::Asked;
use crate::server::admin::Question;

/// Explains; cloning shares it.
#[derive(Clone)]
pub struct Explainer {
    current: Arc<Current>,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Why the gate may know nothing of a request.
const UNKNOWN: [&str; 5] = [
    "it is older than the last decisions that the gate keeps ([rules] kept), or than its last restart",
    "it was no guarded call on members, or was refused before that was known: the access log has its line",
    "it was permitted and Glance agreed: of those only one in a hundred is kept",
    "its client hung up before the answer, or the answer is still on its way",
    "another gate had it, if there are several",
];

impl Explainer {
    /// Explains what the configurations of `current` decide.
    pub fn new(current: Arc<Current>) -> Self {
        Self { current }
    }

    /// Answers one question.
    pub async fn answer(&self, question: Question) -> (StatusCode, &'static str, String) {
        let generation = self.current.load();
        let (status, answer) = match Asked::parse(&question.query) {
            Ok(Asked::Request(id)) => of_request(&generation, &id),
            Ok(Asked::Call(call)) => of_call(&generation, call, question.is_order).await,
            Err(why) => (StatusCode::BAD_REQUEST, Answer::problem(why)),
        };
        if question.query.split('&').any(|part| part == "as=text") {
            return (status, TEXT, answer.to_text());
        }
        (status, JSON, answer.to_json())
    }
}

fn of_request(generation: &Generation, id: &str) -> (StatusCode, Answer) {
    let found = generation.built.rules.find(id);
    if found.is_empty() {
        let problems = UNKNOWN.map(String::from).into();
        return (StatusCode::NOT_FOUND, Answer { found: Vec::new(), problems });
    }
    let found = found.into_iter().map(Arc::unwrap_or_clone).map(|record| Explanation::of(record, Kind::Made)).collect();
    (StatusCode::OK, Answer { found, problems: Vec::new() })
}

async fn of_call(generation: &Generation, mut call: Hypothesis, is_order: bool) -> (StatusCode, Answer) {
    if call.look == Look::None && call.image.is_some() && call.needs_look(&generation.config.contract()) {
        match look(generation, &call, is_order).await {
            Ok(look) => call.look = look,
            Err(why) => return (StatusCode::UNPROCESSABLE_ENTITY, Answer::problem(why)),
        }
    }
    let rules = &generation.built.rules;
    let earned: BTreeSet<&'static str> = rules
        .overview()
        .filter(|rule| rule.standing.is_some_and(|standing| standing.is_enforced))
        .map(|rule| rule.refusal.reason())
        .collect();
    let mut plan = generation.config.plan(earned);
    plan.kill_switch = rules.kill_switch().is_on();
    match call.decide(&plan, &generation.config.decided_by()) {
        Ok(record) => {
            let found = vec![Explanation::of(record, Kind::Hypothetical)];
            (StatusCode::OK, Answer { found, problems: Vec::new() })
        }
        Err(gap) => (StatusCode::UNPROCESSABLE_ENTITY, Answer::problem(gap.as_str().into())),
    }
}

/// Looks at the image as the gate would for the caller: in its memory, and with its own token at Glance.
async fn look(generation: &Generation, call: &Hypothesis, is_order: bool) -> Result<Look, String> {
    let config = &generation.config;
    let path = member_path(&config.server.mount, call)?;
    let Some(image) = path.image_uuid() else { return Ok(Look::Impossible) };
    let asked = AskedOfGlance {
        image,
        path: path.image_path(),
        host: None,
        request_id: RequestId::random(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace: None,
    };
    let lookup = generation.built.lookup(config);
    let verifier = &generation.built.verifier;
    let unknown = || LookupError::Unavailable("it is not in the gate's memory".into());
    let never = || async { Err(unknown()) };
    let known = match (config.ownership.lookup_as, is_order) {
        (LookupAs::Service, true) => look_as_service(&lookup, verifier, &asked, || Ok(())).await,
        (LookupAs::Service, false) => lookup.find(Viewer::Service, &asked, never).await,
        (LookupAs::Caller, _) => match eyes(call) {
            Some(viewer) => lookup.find(viewer, &asked, never).await,
            None => Err(unknown()),
        },
    };
    match known {
        Ok(known) => Ok(Look::Image {
            owner: known.ownership.owner.map(|owner| owner.to_string()),
            visibility: known.ownership.visibility.to_string(),
            age_ms: u64::try_from(known.since.elapsed().as_millis()).ok(),
        }),
        Err(LookupError::Absent) => Ok(Look::Absent),
        Err(error) => Err(why_not(config.ownership.lookup_as, &error)),
    }
}

fn member_path(mount: &str, call: &Hypothesis) -> Result<MemberPath, String> {
    let image = call.image.as_deref().unwrap_or_default();
    let members = format!("{mount}/v2/images/{image}/members");
    let is_of_all = matches!(call.action(), Action::Create | Action::List);
    let path = if is_of_all { members } else { format!("{members}/{}", call.member) };
    let no_id = || "the image or the member is no id that stands in a path".to_owned();
    let uri: Uri = path.parse().map_err(|_| no_id())?;
    match (Target::parse(&uri, mount), uri.path_and_query()) {
        (Ok(Target::Member(path)), _) => Ok(path),
        (Ok(Target::Members(_)), Some(text)) => MemberPath::of_members(text, mount).map_err(|_| no_id()),
        (Ok(_) | Err(_), _) => Err(no_id()),
    }
}

/// Returns what the memory of a caller's look is kept under.
fn eyes(call: &Hypothesis) -> Option<Viewer> {
    let project = ProjectId::new(call.project.as_deref()?);
    match Roles::known(call.roles.as_ref()?.iter().map(String::as_str)) {
        Roles::Known(roles) => Some(Viewer::Roles(project, roles)),
        Roles::Unknown => None,
    }
}

fn why_not(lookup_as: LookupAs, error: &LookupError) -> String {
    let hint = "say what the image is: its owner and visibility, or that the caller can not see it";
    match (lookup_as, error) {
        (LookupAs::Caller, _) => format!(
            "The gate has not seen the image for a caller of this project with exactly these roles, and only a caller's \
             token may look (ownership.lookup_as = \"caller\"): {hint}."
        ),
        (LookupAs::Service, LookupError::Unavailable(cause)) => format!("The owner is not known: {cause}; {hint}."),
        (LookupAs::Service, LookupError::TokenRefused) => format!("Glance refuses the gate's own token; {hint}."),
        (LookupAs::Service, LookupError::Absent | LookupError::TooManyQuestions | LookupError::TooBusy(_)) => {
            format!("Glance has too much to do; {hint}.")
        }
    }
}
