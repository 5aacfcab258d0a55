//! The small programs of the comparison: an image store that costs next to nothing, and what loads a proxy before it.
//!
//! `benches/compare/run` builds and runs them. All are one thread, so that one core is enough for them together.

mod cpu;
mod histogram;
mod hold;
mod link;
mod load;
mod message;
mod stub;
mod ticks;
mod tokens;
mod transfer;
mod work;

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

#[derive(Debug, Parser)]
#[command(name = "compare", about = "The parts of the comparison that must be fast; see benches/README.md")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What `cargo bench` adds; nothing is measured that way.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer like a Glance and a Keystone, at once and always the same
    Stub(stub::Options),
    /// Send requests as fast as they are answered, or at a constant rate, and report what it cost
    Load(load::Options),
    /// Move one large image and report what it cost
    Transfer(transfer::Options),
    /// Open connections, send one request on each, and keep them until standard input ends
    Hold(hold::Options),
    /// Mint signed tokens and image ids
    Tokens(tokens::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.command {
        Some(Command::Stub(options)) => stub::run(&options),
        Some(Command::Load(options)) => load::run(&options),
        Some(Command::Transfer(options)) => transfer::run(&options),
        Some(Command::Hold(options)) => hold::run(&options),
        Some(Command::Tokens(options)) => tokens::run(&options),
        None => {
            println!("nothing to do here: the comparison is run by benches/compare/run");
            Ok(())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
