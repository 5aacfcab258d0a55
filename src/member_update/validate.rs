//! What exactly do they ask? Reads the body once; what was read is what is forwarded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::Method;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::body::Body;
use crate::body::BodyError;
use crate::call::Refused;
use crate::check::Check;
use crate::check::Checking;
use crate::member_update::MemberUpdate;
use crate::member_update::authenticate::Authenticated;
use crate::member_update::decide::Profile;
use crate::openstack::member::Media;
use crate::openstack::member_action::Action;
use crate::openstack::member_body;
use crate::openstack::member_body::BodyFault;
use crate::openstack::member_request::MemberRequest;
use crate::openstack::member_request::RequestedMember;
use crate::refusal::Refusal;

/// The bounds of a member update's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many bytes it may have.
    pub max_body: usize,
    /// How long it may take to arrive.
    pub body_timeout: Duration,
}

/// The check that reads the body.
#[derive(Clone, Debug)]
pub struct Validate {
    config: Config,
    profile: Profile,
}

/// Proof that the call has the method and the body of its action.
#[derive(Debug)]
pub struct Validated {
    authenticated: Authenticated,
    request: MemberRequest,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_body: 64 * 1024, body_timeout: Duration::from_secs(10) }
    }
}

impl Validate {
    /// Reads bodies within the bounds, as strict about their headers as the profile says.
    pub fn new(config: Config, profile: Profile) -> Self {
        Self { config, profile }
    }
}

impl Validated {
    /// Returns the proof this one rests on.
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// Returns what the caller asks for.
    pub fn request(&self) -> &MemberRequest {
        &self.request
    }

    /// Keeps nothing but that.
    pub fn into_request(self) -> MemberRequest {
        self.request
    }
}

impl Check<MemberUpdate<Authenticated>> for Validate {
    type Proven = MemberUpdate<Validated>;

    fn check(self: &Arc<Self>, mut update: MemberUpdate<Authenticated>) -> Checking<Self::Proven> {
        if update.action == Action::Update && update.call.head.method != Method::PUT {
            return Checking::Done(Err(update.refuse(Refusal::MethodNotAllowed, None)));
        }
        // the length is known before a byte is read, unless the body is chunked
        let length = update.call.body.size_hint().lower();
        if update.action.has_body() {
            let media = media(&update.call.head.headers);
            update.call.account.media = Some(media);
            if let Err(refusal) = self.profile.check_media(media) {
                return Checking::Done(Err(update.refuse(refusal, None)));
            }
            if length > self.config.max_body as u64 {
                return Checking::Done(Err(update.refuse(Refusal::BodyTooLarge, None)));
            }
        } else if length > 0 {
            return Checking::Done(Err(update.refuse(Refusal::BodyUnexpected, None)));
        }
        match std::mem::replace(&mut update.call.body, Body::Lost) {
            Body::Empty => Checking::Done(self.accept(update, Ok(Bytes::new()), Body::Empty)),
            Body::Full(bytes) => Checking::Done(self.accept(update, Ok(bytes), Body::Empty)),
            Body::Lost => Checking::Done(self.accept(update, Err(Refusal::BodyBroken), Body::Lost)),
            body @ Body::Stream(_) => {
                let check = self.clone();
                Checking::waits(async move {
                    let Config { max_body, body_timeout } = check.config;
                    let (read, rest) = pingora_timeout::timeout(body_timeout, collect(body, max_body))
                        .await
                        .unwrap_or((Err(Refusal::BodyTooSlow), Body::Lost));
                    check.accept(update, read, rest)
                })
            }
        }
    }
}

impl Validate {
    /// Takes the body that was read for what it is; of one that was not, the call gets the rest back.
    fn accept(
        &self,
        mut update: MemberUpdate<Authenticated>,
        read: Result<Bytes, Refusal>,
        rest: Body,
    ) -> Result<MemberUpdate<Validated>, Box<Refused>> {
        update.call.body = rest;
        let action = update.action;
        let parsed = read.and_then(|bytes| {
            update.call.body = if bytes.is_empty() { Body::Empty } else { Body::full(bytes.clone()) };
            self.parse(action, &bytes)
        });
        let request = match parsed {
            Ok(request) => request,
            Err(refusal) => return Err(update.refuse(refusal, None)),
        };
        match &request {
            MemberRequest::Update(status) => update.call.account.status = Some(status.clone()),
            MemberRequest::Create(member) => update.call.account.member = Some(member.clone()),
            MemberRequest::Delete | MemberRequest::List | MemberRequest::Show => {}
        }
        Ok(update.prove(|authenticated| Validated { authenticated, request }))
    }

