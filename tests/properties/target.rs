//! A target that Glance's router could read as a member path is read as exactly one, or refused.

use glance_gate::openstack::target::MemberPath;
use glance_gate::openstack::target::Target;
use http::Uri;
use percent_encoding::percent_decode;

/// Checks the property on one target.
pub fn holds(target: &[u8]) {
    let Ok(uri) = Uri::try_from(target) else { return };
    for mount in ["", "/image"] {
        let Ok(read) = Target::parse(&uri, mount) else { continue };
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        assert!(!names_method(query), "{uri} overrides the method");
        match read {
            Target::Member(member) => check_member(&member, &uri, mount),
            Target::Healthcheck => assert_eq!(path, "/healthcheck"),
            Target::Members(_) | Target::Image(_) | Target::Other => {
                assert!(!ends_like_a_member(path), "{uri} below {mount:?} is read as {read:?}");
            }
        }
    }
}

fn check_member(member: &MemberPath, uri: &Uri, mount: &str) {
    assert_eq!(Some(member.target()), uri.path_and_query(), "what is forwarded is what was read");
    let path = uri.path();
    let rest = path.strip_prefix(mount).unwrap_or_default();
    let parts: Vec<_> = rest.split('/').collect();
    assert_eq!(parts.len(), 6, "{path}");
    assert_eq!((parts[0], parts[2], parts[4]), ("", "images", "members"), "{path}");
    assert_eq!((parts[3], parts[5]), (member.image(), member.member()), "{path}");
    assert!(parts[1].starts_with("v2") && parts[1].bytes().skip(2).all(|byte| byte == b'.' || byte.is_ascii_digit()));
    assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte)), "{path}");
    if let Some(uuid) = member.image_uuid() {
        assert_eq!(uuid.to_string(), member.image(), "one spelling an image");
    }
}

/// Reads a path as the most forgiving chain of servers would: decoded, backslashes turned, slashes collapsed, dot
/// segments resolved, control characters dropped at the ends, case ignored.
fn ends_like_a_member(path: &str) -> bool {
    let decoded = percent_decode(path.as_bytes()).decode_utf8_lossy().replace('\\', "/");
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded.split('/') {
        match segment.trim_matches(char::is_control) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other.to_lowercase()),
        }
    }
    matches!(segments.as_slice(), [.., images, _, members, _] if images == "images" && members == "members")
}

/// Finds `_method` as `WebOb` does: both separators, `+` for a blank, escapes decoded.
fn names_method(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let key = pair.split('=').next().unwrap_or_default().replace('+', " ");
        percent_decode(key.as_bytes()).decode_utf8_lossy().trim() == "_method"
    })
}
