//! One look-up: what Glance is asked, and for whose sake.

use std::net::IpAddr;

use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::header::ACCEPT;
use http::header::HOST;
use http::uri::PathAndQuery;
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
    /// The path of a member of it, as the client wrote it.
    pub member: PathAndQuery,
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
        let mut request = Request::get(image_path(self.member.path()))
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

/// Takes `/members/{member_id}` off a member path.
fn image_path(path: &str) -> String {
    let end = path.rmatch_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
    path.get(..end).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::image_path;

    #[test]
    fn the_image_path_is_what_stands_before_the_members() {
        assert_eq!(image_path("/v2/images/I/members/M"), "/v2/images/I");
        assert_eq!(image_path("/image/v2.9/images/I/members/M"), "/image/v2.9/images/I");
    }
}
