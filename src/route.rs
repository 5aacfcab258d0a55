//! Which way a request takes: read once, strictly, and never by prefix.

use std::borrow::Cow;
use std::future::Ready;
use std::future::ready;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use http::Method;
use tower::Service;
use uuid::Uuid;

use crate::call::Answer;
use crate::call::Branch;
use crate::call::Call;
use crate::call::Refused;
use crate::glance::watch::Passing;
use crate::member_update::MemberUpdate;
use crate::member_update::Unproven;
use crate::member_update::guard::Guard;
use crate::openstack::member_action::Action;
use crate::openstack::target::MemberPath;
use crate::openstack::target::NotCanonical;
use crate::openstack::target::Target;
use crate::openstack::target::resembles_members_path;
use crate::refusal::Refusal;

/// Sends each call into its branch.
#[derive(Clone, Debug)]
pub struct Route<M, P, H> {
    mount: Arc<str>,
    guard: Guard,
    member_update: M,
    passthrough: P,
    healthcheck: H,
}

/// Three branches and the way out; each future is named, so that passing through costs no allocation here.
type RouteFuture<M, P, H> = Either<Either<M, P>, Either<H, Ready<Result<Answer, Box<Refused>>>>>;

impl<M, P, H> Route<M, P, H> {
    /// Joins the branches; `mount` is the prefix that Glance is served under, `""` for none, and `guard` says which calls
    /// on members are not just passed through.
    pub fn new(mount: &str, guard: Guard, member_update: M, passthrough: P, healthcheck: H) -> Self {
        Self { mount: mount.into(), guard, member_update, passthrough, healthcheck }
    }
}

impl<M, P, H> Service<Call> for Route<M, P, H>
where
    M: Service<MemberUpdate<Unproven>, Response = Answer, Error = Box<Refused>>,
    P: Service<Passing, Response = Answer, Error = Box<Refused>>,
    H: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = RouteFuture<M::Future, P::Future, H::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // every branch is always ready: what is full answers with a refusal
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let (target, guarded) = match self.read(&call) {
            Ok(read) => read,
            Err(odd) => {
                return refuse(call.refuse(Refusal::TargetAmbiguous, Cow::Borrowed(odd.as_str())));
            }
        };
        if let Target::Member(path) = &target {
            call.account.path = Some(path.clone());
        }
        if let Some((action, path)) = guarded {
            call.account.path = Some(path.clone());
            call.account.branch = Branch::Member(action);
            return Either::Left(Either::Left(self.member_update.call(MemberUpdate::new(call, action, path))));
        }
        match target {
            _ if matches!(call.head.method, Method::CONNECT | Method::TRACE) => {
                refuse(call.refuse(Refusal::MethodUnsupported, None))
            }
            Target::Healthcheck if matches!(call.head.method, Method::GET | Method::HEAD) => {
                call.account.branch = Branch::Healthcheck;
                Either::Right(Either::Left(self.healthcheck.call(call)))
            }
            target => {
                call.account.branch = Branch::Passthrough;
                let changes = changed_image(&call.head.method, &target);
                Either::Left(Either::Right(self.passthrough.call(Passing { call, changes })))
            }
        }
    }
}

impl<M, P, H> Route<M, P, H> {
    /// Reads the target, and what the call does with the members of an image if that is guarded.
    fn read(&self, call: &Call) -> Result<(Target, Option<(Action, MemberPath)>), NotCanonical> {
        let (uri, method) = (&call.head.uri, &call.head.method);
        let target = Target::parse(uri, &self.mount)?;
        let guarded = match (&target, uri.path_and_query()) {
            (Target::Member(path), _) => self.guard.on_member(method).map(|action| (action, path.clone())),
            (Target::Members(_), Some(text)) if self.guard.has_members_path() => {
                let path = MemberPath::of_members(text, &self.mount)?;
                self.guard.on_members(method).map(|action| (action, path))
            }
            (Target::Other, Some(text)) if self.guard.has_members_path() && resembles_members_path(text.path()) => {
                return Err(NotCanonical::OddMembersPath);
            }
            (Target::Members(_) | Target::Other | Target::Image(_) | Target::Healthcheck, _) => None,
        };
        Ok((target, guarded))
    }
}

fn refuse<M, P, H>(refused: Box<Refused>) -> RouteFuture<M, P, H> {
    Either::Right(Either::Right(ready(Err(refused))))
}

/// Returns the image whose owner, visibility or members the call changes if Glance grants it.
fn changed_image(method: &Method, target: &Target) -> Option<Uuid> {
    match (method, target) {
        (&Method::PATCH | &Method::DELETE, Target::Image(image)) | (&Method::POST, Target::Members(image)) => *image,
        (&Method::DELETE, Target::Member(path)) => path.image_uuid(),
        _ => None,
    }
}
