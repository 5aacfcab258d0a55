//! Which requests are copied: decided on their way, by nothing but their head.

use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::openstack::request_id::Draw;
use crate::openstack::request_id::RequestId;
use crate::openstack::route;
use crate::shadow::config::Config;
use crate::shadow::headers::X_GLANCE_GATE_SHADOW;

/// The routes whose bodies are images: they are never copied, whatever is configured.
const DATA: [&str; 2] = ["/v2/images/{image_id}/file", "/v2/images/{image_id}/stage"];

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// Nothing.
    No,
    /// It reads, and is copied.
    Read(&'static str),
    /// It may change something, and is copied.
    Write(&'static str),
}

/// Decides about a request; `mount` is the prefix that Glance is served under.
pub fn sample(config: &Config, head: &Parts, request_id: RequestId, mount: &str) -> Sampled {
    if request_id.draw(Draw::First) >= config.percent {
        return Sampled::No;
    }
    if config.has_target() && head.headers.contains_key(X_GLANCE_GATE_SHADOW) {
        // two gates that are each other's staging, or one that is its own, would copy it for ever
        return Sampled::No;
    }
    let is_safe = is_safe(&head.method);
    if is_safe && !config.methods.contains(&head.method) || !is_safe && config.writes.is_empty() {
        return Sampled::No;
    }
    let Some(route) = route::route(head.uri.path(), mount).filter(|route| !is_data(route)) else {
        return Sampled::No;
    };
    let is_data = head.headers.get_all(CONTENT_TYPE).iter().any(|kind| names_data(kind.as_bytes()));
    if is_data {
        return Sampled::No;
    }
    if is_safe {
        let is_wanted = config.routes.is_empty() || config.routes.contains(&route);
        return if is_wanted { Sampled::Read(route) } else { Sampled::No };
    }
    let is_allowed = config.writes.iter().any(|(method, written)| *method == head.method && *written == route);
    if is_allowed { Sampled::Write(route) } else { Sampled::No }
}

/// Tells whether a method changes nothing (RFC 9110 section 9.2.1) and is one that may be copied without being named.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Tells whether a route carries images.
pub fn is_data(route: &str) -> bool {
    DATA.contains(&route)
}

/// Tells whether a media type is that of images.
pub fn names_data(kind: &[u8]) -> bool {
    let kind = kind.to_ascii_lowercase();
    memchr::memmem::find(&kind, b"octet-stream").is_some()
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::Request;

    use super::Sampled;
    use super::sample;
    use crate::openstack::request_id::RequestId;
    use crate::shadow::config::Config;

    const MEMBER: &str = "/v2/images/{image_id}/members/{member_id}";

    fn sampled(config: &Config, method: &str, target: &str, kind: &str) -> Sampled {
        let request = Request::builder().method(method).uri(target).header("content-type", kind).body(());
        let (head, ()) = request.expect("a request").into_parts();
        sample(config, &head, RequestId::random(), "")
    }

    #[test]
    fn reads_are_copied_and_writes_must_be_named() {
        let mut config = Config::default();
        assert_eq!(sampled(&config, "GET", "/v2/images", ""), Sampled::Read("/v2/images"));
        assert_eq!(sampled(&config, "GET", "/v2/unknown", ""), Sampled::No);
        assert_eq!(sampled(&config, "OPTIONS", "/v2/images", ""), Sampled::No);
        assert_eq!(sampled(&config, "PUT", "/v2/images/i/members/m", "application/json"), Sampled::No);
        config.writes = vec![(Method::PUT, MEMBER)];
        assert_eq!(sampled(&config, "PUT", "/v2/images/i/members/m", "application/json"), Sampled::Write(MEMBER));
        assert_eq!(sampled(&config, "DELETE", "/v2/images/i/members/m", ""), Sampled::No);
        config.routes = vec!["/v2/images"];
        assert_eq!(sampled(&config, "GET", "/v2/images/i", ""), Sampled::No);
        config.methods = vec![Method::HEAD];
        assert_eq!(sampled(&config, "GET", "/v2/images", ""), Sampled::No);
    }

    #[test]
    fn what_is_a_copy_already_goes_to_no_other_staging() {
        let request = Request::get("/v2/images").header("x-glance-gate-shadow", "req-1").body(());
        let (head, ()) = request.expect("a request").into_parts();
        let mut config = Config::default();
        let sampled = |config: &Config| sample(config, &head, RequestId::random(), "");
        assert_eq!(sampled(&config), Sampled::Read("/v2/images"), "a recording has it");
        config.target = "http://staging:9292".into();
        assert_eq!(sampled(&config), Sampled::No);
    }

    #[test]
    fn images_are_never_copied() {
        let config = Config {
            writes: vec![(Method::PUT, MEMBER), (Method::PUT, "/v2/images/{image_id}/file")],
            ..Config::default()
        };
        for (method, target, kind) in [
            ("GET", "/v2/images/i/file", ""),
            ("GET", "/v2.17/images/i/file/", ""),
            ("PUT", "/v2/images/i/file", "application/json"),
            ("PUT", "/v2/images/i/stage", "application/json"),
            ("PUT", "/v2/images/i/members/m", "Application/Octet-Stream"),
        ] {
            assert_eq!(sampled(&config, method, target, kind), Sampled::No, "{method} {target}");
        }
    }

    #[test]
    fn a_share_of_all_is_copied() {
        for percent in [0, 10, 100] {
            let config = Config { percent, ..Config::default() };
            let count = (0..10_000).filter(|_| sampled(&config, "GET", "/v2/images", "") != Sampled::No).count();
            let expected = usize::from(percent) * 100;
            assert!(count.abs_diff(expected) <= 200, "{percent}: {count}");
        }
    }
}
