//! What stands before Glance's API in its own process: the filters of `glance-api-paste.ini`.

use std::collections::BTreeSet;

use crate::adopt::ini::Entry;

/// The way of a request through Glance's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// The prefix of the API.
    pub mount: String,
    /// The filters by name, in their order, each with what makes it.
    pub filters: Vec<(String, String)>,
    /// The path of the health check, if there is one.
    pub healthcheck: Option<String>,
    /// Whether a call without a good token reaches Glance, which answers it itself.
    pub delays_auth_decision: bool,
}

/// Finds the pipeline of a flavor; nothing if the file has none.
pub fn find(entries: &[Entry], flavor: &str) -> Option<Pipeline> {
    let name = if flavor.is_empty() { "glance-api".to_owned() } else { format!("glance-api-{flavor}") };
    let mut pipeline = Pipeline::default();
    let mut apps = vec![name];
    let mut seen = BTreeSet::new();
    while let Some(app) = apps.pop() {
        if !seen.insert(app.clone()) {
            continue;
        }
        if let Some(written) = value(entries, &format!("pipeline:{app}"), "pipeline") {
            add_filters(entries, written, &mut pipeline);
            continue;
        }
        let composite = format!("composite:{app}");
        let factory =
            value(entries, &composite, "paste.composite_factory").or_else(|| value(entries, &composite, "use"))?;
        if factory.ends_with("pipeline_factory") {
            let key = if flavor.is_empty() { "default" } else { flavor };
            add_filters(entries, value(entries, &composite, key)?, &mut pipeline);
            continue;
        }
        for entry in entries.iter().filter(|entry| entry.section == composite && entry.key.starts_with('/')) {
            if entry.value == "healthcheck" {
                pipeline.healthcheck = Some(entry.key.clone());
            } else {
                let prefix = entry.key.trim_end_matches('/');
                if !prefix.is_empty() && pipeline.mount.is_empty() {
                    prefix.clone_into(&mut pipeline.mount);
                }
                apps.push(entry.value.clone());
            }
        }
    }
    (!pipeline.filters.is_empty()).then_some(pipeline)
}

fn add_filters(entries: &[Entry], written: &str, pipeline: &mut Pipeline) {
    let mut names: Vec<&str> = written.split_whitespace().collect();
    names.pop();
    for name in names {
        let section = format!("filter:{name}");
        let factory = value(entries, &section, "paste.filter_factory").or_else(|| value(entries, &section, "use"));
        let factory = factory.unwrap_or_default().to_owned();
        if factory.contains("auth_token") {
            let delays = value(entries, &section, "delay_auth_decision");
            pipeline.delays_auth_decision = delays.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        }
        if factory.contains("ealthcheck") {
            pipeline.healthcheck = Some(value(entries, &section, "path").unwrap_or("/healthcheck").to_owned());
        }
        pipeline.filters.push((name.to_owned(), factory));
    }
}

fn value<'a>(entries: &'a [Entry], section: &str, key: &str) -> Option<&'a str> {
    let found = entries.iter().rev().find(|entry| entry.section == section && entry.key == key);
    found.map(|entry| entry.value.as_str())
}
