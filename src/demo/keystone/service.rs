//! The HTTP side of the Keystone stand-in.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header::VARY;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use hyper::body::Incoming;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::demo::answers::Answer;
use crate::demo::arrival::Arrival;
use crate::demo::keystone::State;
use crate::demo::keystone::authentication::Failure;
use crate::demo::keystone::authentication::authenticate;
use crate::demo::keystone::tokens::Kind;
use crate::demo::keystone::tokens::Scope;
use crate::demo::keystone::tokens::Token;
use crate::demo::keystone::view;
use crate::demo::keystone::view::Catalog;
use crate::demo::listener::Answers;
use crate::demo::listener::Broken;

const BODY_LIMIT: usize = 112 * 1024;
/// How long after its end a token still validates for who asks for that.
const EXPIRED_WINDOW: Duration = Duration::from_hours(48);
const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

impl Answers for State {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Broken> {
        let mut arrived = match self.door.arrive(request).await? {
            Arrival::Proper(arrived) => arrived,
            Arrival::Answered(answer) => return Ok(answer),
        };
        let answer = match arrived.read(&self.door.recorder, BODY_LIMIT).await {
            Ok(body) => self.route(&arrived.head, &body),
            Err(_) => refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request is too large."),
        };
        let id = format!("req-{}", Uuid::new_v4());
        Ok(answer.with(VARY, "X-Auth-Token").with(REQUEST_ID, &id))
    }
}

impl State {
    fn route(&self, head: &Parts, body: &[u8]) -> Answer {
        match (head.uri.path(), &head.method) {
            ("/v3" | "/v3/", &Method::GET) => {
                Answer::json(StatusCode::OK, &json!({"version": view::version(&self.url())}))
            }
            ("/", &Method::GET) => {
                let versions = json!({"versions": {"values": [view::version(&self.url())]}});
                Answer::json(StatusCode::MULTIPLE_CHOICES, &versions)
            }
            ("/v3/auth/tokens", &Method::POST) => self.authenticate(body, head),
            ("/v3/auth/tokens", &(Method::GET | Method::HEAD | Method::DELETE)) => self.subject(head),
            ("/v3/auth/tokens" | "/v3" | "/v3/" | "/", _) => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.")
            }
            _ => refuse(
                StatusCode::NOT_FOUND,
                "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.",
            ),
        }
    }

    fn authenticate(&self, body: &[u8], head: &Parts) -> Answer {
        match authenticate(self, body) {
            Ok(token) => {
                let shown = self.show(&token, head);
                let written = self.issue(None, token);
                Answer::json(StatusCode::CREATED, &shown).with(SUBJECT, &written)
            }
            Err(Failure::Wrong) => self.unauthorized(),
            Err(Failure::NotARequest) => {
                refuse(StatusCode::BAD_REQUEST, "Invalid input for field 'auth': it is not an authentication request.")
            }
        }
    }

    /// Answers what is asked about, or done to, the subject token.
    fn subject(&self, head: &Parts) -> Answer {
        let caller = header(head, "x-auth-token").and_then(|written| Some((self.look_up(&written)?, written)));
        let Some((caller, written)) = caller.filter(|(caller, _)| caller.is_good()) else {
            return self.unauthorized();
        };
        let subject = header(head, "x-subject-token").filter(|subject| !subject.is_empty());
        let own = subject.as_ref() == Some(&written);
        if !own && !may(&head.method, &caller) {
            let message =
                format!("You are not authorized to perform the requested action: identity:{}.", action(&head.method));
            return refuse(StatusCode::FORBIDDEN, &message);
        }
        let Some(subject) = subject else {
            return refuse(StatusCode::NOT_FOUND, "No token in the request");
        };
        let Some(token) = self.look_up(&subject) else {
            return refuse(StatusCode::NOT_FOUND, &self.unknown(&subject));
        };
        if !is_valid(&token, head) {
            return refuse(StatusCode::NOT_FOUND, "Failed to validate token");
        }
        if head.method != Method::DELETE {
            return Answer::json(StatusCode::OK, &self.show(&token, head)).with(SUBJECT, &subject);
        }
        if let Some(known) = self.book().tokens.get_mut(&subject) {
            known.revoked = true;
        }
        Answer::empty(StatusCode::NO_CONTENT)
    }

    /// Returns the token as it is shown for this request.
    fn show(&self, token: &Token, head: &Parts) -> Value {
        if has_parameter(head, "nocatalog") {
            return view::token(token, Catalog::Without);
        }
        let image = self.book().image_endpoint.clone();
        view::token(token, Catalog::With { identity: &self.url(), image: &image })
    }

    fn unknown(&self, subject: &str) -> String {
        match self.book().kind {
            Kind::Opaque => "Could not recognize Fernet token".to_owned(),
            Kind::Jws => format!("Could not find token: {subject}."),
        }
    }

    fn unauthorized(&self) -> Answer {
        refuse(StatusCode::UNAUTHORIZED, "The request you have made requires authentication.")
            .with(WWW_AUTHENTICATE, &format!("Keystone uri=\"{}\"", self.url()))
    }
}

fn refuse(status: StatusCode, message: &str) -> Answer {
    Answer::json(status, &view::error(status, message))
}

/// Returns whether the caller may do this to the tokens of others.
fn may(method: &Method, caller: &Token) -> bool {
    let system_reader = caller.scope == Scope::System && caller.has_role("reader");
    match *method {
        Method::GET => caller.has_role("admin") || caller.has_role("service") || system_reader,
        Method::HEAD => caller.has_role("admin") || system_reader,
        _ => caller.has_role("admin"),
    }
}

fn action(method: &Method) -> &'static str {
    match *method {
        Method::GET => "validate_token",
        Method::HEAD => "check_token",
        _ => "revoke_token",
    }
}

/// Returns whether the subject validates, given what else the request says.
fn is_valid(token: &Token, head: &Parts) -> bool {
    let in_window = token.expires_at + EXPIRED_WINDOW > OffsetDateTime::now_utc();
    let in_time = !token.is_expired() || (in_window && has_parameter(head, "allow_expired"));
    let rules_understood =
        header(head, "openstack-identity-access-rules").is_some_and(|value| value == "1" || value == "1.0");
    !token.revoked && in_time && (token.access_rules().is_empty() || rules_understood)
}

/// Returns whether the query has this parameter, other than as a plain no.
fn has_parameter(head: &Parts, name: &str) -> bool {
    let query = head.uri.query().unwrap_or_default();
    query.split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key == name && value != "0" && value != "false"
    })
}

fn header(head: &Parts, name: &str) -> Option<String> {
    let value = head.headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}
