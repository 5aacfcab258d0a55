//! `glance-gate shadow replay`: recorded calls asked again of staging, and what it answers otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use glance_gate::app::replaying::Replaying;
use glance_gate::app::replaying::Totals;
use glance_gate::client::endpoint::Server;
use glance_gate::config::Config;
use glance_gate::shadow::config::Credentials;
use glance_gate::shadow::config::Twice;
use glance_gate::shadow::recorded::Recorded;
use glance_gate::telemetry::line_log::Destination;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Sender;

use crate::command::EXIT_UNUSABLE;
use crate::command::MAX_TOLD;
use crate::command::control_runtime;
use crate::command::load_or_tell;
use crate::command::read_lines;
use crate::command::shadow::Judged;
use crate::command::shadow::report_on;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files of calls, as [recording] file has them written, the file with the oldest first; - is standard input
    #[arg(value_name = "FILE", required = true)]
    recordings: Vec<PathBuf>,
    /// The configuration: [shadow] tells whom to ask, with whose credentials and which writes
    #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
    config: PathBuf,
    /// Whom to ask, in the place of [shadow] target
    #[arg(long, value_name = "URL", value_parser = server)]
    to: Option<String>,
    /// How many calls a second, at most
    #[arg(long, value_name = "CALLS", default_value = "20")]
    rate: NonZero<u32>,
    /// Where to write what differs, for `shadow report`; it must not be there yet
    #[arg(long, value_name = "FILE", default_value = "differences.jsonl")]
    out: PathBuf,
    #[command(flatten)]
    judged: Judged,
}

/// How many calls are read before they are asked.
const MAX_READ_AHEAD: usize = 64;
/// How far from its place a call may stand.
const MAX_OUT_OF_ORDER: usize = 256;

/// Why a call is not compared because the configuration says so.
const CHOSEN: [&str; 2] = ["project", "no_credential"];

/// Asks, waits, and reports.
///
/// # Errors
/// Fails if a file can not be read or written, if nothing could be compared, or if nobody reads the report.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let Some(config) = load_or_tell(&arguments.config) else { return Ok(ExitCode::from(EXIT_UNUSABLE)) };
    if fs::exists(&arguments.out)? {
        let out = arguments.out.display();
        return Err(io::Error::other(format!("{out} is there already: name another file with --out")));
    }
    if config.shadow.credentials == Credentials::Keep {
        return Err(io::Error::other("[shadow] credentials = \"keep\": the callers' tokens were not recorded"));
    }
    let replaying = Replaying::new(&adapted(config, arguments), arguments.rate)?;
    let (calls, read) = mpsc::channel(MAX_READ_AHEAD);
    let recordings = arguments.recordings.clone();
    let reading = thread::spawn(move || read_all(&recordings, &calls));
    let mut unusable = 0;
    let totals = control_runtime()?.block_on(replaying.run(read, |why| {
        unusable += 1;
        if unusable <= MAX_TOLD {
            eprintln!("a call is not asked again: {why}");
        }
    }));
    let bad = reading.join().map_err(|_| io::Error::other("the thread that reads has panicked"))??;
    let (asked, not_named) = (totals.asked, totals.not_named);
    eprintln!(
        "glance-gate: {asked} calls asked again; not asked: {not_named} writes that [shadow] writes does not name, \
         {unusable} that can not be asked again, {bad} lines that are none"
    );
    let lost = tell_lost(&totals);
    let code = report_on(std::slice::from_ref(&arguments.out), &arguments.judged)?;
    // what was not compared could differ
    Ok(if lost > 0 { ExitCode::from(EXIT_UNUSABLE) } else { code })
}

/// Tells what was not compared and not written; returns how much of it should have been.
fn tell_lost(totals: &Totals) -> u64 {
    if !totals.not_compared.is_empty() {
        let all: u64 = totals.not_compared.values().sum();
        let reasons: Vec<String> = totals.not_compared.iter().map(|(why, count)| format!("{why} {count}")).collect();
        eprintln!("glance-gate: {all} of them were not compared: {}", reasons.join(", "));
    }
    if totals.unwritten > 0 {
        eprintln!("glance-gate: {} lines of differences could not be written", totals.unwritten);
    }
    let lost = totals.not_compared.iter().filter(|(why, _)| !CHOSEN.contains(&why.as_str()));
    lost.map(|(_, count)| count).sum::<u64>() + totals.unwritten
}

/// Reads all calls; returns how many lines are none.
fn read_all(recordings: &[PathBuf], calls: &Sender<Recorded>) -> io::Result<u64> {
    // several calls are under way at once, so that one may have been written before one that was answered earlier
    let mut waiting = BTreeMap::new();
    // nobody listens any more if the replay has ended early
    let hand_on = |call: Option<(_, Recorded)>| {
        if let Some((_, call)) = call {
            drop(calls.blocking_send(call));
        }
    };
    let bad = read_lines(recordings, Recorded::parse, |file, number, call: Recorded| {
        waiting.insert((call.ended(), file, number), call);
        if waiting.len() > MAX_OUT_OF_ORDER {
            hand_on(waiting.pop_first());
        }
    })?;
    while !waiting.is_empty() {
        hand_on(waiting.pop_first());
    }
    Ok(bad)
}

/// Returns the configuration as a replay needs it.
fn adapted(mut config: Config, arguments: &Arguments) -> Config {
    if let Some(to) = &arguments.to {
        config.shadow.target.clone_from(to);
    }
    if config.shadow.twice == Twice::Primary {
        // the callers' tokens were not recorded
        config.shadow.twice = Twice::Off;
    }
    config.recording.destination = Destination::Off;
    config.shadow_diff.log.destination = Destination::File(arguments.out.clone());
    config.shadow_diff.log.rotate_at = 0;
    config
}

/// Reads the name of a server, as `[shadow] target` is written.
fn server(text: &str) -> Result<String, String> {
    match Server::parse(text) {
        Some(Server::Http(_) | Server::Https(_)) => Ok(text.trim_end_matches('/').to_owned()),
        Some(Server::Unix(_)) | None => Err("it must be http://host:port or https://host:port, without a path".into()),
    }
}
