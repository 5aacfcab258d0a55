//! The files of the page, and the headers that keep strangers away from it.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::header::CONTENT_SECURITY_POLICY;
use http::header::CONTENT_TYPE;
use http::header::REFERRER_POLICY;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::header::X_FRAME_OPTIONS;
use http::request::Parts;

use crate::body::Body;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The page itself.
    Page,
    /// A file of the page: how it looks, or what it does.
    File(File),
    /// The document it reads.
    Status,
    /// What changes in it.
    Events,
    /// The page of differences between staging and the primary.
    Shadow,
    /// The document that it reads.
    ShadowStatus,
}

/// Where a request comes from, as far as the browser tells (Fetch Metadata, W3C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The page itself, an operator, or a program.
    Own,
    /// A page of another origin.
    Foreign,
}

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    media_type: &'static str,
    text: &'static str,
}

const HTML: File = File { media_type: "text/html; charset=utf-8", text: include_str!("assets/page.html") };
const SHADOW: File = File { media_type: HTML.media_type, text: include_str!("assets/shadow.html") };
const SHADOW_STYLE: File = File { media_type: STYLE.media_type, text: include_str!("assets/shadow.css") };
const STYLE: File = File { media_type: "text/css; charset=utf-8", text: include_str!("assets/page.css") };

/// Nothing but the page's own files, and no way to make code of a text (Content Security Policy 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

impl Kind {
    /// Tells what a path stands for.
    pub fn of(path: &str) -> Option<Self> {
        let script = |text| Self::File(File { media_type: "text/javascript; charset=utf-8", text });
        Some(match path {
            "/" => Self::Page,
            "/page.css" => Self::File(STYLE),
            "/page.js" => script(include_str!("assets/page.js")),
            "/plots.js" => script(include_str!("assets/plots.js")),
            "/shadow.css" => Self::File(SHADOW_STYLE),
            "/shadow.js" => script(include_str!("assets/shadow.js")),
            "/tables.js" => script(include_str!("assets/tables.js")),
            "/theme.js" => script(include_str!("assets/theme.js")),
            "/toggle.js" => script(include_str!("assets/toggle.js")),
            "/words.js" => script(include_str!("assets/words.js")),
            "/status.json" => Self::Status,
            "/events" => Self::Events,
            "/shadow" => Self::Shadow,
            "/shadow.json" => Self::ShadowStatus,
            _ => return None,
        })
    }
}

impl Origin {
    /// Tells where a request comes from. A link on another page may lead to this one; nothing else may be asked from
    /// there, or a page could take the places of those who listen.
    pub fn of(request: &Parts, kind: Kind) -> Self {
        let site = request.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        match site {
            None | Some(b"same-origin" | b"none") => Self::Own,
            Some(_) if matches!(kind, Kind::Page | Kind::Shadow) && is_navigation(&request.headers) => Self::Own,
            Some(_) => Self::Foreign,
        }
    }
}

fn is_navigation(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
        && headers.get("sec-fetch-dest").is_none_or(|destination| destination == "document")
}

/// Answers with the page itself.
pub fn page() -> Response<Body> {
    file(HTML)
}

/// Answers with the page of differences.
pub fn shadow() -> Response<Body> {
    file(SHADOW)
}

/// Answers with a file of the page.
pub fn file(file: File) -> Response<Body> {
    answer(StatusCode::OK, file.media_type, Body::full(file.text))
}

/// Answers with the document.
pub fn json(text: String) -> Response<Body> {
    answer(StatusCode::OK, "application/json", Body::full(text))
}

/// Answers with the feed.
pub fn feed(body: Body) -> Response<Body> {
    answer(StatusCode::OK, "text/event-stream", body)
}

/// Answers with a line of text.
pub fn text(status: StatusCode, line: &'static str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", Body::full(line))
}

fn answer(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
