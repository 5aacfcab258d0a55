//! The second credential: `X-Service-Token` goes on only if Keystone vouches for it and it has a service's role.
//!
//! Glance switches the access rules of application credentials off for any request with such a header, even if it is
//! garbage (keystonemiddleware's `auth_token`). Glance ignores a token that is not a service's, so removing it changes
//! nothing else.

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
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
use crate::keystone::TokenVerifier;
use crate::keystone::VerifyError;
use crate::member_update::rate::Rates;
use crate::openstack::identity::Identity;
use crate::openstack::identity::Roles;
use crate::openstack::request_id::RequestId;
use crate::openstack::token::TokenFault;
use crate::openstack::token::UnverifiedToken;
use crate::openstack::token::X_SERVICE_TOKEN;
use crate::refusal::Refusal;

/// Knows whose service tokens count.
#[derive(Clone, Debug)]
pub struct ServiceTokens {
    verifier: TokenVerifier,
    roles: Arc<[String]>,
    rates: Rates,
}

/// Puts [`Vouch`] before a service.
#[derive(Clone, Debug)]
pub struct VouchLayer {
    tokens: ServiceTokens,
}

/// Lets only service tokens through that somebody vouches for.
#[derive(Clone, Debug)]
pub struct Vouch<S> {
    tokens: ServiceTokens,
    inner: S,
}

impl ServiceTokens {
    /// A token counts if it has one of the roles (`service_token_roles`).
    pub fn new(verifier: TokenVerifier, roles: &[String], rates: Rates) -> Self {
        Self { verifier, roles: roles.into(), rates }
    }

    /// Tells whether the token is a service's.
    async fn counts(
        &self,
        token: Result<UnverifiedToken, TokenFault>,
        client: IpAddr,
        asker: RequestId,
    ) -> Result<bool, (Refusal, Option<Cow<'static, str>>)> {
        let token = match token {
            Ok(token) => token,
            Err(TokenFault::Ambiguous) => return Err((Refusal::TokenAmbiguous, None)),
            Err(TokenFault::Missing | TokenFault::Malformed) => return Ok(false),
        };
        match self.identity(&token, client, asker).await {
            Ok(identity) => Ok(self.roles.iter().any(|role| identity.roles.has(role))),
            Err(VerifyError::Unknown | VerifyError::Expired | VerifyError::Forged) => Ok(false),
            Err(error @ VerifyError::TooManyQuestions) => Err((Refusal::RateLimited, Some(error.to_string().into()))),
            Err(error @ VerifyError::Unavailable(_)) => {
                Err((Refusal::KeystoneUnavailable, Some(error.to_string().into())))
            }
        }
    }
}

impl ServiceTokens {
    /// Returns what the token proves, roles included: where tokens are checked offline, Keystone is asked for them.
    async fn identity(
        &self,
        token: &UnverifiedToken,
        client: IpAddr,
        asker: RequestId,
    ) -> Result<Arc<Identity>, VerifyError> {
        let may_ask = || self.rates.admits_keystone_question(client);
        let identity = self.verifier.verify(token, asker, may_ask).await?.identity;
        if identity.roles != Roles::Unknown {
            return Ok(identity);
        }
        // it has not ended, or it would not have come this far
        Ok(self.verifier.verify_ended(token, asker, may_ask).await?.identity)
    }
}

impl VouchLayer {
    /// Makes the layer.
    pub fn new(tokens: ServiceTokens) -> Self {
        Self { tokens }
    }
}

impl<S> Layer<S> for VouchLayer {
    type Service = Vouch<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Vouch { tokens: self.tokens.clone(), inner }
    }
}

impl<S> Service<Call> for Vouch<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Answer, Box<Refused>>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        if !call.head.headers.contains_key(X_SERVICE_TOKEN) {
            return Either::Left(self.inner.call(call));
        }
        let tokens = self.tokens.clone();
        let token = UnverifiedToken::service_from_headers(&call.head.headers);
        let (client, asker) = (call.account.peer, call.account.request_id);
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Either::Right(Box::pin(async move {
            match tokens.counts(token, client, asker).await {
                Ok(true) => {}
                Ok(false) => drop(call.head.headers.remove(X_SERVICE_TOKEN)),
                Err((refusal, cause)) => return Err(call.refuse(refusal, cause)),
            }
            inner.call(call).await
        }))
    }
}
