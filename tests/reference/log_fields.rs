//! Every field of the access log and of the decision log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use glance_gate::call::Account;
use glance_gate::edge::access_log;
use glance_gate::edge::access_log::Outcome;
use glance_gate::openstack::request_id::RequestId;
use glance_gate::peer::Peer;
use http::Request;
use http::StatusCode;
use serde_json::Value;
use tracing::Event;
use tracing::Metadata;
use tracing::Subscriber;
use tracing::span;

use crate::cell;
use crate::hold;
use crate::quoted;
use crate::table_below;

const RUNBOOK: &str = include_str!("../../deploy/RUNBOOK.md");
const DECISIONS: &str = include_str!("../../docs/DECISIONS.md");
const SCHEMA: &str = include_str!("../../docs/decision.schema.json");

/// Notes which fields the access log has, whether they apply or not.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<&'static str>>>);

impl Subscriber for Fields {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "access" {
            let names = event.metadata().fields().iter().map(|field| field.name());
            self.0.lock().expect("no panic").extend(names);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn access_fields() -> Vec<&'static str> {
    let fields = Fields::default();
    let (head, ()) = Request::builder().uri("/v2/images").body(()).expect("a request").into_parts();
    let account = Account::new(RequestId::random(), Peer::plain(Ipv4Addr::LOCALHOST.into()), &head);
    let outcome = Outcome { status: StatusCode::OK, bytes: 0, whole: true, took: Duration::ZERO };
    tracing::subscriber::with_default(fields.clone(), || access_log::write(&account, &outcome));
    let fields = fields.0.lock().expect("no panic").clone();
    assert!(fields.contains(&"request_id"), "{fields:?}");
    fields
}

/// Returns what a document says of each field of a table, by the field's name.
fn explained(document: &'static str, heading: &str) -> BTreeMap<String, Vec<String>> {
    let rows = table_below(document, heading);
    rows.into_iter()
        .flat_map(|row| {
            let names: Vec<String> = quoted(&row[0]).into_iter().map(str::to_owned).collect();
            names.into_iter().map(move |name| (name, row[1..].to_vec()))
        })
        .collect()
}

/// Returns what a field of the decision log may be, in the schema's words.
fn form(field: &Value) -> String {
    let words = |value: &Value| match value {
        Value::Null => "null".to_owned(),
        value => format!("`{}`", value.to_string().trim_matches('"')),
    };
    if let Some(value) = field.get("const") {
        return words(value);
    }
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        return values.iter().map(words).collect::<Vec<_>>().join(", ");
    }
    match &field["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        kind => kind.as_str().expect("a type").to_owned(),
    }
}

/// Adds a row for each field of an object of the schema, in the order of a line.
fn rows(page: &mut String, prefix: &str, object: &Value, known: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut names = Vec::new();
    for name in object["required"].as_array().expect("every field is there").iter().filter_map(Value::as_str) {
        let (field, name) = (&object["properties"][name], format!("{prefix}{name}"));
        if field["type"] == "object" {
            names.extend(rows(page, &format!("{name}."), field, known));
            continue;
        }
        let cells = known.get(&name).unwrap_or_else(|| panic!("docs/DECISIONS.md does not explain {name}"));
        writeln!(page, "| `{name}` | {} | {} | {} |", cell(&form(field)), cells[1], cells[2]).expect("text");
        names.push(name);
    }
    names
}

#[test]
fn the_page_of_log_fields_is_what_the_code_writes() {
    let mut page = String::from(
        "# Log fields\n\n## Access log\n\nOne line a request, with `timestamp` and `level` before these. A field that does not \
         apply is left out. [deploy/RUNBOOK.md](../../deploy/RUNBOOK.md#how-to-read-a-line-of-the-access-log) shows a line, and \
         what a client leaves that hung up.\n\n| field | meaning |\n|---|---|\n",
    );
    let known = explained(RUNBOOK, "## How to read a line of the access log");
    let fields = access_fields();
    for field in &fields {
        if *field == "message" {
            writeln!(page, "| `message` | `request` |").expect("text");
            continue;
        }
        let cells = known.get(*field).unwrap_or_else(|| panic!("deploy/RUNBOOK.md does not explain the field {field}"));
        writeln!(page, "| `{field}` | {} |", cells[0]).expect("text");
    }
    let gone: Vec<_> = known.keys().filter(|name| name.contains('.') && !fields.contains(&name.as_str())).collect();
    assert!(gone.is_empty(), "deploy/RUNBOOK.md explains {gone:?}, which are not written");

    page.push_str(
        "\n## Decision log\n\nOne line a decision on a member update, if `[decisions] file` is set: \
         [docs/DECISIONS.md](../DECISIONS.md). Every field is always there, and null where it does not apply.\n\n\
         | field | values | meaning | null when |\n|---|---|---|---|\n",
    );
    let known = explained(DECISIONS, "## Fields");
    let names = rows(&mut page, "", &serde_json::from_str(SCHEMA).expect("JSON"), &known);
    let beside: Vec<_> = names.iter().filter(|name| !known.contains_key(*name)).collect();
    assert!(beside.is_empty(), "docs/DECISIONS.md lacks {beside:?}");
    hold("log-fields.md", &page);
}
