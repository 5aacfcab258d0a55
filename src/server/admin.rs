//! The operators' listener: is it alive, is it ready, what does it count; and it takes another configuration.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::header::HOST;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::request::Parts;
use http::uri::Authority;

use crate::body::Body;
use crate::framing::Violation;

/// What the operators' listener tells; made of closures, so that it knows no component.
#[derive(Clone)]
pub struct Admin {
    probes: Arc<[Probe]>,
    note: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    reload: Arc<dyn Fn() -> Reloading + Send + Sync>,
    switch: Arc<dyn Fn(bool) -> String + Send + Sync>,
    page: Arc<dyn Fn(Parts) -> Paging + Send + Sync>,
    explain: Option<Arc<Explain>>,
    /// Where it listens; who comes from there is on this machine.
    own: IpAddr,
}

/// An answer for browsers on its way; nothing if the path is none of the page's.
type Paging = Pin<Box<dyn Future<Output = Option<Response<Body>>> + Send>>;

/// Who explains, and by which names browsers may ask.
struct Explain {
    names: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    answer: Box<dyn Fn(Question) -> Explaining + Send + Sync>,
}

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// The query of the request.
    pub query: String,
    /// Whether it was sent on purpose from this machine, so that a neighbour may be asked for its sake.
    pub is_order: bool,
}

