//! One request on its way, what is told of it, and its answer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::body::Body;
use crate::framing::Violation;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::UserId;
use crate::openstack::image::Seen;
use crate::openstack::member::Media;
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_action::Action;
use crate::openstack::member_request::RequestedMember;
use crate::openstack::request_id::RequestId;
use crate::openstack::target::MemberPath;
use crate::peer::Fingerprint;
use crate::peer::Peer;
use crate::peer::Scheme;
use crate::refusal::Refusal;
use crate::telemetry::traces::trace::Trace;

/// A request and its account.
#[derive(Debug)]
pub struct Call {
    /// The head, as far as it may be forwarded.
    pub head: Box<Parts>,
    /// The body.
    pub body: Body,
    /// What is told of the request when it is done.
    pub account: Box<Account>,
}

/// What the access log and the metrics tell of a request: one place, no secrets.
#[derive(Clone, Debug)]
pub struct Account {
    /// The id the request has in all services.
    pub request_id: RequestId,
    /// Who sent it.
    pub peer: IpAddr,
    /// How it reached the gate.
    pub scheme: Scheme,
    /// Which certificate it showed; for the log, never an identity.
    pub certificate: Option<Fingerprint>,
    /// The method as it came.
    pub method: Method,
    /// In which version of HTTP it came.
    pub version: Version,
    /// The target as it came; only the path is ever logged.
    pub target: Option<PathAndQuery>,
    /// Which way it took.
    pub branch: Branch,
    /// What became of it.
    pub verdict: Verdict,
    /// Why the gate answered itself, or would have.
    pub refusal: Option<Refusal>,
    /// What was wrong with the bytes of the head, if it never became a request.
    pub violation: Option<Violation>,
    /// The inside cause, for the operator.
    pub cause: Option<Cow<'static, str>>,
    /// The member that the path names, or the image whose members it names.
    pub path: Option<MemberPath>,
    /// What the token proves.
    pub identity: Option<Arc<Identity>>,
    /// What the headers of the body say of it, once they were looked at.
    pub media: Option<Media>,
    /// The status the call asks for.
    pub status: Option<RequestedStatus>,
    /// The member that the body of a creation asks for.
    pub member: Option<RequestedMember>,
    /// How long ago Keystone vouched for the token.
    pub token_age: Option<Duration>,
    /// What the look-up of the image's owner showed.
    pub seen: Option<Seen>,
    /// How long ago Glance told who owns the image.
    pub ownership_age: Option<Duration>,
    /// How long the client is to wait, where that is known.
    pub retry_after: Option<Duration>,
    /// What the upstream answered.
    pub upstream_status: Option<StatusCode>,
    /// The trace it is part of; none unless there is a collector.
    pub trace: Option<Trace>,
}

/// The part of an account that is known from the start, kept for when the rest is lost with its request.
#[derive(Clone, Debug)]
pub struct Outline {
    request_id: RequestId,
    peer: Peer,
    method: Method,
    version: Version,
    target: Option<PathAndQuery>,
    branch: Branch,
    path: Option<MemberPath>,
    trace: Option<Trace>,
}

/// Which way a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Branch {
    /// Not known yet, or never known.
    Unrouted,
    /// A guarded call on an image's members.
    Member(Action),
    /// Anything else that is forwarded.
    Passthrough,
    /// The document of a caller's limits, which the gate answers.
    Limits,
    /// `/healthcheck`, which the gate answers.
    Healthcheck,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No decision was made.
    PassedThrough,
    /// All checks passed at the edge.
    Permitted,
    /// The edge could not prove the last step and let Glance decide.
    Asked,
    /// The gate answered itself.
    Refused,
    /// The gate would have answered itself, but only observes.
    WouldRefuse,
    /// The rule that said no is off.
    RuleOff,
}

/// The answer to a call, with the call's account.
#[derive(Debug)]
pub struct Answer {
    /// What goes back to the client.
    pub response: Response<Body>,
    /// What is told of the call.
    pub account: Box<Account>,
}

