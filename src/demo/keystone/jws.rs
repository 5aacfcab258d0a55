//! The stand-in's signing keys: JWS tokens as Keystone's `jws` provider makes them.

use std::io;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::demo::keystone::base64;
use crate::demo::keystone::tokens::Scope;
use crate::demo::keystone::tokens::Token;

/// A P-256 key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public_key_pem: String,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> io::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(io::Error::other)?;
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(io::Error::other)?;
        let public_key_pem = base64::pem("PUBLIC KEY", der.as_ref());
        Ok(Self { pair, public_key_pem })
    }

    /// Returns the public half, as Keystone keeps it in its key directory.
    pub fn public_key_pem(&self) -> &str {
        &self.public_key_pem
    }

    /// Returns the token in its signed form.
    pub fn sign(&self, token: &Token) -> String {
        let header = base64::url(br#"{"alg":"ES256","typ":"JWT"}"#);
        let claims = base64::url(claims(token).to_string().as_bytes());
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        // signing only fails for want of randomness; the token is then one with an empty signature
        let signature = signature.map(|signature| base64::url(signature.as_ref())).unwrap_or_default();
        format!("{signed}.{signature}")
    }
}

fn claims(token: &Token) -> Value {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("sub", json!(token.user_id));
    put("iat", json!(token.issued_at.unix_timestamp()));
    put("exp", json!(token.expires_at.unix_timestamp()));
    put("openstack_methods", json!([token.method()]));
    put("openstack_audit_ids", json!([token.audit_id]));
    match &token.scope {
        Scope::Project { id, .. } => put("openstack_project_id", json!(id)),
        Scope::Domain { id } => put("openstack_domain_id", json!(id)),
        Scope::System => put("openstack_system", json!("all")),
        Scope::Unscoped => None,
    };
    if let Some(trust) = &token.trust {
        put("openstack_trust_id", json!(trust.id));
    }
    if let Some(credential) = &token.credential {
        put("openstack_app_cred_id", json!(credential.id));
    }
    Value::Object(claims)
}
