//! A request's target, read once and strictly.
//!
//! Glance's routers accept many spellings of one path (runs of slashes, `%2F`, encoded letters, version
//! aliases, `_method` in the query). The gate accepts one: what can be read in two ways is not canonical.

use std::borrow::Cow;
use std::ops::Range;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

/// What a canonical target names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/v2/images/{image_id}/members/{member_id}`, the guarded resource.
    Member(MemberPath),
    /// `/v2/images/{image_id}/members`.
    Members(Option<Uuid>),
    /// `/v2/images/{image_id}`.
    Image(Option<Uuid>),
    /// `/healthcheck`, outside any mount.
    Healthcheck,
    /// Anything else.
    Other,
}

/// The path of one image member, or of all members of an image, with the very string that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPath {
    target: PathAndQuery,
    image: Range<usize>,
    member: Range<usize>,
    uuid: Option<Uuid>,
}

/// Why a target is refused: it can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCanonical {
    /// Absolute-form, authority-form or asterisk-form (RFC 9112 section 3.2).
    NotOriginForm,
    /// Two slashes in a row.
    EmptySegment,
    /// `.` or `..`, plain or encoded.
    DotSegment,
    /// A control character, blank, backslash, semicolon or raw non-ASCII byte, or an encoded slash, backslash or control character.
    ForbiddenByte,
    /// A `%` without two hexadecimal digits, or an escape that is not UTF-8.
    BadEscape,
    /// The query asks Routes to run another method.
    MethodOverride,
    /// A member path spelled with escapes, odd ids, a trailing slash or below an unknown prefix.
    OddMemberPath,
    /// The same for the path of all members, where it is guarded.
    OddMembersPath,
}

impl NotCanonical {
    /// Tells the operator what was odd.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotOriginForm => "the target is not in origin form",
            Self::EmptySegment => "the path has an empty segment",
            Self::DotSegment => "the path has a dot segment",
            Self::ForbiddenByte => "the path has a character that servers read differently",
            Self::BadEscape => "the path has a bad percent escape",
            Self::MethodOverride => "the query overrides the method",
            Self::OddMemberPath => "the path resembles a member path but is not spelled like one",
            Self::OddMembersPath => "the path resembles the path of an image's members but is not spelled like one",
        }
    }
}

impl MemberPath {
    /// Returns the image id as it was written.
    pub fn image(&self) -> &str {
        self.target.path().get(self.image.clone()).unwrap_or_default()
    }

    /// Reads the path of all members, for a target that names them, as strictly as that of one.
    ///
    /// # Errors
    /// Tells that it is spelled in another way.
    pub fn of_members(target: &PathAndQuery, mount: &str) -> Result<Self, NotCanonical> {
        let path = target.path();
        let skipped = mount.len();
        let mut parts = segments(path.get(skipped..).unwrap_or_default());
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(""), Some(version), Some("images"), Some(image), Some("members"), None)
                if is_v2(version) && is_image_id(image) =>
            {
                let start = skipped + 1 + version.len() + "/images/".len();
                let image = start..start + image.len();
                let uuid = path.get(image.clone()).and_then(strict_uuid);
                Ok(Self { target: target.clone(), image, member: 0..0, uuid })
            }
            _ => Err(NotCanonical::OddMembersPath),
        }
    }

    /// Returns the member id as it was written; empty for the path of all members.
    pub fn member(&self) -> &str {
        self.target.path().get(self.member.clone()).unwrap_or_default()
    }

    /// Returns the path of the image itself, below the same mount.
    ///
    /// The version is not the client's: one that Glance does not serve would be an outage for all who share the question.
    pub fn image_path(&self) -> String {
        let before = self.image.start.saturating_sub("/images/".len());
        let mount =
            self.target.path().get(..before).and_then(|path| path.rsplit_once('/')).map_or("", |(mount, _)| mount);
        format!("{mount}/v2/images/{}", self.image())
    }

    /// Returns the image id, or nothing if no image can have it: Glance's ids are lower-case UUIDs.
    pub fn image_uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// Returns the path and query that were read, which are what is forwarded.
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }
}

