//! The routes of the Image API by name: a path without the ids in it, so that paths can be told of in classes.

use percent_encoding::percent_decode_str;

/// The routes that Glance has below its mount (Image API v2, and its `/v2` router).
const ROUTES: [&str; 28] = [
    "/",
    "/versions",
    "/healthcheck",
    "/v2",
    "/v2/images",
    "/v2/images/{image_id}",
    "/v2/images/{image_id}/actions/{action}",
    "/v2/images/{image_id}/file",
    "/v2/images/{image_id}/import",
    "/v2/images/{image_id}/locations",
    "/v2/images/{image_id}/locations/{location_id}",
    "/v2/images/{image_id}/members",
    "/v2/images/{image_id}/members/{member_id}",
    "/v2/images/{image_id}/stage",
    "/v2/images/{image_id}/tags/{tag}",
    "/v2/images/{image_id}/tasks",
    "/v2/info/import",
    "/v2/info/stores",
    "/v2/info/stores/detail",
    "/v2/info/usage",
    "/v2/cache",
    "/v2/cache/{image_id}",
    "/v2/schemas/{schema}",
    "/v2/stores/{store_id}/{image_id}",
    "/v2/tasks",
    "/v2/tasks/{task_id}",
    "/v2/metadefs/namespaces",
    "/v2/metadefs/namespaces/{namespace}",
];

/// Returns the route of a path below the mount; nothing for a path that Glance does not know.
///
/// Glance looks at the path without its escapes, so `/v2/images/{image_id}/%66ile` is what it is to Glance.
pub fn route(path: &str, mount: &str) -> Option<&'static str> {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let path = path.strip_prefix(mount)?;
    let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    ROUTES.into_iter().find(|route| is_at(path, route))
}

/// Returns the route that is written like this, such as `/v2/images/{image_id}`; nothing if there is none.
pub fn known(written: &str) -> Option<&'static str> {
    ROUTES.into_iter().find(|route| *route == written)
}

fn is_at(path: &str, route: &str) -> bool {
    let (mut parts, mut names) = (path.split('/'), route.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if is_named(part, name) => {}
            _ => return false,
        }
    }
}

fn is_named(part: &str, name: &str) -> bool {
    match name {
        // any minor version is the same API
        "v2" => {
            part == "v2"
                || part.strip_prefix("v2.").is_some_and(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()))
        }
        _ if name.starts_with('{') => !part.is_empty(),
        _ => part == name,
    }
}

#[cfg(test)]
mod tests {
    use super::ROUTES;
    use super::known;
    use super::route;

    #[test]
    fn a_path_has_the_route_that_its_ids_leave() {
        for (path, mount, expected) in [
            ("/v2/images", "", Some("/v2/images")),
            ("/v2.17/images/", "", Some("/v2/images")),
            ("/v2/images/5efaa75f/members/m", "", Some("/v2/images/{image_id}/members/{member_id}")),
            ("/image/v2/images/5efaa75f/file", "/image", Some("/v2/images/{image_id}/file")),
            ("/v2/images/5efaa75f/file", "/image", None),
            ("/v2/images/5efaa75f/%66il%65", "", Some("/v2/images/{image_id}/file")),
            ("/%76%32/images/5efaa75f/tags/%C3%BC", "", Some("/v2/images/{image_id}/tags/{tag}")),
            ("/v2/images/5efaa75f/%unknown", "", None),
            ("/v2/images/5efaa75f/unknown", "", None),
            ("/v2x/images", "", None),
            ("/", "", Some("/")),
            ("", "", None),
            ("*", "", None),
        ] {
            assert_eq!(route(path, mount), expected, "{path} below {mount:?}");
        }
    }

    #[test]
    fn each_route_is_its_own_and_told_to_operators() {
        let told: Vec<&str> = include_str!("../../docs/LIMITS.md").split_whitespace().collect();
        for expected in ROUTES {
            assert_eq!((route(expected, ""), known(expected)), (Some(expected), Some(expected)));
            assert!(told.contains(&expected), "docs/LIMITS.md lacks {expected}");
        }
        assert_eq!(known("/v2/images/5efaa75f"), None);
    }
}
