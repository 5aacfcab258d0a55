//! The command: arguments → configuration → logging → the gate, until it is told to stop.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;
use glance_gate::app::App;
use glance_gate::app::Built;
use glance_gate::config::Config;
use glance_gate::config::load;
use glance_gate::demo;
use glance_gate::telemetry::log;
use sd_notify::NotifyState;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// The arguments.
#[derive(Debug, Parser)]
#[command(
    name = "glance-gate",
    version,
    about = "An API gateway that guards image-member updates in front of an OpenStack Glance-compatible image store",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    Serve {
        /// The configuration; config/gate.toml shows every key
        #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
        config: PathBuf,
    },
    /// Check a configuration: exit code 0 if it is good, 1 if it has mistakes, 2 if it cannot be used here
    Check {
        /// The configuration to check
        #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
        config: PathBuf,
    },
    /// Run the gate between a Keystone- and a Glance-like neighbour on loopback, and show every answer
    Demo {
        /// End after the tour, with exit code 0 if every answer was the documented one
        #[arg(long)]
        once: bool,
    },
    /// Print the version
    Version,
}

/// The configuration has mistakes, or the demo's answers were not the documented ones.
const EXIT_MISTAKES: u8 = 1;
/// The configuration is well written but can not be used here, or the gate can not run.
const EXIT_UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Serve { config } => serve(&config),
        Command::Check { config } => check(&config),
        Command::Demo { once } => run_demo(once),
        Command::Version => {
            println!("glance-gate {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    };
    ended.unwrap_or_else(|error| {
        eprintln!("glance-gate: {error}");
        ExitCode::from(EXIT_UNUSABLE)
    })
}

fn serve(path: &Path) -> io::Result<ExitCode> {
    let Some(config) = load_or_tell(path) else { return Ok(ExitCode::from(EXIT_MISTAKES)) };
    let _log = log::start(&config.log)?;
    let runtime = control_runtime()?;
    let app = App::start(&config)?;
    // without systemd there is nobody to tell
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    runtime.block_on(told_to_stop())?;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("draining");
    let cut = app.stop()?;
    tracing::info!(connections_cut = cut, "stopped");
    Ok(ExitCode::SUCCESS)
}

fn check(path: &Path) -> io::Result<ExitCode> {
    let Some(config) = load_or_tell(path) else { return Ok(ExitCode::from(EXIT_MISTAKES)) };
    // keys, certificates and names that the configuration points to
    Built::new(&config)?;
    println!("{}: good", path.display());
    Ok(ExitCode::SUCCESS)
}

fn run_demo(once: bool) -> io::Result<ExitCode> {
    let stop = async {
        if let Err(error) = told_to_stop().await {
            eprintln!("glance-gate: {error}");
        }
    };
    let is_as_documented = control_runtime()?.block_on(demo::run(once, stop))?;
    Ok(if is_as_documented { ExitCode::SUCCESS } else { ExitCode::from(EXIT_MISTAKES) })
}

/// Loads the configuration, or tells all mistakes.
fn load_or_tell(path: &Path) -> Option<Config> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match load::load(path, &environment) {
        Ok(config) => Some(config),
        Err(mistakes) => {
            for mistake in &mistakes {
                eprintln!("{mistake}");
            }
            eprintln!("glance-gate: {} mistake(s) in the configuration", mistakes.len());
            None
        }
    }
}

fn control_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
