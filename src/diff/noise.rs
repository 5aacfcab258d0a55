//! What differs between any two Glances without meaning anything: dates, request ids, where links lead.
//!
//! Each text has a form without its noise; texts of one form differ by noise alone. `docs/SHADOW_DIFF.md` has the table.

use std::borrow::Cow;

use time::Date;
use time::Month;
use time::Time;
use uuid::Uuid;

use crate::diff::field::HEADER;

/// The names of links, in bodies and in headers.
const LINKS: [&str; 8] = ["self", "file", "schema", "first", "next", "href", "location", "header:location"];
/// The headers whose value is a list without an order.
const LIST_HEADERS: [&str; 4] = ["allow", "vary", "openstack-image-import-methods", "openstack-image-store-ids"];
/// The names of dates that do not end in `_at`.
const DATES: [&str; 4] = ["updated", "created", "timestamp", "date"];
/// What no text of an answer begins with.
const MARK: char = '\0';

/// Returns the form of a text without its noise; `name` is the field's last step, or the whole field of a header.
pub fn form<'a>(name: &str, text: &'a str) -> Cow<'a, str> {
    if is_date_name(name)
        && let Some(shape) = date_shape(text)
    {
        return Cow::Owned(shape);
    }
    if LINKS.contains(&name) {
        return Cow::Owned(link(text));
    }
    match name.strip_prefix(HEADER) {
        Some("content-type") => Cow::Owned(text.to_ascii_lowercase().replace("; ", ";")),
        Some("www-authenticate") => without_origins(text),
        Some(header) if LIST_HEADERS.contains(&header) => {
            let mut items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
            items.sort_unstable();
            Cow::Owned(items.join(","))
        }
        Some(_) | None => without_request_ids(text),
    }
}

/// Tells whether dates are expected under this name.
pub fn is_date_name(name: &str) -> bool {
    name.ends_with("_at") || DATES.contains(&name)
}

/// Returns the shape of a date (ISO 8601, as `oslo_utils.timeutils` writes it); nothing if it is not a valid one.
fn date_shape(text: &str) -> Option<String> {
    let number = |from: usize, to: usize| -> Option<u16> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let small = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
    let is_at = |at: usize, expected: &[&str]| text.get(at..=at).is_some_and(|found| expected.contains(&found));
    let month = Month::try_from(small(5)?).ok()?;
    Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8)?).ok()?;
    Time::from_hms(small(11)?, small(14)?, small(17)?).ok()?;
    if !(is_at(4, &["-"]) && is_at(7, &["-"]) && is_at(10, &["T", " "]) && is_at(13, &[":"]) && is_at(16, &[":"])) {
        return None;
    }
    let rest = text.get(19..)?;
    if rest.len() > 16 || !rest.bytes().all(|byte| byte.is_ascii_digit() || b".+-:Z".contains(&byte)) {
        return None;
    }
    let shape = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c });
    Some([MARK].into_iter().chain(shape).collect())
}

/// Returns a link without its origin and without what stands before its version; any minor version is the same API, and
/// the order of a query means nothing.
fn link(text: &str) -> String {
    let local = without_origin(text);
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    let mut steps: Vec<&str> = path.split('/').collect();
    if let Some(version) = steps.iter().position(|step| is_version(step)) {
        steps.drain(..version);
        steps.insert(0, "");
        if let Some(step) = steps.get_mut(1) {
            *step = "v2";
        }
    }
    // a last slash is no step
    if steps.len() > 1 && steps.last().is_some_and(|step| step.is_empty()) {
        steps.pop();
    }
    let mut parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    parts.sort_unstable();
    format!("{MARK}{}?{}", steps.join("/"), parts.join("&"))
}

fn is_version(step: &str) -> bool {
    step == "v2"
        || step
            .strip_prefix("v2.")
            .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()))
}

fn without_origin(text: &str) -> &str {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.map_or(text, |rest| rest.find(['/', '?']).and_then(|end| rest.get(end..)).unwrap_or_default())
}

/// Takes scheme, host and port out of each URL of a text.
fn without_origins(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = ["http://", "https://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, url) = rest.split_at(at);
        kept.push_str(before);
        kept.push(MARK);
        let authority = url.split_once("://").map_or("", |(_, authority)| authority);
        let end = authority.find(|c: char| !(c.is_ascii_alphanumeric() || ".-_:[]@".contains(c)));
        rest = end.and_then(|end| authority.get(end..)).unwrap_or_default();
    }
    if kept.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(kept + rest) }
}

