//! For a Glance without `auth_token`: who asks is found out here, for every call, and told by headers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use tower::Layer;
use tower::Service;

use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::glance::watch::Passing;
use crate::openstack::token::TokenFault;
use crate::openstack::token::UnverifiedToken;
use crate::vouch::Telling;
use crate::vouch::Vouchers;
use crate::vouch::no_for_fault;

/// Whether it is told who asks where Glance finds that out itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// It is not: nobody looks.
    Never,
    /// It is, if somebody has vouched for the token before and that is remembered. It decides nothing.
    IfRemembered,
}

/// Puts [`Identify`] before what passes through.
#[derive(Clone, Debug)]
pub struct IdentifyLayer {
    vouchers: Vouchers,
    mount: Arc<str>,
    naming: Naming,
}

/// Tells Glance who asks, where Glance does not find out itself.
#[derive(Clone, Debug)]
pub struct Identify<S> {
    vouchers: Vouchers,
    mount: Arc<str>,
    naming: Naming,
    inner: S,
}

impl IdentifyLayer {
    /// Asks these; `mount` is the prefix that Glance is served under.
    pub fn new(vouchers: Vouchers, mount: &str, naming: Naming) -> Self {
        Self { vouchers, mount: mount.into(), naming }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Identify { vouchers: self.vouchers.clone(), mount: self.mount.clone(), naming: self.naming, inner }
    }
}

impl<S> Service<Passing> for Identify<S>
where
    S: Service<Passing, Response = Answer, Error = Box<Refused>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Answer, Box<Refused>>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut passing: Passing) -> Self::Future {
        if self.vouchers.telling() == Telling::Token {
            if self.naming == Naming::IfRemembered {
                name(&self.vouchers, &mut passing.call);
            }
            return Either::Left(self.inner.call(passing));
        }
        let credential = match self.vouchers.credential(&passing.call.head.headers) {
            // Glance says itself what may be had without one: the versions, and CORS
            Err(TokenFault::Missing) => return Either::Left(self.inner.call(passing)),
            credential => credential,
        };
        let service = UnverifiedToken::service_from_headers(&passing.call.head.headers).ok();
        let (client, asker) = (passing.call.account.peer, passing.call.account.request_id);
        let vouchers = self.vouchers.clone();
        let path = versionless(passing.call.head.uri.path(), &self.mount);
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Either::Right(Box::pin(async move {
            let vouched = match credential {
                Ok(credential) => vouchers.vouch(&credential, service.as_ref(), client, asker).await,
                Err(fault) => Err(no_for_fault(fault)),
            };
            let head = &mut passing.call.head;
            let told = vouched.and_then(|vouched| {
                let identity = &vouched.identity;
                vouchers.check_rules(identity, head.method.as_str(), &path)?;
                vouchers.tell(&mut head.headers, identity)?;
                Ok(vouched)
            });
            match told {
                Ok(vouched) => {
                    let account = &mut passing.call.account;
                    account.identity = Some(vouched.identity.clone());
                    account.token_age = Some(vouched.since.elapsed());
                    inner.call(passing).await
                }
                Err((refusal, cause)) => Err(passing.call.refuse(refusal, cause)),
            }
        }))
    }
}

/// Notes whose token it is, if that is remembered.
fn name(vouchers: &Vouchers, call: &mut Call) {
    let credential = vouchers.credential(&call.head.headers).ok();
    if let Some(vouched) = credential.and_then(|credential| vouchers.at_hand(&credential)) {
        vouched.note_in(&mut call.account);
    }
}

/// Access rules are written for `/v2`; keystonemiddleware looks at the path below the mount, after Glance has read the
/// version, which is the first segment and no other.
fn versionless(path: &str, mount: &str) -> String {
    let path = path.strip_prefix(mount).unwrap_or(path);
    let Some(minor) = path.strip_prefix("/v2.") else { return path.to_owned() };
    let digits = minor.bytes().take_while(u8::is_ascii_digit).count();
    match minor.get(digits..) {
        Some(rest) if digits > 0 && (rest.is_empty() || rest.starts_with('/')) => format!("/v2{rest}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::versionless;

    #[test]
    fn every_alias_of_the_version_counts_as_v2() {
        for (path, mount, read) in [
            ("/v2/images", "", "/v2/images"),
            ("/v2.9/images/x", "", "/v2/images/x"),
            ("/v2.17", "", "/v2"),
            ("/image/v2.9/images", "/image", "/v2/images"),
            ("/versions", "", "/versions"),
            ("/v2.x/images", "", "/v2.x/images"),
            ("/v2./images", "", "/v2./images"),
            ("/v2.9x/images", "", "/v2.9x/images"),
        ] {
            assert_eq!(versionless(path, mount), read);
        }
    }

    #[test]
    fn a_name_that_looks_like_a_version_is_none() {
        for path in ["/v2/images/I/tags/v2.5", "/v2/metadefs/namespaces/v2.1/objects/x"] {
            assert_eq!(versionless(path, ""), path);
        }
    }
}
