//! What the commands share: the configuration, the environment, the exit codes.

pub mod adopt;
pub mod conform;
pub mod explain;
pub mod healthcheck;
pub mod manual;
pub mod order;
pub mod policy;
pub mod replay;
pub mod shadow;
pub mod shadow_replay;

use std::collections::BTreeSet;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use glance_gate::config::Config;
use glance_gate::config::load;
use glance_gate::config::mistake::Mistake;
use glance_gate::review::lines;
use glance_gate::rules::state;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

/// The configuration has mistakes, the gate is not well, or the demo's answers were not the documented ones.
pub const EXIT_MISTAKES: u8 = 1;
/// The configuration is well written but can not be used here, or the gate can not run.
pub const EXIT_UNUSABLE: u8 = 2;
/// How many bad lines are told one by one.
const MAX_TOLD: u64 = 20;

/// Loads the configuration, or tells all mistakes.
pub fn load_or_tell(path: &Path) -> Option<Config> {
    told(load::load(path, &environment()))
}

/// Loads a configuration to look at what it decides, or tells all mistakes.
pub fn load_decisions_or_tell(path: &Path) -> Option<Config> {
    told(load::load_without_secrets(path, &environment()))
}

fn told(loaded: Result<Config, Vec<Mistake>>) -> Option<Config> {
    loaded
        .inspect_err(|mistakes| {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            eprintln!("glance-gate: {} mistake(s) in the configuration", mistakes.len());
        })
        .ok()
}

/// Returns the variables of the environment that are text.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Makes the runtime of a command.
///
/// # Errors
/// Fails if the system has no room for it.
pub fn control_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Reads which rules have earned their enforcement, if the configuration says where that is written down.
///
/// # Errors
/// Fails if it is written down and can not be read.
pub fn earned(config: &Config) -> io::Result<BTreeSet<&'static str>> {
    let file = &config.rules.state_file;
    if file.as_os_str().is_empty() {
        return Ok(BTreeSet::new());
    }
    let standings = state::read(file).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
    let earned = standings.into_iter().filter(|(_, standing)| standing.is_enforced);
    Ok(earned.map(|(refusal, _)| refusal.reason()).collect())
}

/// Reads all lines of files; hands each on with the number of its file and its own, and tells what is wrong with the first
/// bad ones. Returns how many are bad.
///
/// # Errors
/// Fails if a file can not be read.
pub fn read_lines<T>(
    files: &[PathBuf],
    parse: impl Fn(&[u8]) -> Result<T, String>,
    mut take: impl FnMut(usize, u64, T),
) -> io::Result<u64> {
    let mut bad = 0;
    for (file, path) in files.iter().enumerate() {
        lines::read_file(path, &parse, |number, line| match line {
            Ok(line) => take(file, number, line),
            Err(why) => {
                bad += 1;
                if bad <= MAX_TOLD {
                    eprintln!("{}:{number}: {why}", path.display());
                }
            }
        })?;
    }
    Ok(bad)
}

/// Tells how many more lines are bad than were told one by one.
pub fn tell_further(bad: u64) {
    if bad > MAX_TOLD {
        eprintln!("glance-gate: and {} more such lines", bad - MAX_TOLD);
    }
}

/// Writes a report to standard output, as JSON or as the text that `to_text` makes of it.
///
/// # Errors
/// Fails if nobody reads it.
pub fn write_report<R: Serialize>(report: &R, as_json: bool, to_text: impl FnOnce(&R) -> String) -> io::Result<()> {
    let text = if as_json { serde_json::to_string_pretty(report)? + "\n" } else { to_text(report) };
    io::stdout().write_all(text.as_bytes())
}
