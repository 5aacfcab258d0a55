//! A stand-in for an OIDC issuer: it publishes a key and signs access tokens with it.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::encoding::EcPublicKeyUncompressedBin;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair;
use http::Request;
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::Value;
use serde_json::json;

use crate::demo::answers::Answer;
use crate::demo::keystone::base64;
use crate::demo::listener::Answers;
use crate::demo::listener::Bound;
use crate::demo::listener::Broken;
use crate::demo::listener::Serving;

/// The audience its tokens are for.
pub const AUDIENCE: &str = "image";

/// The id of its key.
const KEY_ID: &str = "demo";

/// A handle on a running issuer; it ends with its last clone.
#[derive(Clone, Debug)]
pub struct Issuer {
    keys: Arc<Keys>,
    _serving: Arc<Serving>,
    url: String,
}

#[derive(Debug)]
struct Keys {
    pair: EcdsaKeyPair,
    published: Value,
}

impl Issuer {
    /// Starts an issuer on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound, or the system gives no randomness.
    pub async fn start() -> io::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(io::Error::other)?;
        let point: EcPublicKeyUncompressedBin<'_> = pair.public_key().as_be_bytes().map_err(io::Error::other)?;
        // an uncompressed point: one byte that says so, then both coordinates (SEC 1 section 2.3.3)
        let coordinates = point.as_ref().get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
                         "x": base64::url(x), "y": base64::url(y)});
        drop(point);
        let bound = Bound::free().await?;
        let url = format!("http://{}", bound.address());
        let keys = Arc::new(Keys { pair, published: json!({"keys": [key]}) });
        let serving = Arc::new(bound.serve(Arc::clone(&keys)));
        Ok(Self { keys, _serving: serving, url })
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.url
    }

    /// Returns where its keys are.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/keys", self.url)
    }

    /// Issues a token for a project and roles, good for an hour.
    #[must_use]
    pub fn issue(&self, user: &str, project: &str, roles: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.sign(&json!({"iss": self.name(), "aud": AUDIENCE, "sub": user, "client_id": user, "project_id": project,
                          "roles": roles, "iat": now, "exp": now + 3600}))
    }

    /// Signs any claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = base64::url(json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID}).to_string().as_bytes());
        let signed = format!("{header}.{}", base64::url(claims.to_string().as_bytes()));
        let signature = self.keys.pair.sign(&SystemRandom::new(), signed.as_bytes());
        // signing only fails for want of randomness; the token is then one with an empty signature
        let signature = signature.map(|signature| base64::url(signature.as_ref())).unwrap_or_default();
        format!("{signed}.{signature}")
    }
}

impl Answers for Keys {
    async fn answer(self: Arc<Self>, _: Request<Incoming>) -> Result<Answer, Broken> {
        Ok(Answer::json(StatusCode::OK, &self.published))
    }
}
