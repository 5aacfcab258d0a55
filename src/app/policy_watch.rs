//! Notices that Glance's policy files are other ones, and puts them to use: as Glance does, without being told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::app::generation::Current;
use crate::app::generation::Generation;
use crate::app::reload::Reloader;
use crate::glance::policy::Config;
use crate::oslo_policy::files::Notice;
use crate::oslo_policy::files::Stamps;

/// What a look at the files shows.
enum Look {
    /// Those in use, or others that were looked into before.
    Known,
    /// Others, which may still be being written.
    Moving(Stamps),
    /// Others, since the last look at least, and what they say.
    Changed(Stamps, Result<Config, Vec<Notice>>),
}

/// Looks at the files again and again, for as long as the gate runs.
pub async fn watch(current: Arc<Current>, reloader: Reloader) {
    // those that were looked into and are not used: bad ones, and others with the same rules
    let mut known = Stamps::default();
    let mut moving = Stamps::default();
    loop {
        tokio::time::sleep(current.load().config.policy.check_interval).await;
        let generation = current.load();
        let config = generation.config.policy.clone();
        if config.places.is_empty() {
            continue;
        }
        let (before, last) = (known.clone(), moving.clone());
        // disks are waited for, and nothing else may wait for them
        let looked = tokio::task::spawn_blocking(move || look(&config, &before, &last)).await;
        match looked.unwrap_or(Look::Known) {
            Look::Known => {}
            Look::Moving(stamps) => moving = stamps,
            Look::Changed(stamps, read) => {
                known = stamps;
                match read {
                    Ok(config) => apply(&generation, &reloader, config).await,
                    Err(wrong) => refuse(&generation, &wrong),
                }
            }
        }
    }
}

/// Reads the files if they are neither those in use nor the ones that were looked into before, and have come to rest:
/// one that is half written is a good file with fewer rules.
fn look(config: &Config, known: &Stamps, last: &Stamps) -> Look {
    let stamps = config.places.stamps();
    if stamps == config.stamps || stamps == *known {
        return Look::Known;
    }
    if stamps != *last {
        return Look::Moving(stamps);
    }
    let read = Config::read(config.places.clone(), config.scopes);
    Look::Changed(stamps, read.map(|read| Config { check_interval: config.check_interval, ..read }))
}

async fn apply(generation: &Generation, reloader: &Reloader, new: Config) {
    generation.built.policy_in_use.store(true, Ordering::Relaxed);
    let old = &generation.config.policy;
    if (&old.new, &old.legacy, &old.notices) == (&new.new, &new.legacy, &new.notices) {
        return;
    }
    let life = &generation.built.metrics.life;
    let applied = reloader.adjust(move |mut config| {
        // unless a reload in between has changed the section
        if (&config.policy.places, config.policy.scopes) == (&new.places, new.scopes) {
            config.policy = new;
        }
        config
    });
    match applied.await {
        Ok(_) => {
            life.policy_loaded("applied");
            tracing::info!("the policy files have changed: their rules are in use");
        }
        // it has told why
        Err(_) => life.policy_loaded("refused"),
    }
}

fn refuse(generation: &Generation, wrong: &[Notice]) {
    for notice in wrong {
        tracing::error!(%notice, "the policy files have changed and have a mistake");
    }
    tracing::error!("the policy files can not be used: the rules before them stay in use");
    generation.built.policy_in_use.store(false, Ordering::Relaxed);
    generation.built.metrics.life.policy_loaded("refused");
}
