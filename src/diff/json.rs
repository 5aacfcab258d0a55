//! Two values of JSON (RFC 8259), compared by their structure.
//!
//! Objects in a list are found again by what names them, and all else in lists is compared without its order, so that a
//! list in another order says the same.

use std::collections::BTreeMap;
use std::collections::HashMap;

use serde_json::Map;
use serde_json::Number;
use serde_json::Value;

use crate::diff::field;
use crate::diff::field::Step;
use crate::diff::found::Cause;
use crate::diff::found::Finder;
use crate::diff::found::Kind;
use crate::diff::ids::Ids;
use crate::diff::noise;
use crate::diff::shown::Raw;

/// Whether the order of lists was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nobody asked for one.
    Any,
    /// The query did.
    Asked,
}

/// What names an object of a list, the first that names all of them.
const KEYS: [&str; 7] = ["id", "member_id", "image_id", "namespace", "name", "rel", "url"];

/// Compares two values from their roots.
struct Walk<'a, 'f> {
    steps: Vec<Step<'a>>,
    order: Order,
    finder: &'f mut Finder,
}

/// Compares two documents.
pub fn compare(primary: &Value, staging: &Value, order: Order, finder: &mut Finder) {
    Walk { steps: Vec::new(), order, finder }.values(primary, staging);
}

/// Puts the ids of staging in the place of the primary's, in all texts and names.
pub fn rename(value: &mut Value, ids: &Ids) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(renamed) = ids.renamed(text) {
                *text = renamed;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, ids)),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(name, mut value)| {
                    rename(&mut value, ids);
                    (ids.renamed(&name).into_owned(), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl<'a> Walk<'a, '_> {
    fn values(&mut self, primary: &'a Value, staging: &'a Value) {
        match (primary, staging) {
            (Value::Object(left), Value::Object(right)) => self.objects(left, right),
            (Value::Array(left), Value::Array(right)) => self.arrays(left, right),
            (Value::String(left), Value::String(right)) => self.texts(left, right),
            (Value::Number(left), Value::Number(right)) if is_same_number(left, right) => {}
            (Value::Bool(left), Value::Bool(right)) if left == right => {}
            (Value::Null, Value::Null) => {}
            (Value::Number(_), Value::Number(_))
            | (Value::Bool(_), Value::Bool(_))
            | (Value::Null, _)
            | (_, Value::Null) => self.note(Kind::Changed, Some(primary), Some(staging)),
            (Value::Object(_) | Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_), _) => {
                self.note(Kind::Type, Some(primary), Some(staging));
            }
        }
    }

    fn note(&mut self, kind: Kind, primary: Option<&Value>, staging: Option<&Value>) {
        let field = field::of(&self.steps);
        self.finder.note(field, (kind, Cause::Answer), primary.map(Raw::Json), staging.map(Raw::Json));
    }

    fn texts(&mut self, primary: &str, staging: &str) {
        if primary == staging {
            return;
        }
        let name = field::name(&self.steps);
        let is_noise = noise::form(name, primary) == noise::form(name, staging);
        let cause = if is_noise { Cause::Noise } else { Cause::Answer };
        let (left, right) = (Raw::Text(primary), Raw::Text(staging));
        self.finder.note(field::of(&self.steps), (Kind::Changed, cause), Some(left), Some(right));
    }

    fn objects(&mut self, primary: &'a Map<String, Value>, staging: &'a Map<String, Value>) {
        for (name, value) in primary {
            self.steps.push(Step::Name(name));
            match staging.get(name) {
                Some(other) => self.values(value, other),
                None => self.note(Kind::Missing, Some(value), None),
            }
            self.steps.pop();
        }
        for (name, value) in staging.iter().filter(|(name, _)| !primary.contains_key(*name)) {
            self.steps.push(Step::Name(name));
            self.note(Kind::Added, None, Some(value));
            self.steps.pop();
        }
    }

    fn arrays(&mut self, primary: &'a [Value], staging: &'a [Value]) {
        let keyed = KEYS.iter().find_map(|key| Some((by_key(primary, key)?, by_key(staging, key)?)));
        self.steps.push(Step::Item);
        let is_in_order = match keyed {
            Some((left, right)) => self.named_items(&left, &right),
            None => self.other_items(primary, staging),
        };
        self.steps.pop();
        if !is_in_order {
            // what is sorted is the list that was asked for, not those within its items
            let is_asked = self.order == Order::Asked && self.steps.len() == 1;
            let cause = if is_asked { Cause::Answer } else { Cause::Noise };
            self.finder.note(field::of(&self.steps), (Kind::Order, cause), None, None);
        }
    }

    /// Compares objects that have the same name; tells whether those that both lists have stand in the same order.
    fn named_items(&mut self, primary: &Named<'a>, staging: &Named<'a>) -> bool {
        let mut shared = Vec::new();
        for (key, (place, item)) in primary {
            match staging.get(key) {
                Some((other_place, other)) => {
                    shared.push((*place, *other_place));
                    self.values(item, other);
                }
                None => self.note(Kind::Missing, Some(item), None),
            }
        }
        for (_, (_, item)) in staging.iter().filter(|(key, _)| !primary.contains_key(*key)) {
            self.note(Kind::Added, None, Some(item));
        }
        shared.sort_unstable();
        shared.is_sorted_by_key(|(_, other_place)| *other_place)
    }

    /// Compares what has no names: takes away what both lists have, and compares the rest one by one.
    fn other_items(&mut self, primary: &'a [Value], staging: &'a [Value]) -> bool {
        let name = field::name(&self.steps);
        let forms = |items: &[Value]| items.iter().map(|item| form(name, item)).collect::<Vec<String>>();
        let (left_forms, right_forms) = (forms(primary), forms(staging));
        let mut unmatched: HashMap<&str, Vec<&'a Value>> = HashMap::new();
        for (form, item) in right_forms.iter().zip(staging).rev() {
            unmatched.entry(form).or_default().push(item);
        }
        let mut left: BTreeMap<&str, Vec<&'a Value>> = BTreeMap::new();
        for (form, item) in left_forms.iter().zip(primary) {
            if unmatched.get_mut(form.as_str()).and_then(Vec::pop).is_none() {
                left.entry(form).or_default().push(item);
            }
        }
        let right: BTreeMap<&str, Vec<&'a Value>> =
            unmatched.into_iter().filter(|(_, items)| !items.is_empty()).collect();
        if left.is_empty() && right.is_empty() {
            return left_forms == right_forms;
        }
        self.leftovers(left.into_values().flatten(), right.into_values().flatten());
        true
    }

    fn leftovers(&mut self, primary: impl Iterator<Item = &'a Value>, staging: impl Iterator<Item = &'a Value>) {
        let is_whole = |value: &&Value| value.is_object() || value.is_array();
        let (left_parts, left): (Vec<&Value>, Vec<&Value>) = primary.partition(is_whole);
        let (right_parts, right): (Vec<&Value>, Vec<&Value>) = staging.partition(is_whole);
        for (one, other) in left_parts.iter().zip(&right_parts) {
            self.values(one, other);
        }
        for item in left_parts.iter().skip(right_parts.len()).chain(&left) {
            self.note(Kind::Missing, Some(item), None);
        }
        for item in right_parts.iter().skip(left_parts.len()).chain(&right) {
            self.note(Kind::Added, None, Some(item));
        }
    }
}

