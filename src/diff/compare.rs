//! Two answers, compared: the status, then headers, then the body.

use std::borrow::Cow;

use http::HeaderMap;
use http::HeaderName;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::diff::answered::Answered;
use crate::diff::answered::Content;
use crate::diff::asked::Asked;
use crate::diff::field;
use crate::diff::found::Body;
use crate::diff::found::Cause;
use crate::diff::found::Comparison;
use crate::diff::found::Finder;
use crate::diff::found::Kind;
use crate::diff::ids::Ids;
use crate::diff::json;
use crate::diff::json::Order;
use crate::diff::noise;
use crate::diff::shown::Raw;
use crate::diff::shown::Values;

/// How two answers are compared.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The headers that are compared.
    pub headers: &'a [HeaderName],
    /// The ids that have another name in staging.
    pub ids: &'a Ids,
    /// Which values are told.
    pub values: Values,
}

/// Compares two answers to one question. It takes time by the length of the bodies, which are short, and no other.
pub fn compare(asked: &Asked, primary: &Answered, staging: &Answered, terms: Terms<'_>) -> Comparison {
    let mut finder = Finder::new(terms.values);
    if primary.status != staging.status {
        // two answers to different effect have nothing more to be compared
        let (left, right) = (Raw::Status(primary.status.as_u16()), Raw::Status(staging.status.as_u16()));
        finder.note(field::STATUS.into(), (Kind::Changed, Cause::Answer), Some(left), Some(right));
        return finder.end(Body::OtherAnswer);
    }
    for name in terms.headers {
        header(name, primary, staging, terms.ids, &mut finder);
    }
    let body = bodies(asked, primary, staging, terms.ids, &mut finder);
    finder.end(body)
}

fn header(name: &HeaderName, primary: &Answered, staging: &Answered, ids: &Ids, finder: &mut Finder) {
    let left = value(&primary.headers, name).map(|text| ids.renamed(&text).into_owned());
    let right = value(&staging.headers, name);
    let kind = match (&left, &right) {
        (None, None) => return,
        (Some(left), Some(right)) if left == right => return,
        (Some(_), Some(_)) => Kind::Changed,
        (Some(_), None) => Kind::Missing,
        (None, Some(_)) => Kind::Added,
    };
    let field = field::of_header(name.as_str());
    let form = |text: &Option<String>| text.as_deref().map(|text| noise::form(&field, text).into_owned());
    let cause = if form(&left) == form(&right) { Cause::Noise } else { Cause::Answer };
    finder.note(field, (kind, cause), left.as_deref().map(Raw::Text), right.as_deref().map(Raw::Text));
}

/// Returns all values of a header as one (RFC 9110 section 5.3).
fn value(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<Cow<'_, str>> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn bodies(asked: &Asked, primary: &Answered, staging: &Answered, ids: &Ids, finder: &mut Finder) -> Body {
    let (left, right) = match (&primary.body, &staging.body) {
        (Content::Whole(left), Content::Whole(right)) => (left.as_ref(), right.as_ref()),
        (Content::Unread, _) | (_, Content::Unread) => return Body::Unread,
        (Content::TooLong, _) | (_, Content::TooLong) => return Body::TooLong,
    };
    if left.is_empty() && right.is_empty() {
        return Body::Compared;
    }
    if primary.headers.contains_key(CONTENT_ENCODING) || staging.headers.contains_key(CONTENT_ENCODING) {
        return Body::Encoded;
    }
    let (left_type, right_type) = (media_type(&primary.headers), media_type(&staging.headers));
    if left_type != right_type {
        // told once, also where this header was not chosen
        let field = field::of_header(CONTENT_TYPE.as_str());
        let kind = match (&left_type, &right_type) {
            (Some(_), None) => Kind::Missing,
            (None, Some(_)) => Kind::Added,
            (Some(_), Some(_)) | (None, None) => Kind::Changed,
        };
        if !finder.has(&field) {
            let shown = |text| Option::<&String>::map(text, |text| Raw::Text(text));
            finder.note(field, (kind, Cause::Answer), shown(left_type.as_ref()), shown(right_type.as_ref()));
        }
        return Body::OtherAnswer;
    }
    let is_json = left_type.is_some_and(|name| name == "application/json" || name.ends_with("+json"));
    if !is_json {
        texts(left, right, ids, finder);
        return Body::Compared;
    }
    match (serde_json::from_slice::<Value>(left), serde_json::from_slice::<Value>(right)) {
        (Ok(mut left), Ok(right)) => {
            if !ids.is_empty() {
                json::rename(&mut left, ids);
            }
            json::compare(&left, &right, order(&asked.target), finder);
        }
        // neither can be read: they are the same if they are to the letter
        (Err(_), Err(_)) => texts(left, right, ids, finder),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => {
            let (left, right) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
            let (left, right) = (Some(Raw::Text(&left)), Some(Raw::Text(&right)));
            finder.note(field::BODY.into(), (Kind::Type, Cause::Answer), left, right);
        }
    }
    Body::Compared
}

