//! The data of an image: taken in and given out in pieces, never held as a whole when it is large.

use std::fmt::Write as _;

use aws_lc_rs::digest::Context;
use aws_lc_rs::digest::SHA256;
use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::demo::answers::Answer;
use crate::demo::arrival::Arrived;
use crate::demo::generated::Generated;
use crate::demo::glance::catalog::find;
use crate::demo::glance::images::Content;
use crate::demo::glance::images::ImageStatus;
use crate::demo::glance::images::Images;
use crate::demo::glance::images::Upload;
use crate::demo::glance::policy::Action;
use crate::demo::glance::policy::Policy;
use crate::demo::keystone::Token;
use crate::demo::record::Recorder;
use crate::demo::webob::Refused;

/// Up to this size the very bytes are kept.
const KEPT: usize = 1024 * 1024;

const OCTETS: &str = "application/octet-stream";

/// Checks that the caller may give this image its data, before any of it is read.
///
/// # Errors
/// As Glance refuses.
pub fn may_upload(
    images: &mut Images,
    id: &str,
    headers: &HeaderMap,
    caller: &Token,
    policy: Policy,
) -> Result<(), Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some(OCTETS) {
        let explanation = "The request media type is not supported by this server.";
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, explanation));
    }
    let image = find(images, id, caller)?;
    policy.check(Action::UploadImage, caller, image)?;
    if image.status == ImageStatus::Active {
        let explanation = "Image status transition from active to saving is not allowed";
        return Err(Refused::new(StatusCode::CONFLICT, explanation));
    }
    Ok(())
}

/// Reads the data to its end; nothing when the client breaks off.
pub async fn take_in(arrived: &mut Arrived, recorder: &Recorder) -> Option<(Content, Upload)> {
    let mut hash = Context::new(&SHA256);
    let mut kept = Some(BytesMut::new());
    let mut bytes = 0_u64;
    while let Some(piece) = arrived.next_piece(recorder).await {
        let piece = piece.ok()?;
        hash.update(&piece);
        bytes += piece.len() as u64;
        if let Some(beginning) = &mut kept {
            beginning.extend_from_slice(&piece);
        }
        kept = kept.filter(|beginning| beginning.len() <= KEPT);
    }
    let content = kept.map_or(Content::Generated(bytes), |whole| Content::Kept(whole.freeze()));
    Some((content, Upload { bytes, sha256_hex: hex(hash.finish().as_ref()) }))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Gives out an image's data.
///
/// # Errors
/// As Glance refuses.
pub fn give_out(images: &mut Images, id: &str, caller: &Token, policy: Policy) -> Result<Answer, Refused> {
    let image = find(images, id, caller)?;
    policy.check(Action::DownloadImage, caller, image)?;
    let answer = match &image.content {
        Content::None => return Ok(Answer::empty(StatusCode::NO_CONTENT)),
        Content::Kept(bytes) => Answer::new(StatusCode::OK, Bytes::clone(bytes)),
        Content::Generated(bytes) => Answer::generated(Generated::image(*bytes)),
    };
    Ok(answer.with(CONTENT_TYPE, OCTETS))
}
