//! Glance's answer about an image, read by schema.

use http::Response;
use http::StatusCode;
use http_body_util::BodyExt;
use http_body_util::Limited;
use serde::Deserialize;

use crate::body::Body;
use crate::glance::LookupError;
use crate::openstack::identity::ProjectId;
use crate::openstack::image::ImageOwnership;
use crate::openstack::image::Visibility;

/// The part of `GET /v2/images/{image_id}` that the gate relies on.
#[derive(Debug, Deserialize)]
struct Image {
    owner: Option<String>,
    visibility: String,
}

/// Glance's error document (`WebOb`), which tells its 404 from any other server's.
#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    code: String,
}

/// Reads the owner and the visibility.
///
/// # Errors
/// `Absent` if Glance says so in its own words; what is not Glance's answer is an outage.
pub async fn read(answer: Response<Body>, max_bytes: usize) -> Result<ImageOwnership, LookupError> {
    let status = answer.status();
    let unusable = || LookupError::Unavailable(format!("glance's {status} is not an answer about an image"));
    let body = Limited::new(answer.into_body(), max_bytes).collect().await.map_err(|_| unusable())?.to_bytes();
    match status {
        StatusCode::OK => {
            let image: Image = serde_json::from_slice(&body).map_err(|_| unusable())?;
            let visibility = Visibility::parse(&image.visibility).ok_or_else(unusable)?;
            Ok(ImageOwnership { owner: image.owner.as_deref().map(ProjectId::new), visibility })
        }
        StatusCode::NOT_FOUND
            if serde_json::from_slice::<ErrorAnswer>(&body).is_ok_and(|error| error.code.starts_with("404")) =>
        {
            Err(LookupError::Absent)
        }
        StatusCode::UNAUTHORIZED => Err(LookupError::TokenRefused),
        _ => Err(unusable()),
    }
}
