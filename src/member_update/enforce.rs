//! Acting on a refusal, only telling of it, or letting it be: what its rule is set to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use tower::Layer;
use tower::Service;

use crate::body::Body;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::member_update::MemberUpdate;
use crate::member_update::Unproven;
use crate::rules::Rules;
use crate::rules::setting::Mode;

/// Puts [`Enforce`] before the checks.
#[derive(Clone, Debug)]
pub struct EnforceLayer<F> {
    rules: Rules,
    forward: F,
}

/// Stands above the checks and decides what their refusals mean.
#[derive(Clone, Debug)]
pub struct Enforce<F, S> {
    shared: Arc<EnforceLayer<F>>,
    inner: S,
}

impl<F> EnforceLayer<F> {
    /// Refusals that are not enforced are forwarded through `forward`.
    pub fn new(rules: Rules, forward: F) -> Self {
        Self { rules, forward }
    }
}

impl<F: Clone, S> Layer<S> for EnforceLayer<F> {
    type Service = Enforce<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Enforce { shared: Arc::new(self.clone()), inner }
    }
}

impl<F, S> Service<MemberUpdate<Unproven>> for Enforce<F, S>
where
    F: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + Sync + 'static,
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
        let shared = self.shared.clone();
        Box::pin(async move {
            match answer.await {
                Ok(answer) => Ok(answer),
                // rare, and with room for a call to Glance of its own
                Err(refused) => Box::pin(act(&shared.rules, shared.forward.clone(), refused)).await,
            }
        })
    }
}

/// Does with a refused call what the rule is set to. One whose body is lost can not be forwarded.
async fn act<F>(rules: &Rules, mut forward: F, mut refused: Box<Refused>) -> Result<Answer, Box<Refused>>
where
    F: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    if matches!(refused.call.body, Body::Lost) {
        return Err(refused);
    }
    match rules.weigh(refused.refusal, &mut refused.call.account) {
        Mode::Enforce => Err(refused),
        Mode::Observe | Mode::Off => forward.call(refused.call).await,
    }
}
