//! The HTTP side of the Glance stand-in, its steps in Glance's order.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header::ALLOW;
use http::header::CONTENT_LENGTH;
use http::header::CONTENT_TYPE;
use http::header::LOCATION;
use http::header::TRANSFER_ENCODING;
use http::header::WWW_AUTHENTICATE;
use hyper::body::Incoming;
use uuid::Uuid;

use crate::demo::answers::Answer;
use crate::demo::arrival::Arrival;
use crate::demo::arrival::Arrived;
use crate::demo::arrival::Unread;
use crate::demo::glance::State;
use crate::demo::glance::catalog;
use crate::demo::glance::data;
use crate::demo::glance::identify;
use crate::demo::glance::members;
use crate::demo::glance::members::Found;
use crate::demo::glance::target;
use crate::demo::glance::target::Place;
use crate::demo::glance::target::Resource;
use crate::demo::glance::view;
use crate::demo::keystone::Token;
use crate::demo::listener::Answers;
use crate::demo::listener::Broken;
use crate::demo::webob::Refused;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
/// Longer ones make Glance fail.
const LONGEST_REQUEST_ID: usize = 64;
/// Glance has no limit; the stand-in has one so that memory has.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

impl Answers for State {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Broken> {
        match self.door.arrive(request).await? {
            Arrival::Proper(arrived) => Ok(self.respond(arrived).await),
            Arrival::Answered(answer) => Ok(answer),
        }
    }
}

impl State {
    async fn respond(&self, mut arrived: Arrived) -> Answer {
        if arrived.head.method == Method::OPTIONS {
            return Answer::empty(StatusCode::OK);
        }
        let headers = arrived.head.headers.clone();
        let path = match target::place(&arrived.head.uri, &headers) {
            Place::Health => return self.health(),
            Place::Versions => return versions(StatusCode::OK, &headers),
            Place::Choices => return versions(StatusCode::MULTIPLE_CHOICES, &headers),
            Place::Unreadable => return failed().answer(&headers),
            Place::Api(path) => path,
        };
        let method = arrived.head.method.as_str();
        let caller = if self.believes_headers {
            identify::believed(&self.keystone, &headers)
        } else {
            identify::caller(&self.keystone, &headers, method, &path)
        };
        let Some(caller) = caller else {
            let uri = format!("Keystone uri=\"{}\"", self.keystone.url());
            return unauthorized().answer(&headers).with(WWW_AUTHENTICATE, &uri);
        };
        if headers.get(REQUEST_ID).is_some_and(|id| id.len() > LONGEST_REQUEST_ID) {
            return failed().answer(&headers);
        }
        let id = request_id(&headers);
        let answer = match self.route(&mut arrived, &path, &caller).await {
            Ok(answer) => answer,
            Err(refused) => refused.answer(&headers),
        };
        answer.with(REQUEST_ID, &id)
    }

