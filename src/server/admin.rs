//! The operators' listener: is it alive, is it ready, what does it count.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::Full;

use crate::body::Body;
use crate::framing::Violation;

/// What the operators' listener tells; made of closures, so that it knows no component.
#[derive(Clone)]
pub struct Admin {
    probes: Arc<[Probe]>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// One condition of readiness.
pub struct Probe {
    /// What is looked at.
    pub name: &'static str,
    /// Whether the gate is not ready without it; others are only told.
    pub is_required: bool,
    /// Looks.
    pub look: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Admin {
    /// Tells of these conditions and these metrics.
    pub fn new(probes: Vec<Probe>, metrics: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { probes: probes.into(), metrics: Arc::new(metrics) }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never.
    #[expect(clippy::unused_async, reason = "the server takes futures")]
    pub async fn answer(
        self,
        violation: Option<Violation>,
        request: Request<Body>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if let Some(violation) = violation {
            return Ok(text(StatusCode::BAD_REQUEST, format!("{}\n", violation.as_str())));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into()));
        }
        let is_verbose = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "verbose"));
        Ok(match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n".into()),
            "/readyz" => self.readyz(is_verbose),
            "/metrics" => {
                let mut response = text(StatusCode::OK, (self.metrics)());
                let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz, /readyz?verbose or /metrics\n".into()),
        })
    }

    fn readyz(&self, is_verbose: bool) -> Response<Full<Bytes>> {
        let looked: Vec<(&Probe, bool)> = self.probes.iter().map(|probe| (probe, (probe.look)())).collect();
        let is_ready = looked.iter().all(|(probe, passes)| *passes || !probe.is_required);
        let mut out = String::new();
        for (probe, passes) in looked.iter().filter(|(_, passes)| is_verbose || !passes) {
            let sign = if *passes { '+' } else { '-' };
            let note = if probe.is_required { "" } else { " (told only)" };
            // writing to a string can not fail
            let _ = writeln!(out, "[{sign}] {}{note}", probe.name);
        }
        let (status, word) =
            if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
        text(status, format!("{out}{word}\n"))
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
