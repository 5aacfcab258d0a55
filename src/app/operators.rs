//! What only the gate itself knows, looked up for its operators: conditions, settings, bounds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use tokio_util::sync::CancellationToken;

use crate::app::generation::Current;
use crate::app::generation::Generation;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::page::Page;
use crate::page::compose::Facts;
use crate::page::compose::Memory;
use crate::page::compose::RuleSetting;
use crate::page::decision::Decision;
use crate::page::document::Condition;
use crate::page::document::Gate;
use crate::page::document::KillSwitch;
use crate::page::reading::Reading;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::rules::kill_switch::Hand;
use crate::rules::record::Record;
use crate::server::admin::Probe;

/// How many decisions are shown of a kind.
const SHOWN: usize = 30;
/// Among how many of the latest decisions refusals are looked for.
const LOOKED_AT: usize = 120;

/// Makes the operators' page.
pub fn page(current: Arc<Current>, stop: CancellationToken) -> Page {
    let named = current.clone();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let probes: Arc<[Probe]> = probes(current.clone(), stop).into();
    let counted = current.load().built.metrics.clone();
    let judged = current.clone();
    let look = move || {
        let (generation, probes) = (current.load(), probes.clone());
        async move { facts(&generation, &probes, started).await }
    };
    let read = move || Reading::of(&counted.encode());
    let differences = move || judged.load().built.shadow.judge.overview();
    Page::new(read, look, move || named.load().config.admin_names.clone(), differences)
}

/// Makes the conditions of readiness.
pub fn probes(current: Arc<Current>, stop: CancellationToken) -> Vec<Probe> {
    let (upstreams, all, tokens) = (current.clone(), current.clone(), current.clone());
    let (gates, bus, policies) = (current.clone(), current.clone(), current);
    vec![
        Probe {
            name: "upstream",
            is_required: true,
            look: Box::new(move || upstreams.load().built.balance.any_healthy()),
        },
        Probe {
            name: "all upstreams in use",
            is_required: false,
            look: Box::new(move || all.load().built.balance.all_in_use()),
        },
        Probe { name: "not draining", is_required: true, look: Box::new(move || !stop.is_cancelled()) },
        Probe {
            name: "own keystone token",
            is_required: false,
            look: Box::new(move || tokens.load().built.has_own_token.load(Ordering::Relaxed)),
        },
        Probe {
            name: "other gates, if any",
            is_required: false,
            look: Box::new(move || gates.load().built.fleet.reaches_gates()),
        },
        Probe {
            name: "notifications, if any",
            is_required: false,
            look: Box::new(move || bus.load().built.fleet.reaches_bus()),
        },
        Probe {
            name: "policy files in use",
            is_required: false,
            look: Box::new(move || policies.load().built.policy_in_use.load(Ordering::Relaxed)),
        },
    ]
}

async fn facts(generation: &Generation, probes: &[Probe], started: u64) -> Facts {
    let (config, built) = (&generation.config, &generation.built);
    Facts {
        gate: Gate {
            version: env!("CARGO_PKG_VERSION"),
            started,
            revision: generation.revision.clone(),
            generation: generation.number,
            reloads: 0,
            reloads_refused: 0,
            profile: profile(config.profile).into(),
            enforcement: config.rules.default.to_string(),
            workers: built.workers(),
            listen: config.server.listen.to_string(),
        },
        probes: probes
            .iter()
            .map(|probe| Condition { name: probe.name, is_required: probe.is_required, passes: (probe.look)() })
            .collect(),
        kill_switch: kill_switch(&built.rules),
        rules: rules(&built.rules),
        keystone: (config.keystone.auth_url.clone(), built.has_own_token.load(Ordering::Relaxed)),
        memories: memories(generation).await,
        refusals: refusals(&built.rules),
        disagreements: built.rules.disagreements(SHOWN).into_iter().map(decision).collect(),
        settings: config.settings.clone(),
    }
}

/// Tells how every reason is set: the rules as the operator wants them, the others as nobody can change them.
fn rules(rules: &Rules) -> Vec<RuleSetting> {
    let told = |refusal: Refusal, mode: &str, setting: String| RuleSetting {
        reason: refusal.reason(),
        status: refusal.status().as_u16(),
        mode: mode.into(),
        setting,
    };
    let fixed = Refusal::ALL.iter().filter(|refusal| !refusal.is_rule());
    rules
        .overview()
        .map(|rule| told(rule.refusal, rule.mode, rule.setting.to_string()))
        .chain(fixed.map(|refusal| told(*refusal, "always", "always".into())))
        .collect()
}

fn kill_switch(rules: &Rules) -> KillSwitch {
    let switch = rules.kill_switch();
    let held_by = Hand::ALL.into_iter().filter(|hand| switch.is_held_by(*hand)).map(Hand::as_str).collect();
    KillSwitch { is_on: switch.is_on(), held_by }
}

/// Returns what is shown of a kept decision.
fn decision(record: Arc<Record>) -> Decision {
    let record = Arc::unwrap_or_clone(record);
    Decision {
        time: record.time,
        request_id: record.request_id,
        verdict: record.verdict,
        rule: record.rule,
        would_answer: record.would_answer,
        upstream_status: record.upstream_status,
        status: record.status,
        agree: record.agree,
        cause: record.cause,
        image: record.inputs.image,
        member: record.inputs.member,
        project: record.inputs.project,
        token_age_ms: record.inputs.token_age_ms,
        ownership_age_ms: record.inputs.ownership_age_ms,
    }
}

/// Returns the latest refusals, answered or only told.
fn refusals(rules: &Rules) -> Vec<Decision> {
    let refused = rules.decisions(LOOKED_AT).into_iter().filter(|record| record.rule.is_some());
    refused.take(SHOWN).map(decision).collect()
}

/// Tells what each memory may hold, and about how much it does.
async fn memories(generation: &Generation) -> Vec<Memory> {
    let (built, config) = (&generation.built, &generation.config);
    let vouched = |name, entries| Memory {
        name,
        entries,
        max_entries: config.keystone.token_cache_entries,
        max_age: config.keystone.token_cache_time,
        max_age_negative: config.keystone.negative_cache_time,
    };
    let mut memories = vec![vouched("token", built.verifier.remembered().await)];
    if let Some(issuers) = &built.issuers {
        memories.push(vouched("access_token", issuers.remembered().await));
    }
    memories.push(Memory {
        name: "ownership",
        entries: built.remembered_owners().await,
        max_entries: config.ownership.cache_entries,
        // give or take a tenth
        max_age: config.ownership.cache_time,
        max_age_negative: config.ownership.negative_cache_time,
    });
    memories
}

fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Documented => "documented",
        Profile::Glance(PolicyDefaults::New) => "glance, new policies",
        Profile::Glance(PolicyDefaults::Legacy) => "glance, legacy policies",
    }
}
