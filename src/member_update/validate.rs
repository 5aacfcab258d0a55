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
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_body;
use crate::openstack::member_body::BodyFault;
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

/// Proof that the call is a `PUT` with a body that names a status.
#[derive(Debug)]
pub struct Validated {
    authenticated: Authenticated,
    status: RequestedStatus,
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

    /// Returns the status the caller asks for.
    pub fn status(&self) -> &RequestedStatus {
        &self.status
    }

    /// Keeps nothing but the status.
    pub fn into_status(self) -> RequestedStatus {
        self.status
    }
}

impl Check<MemberUpdate<Authenticated>> for Validate {
    type Proven = MemberUpdate<Validated>;

    fn check(self: &Arc<Self>, mut update: MemberUpdate<Authenticated>) -> Checking<Self::Proven> {
        if update.call.head.method != Method::PUT {
            return Checking::Done(Err(update.refuse(Refusal::MethodNotAllowed, None)));
        }
        let media = media(&update.call.head.headers);
        update.call.account.media = Some(media);
        if let Err(refusal) = self.profile.check_media(media) {
            return Checking::Done(Err(update.refuse(refusal, None)));
        }
        // the length is known before a byte is read, unless the body is chunked
        if update.call.body.size_hint().lower() > self.config.max_body as u64 {
            return Checking::Done(Err(update.refuse(Refusal::BodyTooLarge, None)));
        }
        match std::mem::replace(&mut update.call.body, Body::Lost) {
            Body::Empty => Checking::Done(accept(update, Ok(Bytes::new()), Body::Empty)),
            Body::Full(bytes) => Checking::Done(accept(update, Ok(bytes), Body::Empty)),
            Body::Lost => Checking::Done(accept(update, Err(Refusal::BodyBroken), Body::Lost)),
            body @ Body::Stream(_) => {
                let Config { max_body, body_timeout } = self.config;
                Checking::waits(async move {
                    let (read, rest) = pingora_timeout::timeout(body_timeout, collect(body, max_body))
                        .await
                        .unwrap_or((Err(Refusal::BodyTooSlow), Body::Lost));
                    accept(update, read, rest)
                })
            }
        }
    }
}

/// Takes the body that was read for what it is; of one that was not, the call gets the rest back.
fn accept(
    mut update: MemberUpdate<Authenticated>,
    read: Result<Bytes, Refusal>,
    rest: Body,
) -> Result<MemberUpdate<Validated>, Box<Refused>> {
    update.call.body = rest;
    let parsed = read.and_then(|bytes| {
        update.call.body = Body::full(bytes.clone());
        member_body::parse(&bytes).map_err(refusal_for_fault)
    });
    match parsed {
        Ok(status) => {
            update.call.account.status = Some(status.clone());
            Ok(update.prove(|authenticated| Validated { authenticated, status }))
        }
        Err(refusal) => Err(update.refuse(refusal, None)),
    }
}

impl Profile {
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
    }
}
