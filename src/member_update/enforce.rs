//! Acting on a refusal, or only telling of it.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tower::Layer;
use tower::Service;

use crate::body::Body;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::call::Verdict;
use crate::member_update::MemberUpdate;
use crate::member_update::Unproven;

/// Whether a refusal of the member-update branch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// It is.
    Enforce,
    /// The call is forwarded as it came, and the verdict is only told.
    Observe,
}

/// Puts [`Enforce`] before the checks.
#[derive(Clone, Debug)]
pub struct EnforceLayer<F> {
    enforcement: Enforcement,
    forward: F,
}

/// Stands above the checks and decides what their refusals mean.
#[derive(Clone, Debug)]
pub struct Enforce<F, S> {
    enforcement: Enforcement,
    forward: F,
    inner: S,
}

impl<F> EnforceLayer<F> {
    /// Observed refusals are forwarded through `forward`.
    pub fn new(enforcement: Enforcement, forward: F) -> Self {
        Self { enforcement, forward }
    }
}

impl<F: Clone, S> Layer<S> for EnforceLayer<F> {
    type Service = Enforce<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Enforce { enforcement: self.enforcement, forward: self.forward.clone(), inner }
    }
}

impl<F, S> Service<MemberUpdate<Unproven>> for Enforce<F, S>
where
    F: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + 'static,
    F::Future: Send,
    S: Service<MemberUpdate<Unproven>, Response = Answer, Error = Box<Refused>>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Box<Refused>>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, update: MemberUpdate<Unproven>) -> Self::Future {
        let answer = self.inner.call(update);
        match self.enforcement {
            Enforcement::Enforce => Box::pin(answer),
            Enforcement::Observe => {
                let mut forward = self.forward.clone();
                Box::pin(async move {
                    match answer.await {
                        Err(refused) if !matches!(refused.call.body, Body::Lost) && !refused.refusal.is_crowd() => {
                            let mut call = refused.call;
                            call.account.refusal = Some(refused.refusal);
                            call.account.verdict = Verdict::WouldRefuse;
                            forward.call(call).await
                        }
                        done => done,
                    }
                })
            }
        }
    }
}
