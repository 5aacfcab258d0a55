//! Who vouches for a credential: Keystone for its tokens, an issuer for its access tokens, never one for the other's.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::cache::vouched::Vouched;
use crate::keystone::TokenVerifier;
use crate::keystone::VerifyError;
use crate::member_update::rate::Rates;
use crate::oidc::OidcError;
use crate::oidc::access_tokens::AccessTokens;
use crate::openstack::identity::Identity;
use crate::openstack::identity_headers;
use crate::openstack::request_id::RequestId;
use crate::openstack::token::Credential;
use crate::openstack::token::TokenFault;
use crate::openstack::token::UnverifiedToken;
use crate::refusal::Refusal;

/// How Glance learns who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It gets the token and asks Keystone itself.
    Token,
    /// It gets the identity headers, and has no `auth_token` of its own.
    Headers,
}

/// A "no", and its inside cause.
pub type No = (Refusal, Option<Cow<'static, str>>);

/// All who vouch; cloning shares them.
#[derive(Clone, Debug)]
pub struct Vouchers {
    keystone: TokenVerifier,
    issuers: Option<AccessTokens>,
    service_type: Arc<str>,
    telling: Telling,
    rates: Rates,
}

impl Vouchers {
    /// Gathers who vouches. Access rules are read for the service type.
    pub fn new(
        keystone: TokenVerifier,
        issuers: Option<AccessTokens>,
        service_type: &str,
        telling: Telling,
        rates: Rates,
    ) -> Self {
        Self { keystone, issuers, service_type: service_type.into(), telling, rates }
    }

    /// Returns how Glance learns who asks.
    pub fn telling(&self) -> Telling {
        self.telling
    }

    /// Takes the one credential of a request.
    ///
    /// # Errors
    /// Tells whether there is none, more than one, or one that none could be.
    pub fn credential(&self, headers: &HeaderMap) -> Result<Credential, TokenFault> {
        Credential::from_headers(headers, self.issuers.is_some())
    }

    /// Takes the credential of a request that just passes through, as Glance will read it.
    pub fn passing_credential(&self, headers: &HeaderMap) -> Option<Credential> {
        Credential::as_glance_reads(headers, self.issuers.is_some())
    }

    /// Returns what the credential proves, if that is remembered.
    pub fn at_hand(&self, credential: &Credential) -> Option<Vouched> {
        match credential {
            Credential::Keystone(token) => self.keystone.at_hand(token),
            Credential::Bearer(token) => self.issuers.as_ref()?.at_hand(token),
        }
    }

    /// Returns what the credential proves; a Keystone token that has ended may ride on a service's token.
    ///
    /// # Errors
    /// Says no, or that nobody could be asked.
    pub async fn vouch(
        &self,
        credential: &Credential,
        service: Option<&UnverifiedToken>,
        client: IpAddr,
        asker: RequestId,
    ) -> Result<Vouched, No> {
        match (credential, &self.issuers) {
            (Credential::Keystone(token), _) => {
                self.by_keystone(token, service, client, asker).await.map_err(|error| no_for(&error))
            }
            (Credential::Bearer(token), Some(issuers)) => {
                issuers.verify(token).await.map_err(|error| no_for_access_token(&error))
            }
            // it is not taken for a credential where there is no issuer
            (Credential::Bearer(_), None) => Err((Refusal::TokenMissing, None)),
        }
    }

    async fn by_keystone(
        &self,
        token: &UnverifiedToken,
        service: Option<&UnverifiedToken>,
        client: IpAddr,
        asker: RequestId,
    ) -> Result<Vouched, VerifyError> {
        let may_ask = || self.rates.admits_keystone_question(client);
        let vouched = self.keystone.verify(token, asker, may_ask).await;
        // a service token that has come this far has a service's role: see the layer `VouchLayer` in the stack
        match (&vouched, service) {
            (Err(VerifyError::Unknown | VerifyError::Expired), Some(service)) => {
                self.keystone.verify(service, asker, may_ask).await?;
                self.keystone.verify_ended(token, asker, may_ask).await
            }
            _ => vouched,
        }
    }

    /// Refuses what the access rules of the credential, if it has any, do not name.
    ///
    /// # Errors
    /// `AccessRuleForbids`.
    pub fn check_rules(&self, identity: &Identity, method: &str, path: &str) -> Result<(), No> {
        let rules = &identity.access_rules;
        if rules.is_empty() || rules.iter().any(|rule| rule.allows(&self.service_type, method, path)) {
            return Ok(());
        }
        Err((Refusal::AccessRuleForbids, None))
    }

    /// Writes the identity headers, where Glance learns by them who asks.
    ///
    /// # Errors
    /// `TokenInvalid` if the identity can not be written as headers.
    pub fn tell(&self, headers: &mut HeaderMap, identity: &Identity) -> Result<(), No> {
        match self.telling {
            Telling::Token => Ok(()),
            Telling::Headers if identity_headers::confirm(headers, identity) => Ok(()),
            Telling::Headers => Err((Refusal::TokenInvalid, Some("the identity can not be told by headers".into()))),
        }
    }
}

/// The seam where a fault becomes "no".
pub fn no_for_fault(fault: TokenFault) -> No {
    let refusal = match fault {
        TokenFault::Missing => Refusal::TokenMissing,
        TokenFault::Ambiguous => Refusal::TokenAmbiguous,
        TokenFault::Malformed => Refusal::TokenMalformed,
    };
    (refusal, None)
}

/// The seam where "nobody vouches" becomes "no", and "could not find out" becomes an outage.
pub fn no_for(error: &VerifyError) -> No {
    let refusal = match error {
        VerifyError::Unknown => Refusal::TokenInvalid,
        VerifyError::Expired => Refusal::TokenExpired,
        VerifyError::Forged => Refusal::TokenForged,
        VerifyError::TooManyQuestions => Refusal::RateLimited,
        VerifyError::Unavailable(_) => Refusal::KeystoneUnavailable,
    };
    (refusal, Some(Cow::Owned(error.to_string())))
}

fn no_for_access_token(error: &OidcError) -> No {
    let refusal = match error {
        OidcError::Malformed => Refusal::TokenMalformed,
        OidcError::UnknownIssuer | OidcError::Forged | OidcError::Claims(_) => Refusal::TokenForged,
        OidcError::Expired | OidcError::NotYetValid => Refusal::TokenExpired,
        OidcError::Unavailable(_) => Refusal::IssuerUnavailable,
    };
    (refusal, Some(Cow::Owned(error.to_string())))
}
