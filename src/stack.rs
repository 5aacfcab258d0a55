//! The request's whole way through the gate, in order. Read this first.
//!
//! Layers run from top to bottom, answers go back up. Swapping or dropping a check does not compile: each accepts
//! only what the one above it has proved.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use http::Request;
use http::Response;
use tower::Service;
use tower::ServiceBuilder;
use tower::util::BoxService;

use crate::audit::Audit;
use crate::body::Body;
use crate::call::Account;
use crate::call::Call;
use crate::check::check;
use crate::edge::headers::HeadersLayer;
use crate::edge::healthcheck::Healthcheck;
use crate::edge::overload::OverloadLayer;
use crate::edge::request_id::RequestIdLayer;
use crate::edge::respond::RespondLayer;
use crate::edge::tell::TellLayer;
use crate::edge::tell::Told;
use crate::edge::trace::TraceLayer;
use crate::framing::Violation;
use crate::glance::OwnershipLookup;
use crate::glance::Ownerships;
use crate::glance::policy::Policy;
use crate::glance::watch::Passing;
use crate::glance::watch::WatchLayer;
use crate::identify::IdentifyLayer;
use crate::identify::Naming;
use crate::keystone::TokenVerifier;
use crate::limits::Limits;
use crate::limits::layer::LimitsLayer;
use crate::member_update::authenticate::Authenticate;
use crate::member_update::authorize::Authorize;
use crate::member_update::decide::Profile;
use crate::member_update::enforce::EnforceLayer;
use crate::member_update::guard::Guard;
use crate::member_update::limit::LimitLayer;
use crate::member_update::rate::Rates;
use crate::member_update::validate;
use crate::member_update::validate::Validate;
use crate::openstack::request_id::RequestId;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;
use crate::peer::Peer;
use crate::route::Route;
use crate::rules::Rules;
use crate::service_token::ServiceTokens;
use crate::service_token::VouchLayer;
use crate::shadow::layer::ShadowLayer;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Forward;
use crate::vouch::Vouchers;

/// What the stack is made of. `forward` is the worker's own; the rest is shared by all workers.
#[derive(Clone)]
pub struct Parts {
    /// The worker's way to the upstreams.
    pub forward: Forward,
    /// Who vouches for Keystone tokens, and gives the gate its own.
    pub verifier: TokenVerifier,
    /// Who owns the images, as far as it is remembered.
    pub ownerships: Ownerships,
    /// How owners are looked up.
    pub ownership: crate::glance::Config,
    /// Which contract is kept.
    pub profile: Profile,
    /// What Glance's policies say.
    pub policy: Policy,
    /// What the refusals of the member-update branch lead to.
    pub rules: Rules,
    /// Which calls on members are guarded.
    pub guard: Guard,
    /// The bounds of a member update's body.
    pub body: validate::Config,
    /// All who vouch for credentials.
    pub vouchers: Vouchers,
    /// The prefix that Glance is served under.
    pub mount: Arc<str>,
    /// The limits of the member-update branch.
    pub member_limit: LimitLayer,
    /// Whose service tokens count.
    pub service_tokens: ServiceTokens,
    /// How often a client or a project may ask.
    pub rates: Rates,
    /// How often who may ask for what.
    pub limits: Limits,
    /// The limits of all traffic.
    pub overload: OverloadLayer,
    /// Whose `X-Forwarded-*` are believed.
    pub headers: HeadersLayer,
    /// How refusals are answered.
    pub respond: RespondLayer,
    /// `/healthcheck`.
    pub healthcheck: Healthcheck,
    /// Whether requests are traced.
    pub traces: TraceLayer,
    /// What is copied to staging.
    pub shadow: ShadowLayer,
    /// What is counted.
    pub metrics: Metrics,
    /// What auditors are told.
    pub audit: Audit,
}

/// The whole way, ready for a request; cloning shares it.
///
/// It belongs to one worker, so that nobody ever waits for the lock; a clone of the way for each request would cost more
/// than the checks.
#[derive(Clone)]
pub struct HttpService {
    edge: Arc<Mutex<BoxService<Call, Response<Told>, Infallible>>>,
}

