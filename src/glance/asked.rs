//! One look-up: what Glance is asked, and for whose sake.

use std::net::IpAddr;

use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::header::ACCEPT;
use http::header::HOST;
use uuid::Uuid;

use crate::body::Body;
use crate::glance::LookupError;
use crate::openstack::request_id::RequestId;
use crate::secret::Secret;
use crate::telemetry::traces::trace::Trace;

/// A look-up: which image, below which path, for which request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The image.
    pub image: Uuid,
    /// Its path, below the mount of the client's.
    pub path: String,
    /// The client's `Host`, from which Glance builds links.
    pub host: Option<HeaderValue>,
    /// The id of the request that needs to know.
    pub request_id: RequestId,
    /// Who sent that request.
    pub peer: IpAddr,
    /// The trace of that request.
    pub trace: Option<Trace>,
}

impl Asked {
    /// Spells the request out: `GET /v2/images/{image_id}` (Image API v2, "Show image").
    ///
    /// # Errors
    /// `Unavailable` if it can not be spelled.
    pub fn request(&self, credential: &Secret<HeaderMap>) -> Result<Request<Body>, LookupError> {
        let mut request = Request::get(&self.path)
            .header(ACCEPT, "application/json")
            .body(Body::Empty)
            .map_err(|error| LookupError::Unavailable(error.to_string()))?;
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        request.headers_mut().extend(credential.expose().clone());
        Ok(request)
    }
}