    fn parse(&self, action: Action, bytes: &[u8]) -> Result<MemberRequest, Refusal> {
        match action {
            Action::Update => member_body::parse(bytes).map(MemberRequest::Update).map_err(refusal_for_fault),
            Action::Create => {
                let member = member_body::parse_creation(bytes).map_err(refusal_for_fault)?;
                self.profile.check_member(&member)?;
                Ok(MemberRequest::Create(member))
            }
            Action::Delete | Action::List | Action::Show if !bytes.is_empty() => Err(Refusal::BodyUnexpected),
            Action::Delete => Ok(MemberRequest::Delete),
            Action::List => Ok(MemberRequest::List),
            Action::Show => Ok(MemberRequest::Show),
        }
    }
}

impl Profile {
    /// Refuses a member that is no id of a project, where the documented contract is kept; Glance takes nearly anything.
    ///
    /// # Errors
    /// `MemberUnfit`.
    pub fn check_member(self, member: &RequestedMember) -> Result<(), Refusal> {
        match (self, member) {
            (Self::Documented, RequestedMember::Unknown(_)) => Err(Refusal::MemberUnfit),
            (Self::Documented, RequestedMember::Known(_)) | (Self::Glance(_), _) => Ok(()),
        }
    }

    /// Refuses media types and encodings that the documented contract does not know; Glance looks at neither.
    ///
    /// # Errors
    /// `ContentEncodingUnsupported` and `MediaTypeUnsupported`.
    pub fn check_media(self, media: Media) -> Result<(), Refusal> {
        match (self, media) {
            (Self::Documented, Media::Encoded) => Err(Refusal::ContentEncodingUnsupported),
            (Self::Documented, Media::Other) => Err(Refusal::MediaTypeUnsupported),
            (Self::Documented, Media::Json) | (Self::Glance(_), _) => Ok(()),
        }
    }
}

fn media(headers: &HeaderMap) -> Media {
    if headers.contains_key(CONTENT_ENCODING) {
        Media::Encoded
    } else if names_json(headers) {
        Media::Json
    } else {
        Media::Other
    }
}

/// Tells whether the media type, when it is stated, is JSON and stated once.
fn names_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (None, _) => true,
        (Some(_), Some(_)) => false,
        (Some(value), None) => value.to_str().is_ok_and(|value| {
            value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
        }),
    }
}

/// Reads the whole body, or says why not and returns what can still be forwarded.
async fn collect(mut body: Body, max_body: usize) -> (Result<Bytes, Refusal>, Body) {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => data,
            // trailers say nothing to Glance
            Ok(Err(_)) => continue,
            Err(BodyError::Silent(..)) => return (Err(Refusal::BodyTooSlow), Body::Lost),
            Err(BodyError::Broken(..) | BodyError::Lost) => return (Err(Refusal::BodyBroken), Body::Lost),
        };
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        if first.len().max(all.len()) > max_body {
            let read = if all.is_empty() { first } else { all.freeze() };
            return (Err(Refusal::BodyTooLarge), body.prepend(read));
        }
    }
    (Ok(if all.is_empty() { first } else { all.freeze() }), Body::Empty)
}

fn refusal_for_fault(fault: BodyFault) -> Refusal {
    match fault {
        BodyFault::Missing => Refusal::BodyMissing,
        BodyFault::Malformed => Refusal::BodyMalformed,
        BodyFault::Ambiguous => Refusal::BodyAmbiguous,
        BodyFault::NotObject => Refusal::BodyNotObject,
        BodyFault::NotContainer => Refusal::BodyNotContainer,
        BodyFault::NoStatus => Refusal::StatusMissing,
        BodyFault::NoMember => Refusal::MemberMissing,
        BodyFault::EmptyMember => Refusal::MemberEmpty,
    }
}
