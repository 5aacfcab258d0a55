//! `glance-gate replay`: what would change of recorded decisions under another configuration.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use glance_gate::review::lines;
use glance_gate::review::replay::Replay;
use glance_gate::review::report::Report;

use crate::command::EXIT_MISTAKES;
use crate::command::EXIT_UNUSABLE;
use crate::command::earned;
use crate::command::load_decisions_or_tell;
use crate::command::read_lines;
use crate::command::tell_further;
use crate::command::write_report;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files of decisions, as [decisions] file has them written; - is standard input
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    decisions: Vec<PathBuf>,
    /// The configuration to try; the gate's own credentials need not be there
    #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
    config: PathBuf,
    /// How many projects to tell of
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: usize,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
    /// Take a line that is no decision for an error
    #[arg(long)]
    strict: bool,
}

/// Replays.
///
/// # Errors
/// Fails if a file can not be read, or nobody reads the report.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let Some(config) = load_decisions_or_tell(&arguments.config) else { return Ok(ExitCode::from(EXIT_UNUSABLE)) };
    let mut replay = Replay::new(config.plan(earned(&config)?));
    let bad = read_lines(&arguments.decisions, lines::parse, |_, _, record| replay.take(&record))?;
    tell_further(bad);
    if replay.tally.decisions == 0 {
        return Err(io::Error::other("there is no decision to replay"));
    }
    let report = Report::new(&replay.tally, bad, arguments.top);
    write_report(&report, arguments.json, Report::to_text)?;
    Ok(if arguments.strict && bad > 0 {
        ExitCode::from(EXIT_UNUSABLE)
    } else if report.changed > 0 {
        ExitCode::from(EXIT_MISTAKES)
    } else {
        ExitCode::SUCCESS
    })
}
