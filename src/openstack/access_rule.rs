//! Access rules of application credentials: the paths and methods such a token may be used on.
//!
//! The words and their meaning are Keystone's and keystonemiddleware's (`auth_token`,
//! `_path_matches`): `*` and `{name}` stand for one segment, `**` for any number of characters.

/// One rule: a service type, a method and a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    service: Box<str>,
    method: Box<str>,
    path: Box<str>,
}

impl AccessRule {
    /// Takes over a rule as Keystone lists it.
    pub fn new(service: &str, method: &str, path: &str) -> Self {
        Self { service: service.into(), method: method.into(), path: path.into() }
    }

    /// Tells whether the rule lets `method` on `path` of the service through.
    pub fn allows(&self, service: &str, method: &str, path: &str) -> bool {
        *self.service == *service && *self.method == *method && matches(self.path.as_bytes(), path.as_bytes())
    }
}

/// Tells whether the path fits the pattern, both read from the left.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [b'*', b'*', rest @ ..] => {
            (0..=path.len()).any(|taken| path.get(taken..).is_some_and(|left| matches(rest, left)))
        }
        [b'*', rest @ ..] => matches_segment(rest, path),
        [b'{', ..] => match pattern.iter().position(|&byte| byte == b'}') {
            Some(end) => matches_segment(pattern.get(end + 1..).unwrap_or_default(), path),
            None => false,
        },
        [first, rest @ ..] => path.split_first().is_some_and(|(head, left)| head == first && matches(rest, left)),
    }
}

/// Lets one or more characters other than `/` go by, then goes on with the rest.
fn matches_segment(rest: &[u8], path: &[u8]) -> bool {
    let longest = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    (1..=longest).any(|taken| path.get(taken..).is_some_and(|left| matches(rest, left)))
}

#[cfg(test)]
mod tests {
    use super::AccessRule;

    fn rule(path: &str) -> AccessRule {
        AccessRule::new("image", "PUT", path)
    }

    #[test]
    fn one_star_and_a_name_stand_for_one_segment() {
        for pattern in ["/v2/images/*/members/*", "/v2/images/{image_id}/members/{member}"] {
            assert!(rule(pattern).allows("image", "PUT", "/v2/images/a/members/b"));
            assert!(!rule(pattern).allows("image", "PUT", "/v2/images/a/x/members/b"));
            assert!(!rule(pattern).allows("image", "PUT", "/v2/images//members/b"));
        }
    }

    #[test]
    fn two_stars_stand_for_everything() {
        assert!(rule("/v2/**").allows("image", "PUT", "/v2/images/a/members/b"));
        assert!(!rule("/v3/**").allows("image", "PUT", "/v2/images"));
    }

    #[test]
    fn another_method_or_service_does_not_fit() {
        assert!(!rule("/v2/**").allows("image", "GET", "/v2/images"));
        assert!(!rule("/v2/**").allows("compute", "PUT", "/v2/images"));
        assert!(!rule("/v2/{open").allows("image", "PUT", "/v2/x"));
    }
}
