//! `glance-gate shadow`: what staging answers otherwise than the primary.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Subcommand;
use glance_gate::diff::ignore::Rules;
use glance_gate::diff::ignore_file;
use glance_gate::review::differences;
use glance_gate::review::differences::Differences;
use glance_gate::review::differences_report::Report;
use glance_gate::telemetry::timestamp;

use crate::command::EXIT_MISTAKES;
use crate::command::EXIT_UNUSABLE;
use crate::command::read_lines;
use crate::command::shadow_replay;
use crate::command::tell_further;
use crate::command::write_report;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Rank recorded differences: exit code 0 if none counts, 1 if some do, 2 if the lines or the rules can not be used
    Report(Arguments),
    /// Ask recorded calls again, of staging, and rank what it answers otherwise; exit codes as of report
    Replay(Box<shadow_replay::Arguments>),
}

/// The arguments of the report.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files of differences, as the gate has them written, also those that were renamed; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    judged: Judged,
}

/// What counts, and how it is told.
#[derive(Debug, clap::Args)]
pub struct Judged {
    /// Rules for what is known, in the place of those that were in force when the lines were written
    #[arg(long, value_name = "FILE")]
    ignore: Option<PathBuf>,
    /// How many differences may count
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_differences: u64,
    /// Look only at lines that were written then or later, such as 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Does what was asked for.
///
/// # Errors
/// Fails if a file can not be read, if there is nothing in it, or if nobody reads the report.
pub fn run(command: &Command) -> io::Result<ExitCode> {
    match command {
        Command::Report(arguments) => report_on(&arguments.files, &arguments.judged),
        Command::Replay(arguments) => shadow_replay::run(arguments),
    }
}

/// Ranks what differs.
///
/// # Errors
/// As [`run`].
pub fn report_on(files: &[PathBuf], judged: &Judged) -> io::Result<ExitCode> {
    let rules = match &judged.ignore {
        None => None,
        Some(path) => match rules(path)? {
            Some(rules) => Some(rules),
            None => return Ok(ExitCode::from(EXIT_UNUSABLE)),
        },
    };
    let mut differences = Differences::new(rules, judged.since, SystemTime::now());
    let bad = read_lines(files, differences::parse, |_, _, line| differences.take(&line))?;
    tell_further(bad);
    if differences.tally.lines == 0 {
        // that nothing was compared is no proof that nothing differs
        return Err(io::Error::other("there is no pair of answers to report on"));
    }
    let report = Report::new(&differences, bad);
    write_report(&report, judged.json, Report::to_text)?;
    Ok(if bad > 0 {
        ExitCode::from(EXIT_UNUSABLE)
    } else if report.is_beyond(judged.max_differences) {
        ExitCode::from(EXIT_MISTAKES)
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads rules, or tells all mistakes in them.
fn rules(path: &Path) -> io::Result<Option<Rules>> {
    let file = path.display();
    let text = fs::read_to_string(path).map_err(|error| io::Error::other(format!("{file}: {error}")))?;
    Ok(ignore_file::parse(&text)
        .inspect_err(|mistakes| {
            for mistake in mistakes {
                eprintln!("{file}:{mistake}");
            }
            eprintln!("glance-gate: {} mistake(s) in the rules", mistakes.len());
        })
        .ok()
        .map(|rules| Rules::new(&rules, None)))
}

/// Reads a moment or the beginning of a day.
fn moment(text: &str) -> Result<SystemTime, String> {
    timestamp::parse(text)
        .or_else(|| timestamp::parse(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "neither a day nor a moment of RFC 3339".into())
}
