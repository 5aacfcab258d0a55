//! May they? Finds out who owns the image and decides.

use std::borrow::Cow;

use http::HeaderMap;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::HOST;
use tower::Service;

use crate::body::Body;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::call::Verdict;
use crate::check::Check;
use crate::glance::Known;
use crate::glance::LookupAs;
use crate::glance::LookupError;
use crate::glance::OwnershipLookup;
use crate::glance::Viewer;
use crate::glance::asked::Asked;
use crate::keystone::TokenVerifier;
use crate::member_update::MemberUpdate;
use crate::member_update::authenticate::Caller;
use crate::member_update::decide::Decision;
use crate::member_update::decide::Profile;
use crate::member_update::decide::Question;
use crate::member_update::decide::decide;
use crate::member_update::decide::decide_by_identity;
use crate::member_update::rate::Rates;
use crate::member_update::validate::Validated;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::image::Seen;
use crate::openstack::member::RequestedStatus;
use crate::openstack::token::X_AUTH_TOKEN;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// The check that decides.
#[derive(Debug)]
pub struct Authorize<S> {
    lookup: OwnershipLookup<S>,
    verifier: TokenVerifier,
    profile: Profile,
    rates: Rates,
}

/// Proof that the call may be forwarded, with the body that is.
#[derive(Debug)]
pub struct Permitted {
    status: RequestedStatus,
}

impl<S> Authorize<S> {
    /// Decides by the profile on what the lookup shows; the verifier gives the gate's own token where it is needed.
    pub fn new(lookup: OwnershipLookup<S>, verifier: TokenVerifier, profile: Profile, rates: Rates) -> Self {
        Self { lookup, verifier, profile, rates }
    }
}

impl<S> Check<MemberUpdate<Validated>> for Authorize<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    type Proven = MemberUpdate<Permitted>;

    async fn check(&self, mut update: MemberUpdate<Validated>) -> Result<Self::Proven, Box<Refused>> {
        let decision =
            match decide_by_identity(self.profile, update.proof.authenticated().identity(), update.proof.status()) {
                Some(decision) => decision,
                None => match self.decide_by_ownership(&mut update).await {
                    Ok(decision) => decision,
                    Err((refusal, cause)) => return Err(update.refuse(refusal, cause)),
                },
            };
        update.call.account.verdict = match decision {
            Decision::Permit => Verdict::Permitted,
            Decision::Ask => Verdict::Asked,
            Decision::Refuse(refusal) => return Err(update.refuse(refusal, None)),
        };
        Ok(update.prove(|validated| Permitted { status: validated.status().clone() }))
    }
}

impl<S> Authorize<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn decide_by_ownership(
        &self,
        update: &mut MemberUpdate<Validated>,
    ) -> Result<Decision, (Refusal, Option<Cow<'static, str>>)> {
        let Some(project) = update.proof.authenticated().identity().project().cloned() else {
            // decided before; asking is right whatever changes there
            return Ok(Decision::Ask);
        };
        let looked = match Look::new(update, &project) {
            None => Ok(Seen::Impossible),
            Some(look) => self.look(look).await.map(|known| {
                update.call.account.ownership_age = Some(known.since.elapsed());
                Seen::Image(known.ownership)
            }),
        };
        let seen = match looked {
            Ok(seen) => seen,
            Err(LookupError::Absent) => Seen::Absent,
            Err(LookupError::TokenRefused) if self.lookup.lookup_as() == LookupAs::Caller => {
                return Err((Refusal::TokenInvalid, Some("glance refuses the token".into())));
            }
            Err(LookupError::TokenRefused) => {
                return Err((Refusal::OwnershipUnavailable, Some("glance refuses the gate's own token".into())));
            }
            Err(LookupError::TooManyQuestions) => {
                return Err((Refusal::RateLimited, Some("limits.ownership_questions_per_client".into())));
            }
            Err(LookupError::TooBusy(refusal)) => {
                return Err((refusal, Some("the owner of the image was not asked about".into())));
            }
            Err(LookupError::Unavailable(cause)) => return Err((Refusal::OwnershipUnavailable, Some(cause.into()))),
        };
        let decision = decide(Question {
            profile: self.profile,
            lookup_as: self.lookup.lookup_as(),
            project: &project,
            roles: &update.proof.authenticated().identity().roles,
            seen: &seen,
            member: update.path.member(),
            status: update.proof.status(),
        });
        update.call.account.seen = Some(seen);
        Ok(decision)
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

    /// Looks with the gate's own token, with a new one if Glance has dropped the old.
    async fn look_as_service(&self, asked: &Asked) -> Result<Known, LookupError> {
        let own = || async {
            self.may_ask(asked)?;
            let token = self.verifier.own_admin_token().await;
            let token = token.map_err(|error| LookupError::Unavailable(error.to_string()))?;
            let mut headers = HeaderMap::new();
            headers.insert(X_AUTH_TOKEN, token.expose().clone());
            Ok(Secret::new(headers))
        };
        match self.lookup.find(Viewer::Service, asked, own).await {
            Err(LookupError::TokenRefused) => {
                if let Ok(token) = self.verifier.own_admin_token().await {
                    self.verifier.forget_own_token(&token).await;
                }
                self.lookup.find(Viewer::Service, asked, own).await
            }
            found => found,
        }
    }
}

/// What a look-up needs of a call, owned: the call's body can not be shared while one waits.
struct Look {
    asked: Asked,
    viewer: Viewer,
    caller: Caller,
}

impl Look {
    /// Returns nothing if no image can have the id.
    fn new(update: &MemberUpdate<Validated>, project: &ProjectId) -> Option<Self> {
        let authenticated = update.proof.authenticated();
        let asked = Asked {
            image: update.path.image_uuid()?,
            member: update.path.target().clone(),
            host: update.call.head.headers.get(HOST).cloned(),
            request_id: update.call.account.request_id,
            peer: update.call.account.peer,
        };
        // the eyes the caller sees with: its project and roles, or its very token where the roles are unknown
        let caller = authenticated.caller().clone();
        let viewer = match &authenticated.identity().roles {
            Roles::Known(roles) => Viewer::Roles(project.clone(), roles.clone()),
            Roles::Unknown => Viewer::Token(caller.credential().token().digest()),
        };
        Some(Self { asked, viewer, caller })
    }
}

impl MemberUpdate<Permitted> {
    /// Returns the call that is forwarded: the checked path, the checked token and the gate's own spelling of the body.
    pub fn into_call(self) -> Call {
        let mut call = self.call;
        call.body = Body::Full(self.proof.status.canonical_body());
        call.head.headers.remove(CONTENT_ENCODING);
        call.head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call
    }
}
