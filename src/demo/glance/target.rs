//! Where a request goes: the many spellings of a path, the version in it or in Accept, and the method meant.

use std::fmt::Write as _;

use http::HeaderMap;
use http::Method;
use http::Uri;
use http::header::ACCEPT;
use percent_encoding::percent_decode_str;

const VENDOR: &str = "application/vnd.openstack.images-";
/// Every minor version served, in the order Glance lists them.
const MINORS: [u8; 16] = [15, 13, 12, 11, 10, 9, 8, 17, 7, 6, 5, 4, 3, 2, 1, 0];

/// What a path means before anybody is asked who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The health check.
    Health,
    /// The list of versions, asked for by name.
    Versions,
    /// The list of versions, because no version was recognized.
    Choices,
    /// A path below a version; it begins with a slash or is empty.
    Api(String),
    /// Bytes that are no text.
    Unreadable,
}

/// Returns the place of a request.
#[must_use]
pub fn place(uri: &Uri, headers: &HeaderMap) -> Place {
    let Ok(path) = percent_decode_str(uri.path().trim_end_matches('%')).decode_utf8() else {
        return Place::Unreadable;
    };
    // the web server hands the path on as Latin-1, and so it appears in messages
    let path = normalized(&path).bytes().map(char::from).collect::<String>();
    match path.as_str() {
        "/healthcheck" => return Place::Health,
        "/versions" => return Place::Versions,
        _ => {}
    }
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(version) = accept.strip_prefix(VENDOR) {
        return if is_served(version) { Place::Api(path) } else { Place::Choices };
    }
    let rest = path.trim_start_matches('/');
    let (version, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if is_served(version) { Place::Api(rest.to_owned()) } else { Place::Choices }
}

fn is_served(version: &str) -> bool {
    version == "v2" || MINORS.iter().any(|minor| version == format!("v2.{minor}"))
}

/// Does away with empty segments, `.` and `..`, as the web server does.
fn normalized(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false;
    for segment in path.split('/') {
        open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            named => kept.push(named),
        }
    }
    let mut path = String::new();
    for segment in kept {
        path.push('/');
        path.push_str(segment);
    }
    if open {
        path.push('/');
    }
    path
}

/// A resource of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/images`
    Images,
    /// `/images/{image}`
    Image(String),
    /// `/images/{image}/file`
    File(String),
    /// `/images/{image}/members`
    Members(String),
    /// `/images/{image}/members/{member}`
    Member(String, String),
    /// `/schemas/member`
    MemberSchema,
    /// `/schemas/members`
    MembersSchema,
}

impl Resource {
    /// Returns the resource of a path below the version.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        // a route ends with `$`, which lets one line feed follow
        let path = path.strip_suffix('\n').unwrap_or(path);
        let segments = path.strip_prefix('/')?.split('/').collect::<Vec<&str>>();
        if segments.contains(&"") {
            return None;
        }
        match *segments.as_slice() {
            ["images"] => Some(Self::Images),
            ["images", image] => Some(Self::Image(image.to_owned())),
            ["images", image, "file"] => Some(Self::File(image.to_owned())),
            ["images", image, "members"] => Some(Self::Members(image.to_owned())),
            ["images", image, "members", member] => Some(Self::Member(image.to_owned(), member.to_owned())),
            ["schemas", "member"] => Some(Self::MemberSchema),
            ["schemas", "members"] => Some(Self::MembersSchema),
            _ => None,
        }
    }

    /// Returns the methods it knows, as Allow lists them.
    #[must_use]
    pub fn allow(&self) -> &'static str {
        match self {
            Self::Images | Self::Members(_) => "GET, POST",
            Self::Image(_) => "GET, PATCH, DELETE",
            Self::File(_) => "PUT, GET",
            Self::Member(_, _) => "GET, PUT, DELETE",
            Self::MemberSchema | Self::MembersSchema => "GET",
        }
    }

    /// Returns whether it knows the method.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.allow().split(", ").any(|known| known == method)
    }
}

/// Returns the method meant: `_method` in the query wins over the one sent.
#[must_use]
pub fn meant(method: &Method, uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(name, _)| *name == "_method").map(|(_, value)| value).next();
    match named.filter(|value| !value.is_empty()) {
        Some(value) => value.to_uppercase(),
        None => method.to_string(),
    }
}

/// Returns the list of versions, its links built from where the request was sent.
#[must_use]
pub fn versions(headers: &HeaderMap) -> String {
    let all = |name: &str| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values.collect::<Vec<String>>().join(", ")
    };
    let scheme = if all("x-forwarded-proto").eq_ignore_ascii_case("https") { "https" } else { "http" };
    let host = all("host");
    let mut list = String::from("{\"versions\": [");
    for (place, minor) in MINORS.into_iter().enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        let status = if minor == 17 { "CURRENT" } else { "SUPPORTED" };
        // writing to a string cannot fail
        let _ = write!(
            list,
            "{separator}{{\"id\": \"v2.{minor}\", \"status\": \"{status}\", \"links\": [{{\"rel\": \"self\", \"href\": \"{scheme}://{host}/v2/\"}}]}}"
        );
    }
    list.push_str("]}");
    list
}
