//! The guarded calls, `PUT /v2/images/{image_id}/members/{member_id}` and those of its family, and the proofs they collect.
//!
//! The checks stand in one order:
//!
//! ```
//! # use glance_gate::call::{Answer, Call, Refused};
//! # use glance_gate::check::check;
//! # use glance_gate::member_update::{MemberUpdate, Unproven, authenticate::Authenticate, authorize::Authorize, validate::Validate};
//! # use tower::{Service, ServiceBuilder};
//! # fn takes_unproven(_: impl Service<MemberUpdate<Unproven>>) {}
//! # fn branch<S>(authenticate: Authenticate, validate: Validate, authorize: Authorize<S>, forward: S)
//! # where S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static, S::Future: Send {
//! takes_unproven(
//!     ServiceBuilder::new()
//!         .layer(check(authenticate))
//!         .layer(check(validate))
//!         .layer(check(authorize))
//!         .map_request(MemberUpdate::into_call)
//!         .service(forward),
//! );
//! # }
//! ```
//!
//! Two that are swapped do not compile:
//!
//! ```compile_fail
//! # use glance_gate::call::{Answer, Call, Refused};
//! # use glance_gate::check::check;
//! # use glance_gate::member_update::{MemberUpdate, Unproven, authenticate::Authenticate, authorize::Authorize, validate::Validate};
//! # use tower::{Service, ServiceBuilder};
//! # fn takes_unproven(_: impl Service<MemberUpdate<Unproven>>) {}
//! # fn branch<S>(authenticate: Authenticate, validate: Validate, authorize: Authorize<S>, forward: S)
//! # where S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static, S::Future: Send {
//! takes_unproven(
//!     ServiceBuilder::new()
//!         .layer(check(validate))
//!         .layer(check(authenticate))
//!         .layer(check(authorize))
//!         .map_request(MemberUpdate::into_call)
//!         .service(forward),
//! );
//! # }
//! ```
//!
//! Nor does one that is left out:
//!
//! ```compile_fail
//! # use glance_gate::call::{Answer, Call, Refused};
//! # use glance_gate::check::check;
//! # use glance_gate::member_update::{MemberUpdate, Unproven, authenticate::Authenticate, authorize::Authorize, validate::Validate};
//! # use tower::{Service, ServiceBuilder};
//! # fn takes_unproven(_: impl Service<MemberUpdate<Unproven>>) {}
//! # fn branch<S>(authenticate: Authenticate, validate: Validate, authorize: Authorize<S>, forward: S)
//! # where S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static, S::Future: Send {
//! takes_unproven(
//!     ServiceBuilder::new()
//!         .layer(check(authenticate))
//!         .layer(check(validate))
//!         .map_request(MemberUpdate::into_call)
//!         .service(forward),
//! );
//! # }
//! ```
//!
//! And nobody but a check can make its proof:
//!
//! ```compile_fail
//! # use glance_gate::member_update::authenticate::Authenticated;
//! # fn forge(token: glance_gate::openstack::token::UnverifiedToken, identity: std::sync::Arc<glance_gate::openstack::identity::Identity>) {
//! let proof = Authenticated { token, identity };
//! # }
//! ```

pub mod authenticate;
pub mod authorize;
pub mod decide;
pub mod enforce;
pub mod family;
pub mod guard;
pub mod limit;
pub mod rate;
pub mod validate;

use std::borrow::Cow;

use crate::call::Call;
use crate::call::Refused;
use crate::openstack::member_action::Action;
use crate::openstack::target::MemberPath;
use crate::refusal::Refusal;
use crate::vouch::No;

/// A call on an image's members, with what is proved of it so far.
///
/// `MemberUpdate<Unproven>` → `<Authenticated>` → `<Validated>` → `<Permitted>`; each proof can only be made by
/// the check that gives it, so a check that is swapped or left out does not compile.
#[derive(Debug)]
pub struct MemberUpdate<Proof> {
    call: Call,
    action: Action,
    path: MemberPath,
    proof: Proof,
}

/// Nothing is proved yet.
#[derive(Debug)]
pub struct Unproven(());

impl MemberUpdate<Unproven> {
    /// Starts the way of a call that does this with a member, or with all of them.
    pub fn new(call: Call, action: Action, path: MemberPath) -> Self {
        Self { call, action, path, proof: Unproven(()) }
    }
}

impl<Proof> MemberUpdate<Proof> {
    /// Exchanges the proof for a further one.
    fn prove<Next>(self, next: impl FnOnce(Proof) -> Next) -> MemberUpdate<Next> {
        MemberUpdate { call: self.call, action: self.action, path: self.path, proof: next(self.proof) }
    }

    /// Says no.
    fn say(self, (refusal, cause): No) -> Box<Refused> {
        self.refuse(refusal, cause)
    }

    /// Says no, with the inside cause for the log.
    fn refuse(self, refusal: Refusal, cause: impl Into<Option<Cow<'static, str>>>) -> Box<Refused> {
        self.call.refuse(refusal, cause)
    }
}
