//! `glance-gate conform`: whether an endpoint keeps the contract of member updates.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use glance_gate::conform;
use glance_gate::conform::Images;
use glance_gate::conform::Plan;
use glance_gate::conform::identities;
use glance_gate::conform::identities::Identities;
use glance_gate::conform::report::Detail;
use glance_gate::conform::vectors::Contract;
use glance_gate::conform::world::Publicity;

use crate::command::EXIT_MISTAKES;
use crate::command::EXIT_UNUSABLE;
use crate::command::control_runtime;
use crate::command::write_report;

/// The arguments.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The endpoint, such as `https://glance:9292`, with the prefix that it is served under
    #[arg(value_name = "URL")]
    url: String,
    /// Who asks; docs/CONFORM.md shows the file
    #[arg(long, value_name = "FILE")]
    identities: PathBuf,
    /// The contract that must be kept; without it, the one of a Glance's two that is kept best
    #[arg(long, value_enum, value_name = "NAME")]
    contract: Option<Named>,
    /// Certificates to trust, for the endpoint and for Keystone, instead of the system's
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Make one image public for a while, which everybody then sees; it takes an admin
    #[arg(long)]
    with_public: bool,
    /// Leave the images there
    #[arg(long)]
    keep: bool,
    /// How many seconds one call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    call_timeout: u64,
    /// How many seconds all questions may take
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Tell it as JSON
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    /// Tell all questions
    #[arg(long)]
    verbose: bool,
}

/// The contracts by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    /// Glance with `enforce_new_defaults = true`
    GlanceNew,
    /// Glance with `enforce_new_defaults = false`
    GlanceLegacy,
    /// The documentation of the Image API
    Documented,
}

/// Judges, until `stop`.
///
/// # Errors
/// Fails if nothing could be asked, or nobody reads the report.
pub fn run(arguments: &Arguments, stop: impl Future<Output = ()>) -> io::Result<ExitCode> {
    if !identities::is_url(&arguments.url) {
        return Err(io::Error::other("the endpoint must be an http or https URL, without a query"));
    }
    let plan = Plan {
        url: arguments.url.trim_end_matches('/').to_owned(),
        identities: Identities::read(&arguments.identities)?,
        cafile: arguments.cafile.clone(),
        contract: arguments.contract.map(Named::contract),
        publicity: if arguments.with_public { Publicity::Allowed } else { Publicity::Never },
        images: if arguments.keep { Images::Kept } else { Images::Removed },
        call_timeout: Duration::from_secs(arguments.call_timeout),
        timeout: Duration::from_secs(arguments.timeout),
    };
    let report = control_runtime()?.block_on(conform::run(&plan, stop))?;
    let detail = if arguments.verbose { Detail::All } else { Detail::Deviations };
    write_report(&report, arguments.json, |report| report.to_text(detail))?;
    Ok(match (report.conforms, report.is_judged()) {
        (true, true) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(EXIT_MISTAKES),
        (_, false) => ExitCode::from(EXIT_UNUSABLE),
    })
}

impl Named {
    fn contract(self) -> Contract {
        match self {
            Self::GlanceNew => Contract::GlanceNew,
            Self::GlanceLegacy => Contract::GlanceLegacy,
            Self::Documented => Contract::Documented,
        }
    }
}
