//! `/healthcheck` for load balancers, as oslo.middleware answers it, with its disable-by-file.

use std::future::Ready;
use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tower::Service;

use crate::body::Body;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::upstream::balance::Balance;

/// Answers 200 while the gate takes traffic.
#[derive(Clone, Debug)]
pub struct Healthcheck {
    disable_file: Arc<PathBuf>,
    balance: Balance,
}

impl Healthcheck {
    /// Looks at the file and at the upstreams' health.
    pub fn new(disable_file: PathBuf, balance: Balance) -> Self {
        Self { disable_file: Arc::new(disable_file), balance }
    }

    fn look(&self) -> (StatusCode, &'static str) {
        // one stat call a health check; an unset path is no file
        if self.disable_file.exists() {
            (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE")
        } else if self.balance.any_healthy() {
            (StatusCode::OK, "OK")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "NO UPSTREAM")
        }
    }
}

impl Service<Call> for Healthcheck {
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Ready<Result<Answer, Box<Refused>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (status, text) = self.look();
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        ready(Ok(Answer { response, account: call.account }))
    }
}
