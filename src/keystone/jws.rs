//! Keystone's signed tokens (`keystone/token/providers/jws/core.py`), read strictly.

use std::time::Duration;
use std::time::SystemTime;

use jsonwebtoken::Algorithm;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;

use crate::keystone::VerifyError;
use crate::openstack::base64url;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;
use crate::openstack::identity::UserId;
use crate::openstack::strict_json;

/// What a verified signed token claims. It has no roles, no issuer and no audience.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    sub: String,
    exp: u64,
    openstack_project_id: Option<String>,
    openstack_domain_id: Option<String>,
    openstack_system: Option<String>,
    openstack_app_cred_id: Option<String>,
    #[serde(default)]
    openstack_audit_ids: Vec<String>,
}

/// Checks the signature and the end of a token with one key and its one algorithm.
///
/// # Errors
/// `Expired` for a good signature on a token that has ended, else `Forged`.
pub fn verify(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, VerifyError> {
    is_plain(token)?;
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp"]);
    validation.validate_aud = false;
    validation.validate_nbf = true;
    validation.leeway = 0;
    match jsonwebtoken::decode::<Claims>(token, key, &validation) {
        Ok(data) if data.claims.scopes() <= 1 => Ok(data.claims),
        Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => Err(VerifyError::Expired),
        Ok(_) | Err(_) => Err(VerifyError::Forged),
    }
}

/// Refuses what Keystone never writes: other header members than the algorithm and the type, doubled members, and
/// text that parsers read differently.
fn is_plain(token: &str) -> Result<(), VerifyError> {
    let mut parts = token.split('.');
    let mut object = || {
        let bytes = parts.next().and_then(base64url::decode)?;
        strict_json::object(&bytes)
    };
    let (Some(header), Some(_)) = (object(), object()) else {
        return Err(VerifyError::Forged);
    };
    let is_known = header.iter().all(|(name, value)| match name.as_str() {
        "alg" => value.is_string(),
        "typ" => value == "JWT",
        _ => false,
    });
    if is_known { Ok(()) } else { Err(VerifyError::Forged) }
}

impl Claims {
    /// Counts the scopes; Keystone gives a token one or none.
    fn scopes(&self) -> usize {
        [&self.openstack_project_id, &self.openstack_domain_id, &self.openstack_system]
            .iter()
            .filter(|scope| scope.is_some())
            .count()
    }

    /// Tells whether the token came from an application credential, whose access rules it does not carry.
    pub fn is_from_application_credential(&self) -> bool {
        self.openstack_app_cred_id.is_some()
    }

    /// Returns what the claims prove.
    pub fn into_identity(self) -> Identity {
        let scope = match (self.openstack_project_id, self.openstack_domain_id, self.openstack_system) {
            (Some(project), None, None) => Scope::Project(ProjectId::new(&project)),
            (None, Some(domain), None) => Scope::Domain(domain.into()),
            (None, None, Some(_)) => Scope::System,
            // one with several was not verified
            _ => Scope::Unscoped,
        };
        Identity {
            user: UserId::new(&self.sub),
            scope,
            roles: Roles::Unknown,
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(self.exp.min(u64::from(u32::MAX) * 4)),
            access_rules: [].into(),
            audit_ids: self.openstack_audit_ids.into_iter().map(String::into_boxed_str).collect(),
        }
    }
}