impl Target {
    /// Reads a request's target below the mount (`""` or `/image`, for a Glance that is served under a prefix).
    ///
    /// # Errors
    /// Tells why the target is not canonical.
    pub fn parse(uri: &Uri, mount: &str) -> Result<Self, NotCanonical> {
        let target = match uri.path_and_query() {
            Some(target) if uri.scheme().is_none() && uri.authority().is_none() => target,
            _ => return Err(NotCanonical::NotOriginForm),
        };
        let path = target.path();
        check(path)?;
        if target.query().is_some_and(overrides_method) {
            return Err(NotCanonical::MethodOverride);
        }
        if path == "/healthcheck" {
            return Ok(Self::Healthcheck);
        }
        let read =
            path.strip_prefix(mount).map_or(Self::Other, |rest| below_mount(target, path.len() - rest.len(), rest));
        if !matches!(read, Self::Member(_)) && resembles_member_path(path) {
            return Err(NotCanonical::OddMemberPath);
        }
        Ok(read)
    }
}

/// Checks the path, refusing what could be split or decoded in two ways.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch")]
fn check(path: &str) -> Result<(), NotCanonical> {
    let rest = path.strip_prefix('/').ok_or(NotCanonical::NotOriginForm)?;
    let (mut is_forbidden, mut has_escapes) = (false, false);
    // without a branch a byte, so that the compiler looks at many at once
    for byte in rest.bytes() {
        is_forbidden |= !byte.is_ascii_graphic() | (byte == b'\\') | (byte == b';');
        has_escapes |= byte == b'%';
    }
    if is_forbidden {
        return Err(NotCanonical::ForbiddenByte);
    }
    let mut parts = segments(rest).peekable();
    while let Some(part) = parts.next() {
        // one slash may end a path, as in `GET /v2/`
        if part.is_empty() && parts.peek().is_some() {
            return Err(NotCanonical::EmptySegment);
        }
        let segment = if has_escapes { decode(part)? } else { Cow::Borrowed(part) };
        if segment == "." || segment == ".." {
            return Err(NotCanonical::DotSegment);
        }
    }
    Ok(())
}

/// Splits at each slash; looking for one byte is cheaper than looking for a character.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some((part, behind)) = memchr::memchr(b'/', text.as_bytes()).and_then(|at| text.split_at_checked(at))
        else {
            return rest.take();
        };
        rest = behind.get(1..);
        Some(part)
    })
}

/// Decodes the escapes of one segment.
fn decode(part: &str) -> Result<Cow<'_, str>, NotCanonical> {
    let mut rest = part;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3).ok_or(NotCanonical::BadEscape)?;
        let byte =
            u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')).ok_or(NotCanonical::BadEscape)?;
        if byte.is_ascii_control() || matches!(byte, b'/' | b'\\') {
            return Err(NotCanonical::ForbiddenByte);
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    percent_decode_str(part).decode_utf8().map_err(|_| NotCanonical::BadEscape)
}

/// Finds `_method` in a query, as leniently as Routes and every form parser would.
fn overrides_method(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        let key = percent_decode_str(key).decode_utf8_lossy();
        key.trim_matches(|c: char| c == '+' || c.is_whitespace() || c.is_control()).eq_ignore_ascii_case("_method")
    })
}

/// Reads what lies below the mount; `skipped` is how much of the path the mount took.
fn below_mount(target: &PathAndQuery, skipped: usize, rest: &str) -> Target {
    let mut parts = segments(rest);
    let (Some(""), Some(version), Some("images")) = (parts.next(), parts.next(), parts.next()) else {
        return Target::Other;
    };
    if !is_v2(version) {
        return Target::Other;
    }
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(image), None, None, None) => Target::Image(loose_uuid(image)),
        (Some(image), Some("members"), None, None) => Target::Members(loose_uuid(image)),
        (Some(image), Some("members"), Some(member), None) if is_image_id(image) && is_member_id(member) => {
            let image_start = skipped + 1 + version.len() + "/images/".len();
            let member_start = image_start + image.len() + "/members/".len();
            Target::Member(MemberPath {
                target: target.clone(),
                image: image_start..image_start + image.len(),
                member: member_start..member_start + member.len(),
                uuid: strict_uuid(image),
            })
        }
        _ => Target::Other,
    }
}

/// Tells whether the decoded path, which was checked, ends like a member path, whatever stands before it.
fn resembles_member_path(path: &str) -> bool {
    ends_like_members(path, 1)
}

/// Tells whether the decoded path, which was checked, ends like the path of all members, whatever stands before it.
pub fn resembles_members_path(path: &str) -> bool {
    ends_like_members(path, 0)
}

