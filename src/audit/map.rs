//! What a call is in CADF's words: the action and the kind of the target, as `keystonemiddleware.audit` finds them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::audit::map_file;
use crate::audit::map_file::MapError;

/// What CADF calls things that nobody knows.
pub const UNKNOWN: &str = "unknown";

/// The audit map: which words of a path mean what (pycadf, `etc/pycadf/*_api_audit_map.conf`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Last words of a path, alone or with `/method`, that have an action of their own.
    custom_actions: BTreeMap<String, String>,
    /// Words of a path that name a kind, and what the word behind each is.
    path_keywords: BTreeMap<String, String>,
    /// What the image service is.
    service: String,
}

/// The type of the image service in Keystone's catalogue.
const SERVICE_TYPE: &str = "image";

impl Default for Map {
    /// Returns pycadf's map for Glance.
    fn default() -> Self {
        let keywords =
            [("detail", "None"), ("file", "None"), ("images", "image"), ("members", "member"), ("tags", "tag")];
        Self {
            custom_actions: BTreeMap::new(),
            path_keywords: keywords.map(|(word, kind)| (word.to_owned(), kind.to_owned())).into(),
            service: "service/storage/image".into(),
        }
    }
}

impl Map {
    /// Reads a map in pycadf's form. What it leaves out is not taken from the built-in one.
    ///
    /// # Errors
    /// Tells the line that can not be read.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        let mut sections = map_file::parse(text)?;
        let defaults = sections.remove("DEFAULT").unwrap_or_default();
        // Python's reader shows the defaults in every section
        let mut take = |name: &str| {
            let mut all = defaults.clone();
            all.extend(sections.remove(name).unwrap_or_default());
            all
        };
        let (custom_actions, path_keywords, mut services) =
            (take("custom_actions"), take("path_keywords"), take("service_endpoints"));
        let chosen = defaults.get("target_endpoint_type").filter(|kind| services.contains_key(*kind));
        let kind = chosen.map_or(SERVICE_TYPE, String::as_str);
        let service = services.remove(kind).unwrap_or_else(|| UNKNOWN.into());
        Ok(Self { custom_actions, path_keywords, service })
    }

    /// Returns the action of a call. The body is not read: `POST …/action` creates.
    pub fn action(&self, method: &Method, path: &str) -> Cow<'_, str> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let ending = word(path.rsplit('/').next().unwrap_or_default());
        let with_method = format!("{ending}/{}", method.as_str().to_ascii_lowercase());
        let custom = self.custom_actions.get(&with_method).or_else(|| self.custom_actions.get(&*ending));
        if let Some(action) = custom {
            return Cow::Borrowed(action);
        }
        let is_kind = self.path_keywords.contains_key(&*ending);
        Cow::Borrowed(match *method {
            Method::POST if is_kind || ending == "action" => "create",
            Method::POST | Method::PUT | Method::PATCH => "update",
            Method::GET if is_kind => "read/list",
            Method::GET | Method::HEAD => "read",
            Method::DELETE => "delete",
            _ => UNKNOWN,
        })
    }

    /// Returns the kind of a call's target: that of the service, and each word of the path that says more.
    pub fn target_type(&self, path: &str) -> String {
        let mut kind = self.service.clone();
        if kind == UNKNOWN {
            return kind;
        }
        let mut before: Option<Cow<'_, str>> = None;
        for part in path.split('/') {
            let part = word(part);
            let behind = before.as_deref().and_then(|before| self.path_keywords.get(before));
            let more = if self.path_keywords.contains_key(&*part) { Some(&*part) } else { behind.map(String::as_str) };
            if let Some(more) = more {
                kind.push('/');
                kind.push_str(more);
            }
            before = Some(part);
        }
        kind
    }
}

/// Returns a segment as Glance reads it, without `.json` at its end.
fn word(segment: &str) -> Cow<'_, str> {
    let segment = segment.strip_suffix(".json").unwrap_or(segment);
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Map;

    const SHIPPED: &str = "[DEFAULT]\n# the type in the catalogue\ntarget_endpoint_type = None\n\n[path_keywords]\n\
                           detail = None\nfile = None\nimages = image\nmembers = member\ntags = tag\n\n\
                           [service_endpoints]\nimage = service/storage/image\n";

    #[test]
    fn calls_are_what_keystonemiddleware_calls_them() {
        let map = Map::default();
        for (method, path, action, kind) in [
            ("PUT", "/v2/images/i/members/m", "update", "/images/image/members/member"),
            ("POST", "/v2/images/i/members", "create", "/images/image/members"),
            ("DELETE", "/v2/images/i/members/m", "delete", "/images/image/members/member"),
            ("GET", "/v2/images", "read/list", "/images"),
            ("GET", "/v2/images/", "read/list", "/images/image"),
            ("GET", "/v2/images.json", "read/list", "/images"),
            ("GET", "/image/v2/%69mages/i", "read", "/images/image"),
            ("HEAD", "/v2/images/i/file", "read", "/images/image/file"),
            ("GET", "/v2/images/i/file", "read/list", "/images/image/file"),
            ("PUT", "/v2/images/i/file", "update", "/images/image/file"),
            ("PUT", "/v2/images/i/tags/t", "update", "/images/image/tags/tag"),
            ("PATCH", "/v2/images/i", "update", "/images/image"),
            ("POST", "/v2/images", "create", "/images"),
            ("POST", "/v2/images/i/actions/deactivate", "update", "/images/image"),
            ("POST", "/v2/images/i/action", "create", "/images/image"),
            ("OPTIONS", "/v2/images", "unknown", "/images"),
            ("GET", "/", "read", ""),
            ("GET", "/v2/images/detail/x", "read", "/images/detail/None"),
        ] {
            let method: Method = method.parse().expect("a method");
            assert_eq!(map.action(&method, path), action, "{method} {path}");
            assert_eq!(map.target_type(path), format!("service/storage/image{kind}"), "{method} {path}");
        }
    }

    #[test]
    fn the_map_that_pycadf_ships_is_the_built_in_one() {
        let mut shipped = Map::parse(SHIPPED).expect("a map");
        // as Python's reader has it, the default is a word of every section
        assert_eq!(shipped.path_keywords.remove("target_endpoint_type").as_deref(), Some("None"));
        assert!(shipped.custom_actions.remove("target_endpoint_type").is_some());
        assert_eq!(shipped, Map::default());
    }

    #[test]
    fn another_map_names_actions_and_services() {
        let text = "[DEFAULT]\ntarget_endpoint_type: image-two\n[custom_actions]\ndeactivate = disable\n\
                    file/put = capture\n[path_keywords]\nimages = picture\n[service_endpoints]\n\
                    image = service/storage/image\nimage-two = service/storage\n";
        let map = Map::parse(text).expect("a map");
        let (put, post) = (Method::PUT, Method::POST);
        assert_eq!(map.action(&post, "/v2/images/i/actions/deactivate"), "disable");
        assert_eq!(map.action(&put, "/v2/images/i/file"), "capture");
        assert_eq!(map.action(&post, "/v2/images/i/file"), "update");
        assert_eq!(map.target_type("/v2/images/i/members/m"), "service/storage/images/picture");
        let none = Map::parse("").expect("an empty map");
        assert_eq!(none.target_type("/v2/images"), "unknown");
    }
}