fn texts(primary: &[u8], staging: &[u8], ids: &Ids, finder: &mut Finder) {
    let mut note = |cause, left: &str, right: &str| {
        finder.note(field::BODY.into(), (Kind::Changed, cause), Some(Raw::Text(left)), Some(Raw::Text(right)));
    };
    let (Ok(left), Ok(right)) = (std::str::from_utf8(primary), std::str::from_utf8(staging)) else {
        if primary != staging {
            note(Cause::Answer, &String::from_utf8_lossy(primary), &String::from_utf8_lossy(staging));
        }
        return;
    };
    let left = ids.renamed(left);
    if left == right {
        return;
    }
    let is_noise = noise::form(field::BODY, &left) == noise::form(field::BODY, right);
    note(if is_noise { Cause::Noise } else { Cause::Answer }, &left, right);
}

/// Returns the media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Tells whether the query asks for an order.
fn order(target: &str) -> Order {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let is_order = |part: &str| matches!(part.split('=').next(), Some("sort" | "sort_key" | "sort_dir"));
    if query.split('&').any(is_order) { Order::Asked } else { Order::Any }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::HeaderValue;
    use http::Method;
    use http::StatusCode;
    use http::header::ALLOW;
    use http::header::CONTENT_TYPE;
    use proptest::prelude::Just;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::prop_assert_eq;
    use proptest::prop_oneof;
    use proptest::proptest;
    use serde_json::Value;
    use serde_json::json;

    use super::Terms;
    use super::compare;
    use crate::diff::answered::Answered;
    use crate::diff::answered::Content;
    use crate::diff::asked::Asked;
    use crate::diff::found::Body;
    use crate::diff::found::Cause;
    use crate::diff::found::Comparison;
    use crate::diff::found::Kind;
    use crate::diff::found::MAX_FOUND;
    use crate::diff::ids::Ids;
    use crate::diff::shown::Values;
    use crate::openstack::request_id::RequestId;

    const HEADERS: [HeaderName; 2] = [CONTENT_TYPE, ALLOW];

    fn asked(target: &str) -> Asked {
        Asked {
            request_id: RequestId::random(),
            method: Method::GET,
            route: "/v2/images",
            target: target.into(),
            project: None,
        }
    }

    fn answered(status: u16, media_type: &'static str, body: &str) -> Answered {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let status = StatusCode::from_u16(status).expect("a status");
        Answered { status, headers, body: Content::Whole(body.to_owned().into()) }
    }

    fn json_of(value: &Value) -> Answered {
        answered(200, "application/json", &value.to_string())
    }

    fn found(target: &str, primary: &Answered, staging: &Answered, ids: &Ids) -> Comparison {
        let terms = Terms { headers: &HEADERS, ids, values: Values::Safe };
        compare(&asked(target), primary, staging, terms)
    }

    /// Returns what differs and is no noise.
    fn counted(comparison: &Comparison) -> Vec<(&str, Kind)> {
        let differs = comparison.found.iter().filter(|found| found.cause == Cause::Answer);
        differs.map(|found| (found.field.as_str(), found.kind)).collect()
    }

    fn differs(primary: &Value, staging: &Value) -> Vec<(String, Kind)> {
        let comparison = found("/v2/images", &json_of(primary), &json_of(staging), &Ids::default());
        counted(&comparison).into_iter().map(|(field, kind)| (field.to_owned(), kind)).collect()
    }

    #[test]
    fn each_kind_of_difference_is_told_with_its_field() {
        let image = |more: Value| json!({"images": [more, {"id": "b"}]});
        for (primary, staging, expected) in [
            (
                json!({"id": "a", "status": "active"}),
                json!({"id": "a", "status": "queued"}),
                ("/images/*/status", Kind::Changed),
            ),
            (json!({"id": "a", "x": 1}), json!({"id": "a"}), ("/images/*/x", Kind::Missing)),
            (json!({"id": "a"}), json!({"id": "a", "x": 1}), ("/images/*/x", Kind::Added)),
            (json!({"id": "a", "x": 1}), json!({"id": "a", "x": "1"}), ("/images/*/x", Kind::Type)),
            (json!({"id": "a", "x": null}), json!({"id": "a", "x": "1"}), ("/images/*/x", Kind::Changed)),
            (
                json!({"id": "a", "tags": ["x", "x"]}),
                json!({"id": "a", "tags": ["x"]}),
                ("/images/*/tags/*", Kind::Missing),
            ),
            (
                json!({"id": "a", "l": [{"m": 1}]}),
                json!({"id": "a", "l": [{"m": 2}]}),
                ("/images/*/l/*/m", Kind::Changed),
            ),
            (
                json!({"id": "a", "created_at": "2026-01-01T00:00:00Z"}),
                json!({"id": "a", "created_at": "yesterday"}),
                ("/images/*/created_at", Kind::Changed),
            ),
        ] {
            assert_eq!(differs(&image(primary), &image(staging)), [(expected.0.to_owned(), expected.1)]);
        }
        assert_eq!(differs(&json!([]), &json!({})), [("/".to_owned(), Kind::Type)]);
        assert_eq!(differs(&json!({"a": 1}), &json!({"a": 1.0})), []);
    }

    #[test]
    fn another_order_counts_only_where_it_was_asked_for() {
        let primary = json_of(&json!({"images": [{"id": "a", "tags": ["x", "y"]}, {"id": "b"}]}));
        let staging = json_of(&json!({"images": [{"id": "b"}, {"id": "a", "tags": ["y", "x"]}]}));
        let none = Ids::default();
        let plain = found("/v2/images?limit=2", &primary, &staging, &none);
        assert_eq!((counted(&plain), plain.found.len()), (vec![], 2));
        for query in ["sort=name:asc", "limit=1&sort_key=name", "sort_dir=asc"] {
            let sorted = found(&format!("/v2/images?{query}"), &primary, &staging, &none);
            assert_eq!(counted(&sorted), [("/images", Kind::Order)], "{query}");
        }
    }

    #[test]
    fn other_statuses_and_other_media_types_are_one_difference() {
        let none = Ids::default();
        let (big, small) = (json!({"a": 1, "b": 2}).to_string(), json!({"c": 3}).to_string());
        let refused = found("/", &answered(403, "text/html", &big), &answered(404, "application/json", &small), &none);
        assert_eq!((counted(&refused), refused.body), (vec![("status", Kind::Changed)], Body::OtherAnswer));
        assert_eq!(refused.found[0].primary.as_deref(), Some("403"));
        let typed = found("/", &answered(200, "text/html", &big), &answered(200, "application/json", &small), &none);
        assert_eq!(counted(&typed), [("header:content-type", Kind::Changed)]);
        // also where nobody chose that header
        let terms = Terms { headers: &[], ids: &none, values: Values::Safe };
        let typed =
            compare(&asked("/"), &answered(200, "text/html", &big), &answered(200, "application/json", &small), terms);
        assert_eq!(counted(&typed), [("header:content-type", Kind::Changed)]);
    }

    #[test]
    fn what_was_not_kept_is_never_said_to_be_equal() {
        let whole = answered(200, "application/json", "{}");
        let with = |body| Answered { body, ..whole.clone() };
        let none = Ids::default();
        for (body, expected) in [(Content::Unread, Body::Unread), (Content::TooLong, Body::TooLong)] {
            assert_eq!(found("/", &whole, &with(body.clone()), &none).body, expected);
            assert_eq!(found("/", &with(body.clone()), &with(body), &none).body, expected);
        }
        let mut encoded = whole.clone();
        encoded.headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(found("/", &whole, &encoded, &none).body, Body::Encoded);
    }

    #[test]
    fn text_is_compared_with_its_ids_renamed() {
        let ids = Ids::new([("image-a".to_owned(), "image-b".to_owned())]);
        let page = |id: &str| answered(404, "text/html; charset=UTF-8", &format!("<p>No image {id} found.</p>"));
        assert_eq!(counted(&found("/", &page("image-a"), &page("image-b"), &ids)), []);
        assert_eq!(counted(&found("/", &page("image-b"), &page("image-a"), &ids)), [("body", Kind::Changed)]);
        let broken = answered(200, "application/json", "{");
        let whole = answered(200, "application/json", "{}");
        assert_eq!(counted(&found("/", &whole, &broken, &ids)), [("body", Kind::Type)]);
        assert_eq!(counted(&found("/", &broken, &broken, &ids)), []);
    }

    #[test]
    fn headers_are_compared_as_lists_and_a_lost_one_is_told() {
        let none = Ids::default();
        let with = |values: &[&'static str]| {
            let mut answered = answered(200, "application/json", "{}");
            for value in values {
                answered.headers.append(ALLOW, HeaderValue::from_static(value));
            }
            answered
        };
        assert_eq!(counted(&found("/", &with(&["GET, PUT"]), &with(&["PUT", "GET"]), &none)), []);
        assert_eq!(counted(&found("/", &with(&["GET"]), &with(&[]), &none)), [("header:allow", Kind::Missing)]);
        assert_eq!(counted(&found("/", &with(&[]), &with(&["GET"]), &none)), [("header:allow", Kind::Added)]);
    }

    #[test]
    fn a_thousand_differences_are_a_bounded_list_and_one_field_is_one() {
        let wide = |add: u32| (0..1000).map(|number| (format!("p{number}"), json!(number + add))).collect::<Value>();
        let comparison = found("/", &json_of(&wide(0)), &json_of(&wide(1)), &Ids::default());
        assert_eq!((comparison.found.len(), comparison.is_cut), (MAX_FOUND, true));
        let long = |status: &str| {
            let images: Vec<Value> = (0..1000).map(|id| json!({"id": id.to_string(), "status": status})).collect();
            json_of(&json!({"images": images}))
        };
        let comparison = found("/", &long("active"), &long("queued"), &Ids::default());
        assert_eq!(counted(&comparison), [("/images/*/status", Kind::Changed)]);
        assert_eq!((comparison.found[0].times, comparison.is_cut), (1000, false));
        let deep = "[".repeat(100) + "1" + &"]".repeat(100);
        let deeper = deep.replace('1', "2");
        let (deep, deeper) = (answered(200, "application/json", &deep), answered(200, "application/json", &deeper));
        assert!(!counted(&found("/", &deep, &deeper, &Ids::default())).is_empty());
    }

    /// A document like those of Glance, and like none: lists of all kinds, names of noise, ids.
    fn document() -> impl Strategy<Value = Value> {
        let name =
            || prop_oneof![Just("status"), Just("x"), Just("owner"), Just("os_y"), Just("members"), Just("name")];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..5_u32).prop_map(Value::from),
            (0..4_u8).prop_map(|number| Value::from(format!("text{number}"))),
            (0..4_u8).prop_map(|number| Value::from(format!("id{number}"))),
        ];
        let inner = leaf.prop_recursive(4, 24, 4, move |inner| {
            let noise = (0..28_u8, 0..4_u8).prop_map(|(day, id)| {
                json!({
                    "created_at": format!("2026-02-{:02}T00:00:00Z", day + 1),
                    "self": format!("http://primary:9292/v2/images/id{id}"),
                })
            });
            let fields = proptest::collection::btree_map(name(), inner.clone(), 0..4);
            let fields = (fields, noise).prop_map(|(fields, mut noise)| {
                let object = noise.as_object_mut().expect("an object");
                object.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
                noise
            });
            let named = proptest::collection::vec(fields.clone(), 0..4).prop_map(|mut items| {
                for (index, item) in items.iter_mut().enumerate() {
                    item["id"] = format!("id{index}").into();
                }
                Value::from(items)
            });
            prop_oneof![fields, named, proptest::collection::vec(inner, 0..4).prop_map(Value::from)]
        });
        proptest::collection::btree_map("[a-z]{1,6}", inner, 1..4).prop_map(|fields| fields.into_iter().collect())
    }

    /// Returns the same from another place, at another time: lists turned round, dates moved, hosts and ids others.
    fn elsewhere(name: &str, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().rev().map(|item| elsewhere(name, item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), elsewhere(name, value))).collect()
            }
            Value::String(text) if name == "created_at" => text.replace("2026-02", "2024-01").into(),
            Value::String(text) => {
                text.replace("http://primary:9292/v2/", "https://staging/image/v2.9/").replace("id", "other-").into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn ids() -> Ids {
        Ids::new((0..4).map(|number| (format!("id{number}"), format!("other-{number}"))))
    }

    /// Returns the fields of all leaves, each with a pointer to it (RFC 6901).
    fn leaves(value: &Value, pointer: &str, field: &str, found: &mut Vec<(String, String)>) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    leaves(item, &format!("{pointer}/{index}"), &format!("{field}/*"), found);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    leaves(value, &format!("{pointer}/{name}"), &format!("{field}/{name}"), found);
                }
            }
            _ => found.push((pointer.to_owned(), field.to_owned())),
        }
    }

    fn changed(leaf: &Value) -> Value {
        match leaf {
            Value::Null => "new".into(),
            Value::Bool(value) => (!value).into(),
            Value::Number(number) => (number.as_u64().unwrap_or_default() + 100).into(),
            Value::String(text) => format!("{text}-new").into(),
            Value::Array(_) | Value::Object(_) => Value::Null,
        }
    }

    proptest! {
        #[test]
        fn what_is_the_same_elsewhere_differs_in_nothing_that_counts(document in document()) {
            let comparison = found("/", &json_of(&document), &json_of(&elsewhere("", &document)), &ids());
            prop_assert_eq!(counted(&comparison), vec![]);
            let same = found("/", &json_of(&document), &json_of(&document), &Ids::default());
            prop_assert!(same.found.is_empty() && !same.is_cut);
        }

        #[test]
        fn a_leaf_that_changed_is_always_found_where_it_is(document in document(), at in any::<proptest::sample::Index>()) {
            let mut all = Vec::new();
            leaves(&document, "", "", &mut all);
            if all.is_empty() {
                return Ok(());
            }
            let (pointer, field) = at.get(&all);
            let mut other = elsewhere("", &document);
            // the same place, in lists that were turned round
            let mut place = &mut other;
            let mut original = &document;
            for step in pointer.split('/').skip(1) {
                let turned = original.as_array().map(|items| items.len() - 1 - step.parse::<usize>().expect("an index"));
                original = original.pointer(&format!("/{step}")).expect("a place");
                let step = turned.map_or(step.to_owned(), |index| index.to_string());
                place = place.pointer_mut(&format!("/{step}")).expect("a place");
            }
            *place = changed(place);
            let comparison = found("/", &json_of(&document), &json_of(&other), &ids());
            let counted = counted(&comparison);
            prop_assert!(!counted.is_empty());
            // what names an object, or stands in a list without names, is told with what it is in
            let is_there = |known: &str| known == field || field.starts_with(&format!("{known}/")) || known.starts_with(&format!("{field}/"));
            prop_assert!(counted.iter().all(|(known, _)| is_there(known)), "{} is not {:?}", field, counted);
        }
    }
}