/// An explanation that is being looked for: a status, a media type and a text.
type Explaining = Pin<Box<dyn Future<Output = (StatusCode, &'static str, String)> + Send>>;

/// A reload under way: what was done, or why nothing was.
type Reloading = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// A request with this header was sent on purpose: a page in a browser can not send it to another place unasked.
pub const X_GLANCE_GATE_ORDER: &str = "x-glance-gate-order";

/// What an operator on this machine can have done.
#[derive(Clone, Copy)]
enum Order {
    Reload,
    Switch(bool),
}

impl Order {
    fn parse(path: &str) -> Option<Self> {
        match path {
            "/reload" => Some(Self::Reload),
            "/kill-switch/on" => Some(Self::Switch(true)),
            "/kill-switch/off" => Some(Self::Switch(false)),
            _ => None,
        }
    }
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
    /// Tells of these conditions with notes on them, and of these metrics; `reload` is done when it is asked for, and
    /// `switch` when the kill switch is to be on or off.
    pub fn new<F>(
        probes: Vec<Probe>,
        note: impl Fn() -> Vec<String> + Send + Sync + 'static,
        metrics: impl Fn() -> String + Send + Sync + 'static,
        reload: impl Fn() -> F + Send + Sync + 'static,
        switch: impl Fn(bool) -> String + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        let reload = Arc::new(move || -> Reloading { Box::pin(reload()) });
        Self {
            probes: probes.into(),
            note: Arc::new(note),
            metrics: Arc::new(metrics),
            reload,
            switch: Arc::new(switch),
            page: Arc::new(|_| -> Paging { Box::pin(async { None }) }),
            explain: None,
            own: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Takes orders also from who has this address, which is this machine's.
    #[must_use]
    pub fn at(self, own: IpAddr) -> Self {
        Self { own, ..self }
    }

    /// Answers other paths by `page`, as far as it knows them.
    #[must_use]
    pub fn with_page<F>(self, page: impl Fn(Parts) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Response<Body>>> + Send + 'static,
    {
        Self { page: Arc::new(move |request| -> Paging { Box::pin(page(request)) }), ..self }
    }

    /// Answers `GET /explain` by this, to whom asks by an address, as `localhost` or by one of the names.
    #[must_use]
    pub fn explaining<F>(
        self,
        names: impl Fn() -> Vec<String> + Send + Sync + 'static,
        explain: impl Fn(Question) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = (StatusCode, &'static str, String)> + Send + 'static,
    {
        let answer = Box::new(move |question| -> Explaining { Box::pin(explain(question)) });
        Self { explain: Some(Arc::new(Explain { names: Box::new(names), answer })), ..self }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never.
    pub async fn answer(
        self,
        peer: IpAddr,
        violation: Option<Violation>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        if let Some(violation) = violation {
            return Ok(text(StatusCode::BAD_REQUEST, format!("{}\n", violation.as_str())));
        }
        if let Some(order) = Order::parse(request.uri().path()) {
            let (head, _) = request.into_parts();
            return Ok(self.obey(order, peer, &head).await);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into()));
        }
        if let ("/explain", Some(explain)) = (request.uri().path(), &self.explain) {
            let (explain, (head, _)) = (explain.clone(), request.into_parts());
            return Ok(answer_question(&explain, self.is_this_machine(peer), &head).await);
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
            _ => {
                let (head, _) = request.into_parts();
                let known = "try / in a browser, /status.json, /shadow, /shadow.json, /explain?request_id=, /livez, /readyz, /readyz?verbose, \
                             /metrics, or POST /reload or /kill-switch/on or /off\n";
                (self.page)(head).await.unwrap_or_else(|| text(StatusCode::NOT_FOUND, known.into()))
            }
        })
    }

    /// Tells whether the peer is this machine: who connects to its own address is seen by that address.
    fn is_this_machine(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || peer == self.own && !peer.is_unspecified()
    }

    async fn obey(&self, order: Order, peer: IpAddr, request: &Parts) -> Response<Body> {
        if request.method != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n".into());
        }
        if !self.is_this_machine(peer)
            || !is_addressed(request, &[])
            || !request.headers.contains_key(X_GLANCE_GATE_ORDER)
        {
            let hint = "only from this machine, by its address, and with the header X-Glance-Gate-Order\n";
            return text(StatusCode::FORBIDDEN, hint.into());
        }
        let done = match order {
            Order::Reload => (self.reload)().await,
            Order::Switch(on) => Ok((self.switch)(on)),
        };
        match done {
            Ok(done) => text(StatusCode::OK, format!("{done}\n")),
            Err(why) => text(StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")),
        }
    }

    fn readyz(&self, is_verbose: bool) -> Response<Body> {
        let looked: Vec<(&Probe, bool)> = self.probes.iter().map(|probe| (probe, (probe.look)())).collect();
        let is_ready = looked.iter().all(|(probe, passes)| *passes || !probe.is_required);
        let mut out = String::new();
        for (probe, passes) in looked.iter().filter(|(_, passes)| is_verbose || !passes) {
            let sign = if *passes { '+' } else { '-' };
            let note = if probe.is_required { "" } else { " (told only)" };
            // writing to a string can not fail
            let _ = writeln!(out, "[{sign}] {}{note}", probe.name);
        }
        if is_verbose {
            for note in (self.note)() {
                let _ = writeln!(out, "[i] {note}");
            }
        }
        let (status, word) =
            if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
        text(status, format!("{out}{word}\n"))
    }
}

/// Answers what names projects and users: never to a page whose name was made to lead here.
async fn answer_question(explain: &Explain, is_this_machine: bool, request: &Parts) -> Response<Body> {
    if request.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return text(StatusCode::FORBIDDEN, "not from a page of another site\n".into());
    }
    if !is_addressed(request, &(explain.names)()) {
        return text(StatusCode::FORBIDDEN, "only by an address, as localhost, or by one of admin.names\n".into());
    }
    let is_order = is_this_machine && request.headers.contains_key(X_GLANCE_GATE_ORDER);
    let query = request.uri.query().unwrap_or_default().into();
    let (status, kind, told) = (explain.answer)(Question { query, is_order }).await;
    let mut response = text(status, told);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Tells whether the `Host` is an address or a name that is known: any other name could be a stranger's, made to lead
/// here (DNS rebinding).
pub fn is_addressed(request: &Parts, names: &[String]) -> bool {
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host();
        host == "localhost"
            || names.iter().any(|name| host.eq_ignore_ascii_case(name))
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    })
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
