//! What was copied of one request: enough to ask another server the same, and nothing that only the primary may know.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;

use crate::diff::answered::Answered;
use crate::diff::asked::Asked;
use crate::openstack::identity::Identity;
use crate::openstack::token::Credential;
use crate::openstack::token::UnverifiedToken;

/// A request and the primary's answer to it.
#[derive(Debug)]
pub struct Copied {
    /// What was asked, with the ids of the primary.
    pub asked: Asked,
    /// The headers that may go: no credential, no identity, no cookie.
    pub headers: HeaderMap,
    /// The host that the client named.
    pub host: Option<HeaderValue>,
    /// The whole body, perhaps no bytes.
    pub body: Bytes,
    /// Who asked, as far as it is known.
    pub caller: Caller,
    /// What the primary answered.
    pub answered: Answered,
    /// By what the client would name the same write again; none if it named it by nothing.
    pub repeats: Option<Write>,
    /// When its answer had ended.
    pub at: SystemTime,
    /// The same, to count from.
    pub since: Instant,
}

/// Who asked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the token proves, if the gate has asked.
    pub identity: Option<Arc<Identity>>,
    /// The token, if it is needed off the request's way. It goes to production's Keystone and Glance, and to staging only
    /// with `credentials = "keep"`.
    pub credential: Option<Credential>,
    /// The token of a service that stands beside it, which it may ride on.
    pub service: Option<UnverifiedToken>,
    /// Whether the request had a token at all.
    pub had_token: bool,
    /// The client's address.
    pub peer: IpAddr,
}

/// Names one write of a client's: two of the same name are one write that was tried twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write(pub [u8; 32]);