/// Puts the way together.
pub fn build(parts: Parts) -> HttpService {
    // the end of all branches: the request to Glance
    let forward = ServiceBuilder::new()
        .layer(parts.forward.shed()) // what waits for Glance is bounded by how fast it answers
        .service(parts.forward);

    let lookup = OwnershipLookup::new(parts.ownership, parts.ownerships.clone(), forward.clone());

    // what clients ask may be copied to staging; what the gate itself asks is not
    let forward = ServiceBuilder::new().layer(parts.shadow).service(forward);

    // a guarded call that changes who is a member makes us forget, as one that passes through does
    let watched = ServiceBuilder::new()
        .map_request(Passing::of_guarded as fn(Call) -> Passing)
        .layer(WatchLayer::new(parts.ownerships.clone()))
        .service(forward.clone());

    // PUT /v2/images/{image_id}/members/{member_id}, and what else `guard` names: prove, then forward
    let authenticate =
        Authenticate::new(parts.vouchers.clone(), parts.rates.clone(), parts.limits.clone(), parts.rules.clone());
    let member_update = ServiceBuilder::new()
        .layer(EnforceLayer::new(parts.rules.clone(), watched.clone())) // a refusal is answered, or only told: what its rule is set to
        .layer(parts.member_limit) // here, not on the trunk: uploads may take hours
        .layer(check(authenticate)) // Unproven → Authenticated: who asks?
        .layer(check(Validate::new(parts.body, parts.profile))) // Authenticated → Validated: what exactly do they ask?
        .layer(check(Authorize::new(lookup, parts.verifier, (parts.profile, parts.policy), parts.rates))) // Validated → Permitted: may they?
        .map_request(crate::member_update::MemberUpdate::into_call) // only a permitted update is a call again
        .service(watched);

    let naming = if parts.audit.wants_callers() { Naming::IfRemembered } else { Naming::Never };

    // everything else: stream it through, unread
    let passthrough = ServiceBuilder::new()
        .layer(IdentifyLayer::new(parts.vouchers.clone(), &parts.mount, naming)) // only for a Glance that does not ask itself who it is
        .layer(LimitsLayer::new(parts.limits, parts.vouchers, parts.rules.clone(), &parts.mount)) // only where there are limits
        .layer(WatchLayer::new(parts.ownerships)) // a change that passes by makes us forget
        .service(forward);

    // around every request
    let edge = ServiceBuilder::new()
        .layer(parts.traces) // first: all that a request needs is part of its trace
        .layer(RequestIdLayer) // every line and every answer carries it
        .layer(TellLayer::new(parts.metrics, parts.rules, parts.audit)) // sees the final status, also of refusals, and what Glance said
        .layer(parts.respond) // refusals and panics become answers here, and only here
        .layer(parts.headers) // before anything reads a header
        .layer(parts.overload)
        .layer(VouchLayer::new(parts.service_tokens)) // only a service's token stands beside a user's
        .service(Route::new(&parts.mount, parts.guard, member_update, passthrough, parts.healthcheck));

    HttpService { edge: Arc::new(Mutex::new(BoxService::new(edge))) }
}

impl HttpService {
    /// Answers one request that came from `peer`, or what came in the place of one.
    ///
    /// # Errors
    /// Never: what goes wrong is an answer.
    pub fn answer(
        &self,
        peer: Peer,
        violation: Option<Violation>,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Told>, Infallible>> + Send + use<> {
        let (head, body) = request.into_parts();
        let request_id =
            head.headers.get(X_OPENSTACK_REQUEST_ID).and_then(RequestId::parse).unwrap_or_else(RequestId::random);
        let mut account = Box::new(Account::new(request_id, peer, &head));
        if violation.is_some() {
            // the head only stands in for one that never was a request
            account.target = None;
            account.violation = violation;
        }
        let call = Call { head: Box::new(head), body, account };
        // always ready: what is full says so by a refusal
        self.edge.lock().unwrap_or_else(PoisonError::into_inner).call(call)
    }
}
