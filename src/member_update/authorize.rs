//! May they? Finds out who owns the image and decides.

use std::sync::Arc;

use http::HeaderMap;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::HOST;
use tower::Service;
use uuid::Uuid;

use crate::body::Body;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::call::Verdict;
use crate::check::Check;
use crate::check::Checking;
use crate::glance::Known;
use crate::glance::LookupAs;
use crate::glance::LookupError;
use crate::glance::OwnershipLookup;
use crate::glance::Viewer;
use crate::glance::asked::Asked;
use crate::glance::policy::Policy;
use crate::keystone::TokenVerifier;
use crate::member_update::MemberUpdate;
use crate::member_update::authenticate::Caller;
use crate::member_update::decide::Decision;
use crate::member_update::decide::Profile;
use crate::member_update::family::Question;
use crate::member_update::family::decide;
use crate::member_update::family::decide_by_identity;
use crate::member_update::family::decide_unseen;
use crate::member_update::rate::Rates;
use crate::member_update::validate::Validated;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::image::Seen;
use crate::openstack::member_request::MemberRequest;
use crate::openstack::token::X_AUTH_TOKEN;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::vouch::No;

/// The check that decides.
#[derive(Debug)]
pub struct Authorize<S> {
    lookup: OwnershipLookup<S>,
    verifier: TokenVerifier,
    profile: Profile,
    policy: Policy,
    rates: Rates,
}

/// Proof that the call may be forwarded, with the body that is.
#[derive(Debug)]
pub struct Permitted {
    request: MemberRequest,
}

impl<S> Authorize<S> {
    /// Decides by the profile and Glance's policies on what the lookup shows; the verifier gives the gate's own token
    /// where it is needed.
    pub fn new(
        lookup: OwnershipLookup<S>,
        verifier: TokenVerifier,
        (profile, policy): (Profile, Policy),
        rates: Rates,
    ) -> Self {
        Self { lookup, verifier, profile, policy, rates }
    }
}

impl<S> Check<MemberUpdate<Validated>> for Authorize<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Proven = MemberUpdate<Permitted>;

    fn check(self: &Arc<Self>, mut update: MemberUpdate<Validated>) -> Checking<Self::Proven> {
        let identity = update.proof.authenticated().identity();
        if let Some(decision) = decide_by_identity(self.profile, &self.policy, identity, update.proof.request()) {
            return Checking::Done(conclude(update, decision, None));
        }
        let Some(project) = identity.project() else {
            // decided before; asking is right whatever changes there
            return Checking::Done(conclude(update, Decision::Ask, None));
        };
        let Some(image) = update.path.image_uuid() else {
            let decision = self.decide(&update, project, &Seen::Impossible);
            return Checking::Done(conclude(update, decision, Some(Seen::Impossible)));
        };
        let viewer = self.viewer(&update, project);
        if let Some(known) = self.lookup.at_hand(&viewer, image) {
            let (age, seen) = (known.since.elapsed(), Seen::Image(known.ownership));
            let decision = self.decide(&update, project, &seen);
            update.call.account.ownership_age = Some(age);
            return Checking::Done(conclude(update, decision, Some(seen)));
        }
        let look = Look::new(&update, image, viewer);
        let (check, project) = (self.clone(), project.clone());
        Checking::waits(async move {
            let looked = check.look(look).await.map(|known| {
                update.call.account.ownership_age = Some(known.since.elapsed());
                Seen::Image(known.ownership)
            });
            if check.may_not_look(&update, &looked) {
                let decision = decide_unseen(check.profile, update.proof.request());
                return conclude(update, decision, None);
            }
            match check.seen(looked) {
                Ok(seen) => {
                    let decision = check.decide(&update, &project, &seen);
                    conclude(update, decision, Some(seen))
                }
                Err((refusal, cause)) => Err(update.refuse(refusal, cause)),
            }
        })
    }
}

/// Acts on the decision, and notes what it rests on.
fn conclude(
    mut update: MemberUpdate<Validated>,
    decision: Decision,
    seen: Option<Seen>,
) -> Result<MemberUpdate<Permitted>, Box<Refused>> {
    update.call.account.seen = seen;
    let verdict = match decision {
        Decision::Permit => Verdict::Permitted,
        Decision::Ask => Verdict::Asked,
        Decision::Refuse(refusal) => return Err(update.refuse(refusal, None)),
    };
    // a limit that is not enforced stays what is told of
    if update.call.account.refusal.is_none() {
        update.call.account.verdict = verdict;
    }
    Ok(update.prove(|validated| Permitted { request: validated.into_request() }))
}

