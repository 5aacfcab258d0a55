//! Who asks? Exchanges the request's token for the identity somebody vouches for.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::call::Refused;
use crate::check::Check;
use crate::keystone::TokenVerifier;
use crate::keystone::VerifyError;
use crate::keystone::cache::Vouched;
use crate::member_update::MemberUpdate;
use crate::member_update::Unproven;
use crate::member_update::rate::Rates;
use crate::openstack::identity::Identity;
use crate::openstack::request_id::RequestId;
use crate::openstack::target::MemberPath;
use crate::openstack::token::TokenFault;
use crate::openstack::token::UnverifiedToken;
use crate::refusal::Refusal;

/// The check that asks who the caller is.
#[derive(Clone, Debug)]
pub struct Authenticate {
    verifier: TokenVerifier,
    service_type: Arc<str>,
    rates: Rates,
}

/// Proof that somebody vouches for the one token of the request.
#[derive(Debug)]
pub struct Authenticated {
    token: UnverifiedToken,
    service: Option<UnverifiedToken>,
    identity: Arc<Identity>,
}

impl Authenticate {
    /// Asks the verifier within the rates; access rules are read for this service type.
    pub fn new(verifier: TokenVerifier, service_type: &str, rates: Rates) -> Self {
        Self { verifier, service_type: service_type.into(), rates }
    }
}

impl Authenticated {
    /// Returns the token, which is the one that is forwarded.
    pub fn token(&self) -> &UnverifiedToken {
        &self.token
    }

    /// Returns the service token that the token rides on, if it has ended.
    pub fn service_token(&self) -> Option<&UnverifiedToken> {
        self.service.as_ref()
    }

    /// Returns what the token proves.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Check<MemberUpdate<Unproven>> for Authenticate {
    type Proven = MemberUpdate<Authenticated>;

    async fn check(&self, mut update: MemberUpdate<Unproven>) -> Result<Self::Proven, Box<Refused>> {
        let client = update.call.account.peer;
        if !self.rates.admits_client(client) {
            return Err(update.refuse(Refusal::RateLimited, Cow::Borrowed("limits.member_updates_per_client")));
        }
        let token = match UnverifiedToken::from_headers(&update.call.head.headers) {
            Ok(token) => token,
            Err(fault) => return Err(update.refuse(refusal_for_fault(fault), None)),
        };
        let service = UnverifiedToken::service_from_headers(&update.call.head.headers).ok();
        let vouched = match self.vouch(&token, service.as_ref(), client, update.call.account.request_id).await {
            Ok(vouched) => vouched,
            Err(error) => return Err(update.refuse(refusal_for_error(&error), Cow::Owned(error.to_string()))),
        };
        let identity = vouched.identity;
        let account = &mut update.call.account;
        account.user = Some(identity.user.clone());
        account.project = identity.project().cloned();
        account.token_age = Some(vouched.since.elapsed());
        if identity.project().is_some_and(|project| !self.rates.admits_project(project)) {
            return Err(update.refuse(Refusal::RateLimited, Cow::Borrowed("limits.member_updates_per_project")));
        }
        if !rules_allow(&identity, &self.service_type, update.call.head.method.as_str(), &update.path) {
            return Err(update.refuse(Refusal::AccessRuleForbids, None));
        }
        // it is only sent along where it is needed
        let service = service.filter(|_| identity.is_expired_at(SystemTime::now()));
        Ok(update.prove(|Unproven(())| Authenticated { token, service, identity }))
    }
}

impl Authenticate {
    /// Asks for the token, and once more if it has ended but rides on a service's token.
    async fn vouch(
        &self,
        token: &UnverifiedToken,
        service: Option<&UnverifiedToken>,
        client: IpAddr,
        asker: RequestId,
    ) -> Result<Vouched, VerifyError> {
        let may_ask = || self.rates.admits_keystone_question(client);
        let vouched = self.verifier.verify(token, asker, may_ask).await;
        // a service token that has come this far has a service's role: see the layer `VouchLayer` in the stack
        match (&vouched, service) {
            (Err(VerifyError::Unknown | VerifyError::Expired), Some(service)) => {
                self.verifier.verify(service, asker, may_ask).await?;
                self.verifier.verify_ended(token, asker, may_ask).await
            }
            _ => vouched,
        }
    }
}

/// Tells whether the token's access rules, if it has any, allow the call.
///
/// keystonemiddleware looks at the path after Glance has read the version, so every alias counts as `/v2`.
fn rules_allow(identity: &Identity, service_type: &str, method: &str, path: &MemberPath) -> bool {
    if identity.access_rules.is_empty() {
        return true;
    }
    let path = format!("/v2/images/{}/members/{}", path.image(), path.member());
    identity.access_rules.iter().any(|rule| rule.allows(service_type, method, &path))
}

fn refusal_for_fault(fault: TokenFault) -> Refusal {
    match fault {
        TokenFault::Missing => Refusal::TokenMissing,
        TokenFault::Ambiguous => Refusal::TokenAmbiguous,
        TokenFault::Malformed => Refusal::TokenMalformed,
    }
}

/// The seam where "nobody vouches" becomes "no", and "could not find out" becomes an outage.
fn refusal_for_error(error: &VerifyError) -> Refusal {
    match error {
        VerifyError::Unknown => Refusal::TokenInvalid,
        VerifyError::Expired => Refusal::TokenExpired,
        VerifyError::Forged => Refusal::TokenForged,
        VerifyError::TooManyQuestions => Refusal::RateLimited,
        VerifyError::Unavailable(_) => Refusal::KeystoneUnavailable,
    }
}