/// Takes the id out of each `req-<uuid>` of a text.
fn without_request_ids(text: &str) -> Cow<'_, str> {
    const PREFIX: &str = "req-";
    const UUID: usize = 36;
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        let (before, after) = rest.split_at(at + PREFIX.len());
        kept.push_str(before);
        rest = match after.get(..UUID) {
            Some(id) if Uuid::try_parse(id).is_ok() => {
                kept.push(MARK);
                after.get(UUID..).unwrap_or_default()
            }
            Some(_) | None => after,
        };
    }
    if kept.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(kept + rest) }
}

#[cfg(test)]
mod tests {
    use super::form;

    const FIRST: &str = "req-11111111-2222-4333-8444-555555555555";
    const SECOND: &str = "req-99999999-2222-4333-8444-555555555555";

    fn is_noise(name: &str, primary: &str, staging: &str) -> bool {
        form(name, primary) == form(name, staging)
    }

    #[test]
    fn dates_of_one_shape_are_noise_and_nothing_else_is() {
        let date = "2026-11-25T22:31:59Z";
        for (other, expected) in [
            ("2019-01-01T00:00:00Z", true),
            ("2019-01-01 00:00:00Z", false),
            ("2019-01-01T00:00:00.000001Z", false),
            ("2019-01-01T00:00:00+00:00", false),
            ("2019-13-01T00:00:00Z", false),
            ("2019-02-30T00:00:00Z", false),
            ("2019-01-01T24:00:00Z", false),
            ("9999-99-99T99:99:99Z", false),
            ("", false),
        ] {
            assert_eq!(is_noise("created_at", date, other), expected, "{other}");
        }
        assert!(!is_noise("build_date_of_mine", date, "2019-01-01T00:00:00Z"));
        assert!(is_noise("updated_at", "2026-11-25T22:31:59.123456", "2020-01-01T00:00:00.654321"));
    }

    #[test]
    fn a_link_is_its_path() {
        for (name, primary, staging, expected) in [
            ("self", "/v2/images/a", "/v2/images/a", true),
            ("self", "/v2/images/a", "/v2/images/b", false),
            ("href", "http://glance:9292/v2/", "https://staging.example/image/v2/", true),
            ("href", "http://glance/v2.1/", "http://glance/v2.17/", true),
            ("href", "http://glance/v2/", "http://glance/v1/", false),
            ("next", "/v2/images?marker=a&limit=2", "/v2/images?limit=2&marker=a", true),
            ("next", "/v2/images?marker=a", "/v2/images?marker=b", false),
            ("header:location", "http://a:1/v2/images/x", "http://b:2/v2/images/x", true),
            ("other", "http://a/v2", "http://b/v2", false),
        ] {
            assert_eq!(is_noise(name, primary, staging), expected, "{name} {primary} {staging}");
        }
    }

    #[test]
    fn request_ids_are_noise_wherever_they_stand() {
        let text = |id: &str| format!("Lost. Request: {id}, sorry. {id}");
        assert!(is_noise("message", &text(FIRST), &text(SECOND)));
        assert!(is_noise("body", &text(FIRST), &text(SECOND)));
        assert!(!is_noise("body", &text(FIRST), &text("req-none")));
        assert!(!is_noise("body", "a req-", "b req-"));
        assert!(!is_noise("body", FIRST, &SECOND.replace("-4333-", "-é33-")));
    }

    #[test]
    fn headers_have_noise_of_their_own() {
        for (name, primary, staging, expected) in [
            ("header:content-type", "application/json; charset=UTF-8", "application/json;charset=utf-8", true),
            ("header:content-type", "application/json", "text/html", false),
            ("header:allow", "GET, PUT", "PUT,GET", true),
            ("header:allow", "GET, PUT", "PUT", false),
            ("header:www-authenticate", "Keystone uri=\"http://a:5000/v3\"", "Keystone uri=\"https://b/v3\"", true),
            ("header:www-authenticate", "Keystone uri=\"http://a:5000/v3\"", "Keystone uri=\"http://a:5000\"", false),
            ("header:www-authenticate", "Keystone uri=\"http://a\"", "Basic realm=\"x\"", false),
        ] {
            assert_eq!(is_noise(name, primary, staging), expected, "{name} {primary} {staging}");
        }
    }
}
