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

/// Returns the path of the image that a member path names, below the same mount.
///
/// The version is not the client's: one that Glance does not serve would be an outage for all who share the question.
fn image_path(path: &str) -> String {
    let parts: Vec<&str> = path.rsplitn(6, '/').collect();
    match parts[..] {
        [_member, _members, image, images, _version, mount] => format!("{mount}/v2/{images}/{image}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::image_path;

    #[test]
    fn the_image_path_is_what_stands_before_the_members() {
        assert_eq!(image_path("/v2/images/I/members/M"), "/v2/images/I");
        assert_eq!(image_path("/image/v2.9/images/I/members/M"), "/image/v2/images/I");
        assert_eq!(image_path("/a/b/v2.99/images/I/members/M"), "/a/b/v2/images/I");
    }
}
