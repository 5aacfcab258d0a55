//! The command: arguments → configuration → logging → the gate, until it is told to stop or replaced.

mod command;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use clap_complete::Shell;
use glance_gate::app::App;
use glance_gate::app::built::Built;
use glance_gate::config::load;
use glance_gate::demo;
use glance_gate::server::inherited;
use glance_gate::telemetry::log;
use mimalloc::MiMalloc;
use sd_notify::NotifyState;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::task::JoinSet;

use crate::command::EXIT_MISTAKES;
use crate::command::EXIT_UNUSABLE;
use crate::command::adopt;
use crate::command::conform;
use crate::command::control_runtime;
use crate::command::environment;
use crate::command::explain;
use crate::command::healthcheck;
use crate::command::healthcheck::Question;
use crate::command::load_or_tell;
use crate::command::manual;
use crate::command::order::order;
use crate::command::policy;
use crate::command::replay;
use crate::command::shadow;

/// A request takes some dozens of small pieces of memory and gives them back: what that costs is in docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    /// Let the gate that runs read its configuration anew: exit code 0 if it did, 1 if it refused, 2 if it cannot be
    /// reached
    Reload {
        /// The configuration that tells where the gate listens for operators
        #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
        config: PathBuf,
        /// Where the gate listens for operators, if the configuration does not tell
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<SocketAddr>,
    },
    /// Hold the kill switch of the gate that runs on, so that all rules only observe, or let go of it
    KillSwitch {
        /// What to do
        #[arg(value_enum)]
        position: Position,
        /// The configuration that tells where the gate listens for operators
        #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
        config: PathBuf,
        /// Where the gate listens for operators, if the configuration does not tell
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<SocketAddr>,
    },
    /// Ask the gate that runs whether it is well, as container engines do: exit code 0 if it is, 1 if it is not or does
    /// not answer
    Healthcheck {
        /// Ask whether requests may be sent to it, which also hangs on Glance, instead of whether it works
        #[arg(long)]
        ready: bool,
        /// The configuration that tells where the gate listens for operators
        #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
        config: PathBuf,
        /// Where the gate listens for operators, if the configuration does not tell
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<SocketAddr>,
    },
    /// Decide recorded calls anew under another configuration and tell what would change: exit code 0 if nothing would, 1
    /// if something would, 2 if the decisions or the configuration can not be used
    Replay(replay::Arguments),
    /// Tell step by step why a request was answered as it was, or what would become of a call: exit code 0 if it is
    /// explained, 1 if nothing is known of it, 2 if the gate can not be reached or the arguments can not be used
    Explain(Box<explain::Arguments>),
    /// Look at what staging answered otherwise than the primary
    #[command(subcommand)]
    Shadow(shadow::Command),
    /// Ask a Glance, or what speaks its API, all that the contract of member updates fixes, with images of its own that it
    /// removes again: exit code 0 if it conforms, 1 if it does not, 2 if it could not be judged
    Conform(Box<conform::Arguments>),
    /// Write a configuration that only observes out of a deployed Glance's files, and tell what of them the gate can not
    /// reproduce: exit code 0 if it can all, 1 if something is to be looked at, 2 if something can not be reproduced, 255
    /// if a file can not be read or written
    Adopt(adopt::Arguments),
    /// Look into a policy file
    #[command(subcommand)]
    Policy(policy::Command),
    /// Run the gate between a Keystone- and a Glance-like neighbour on loopback, and show every answer
    Demo {
        /// End after the tour, with exit code 0 if every answer was the documented one
        #[arg(long)]
        once: bool,
    },
    /// Print what lets a shell complete these arguments
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a directory
    Man {
        /// The directory; it is made if it is missing
        #[arg(value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
    /// Print the version
    Version,
}

/// Where a switch can be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Position {
    /// All rules only observe.
    On,
    /// They do what they are set to.
    Off,
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Serve { config } => serve(&config),
        Command::Check { config } => check(&config),
        Command::Reload { config, admin } => order("/reload", &config, admin),
        Command::KillSwitch { position: Position::On, config, admin } => order("/kill-switch/on", &config, admin),
        Command::KillSwitch { position: Position::Off, config, admin } => order("/kill-switch/off", &config, admin),
        Command::Healthcheck { ready: false, config, admin } => healthcheck::run(Question::Alive, &config, admin),
        Command::Healthcheck { ready: true, config, admin } => healthcheck::run(Question::Ready, &config, admin),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Shadow(command) => shadow::run(&command),
        Command::Conform(arguments) => conform::run(&arguments, stopped()),
        Command::Adopt(arguments) => Ok(adopt::run(&arguments)),
        Command::Policy(command) => policy::run(&command),
        Command::Demo { once } => run_demo(once),
        Command::Completions { shell } => manual::completions(Arguments::command(), shell),
        Command::Man { directory } => manual::pages(Arguments::command(), directory.as_deref()),
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
    // before there are threads
    let inherited = inherited::take()?;
    let Some(config) = load_or_tell(path) else { return Ok(ExitCode::from(EXIT_MISTAKES)) };
    let _log = log::start(&config.log)?;
    let runtime = control_runtime()?;
    let source = path.to_owned();
    let app = App::start_with(&config, inherited, Arc::new(move || load::load(&source, &environment())))?;
    // without systemd there is nobody to tell
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    runtime.block_on(until_the_end(&app))?;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("draining");
    let cut = app.stop()?;
    tracing::info!(connections_cut = cut, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reloads on SIGHUP until it is told to stop, or until another process has taken over.
async fn until_the_end(app: &App) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut reloads = JoinSet::new();
    let mut stop = pin!(told_to_stop());
    loop {
        tokio::select! {
            told = stop.as_mut() => return told,
            () = app.replaced() => {
                tracing::info!("another process has taken over");
                return Ok(());
            }
            // one after the other; what became of it is in the log
            _ = hangup.recv(), if reloads.is_empty() => {
                let reloader = app.reloader();
                reloads.spawn(async move { drop(reloader.reload().await) });
            }
            Some(_) = reloads.join_next(), if !reloads.is_empty() => {}
        }
    }
}

fn check(path: &Path) -> io::Result<ExitCode> {
    let Some(config) = load_or_tell(path) else { return Ok(ExitCode::from(EXIT_MISTAKES)) };
    // keys, certificates and names that the configuration points to
    Built::new(&config)?;
    let file = config.shadow_diff.ignore_file.display();
    for rule in config.shadow_diff.ignore.iter().filter(|rule| rule.is_expired(SystemTime::now())) {
        eprintln!("{file}:{}: {} has expired and ignores no more: {}", rule.line, rule.about(), rule.reason);
    }
    for notice in &config.policy.notices {
        eprintln!("{notice}");
    }
    println!("{}: good", path.display());
    Ok(ExitCode::SUCCESS)
}

fn run_demo(once: bool) -> io::Result<ExitCode> {
    let is_as_documented = control_runtime()?.block_on(demo::run(once, stopped()))?;
    Ok(if is_as_documented { ExitCode::SUCCESS } else { ExitCode::from(EXIT_MISTAKES) })
}

/// Waits until a command is told to stop.
async fn stopped() {
    if let Err(error) = told_to_stop().await {
        eprintln!("glance-gate: {error}");
    }
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