/// A call that a check or the data path said no to. The call comes back, so that observing can forward it.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The call as it was; its body may be lost.
    pub call: Call,
}

impl Call {
    /// Says no, with the inside cause for the log.
    pub fn refuse(mut self, refusal: Refusal, cause: impl Into<Option<Cow<'static, str>>>) -> Box<Refused> {
        self.account.cause = cause.into();
        Box::new(Refused { refusal, call: self })
    }

    /// Returns what is left of a call whose request is gone: it can be told of, but not forwarded.
    pub fn spent(account: Box<Account>) -> Self {
        let (head, ()) = Request::new(()).into_parts();
        Self { head: Box::new(head), body: Body::Lost, account }
    }

    /// Turns the call into the request that is sent.
    pub fn into_request(self) -> (Request<Body>, Box<Account>) {
        (Request::from_parts(*self.head, self.body), self.account)
    }
}

impl Account {
    /// Opens the account of a request.
    pub fn new(request_id: RequestId, peer: Peer, head: &Parts) -> Self {
        Outline {
            request_id,
            peer,
            method: head.method.clone(),
            version: head.version,
            target: head.uri.path_and_query().cloned(),
            branch: Branch::Unrouted,
            path: None,
            trace: None,
        }
        .open()
    }

    /// Returns the project the token is scoped to.
    pub fn project(&self) -> Option<&ProjectId> {
        self.identity.as_deref().and_then(Identity::project)
    }

    /// Returns whose token it was.
    pub fn user(&self) -> Option<&UserId> {
        self.identity.as_deref().map(|identity| &identity.user)
    }

    /// Returns the member that the call is about, if it is one and could be a project.
    pub fn member_id(&self) -> Option<&str> {
        let named = self.path.as_ref().map(MemberPath::member).filter(|member| !member.is_empty());
        named.or_else(|| self.member.as_ref().and_then(RequestedMember::id))
    }

    /// Returns what a guarded call does with an image's members.
    pub fn action(&self) -> Option<Action> {
        match self.branch {
            Branch::Member(action) => Some(action),
            Branch::Unrouted | Branch::Passthrough | Branch::Limits | Branch::Healthcheck => None,
        }
    }

    /// Returns what is known so far of the request itself.
    pub fn outline(&self) -> Outline {
        Outline {
            request_id: self.request_id,
            peer: Peer { address: self.peer, scheme: self.scheme, certificate: self.certificate },
            method: self.method.clone(),
            version: self.version,
            target: self.target.clone(),
            branch: self.branch,
            path: self.path.clone(),
            trace: self.trace.clone(),
        }
    }
}

impl Outline {
    /// Opens an account anew.
    pub fn into_account(self) -> Box<Account> {
        Box::new(self.open())
    }

    fn open(self) -> Account {
        Account {
            request_id: self.request_id,
            peer: self.peer.address,
            scheme: self.peer.scheme,
            certificate: self.peer.certificate,
            method: self.method,
            version: self.version,
            target: self.target,
            branch: self.branch,
            path: self.path,
            verdict: Verdict::PassedThrough,
            refusal: None,
            violation: None,
            cause: None,
            identity: None,
            media: None,
            status: None,
            member: None,
            token_age: None,
            seen: None,
            ownership_age: None,
            retry_after: None,
            upstream_status: None,
            trace: self.trace,
        }
    }
}

impl Branch {
    /// Returns the label used in log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unrouted => "unrouted",
            Self::Member(Action::Update) => "member_update",
            Self::Member(Action::Create) => "member_create",
            Self::Member(Action::Delete) => "member_delete",
            Self::Member(Action::List) => "member_list",
            Self::Member(Action::Show) => "member_show",
            Self::Passthrough => "passthrough",
            Self::Limits => "limits",
            Self::Healthcheck => "healthcheck",
        }
    }
}

impl Verdict {
    /// Returns the label used in log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PassedThrough => "passed_through",
            Self::Permitted => "permitted",
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::WouldRefuse => "would_refuse",
            Self::RuleOff => "rule_off",
        }
    }
}