impl<S> Authorize<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn decide(&self, update: &MemberUpdate<Validated>, project: &ProjectId, seen: &Seen) -> Decision {
        decide(Question {
            profile: self.profile,
            policy: &self.policy,
            lookup_as: self.lookup.lookup_as(),
            identity: update.proof.authenticated().identity(),
            project,
            seen,
            member: update.path.member(),
            request: update.proof.request(),
        })
    }

    /// Returns whose eyes the image is seen with: the gate's, or the caller's, which are its project and roles, or its
    /// very token where the roles are unknown.
    fn viewer(&self, update: &MemberUpdate<Validated>, project: &ProjectId) -> Viewer {
        let caller = update.proof.authenticated().caller();
        match (self.lookup.lookup_as(), &update.proof.authenticated().identity().roles) {
            (LookupAs::Service, _) => Viewer::Service,
            (LookupAs::Caller, Roles::Known(roles)) => Viewer::Roles(project.clone(), roles.clone()),
            (LookupAs::Caller, Roles::Unknown) => Viewer::Token(caller.credential().token().digest()),
        }
    }

    /// Tells whether the caller's credential is good for this call, as was seen before, but not for looking at the image.
    fn may_not_look(&self, update: &MemberUpdate<Validated>, looked: &Result<Seen, LookupError>) -> bool {
        matches!(looked, Err(LookupError::TokenRefused))
            && self.lookup.lookup_as() == LookupAs::Caller
            && !update.proof.authenticated().identity().access_rules.is_empty()
    }

    /// The seam where "could not find out" becomes "no".
    fn seen(&self, looked: Result<Seen, LookupError>) -> Result<Seen, No> {
        match looked {
            Ok(seen) => Ok(seen),
            Err(LookupError::Absent) => Ok(Seen::Absent),
            Err(LookupError::TokenRefused) if self.lookup.lookup_as() == LookupAs::Caller => {
                Err((Refusal::TokenInvalid, Some("glance refuses the token".into())))
            }
            Err(LookupError::TokenRefused) => {
                Err((Refusal::OwnershipUnavailable, Some("glance refuses the gate's own token".into())))
            }
            Err(LookupError::TooManyQuestions) => {
                Err((Refusal::RateLimited, Some("limits.ownership_questions_per_client".into())))
            }
            Err(LookupError::TooBusy(refusal)) => {
                Err((refusal, Some("the owner of the image was not asked about".into())))
            }
            Err(LookupError::Unavailable(cause)) => Err((Refusal::OwnershipUnavailable, Some(cause.into()))),
        }
    }

    async fn look(&self, look: Look) -> Result<Known, LookupError> {
        match self.lookup.lookup_as() {
            LookupAs::Caller => {
                let may_ask = || self.may_ask(&look.asked);
                self.lookup.find(look.viewer, &look.asked, || async { may_ask().map(|()| look.caller.headers()) }).await
            }
            LookupAs::Service => self.look_as_service(&look.asked).await,
        }
    }

    fn may_ask(&self, asked: &Asked) -> Result<(), LookupError> {
        if self.rates.admits_ownership_question(asked.peer) { Ok(()) } else { Err(LookupError::TooManyQuestions) }
    }

    async fn look_as_service(&self, asked: &Asked) -> Result<Known, LookupError> {
        look_as_service(&self.lookup, &self.verifier, asked, || self.may_ask(asked)).await
    }
}

/// Looks with the gate's own token, with a new one if Glance has dropped the old.
///
/// # Errors
/// Tells why the owner is not known.
pub async fn look_as_service<S>(
    lookup: &OwnershipLookup<S>,
    verifier: &TokenVerifier,
    asked: &Asked,
    may_ask: impl Fn() -> Result<(), LookupError>,
) -> Result<Known, LookupError>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let own = || async {
        may_ask()?;
        let token = verifier.own_admin_token().await;
        let token = token.map_err(|error| LookupError::Unavailable(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(X_AUTH_TOKEN, token.expose().clone());
        Ok(Secret::new(headers))
    };
    match lookup.find(Viewer::Service, asked, own).await {
        Err(LookupError::TokenRefused) => {
            if let Ok(token) = verifier.own_admin_token().await {
                verifier.forget_own_token(&token).await;
            }
            lookup.find(Viewer::Service, asked, own).await
        }
        found => found,
    }
}

/// What a look-up needs of a call, owned: the call's body can not be shared while one waits.
struct Look {
    asked: Asked,
    viewer: Viewer,
    caller: Arc<Caller>,
}

impl Look {
    fn new(update: &MemberUpdate<Validated>, image: Uuid, viewer: Viewer) -> Self {
        let asked = Asked {
            image,
            path: update.path.image_path(),
            host: update.call.head.headers.get(HOST).cloned(),
            request_id: update.call.account.request_id,
            peer: update.call.account.peer,
            trace: update.call.account.trace.clone(),
        };
        Self { asked, viewer, caller: update.proof.authenticated().caller().clone() }
    }
}

impl MemberUpdate<Permitted> {
    /// Returns the call that is forwarded: the checked path, the checked token and the gate's own spelling of the body.
    pub fn into_call(self) -> Call {
        let mut call = self.call;
        call.head.headers.remove(CONTENT_ENCODING);
        call.body = match self.proof.request.canonical_body() {
            Some(body) => {
                call.head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Body::Full(body)
            }
            None => Body::Empty,
        };
        call
    }
}
