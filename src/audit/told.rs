//! What is kept of a request until its event is put into words, off the request's way.

use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::header::USER_AGENT;

use crate::call::Account;
use crate::call::Call;
use crate::call::Outline;
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_request::RequestedMember;

/// What an event tells of a request besides its account: taken down at the start, before headers are changed.
#[derive(Clone, Debug)]
pub struct Noted {
    /// What the client says it is.
    pub agent: Option<HeaderValue>,
    /// Whether there was a token.
    pub token: Token,
    /// What is left to be told if the request is dropped before its answer.
    pub outline: Outline,
}

/// Whether a request came with a token. The token itself is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// It did.
    Sent,
    /// It did not.
    Missing,
}

/// A request that has ended.
#[derive(Debug)]
pub struct Told {
    /// What was noted at its start.
    pub noted: Box<Noted>,
    /// Its account.
    pub account: Box<Account>,
    /// How it ended.
    pub ended: Ended,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this answer.
    Answered(StatusCode),
    /// Its client hung up before there was one; Glance may have got it all the same.
    CutOff,
}

/// What a request keeps of memory besides its texts, about.
const WEIGHT: usize = 1024;

impl Noted {
    /// Takes down what is needed of a call.
    pub fn of(call: &Call) -> Box<Self> {
        let headers = &call.head.headers;
        Box::new(Self {
            agent: headers.get(USER_AGENT).cloned(),
            token: Token::of(headers),
            outline: call.account.outline(),
        })
    }
}

impl Token {
    fn of(headers: &HeaderMap) -> Self {
        let has_one = headers.contains_key("x-auth-token") || headers.contains_key(AUTHORIZATION);
        if has_one { Self::Sent } else { Self::Missing }
    }
}

impl Told {
    /// Returns about how many bytes it keeps.
    pub fn weight(&self) -> usize {
        let target = self.account.target.as_ref().map_or(0, |target| target.as_str().len());
        let agent = self.noted.agent.as_ref().map_or(0, HeaderValue::len);
        let cause = self.account.cause.as_ref().map_or(0, |cause| cause.len());
        // what a body asks for that is nothing known is kept whole, and may be as long as a body
        let status = match &self.account.status {
            Some(RequestedStatus::Unknown(value)) => value.len(),
            Some(RequestedStatus::Known(_)) | None => 0,
        };
        let member = match &self.account.member {
            Some(RequestedMember::Unknown(value)) => value.len(),
            Some(RequestedMember::Known(_)) | None => 0,
        };
        WEIGHT + 2 * target + agent + cause + status + member
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use std::time::SystemTime;

    use http::Request;

    use super::Ended;
    use super::Noted;
    use super::Token;
    use super::Told;
    use crate::call::Account;
    use crate::openstack::member::RequestedStatus;
    use crate::openstack::member_request::RequestedMember;
    use crate::openstack::request_id::RequestId;
    use crate::peer::Peer;

    #[test]
    fn what_a_body_asks_for_has_its_weight() {
        let (head, ()) = Request::new(()).into_parts();
        let peer = Peer::plain(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let account = Box::new(Account::new(RequestId::random(), peer, &head));
        let noted = Box::new(Noted { agent: None, token: Token::Missing, outline: account.outline() });
        let (ended, at, took) = (Ended::CutOff, SystemTime::now(), Duration::ZERO);
        let mut told = Told { noted, account, ended, at, took };
        let before = told.weight();
        told.account.status = Some(RequestedStatus::Unknown(vec![b'x'; 60_000].into()));
        told.account.member = Some(RequestedMember::Unknown(vec![b'x'; 5_000].into()));
        assert_eq!(told.weight(), before + 65_000);
    }
}