/// Objects of a list by what names them, with their places.
type Named<'a> = BTreeMap<&'a str, (usize, &'a Value)>;

/// Finds objects by this key; nothing if one is no object, lacks it, or two have the same. An empty list has any key.
fn by_key<'a>(items: &'a [Value], key: &str) -> Option<Named<'a>> {
    let mut named = Named::new();
    for (place, item) in items.iter().enumerate() {
        let name = item.as_object()?.get(key)?.as_str()?;
        if named.insert(name, (place, item)).is_some() {
            return None;
        }
    }
    Some(named)
}

/// Returns a text that is the same for values that differ by noise alone.
fn form(name: &str, value: &Value) -> String {
    let mut out = String::new();
    write_form(name, value, &mut out);
    out
}

fn write_form(name: &str, value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(&Value::from(noise::form(name, text).as_ref()).to_string());
        }
        Value::Array(items) => {
            let mut forms: Vec<String> = items.iter().map(|item| form(name, item)).collect();
            forms.sort_unstable();
            out.push('[');
            out.push_str(&forms.join(","));
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in fields {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_form(name, value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Number(number) => {
            // 1 and 1.0 are the same number
            match number.as_f64().filter(|_| number.is_f64()) {
                Some(float) => out.push_str(&float.to_string()),
                None => out.push_str(&number.to_string()),
            }
        }
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
}

fn is_same_number(left: &Number, right: &Number) -> bool {
    left == right || (left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64()
}