    fn health(&self) -> Answer {
        let (status, text) = if self.is_healthy() {
            (StatusCode::OK, "OK")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "DISABLED BY FILE")
        };
        Answer::new(status, text).with(CONTENT_TYPE, "text/plain; charset=UTF-8")
    }

    async fn route(&self, arrived: &mut Arrived, path: &str, caller: &Token) -> Result<Answer, Refused> {
        if path.is_empty() {
            let location = format!("http://{}/v2/", host(&arrived.head.headers));
            let explanation = format!("The resource was found at {location}; you should be redirected automatically.");
            let found = Refused::new(StatusCode::FOUND, explanation).answer(&arrived.head.headers);
            return Ok(found.with(LOCATION, &location));
        }
        let Some(resource) = Resource::parse(path) else {
            return Err(Refused::new(StatusCode::NOT_FOUND, "The resource could not be found."));
        };
        let meant = target::meant(&arrived.head.method, &arrived.head.uri);
        if !resource.allows(&meant) {
            return Ok(not_allowed(&resource, &arrived.head.method, &arrived.head.headers));
        }
        if let Resource::File(image) = &resource
            && meant == "PUT"
        {
            return self.take_in(arrived, image, caller).await;
        }
        let body = self.body(arrived, &resource, &meant).await?;
        self.act(arrived, &resource, &meant, &body, caller)
    }

    /// Returns the whole body, if this request may have one.
    async fn body(&self, arrived: &mut Arrived, resource: &Resource, meant: &str) -> Result<Bytes, Refused> {
        let bad = |explanation: &str| Err(Refused::new(StatusCode::BAD_REQUEST, explanation));
        let headers = &arrived.head.headers;
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let has_body = headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length > 0);
        let takes_one = matches!(meant, "PUT" | "POST" | "PATCH");
        let rejects_one = matches!(
            (resource, meant),
            (Resource::Members(_), "GET") | (Resource::Member(_, _), "GET" | "DELETE") | (Resource::Image(_), "DELETE")
        );
        if rejects_one && has_body {
            return bad("A body is not expected with this request.");
        }
        // under uWSGI Glance cannot read chunks
        if takes_one && headers.contains_key(TRANSFER_ENCODING) {
            return bad("Malformed JSON in request body.");
        }
        match arrived.read(&self.door.recorder, BODY_LIMIT).await {
            Ok(body) => Ok(body),
            Err(Unread::BrokenOff) => bad("The client broke off."),
            Err(Unread::TooLong) => Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.")),
        }
    }

    fn act(
        &self,
        arrived: &Arrived,
        resource: &Resource,
        meant: &str,
        body: &[u8],
        caller: &Token,
    ) -> Result<Answer, Refused> {
        let policy = self.policy();
        let mut images = self.images();
        match (resource, meant) {
            (Resource::Images, "GET") => {
                catalog::list(&images, arrived.head.uri.query().unwrap_or_default(), caller, policy)
            }
            (Resource::Images, _) => catalog::create(&mut images, body, &host(&arrived.head.headers), caller, policy),
            (Resource::Image(id), "GET") => catalog::show(&mut images, id, caller, policy),
            (Resource::Image(id), "PATCH") => {
                must_be_patch(&arrived.head.headers)?;
                catalog::patch(&mut images, id, body, caller, policy)
            }
            (Resource::Image(id), _) => catalog::delete(&mut images, id, caller, policy),
            (Resource::File(id), _) => data::give_out(&mut images, id, caller, policy),
            (Resource::Members(id), "GET") => Found::find(images.by_id.get_mut(id), id, caller, policy)?.list(),
            (Resource::Members(id), _) => {
                let member = members::member_asked_for(body)?;
                Found::find(images.by_id.get_mut(id), id, caller, policy)?.create(&member)
            }
            (Resource::Member(id, member), "GET") => {
                Found::find(images.by_id.get_mut(id), id, caller, policy)?.show(member)
            }
            (Resource::Member(id, member), "PUT") => {
                let status = members::status_asked_for(body)?;
                Found::find(images.by_id.get_mut(id), id, caller, policy)?.update(member, &status)
            }
            (Resource::Member(id, member), _) => {
                Found::find(images.by_id.get_mut(id), id, caller, policy)?.delete(member)
            }
            (Resource::MemberSchema, _) => Ok(schema(view::MEMBER_SCHEMA.to_owned())),
            (Resource::MembersSchema, _) => Ok(schema(view::members_schema())),
        }
    }

    /// Takes in an image's data, piece by piece.
    async fn take_in(&self, arrived: &mut Arrived, id: &str, caller: &Token) -> Result<Answer, Refused> {
        data::may_upload(&mut self.images(), id, &arrived.head.headers, caller, self.policy())?;
        let Some((content, upload)) = data::take_in(arrived, &self.door.recorder).await else {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "The client broke off."));
        };
        let mut images = self.images();
        let image = catalog::find(&mut images, id, caller)?;
        image.fill(content);
        image.upload = Some(upload);
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }
}

fn versions(status: StatusCode, headers: &HeaderMap) -> Answer {
    Answer::new(status, target::versions(headers)).with(CONTENT_TYPE, "application/json")
}

fn schema(text: String) -> Answer {
    Answer::new(StatusCode::OK, text).with(CONTENT_TYPE, "application/json")
}

fn unauthorized() -> Refused {
    Refused::new(
        StatusCode::UNAUTHORIZED,
        "This server could not verify that you are authorized to access the document you requested. Either you supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials required.",
    )
}

fn failed() -> Refused {
    let explanation = "The server has either erred or is incapable of performing the requested operation.";
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, explanation)
}

fn not_allowed(resource: &Resource, method: &Method, headers: &HeaderMap) -> Answer {
    let answer = if method == Method::HEAD {
        Answer::empty(StatusCode::METHOD_NOT_ALLOWED)
            .with(CONTENT_TYPE, "text/html; charset=UTF-8")
            .with(CONTENT_LENGTH, "0")
    } else {
        let explanation = format!("The method {method} is not allowed for this resource.");
        Refused::new(StatusCode::METHOD_NOT_ALLOWED, explanation).answer(headers)
    };
    answer.with(ALLOW, resource.allow())
}

fn must_be_patch(headers: &HeaderMap) -> Result<(), Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = ["application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch"];
    if kind.split(';').next().is_some_and(|kind| known.contains(&kind.trim())) {
        return Ok(());
    }
    let explanation = "The request media type is not supported by this server.";
    Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, explanation))
}

fn host(headers: &HeaderMap) -> String {
    headers.get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()).unwrap_or_default()
}

/// Returns the id sent, with `req-` before it, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    match sent.filter(|id| !id.is_empty()) {
        Some(id) if id.starts_with("req-") => id,
        Some(id) => format!("req-{id}"),
        None => format!("req-{}", Uuid::new_v4()),
    }
}
