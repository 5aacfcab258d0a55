//! `glance-gate policy check`: what a policy file says of a token, as `oslopolicy-checker` tells it.

use std::fs;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use clap::ValueEnum;
use glance_gate::glance::policy::defaults::DEFAULT_RULE;
use glance_gate::glance::policy::defaults::defaults;
use glance_gate::oslo_policy::check::Check;
use glance_gate::oslo_policy::evaluate::Named as _;
use glance_gate::oslo_policy::evaluate::Outcome;
use glance_gate::oslo_policy::evaluate::Question;
use glance_gate::oslo_policy::files::Places;
use glance_gate::oslo_policy::rules::OldDefaults;
use glance_gate::oslo_policy::rules::Rules;
use glance_gate::oslo_policy::value::Value;

use crate::command::EXIT_MISTAKES;

/// What to do with a policy file.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what the rules of a policy file say of a token, with the flags and the words of oslopolicy-checker: exit code 0
    /// if they were asked, 1 if a file or the rule can not be used
    Check(Arguments),
}

/// The arguments; those of oslopolicy-checker have its names.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policy file
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Keystone's answer about a token, JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    access: PathBuf,
    /// What is acted on, JSON; the token's own project and user unless it is given
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// The rule to ask; all with a colon in their names unless it is given
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Take the caller for an administrator: `is_admin` is then True
    #[arg(long = "is_admin")]
    is_admin: bool,
    /// Taken for the sake of scripts: it tells oslopolicy-checker how to ask other servers, which is not done here
    #[arg(long = "enforcer_config", value_name = "FILE")]
    _enforcer_config: Option<PathBuf>,
    /// Let a rule of Glance's fail for a token of another scope
    #[arg(long = "enforce_scope")]
    enforce_scope: bool,
    /// Which rules stand where the file has none
    #[arg(long, value_enum, default_value = "none")]
    defaults: Defaults,
}

/// Which rules stand where the file has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Defaults {
    /// None, as in oslopolicy-checker.
    None,
    /// Glance's.
    New,
    /// Glance's, and those of old releases beside them.
    Legacy,
}

/// Runs a command.
///
/// # Errors
/// Fails if nobody reads what is told.
pub fn run(command: &Command) -> io::Result<ExitCode> {
    let Command::Check(arguments) = command;
    let told = check(arguments);
    match &told {
        Ok(lines) => io::stdout().write_all(lines.as_bytes())?,
        Err(why) => eprintln!("glance-gate: {why}"),
    }
    Ok(if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_MISTAKES) })
}

fn check(arguments: &Arguments) -> Result<String, String> {
    let mut credentials = credentials(&read_json(&arguments.access)?, arguments.is_admin)
        .ok_or("--access: it is not what Keystone answers about a token")?;
    let target = match &arguments.target {
        Some(path) => flattened(read_json(path)?),
        None => own_target(&credentials),
    };
    if arguments.enforce_scope
        && let Some(scope) = credentials.get("system_scope").cloned()
    {
        credentials.set("system", scope);
    }
    let rules = rules(arguments)?;
    let ask = |name: &str, check: &Check| told(&rules, arguments, (name, check), &target, &credentials);
    if let Some(name) = &arguments.rule {
        let check = rules.named(name).ok_or_else(|| format!("there is no rule \"{name}\""))?;
        return Ok(ask(name, check));
    }
    Ok(rules.iter().filter(|(name, _)| name.contains(':')).map(|(name, check)| ask(name, check)).collect())
}

fn rules(arguments: &Arguments) -> Result<Rules, String> {
    let places = Places { file: arguments.policy.clone(), directories: Vec::new() };
    let written = places.read().map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    for notice in &written.notices {
        eprintln!("{notice}");
    }
    let own = Rules::new(written.checks, DEFAULT_RULE);
    Ok(match arguments.defaults {
        // their scopes count all the same
        Defaults::None => own.with_scopes(&defaults()),
        Defaults::New => own.with_defaults(&defaults(), OldDefaults::Gone),
        Defaults::Legacy => own.with_defaults(&defaults(), OldDefaults::Also),
    })
}

/// Asks one rule.
fn told(
    rules: &Rules,
    arguments: &Arguments,
    (name, check): (&str, &Check),
    target: &Value,
    credentials: &Value,
) -> String {
    if arguments.enforce_scope && rules.allows_scope(name, credentials) == Some(false) {
        return format!("failed: {name}\n");
    }
    match (Question { rules, target, credentials }).evaluate(check) {
        Outcome::Passed => format!("passed: {name}\n"),
        Outcome::Failed => format!("failed: {name}\n"),
        Outcome::Raised => format!("it can not be evaluated: Python raises an exception\nexception: {check}\n"),
        Outcome::Unknown => format!("only another server, or Python itself, could tell\nexception: {check}\n"),
    }
}

/// Makes credentials of Keystone's answer, as `oslopolicy-checker` does.
fn credentials(access: &Value, is_admin: bool) -> Option<Value> {
    let mut token = access.get("token")?.clone();
    let Value::List(roles) = token.get("roles")? else { return None };
    let roles: Option<Vec<Value>> = roles.iter().map(|role| role.get("name").cloned()).collect();
    let user = token.get("user")?.get("id")?.clone();
    let is_there = |key: &str| token.get(key).is_some_and(|value| value.is_true() == Some(true));
    let (has_project, has_system) = (is_there("project"), is_there("system"));
    token.set("roles", Value::List(roles?));
    token.set("user_id", user);
    if has_project {
        let project = token.get("project")?.get("id")?.clone();
        token.set("project_id", project);
    }
    if has_system {
        token.set("system_scope", "all".into());
    }
    token.set("is_admin", Value::Bool(is_admin));
    Some(token)
}

fn own_target(credentials: &Value) -> Value {
    let mut target = Value::Dict(Vec::new());
    for key in ["user_id", "project_id"] {
        if let Some(value) = credentials.get(key) {
            target.set(key, value.clone());
        }
    }
    target
}

/// Gives what stands in dictionaries below names with dots.
fn flattened(value: Value) -> Value {
    fn add(into: &mut Value, prefix: &str, value: Value) {
        match value {
            Value::Dict(entries) => {
                for (key, value) in entries {
                    let name = if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
                    add(into, &name, value);
                }
            }
            value => into.set(prefix, value),
        }
    }
    let mut flat = Value::Dict(Vec::new());
    add(&mut flat, "", value);
    flat
}

fn read_json(path: &Path) -> Result<Value, String> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(path).map(|read| text = read)
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    read.map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}