/// Looks for `images`, any id and `members` before so many segments at the end.
fn ends_like_members(path: &str, behind: usize) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut from_the_end = path.as_bytes().rsplit(|&byte| byte == b'/');
    let is = |segment: Option<&[u8]>, name: &[u8]| {
        segment.is_some_and(|segment| Cow::from(percent_decode(segment)).eq_ignore_ascii_case(name))
    };
    is(from_the_end.nth(behind), b"members") && is(from_the_end.nth(1), b"images")
}

/// Tells whether the segment is one of Glance's names of the second version: `v2`, `v2.0`, `v2.17`, …
fn is_v2(segment: &str) -> bool {
    match segment.strip_prefix("v2") {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('.')
            .is_some_and(|minor| (1..=3).contains(&minor.len()) && minor.bytes().all(|byte| byte.is_ascii_digit())),
        None => false,
    }
}

/// Tells whether the segment could name an image at all; only UUIDs do, but Glance says so with a 404.
fn is_image_id(segment: &str) -> bool {
    (1..=255).contains(&segment.len())
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

/// Tells whether the segment could be a project id.
pub fn is_member_id(segment: &str) -> bool {
    (1..=255).contains(&segment.len())
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Parses an image id exactly as Glance writes it.
fn strict_uuid(segment: &str) -> Option<Uuid> {
    let lower = segment.len() == 36 && !segment.bytes().any(|byte| byte.is_ascii_uppercase());
    if lower { Uuid::try_parse(segment).ok() } else { None }
}

/// Parses an image id in any spelling: forgetting a cached owner too often does no harm.
fn loose_uuid(segment: &str) -> Option<Uuid> {
    Uuid::try_parse(&percent_decode_str(segment).decode_utf8_lossy()).ok()
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::MemberPath;
    use super::NotCanonical;
    use super::Target;

    const IMAGE: &str = "4fd15022-227a-4f08-b1ad-bc1737e4e2e9";

    fn parse(target: &str) -> Result<Target, NotCanonical> {
        Target::parse(&target.parse::<Uri>().expect("a target"), "")
    }

    #[test]
    fn a_member_path_is_read_in_every_version_spelling() {
        for version in ["v2", "v2.0", "v2.17"] {
            let text = format!("/{version}/images/{IMAGE}/members/ffd183d9?x=1");
            let Ok(Target::Member(path)) = parse(&text) else { panic!("{text}") };
            assert_eq!((path.image(), path.member()), (IMAGE, "ffd183d9"));
            assert_eq!(path.image_uuid().map(|uuid| uuid.to_string()).as_deref(), Some(IMAGE));
            assert_eq!(path.target().as_str(), text);
        }
    }

    #[test]
    fn an_image_id_that_is_no_lower_case_uuid_names_no_image() {
        for image in ["1", &IMAGE.to_uppercase(), &IMAGE.replace('-', ""), "not-a-uuid"] {
            let Ok(Target::Member(path)) = parse(&format!("/v2/images/{image}/members/m")) else { panic!("{image}") };
            assert_eq!(path.image_uuid(), None);
        }
    }

    #[test]
    fn a_mount_is_taken_off_first() {
        let uri: Uri = format!("/image/v2/images/{IMAGE}/members/m").parse().expect("a target");
        let Ok(Target::Member(path)) = Target::parse(&uri, "/image") else { panic!("not read") };
        assert_eq!((path.image(), path.member()), (IMAGE, "m"));
        assert_eq!(Target::parse(&uri, ""), Err(NotCanonical::OddMemberPath));
    }

    #[test]
    fn odd_spellings_of_a_member_path_are_refused() {
        for (target, why) in [
            ("//v2/images/I/members/m", NotCanonical::EmptySegment),
            ("/v2//images/I/members/m", NotCanonical::EmptySegment),
            ("/v2/images/I/members//m", NotCanonical::EmptySegment),
            ("/v2/images/I/members/m/", NotCanonical::OddMemberPath),
            ("/v2/images/I%2Fmembers/m", NotCanonical::ForbiddenByte),
            ("/v2/images/I%2fmembers%2fm", NotCanonical::ForbiddenByte),
            ("/%76%32/images/I/members/m", NotCanonical::OddMemberPath),
            ("/v2/%69mages/I/members/m", NotCanonical::OddMemberPath),
            ("/v2/images/I/%6dembers/m", NotCanonical::OddMemberPath),
            ("/v2/images/I/members/m%0a", NotCanonical::ForbiddenByte),
            ("/v2/images/I/members/m%00", NotCanonical::ForbiddenByte),
            ("/v2/images/I/members/m;x=1", NotCanonical::ForbiddenByte),
            ("/v2/images/I/members/m.json", NotCanonical::OddMemberPath),
            ("/v2/images/I/members/%c3%bc", NotCanonical::OddMemberPath),
            ("/v2/images/I/members/%ff%fe", NotCanonical::BadEscape),
            ("/v2/images/I/members/m%", NotCanonical::BadEscape),
            ("/v2/images/I/members/m%+1", NotCanonical::BadEscape),
            ("/v2/./images/I/members/m", NotCanonical::DotSegment),
            ("/v2/images/x/../I/members/m", NotCanonical::DotSegment),
            ("/v2/%2e%2e/v2/images/I/members/m", NotCanonical::DotSegment),
            ("/images/I/members/m", NotCanonical::OddMemberPath),
            ("/v3/images/I/members/m", NotCanonical::OddMemberPath),
            ("/V2.0/images/I/members/m", NotCanonical::OddMemberPath),
            ("/v2/Images/I/Members/m", NotCanonical::OddMemberPath),
            ("/v2/v2/images/I/members/m", NotCanonical::OddMemberPath),
            ("/v2.1234/images/I/members/m", NotCanonical::OddMemberPath),
            ("http://glance/v2/images/I/members/m", NotCanonical::NotOriginForm),
            ("/v2/images?_method=PUT", NotCanonical::MethodOverride),
            ("/v2/images/I/members/m?a=b;%5fMETHOD=PUT", NotCanonical::MethodOverride),
            ("*", NotCanonical::NotOriginForm),
        ] {
            assert_eq!(parse(target), Err(why), "{target}");
        }
    }

    #[test]
    fn the_path_of_all_members_is_read_as_strictly() {
        let read = |text: &str, mount| MemberPath::of_members(&text.parse().expect("a target"), mount);
        for (text, mount, image_path) in [
            (format!("/v2/images/{IMAGE}/members?limit=1"), "", format!("/v2/images/{IMAGE}")),
            (format!("/image/v2.9/images/{IMAGE}/members"), "/image", format!("/image/v2/images/{IMAGE}")),
        ] {
            let path = read(&text, mount).expect("a path");
            assert_eq!((path.image(), path.member(), path.target().as_str()), (IMAGE, "", text.as_str()));
            assert_eq!((path.image_uuid(), path.image_path()), (IMAGE.parse().ok(), image_path));
        }
        assert_eq!(read("/v2/images/odd/members", "").expect("a path").image_uuid(), None);
        for text in ["/v2/images/%34/members", "/v2/images/I/members/", "/v3/images/I/members", "/v2/images/I/Members"]
        {
            assert_eq!(read(text, ""), Err(NotCanonical::OddMembersPath), "{text}");
        }
        let looks_like_it = ["/images/I/members", "/v2/images/I/%6dembers/", "/V9/IMAGES/x/Members"];
        assert!(looks_like_it.iter().all(|path| super::resembles_members_path(path)));
        assert!(!super::resembles_members_path("/v2/images/I/members/m"));
    }

    #[test]
    fn the_image_path_is_what_stands_before_the_members() {
        for (text, mount, image_path) in [
            ("/v2/images/I/members/members", "", "/v2/images/I"),
            ("/image/v2.9/images/I/members/M", "/image", "/image/v2/images/I"),
            ("/a/b/v2.99/images/I/members/M", "/a/b", "/a/b/v2/images/I"),
        ] {
            let Ok(Target::Member(path)) = Target::parse(&text.parse().expect("a target"), mount) else {
                panic!("{text}")
            };
            assert_eq!(path.image_path(), image_path);
        }
    }

    #[test]
    fn other_targets_are_told_apart() {
        let uuid = IMAGE.parse().ok();
        for (target, read) in [
            (format!("/v2/images/{IMAGE}"), Target::Image(uuid)),
            (format!("/v2.9/images/{IMAGE}/members"), Target::Members(uuid)),
            (format!("/v2/images/{IMAGE}/file"), Target::Other),
            (format!("/v2/images/{IMAGE}/members/m/x"), Target::Other),
            (format!("/v2/images/{IMAGE}/members/"), Target::Other),
            ("/v2/images/x%20y/tags/%C3%BC".into(), Target::Other),
            ("/".into(), Target::Other),
            ("/v2/".into(), Target::Other),
            ("/v2/images?name=a&x_method=PUT&y=_method".into(), Target::Other),
            ("/healthcheck".into(), Target::Healthcheck),
        ] {
            assert_eq!(parse(&target), Ok(read), "{target}");
        }
    }
}
