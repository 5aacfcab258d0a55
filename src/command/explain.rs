//! `glance-gate explain`: why a request was answered as it was, or what would become of a call.

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use glance_gate::review::explain::Answer;
use glance_gate::review::explain::Explanation;
use glance_gate::review::explain::Kind;
use glance_gate::review::hypothesis::Hypothesis;
use glance_gate::review::hypothesis::Look;
use glance_gate::review::lines;
use glance_gate::review::query;
use glance_gate::review::query::Asked;
use http::Method;
use http::StatusCode;

use crate::command::EXIT_MISTAKES;
use crate::command::EXIT_UNUSABLE;
use crate::command::control_runtime;
use crate::command::earned;
use crate::command::load_decisions_or_tell;
use crate::command::order;

/// The arguments.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Explain what became of this request, asking the gate that runs
    #[arg(long, value_name = "ID", conflicts_with_all = ["project", "member", "status"])]
    request_id: Option<String>,
    /// Look for the request in these files of decisions, and not in the gate that runs; - is standard input
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "request_id", conflicts_with = "admin")]
    decisions: Vec<PathBuf>,
    /// The caller's project
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// The caller's roles, with commas between; leave it out for a signed token whose roles nobody knows
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// The caller's token is scoped to a domain, and not to a project
    #[arg(long, conflicts_with_all = ["project", "system_scoped"])]
    domain_scoped: bool,
    /// The caller's token is scoped to the system, and not to a project
    #[arg(long, conflicts_with = "project")]
    system_scoped: bool,
    /// The image; with --admin, the gate looks who owns it
    #[arg(long, value_name = "ID")]
    image: Option<String>,
    /// The image's owner; an image may have none
    #[arg(long, value_name = "ID", requires = "visibility", conflicts_with = "not_visible")]
    image_owner: Option<String>,
    /// The image's visibility: public, community, shared or private
    #[arg(long, value_name = "WORD", conflicts_with = "not_visible")]
    visibility: Option<String>,
    /// Glance shows the caller no such image
    #[arg(long)]
    not_visible: bool,
    /// What the call does with the members: update, create, delete, list or show
    #[arg(long, value_name = "WORD", conflicts_with = "request_id")]
    action: Option<String>,
    /// The member that the path names or, of a creation, the body; none for a list
    #[arg(long, value_name = "ID", required_unless_present_any = ["request_id", "action"])]
    member: Option<String>,
    /// The status that an update asks for: pending, accepted or rejected
    #[arg(long, value_name = "WORD", required_unless_present_any = ["request_id", "action"])]
    status: Option<String>,
    /// The configuration that decides, or that tells where the gate listens for operators
    #[arg(long, value_name = "FILE", default_value = "/etc/glance-gate/gate.toml")]
    config: PathBuf,
    /// Ask the gate that listens for operators here
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Explains.
///
/// # Errors
/// Fails if the gate can not be reached, or nobody reads the explanation.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let asked = match &arguments.request_id {
        Some(id) => Asked::Request(id.clone()),
        None => Asked::Call(hypothesis(arguments)?),
    };
    let answer = match asked {
        Asked::Call(call) if arguments.admin.is_none() => {
            let Some(answer) = by_configuration(arguments, &call)? else { return Ok(ExitCode::from(EXIT_UNUSABLE)) };
            answer
        }
        Asked::Request(id) if !arguments.decisions.is_empty() => by_decisions(&arguments.decisions, &id)?,
        asked => by_gate(arguments, &asked)?,
    };
    let text = if arguments.json { answer.to_json() } else { answer.to_text() };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if answer.found.is_empty() { ExitCode::from(EXIT_MISTAKES) } else { ExitCode::SUCCESS })
}

fn hypothesis(arguments: &Arguments) -> io::Result<Hypothesis> {
    let scope = match (arguments.domain_scoped, arguments.system_scoped) {
        (true, _) => "domain",
        (false, true) => "system",
        (false, false) => "project",
    };
    let look = match &arguments.visibility {
        _ if arguments.not_visible => Look::Absent,
        Some(visibility) => {
            Look::Image { owner: arguments.image_owner.clone(), visibility: visibility.clone(), age_ms: None }
        }
        None => Look::None,
    };
    let call = Hypothesis {
        action: arguments.action.as_deref().map(query::action).transpose().map_err(io::Error::other)?,
        project: arguments.project.clone(),
        scope: scope.into(),
        roles: arguments.roles.as_deref().map(query::roles),
        image: arguments.image.clone(),
        member: arguments.member.clone().unwrap_or_default(),
        status: arguments.status.clone().unwrap_or_default(),
        look,
    };
    call.check().map_err(io::Error::other)?;
    Ok(call)
}

/// Decides here, by the configuration alone; nothing if that has mistakes, which are told.
fn by_configuration(arguments: &Arguments, call: &Hypothesis) -> io::Result<Option<Answer>> {
    let Some(config) = load_decisions_or_tell(&arguments.config) else { return Ok(None) };
    if call.look == Look::None && call.needs_look(&config.contract()) {
        let hint = "say what the image is: --visibility and --image-owner, or --not-visible; or --image with --admin";
        return Err(io::Error::other(hint));
    }
    let answer = match call.decide(&config.plan(earned(&config)?), &config.decided_by()) {
        Ok(record) => Answer { found: vec![Explanation::of(record, Kind::Hypothetical)], problems: Vec::new() },
        Err(gap) => Answer::problem(gap.as_str().into()),
    };
    Ok(Some(answer))
}

/// Looks for the request in files of decisions.
fn by_decisions(files: &[PathBuf], id: &str) -> io::Result<Answer> {
    let mut found = Vec::new();
    for path in files {
        // what is no decision is not the one that is looked for
        lines::read_file(path, lines::parse, |_, line| {
            found.extend(
                line.ok().filter(|record| record.request_id == id).map(|record| Explanation::of(record, Kind::Made)),
            );
        })?;
    }
    let none = found.is_empty().then(|| format!("no decision in these files has the id {id}"));
    Ok(Answer { found, problems: none.into_iter().collect() })
}

fn by_gate(arguments: &Arguments, asked: &Asked) -> io::Result<Answer> {
    let address = order::address(&arguments.config, arguments.admin);
    let target = format!("/explain?{}", asked.to_query());
    let answer = control_runtime()?.block_on(order::send_order(address, Method::GET, &target));
    let answer = answer.map_err(|error| io::Error::other(format!("the gate at {address}: {error}")))?;
    match answer.status {
        StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
            serde_json::from_slice(&answer.body).ok()
        }
        _ => None,
    }
    .ok_or_else(|| {
        io::Error::other(format!("what listens at {address} answers {}: no gate's admin.listen", answer.status))
    })
}
