//! Asks the gate that runs whether it is well: for container engines, where there is no shell and no curl.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use http::Method;
use http::StatusCode;

use crate::command::EXIT_MISTAKES;
use crate::command::control_runtime;
use crate::command::order::address;
use crate::command::order::send_order;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the process works: an engine may start a container anew that does not.
    Alive,
    /// Whether requests may be sent to it, which also hangs on Glance: no reason to start it anew.
    Ready,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Alive => "/livez",
            Self::Ready => "/readyz",
        }
    }
}

/// Tells what the gate answers: exit code 0 if it is well, 1 if it is not or does not answer. Docker knows no other codes.
///
/// # Errors
/// Fails if the system has no room to ask.
pub fn run(question: Question, path: &Path, admin: Option<SocketAddr>) -> io::Result<ExitCode> {
    let address = address(path, admin);
    match control_runtime()?.block_on(send_order(address, Method::GET, question.path())) {
        Ok(answer) if answer.status == StatusCode::OK => Ok(ExitCode::SUCCESS),
        Ok(answer) => {
            eprintln!("glance-gate: {address} answers {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            Ok(ExitCode::from(EXIT_MISTAKES))
        }
        Err(error) => {
            eprintln!("glance-gate: the gate at {address}: {error}");
            Ok(ExitCode::from(EXIT_MISTAKES))
        }
    }
}
