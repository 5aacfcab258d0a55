//! `glance-gate adopt`: a gate's configuration out of a deployed Glance's files.

use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use glance_gate::adopt::Adopted;
use glance_gate::adopt::Sources;
use glance_gate::adopt::Weight;
use glance_gate::adopt::adopt;
use glance_gate::adopt::options::files_of;
use glance_gate::config::load;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The directory of Glance's configuration: glance-api.conf, then glance-api.conf.d/*.conf
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/glance")]
    config_dir: PathBuf,
    /// Glance's configuration files instead; the last setting of an option counts
    #[arg(long, value_name = "FILE", num_args = 1..)]
    glance_api_conf: Vec<PathBuf>,
    /// glance-api-paste.ini, if the configuration does not say where it is
    #[arg(long, value_name = "FILE")]
    paste: Option<PathBuf>,
    /// policy.yaml, if the configuration does not say where it is
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where clients are to connect to, such as 0.0.0.0:9292; where they connect to Glance unless it is given
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where Glance is reached behind the gate; the next port on loopback unless it is given
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where the configuration is written to; - is standard output, and writes no secret
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Where the secret of the gate's user is written to, for its owner alone to read; beside --out unless it is given
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

/// Something is to be looked at.
const EXIT_WARNINGS: u8 = 1;
/// The gate can not do what this Glance does.
const EXIT_OBSTACLES: u8 = 2;
/// Nothing was adopted: as `glance-status upgrade check` says it.
const EXIT_ERROR: u8 = 255;

/// Adopts, and tells what there is to know.
pub fn run(arguments: &Arguments) -> ExitCode {
    match adopted(arguments) {
        Ok(weight) => ExitCode::from(match weight {
            None | Some(Weight::Note) => 0,
            Some(Weight::Warning) => EXIT_WARNINGS,
            Some(Weight::Obstacle) => EXIT_OBSTACLES,
        }),
        Err(error) => {
            eprintln!("glance-gate: {error}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}

fn adopted(arguments: &Arguments) -> io::Result<Option<Weight>> {
    let to_stdout = arguments.out.as_os_str() == "-";
    let beside =
        if to_stdout { Path::new("/etc/glance-gate") } else { arguments.out.parent().unwrap_or(Path::new("")) };
    let password_file = arguments.password_file.clone().unwrap_or_else(|| beside.join("keystone_password"));
    let given = &arguments.glance_api_conf;
    let sources = Sources {
        configuration: if given.is_empty() { files_of(&arguments.config_dir) } else { given.clone() },
        paste: arguments.paste.clone(),
        policy: arguments.policy.clone(),
        upstream: arguments.upstream.clone(),
        listen: arguments.listen.clone(),
        password_file: std::path::absolute(password_file)?,
    };
    let adopted = adopt(&sources)?;
    check(&adopted)?;
    if to_stdout {
        io::stdout().write_all(adopted.text.as_bytes())?;
    } else {
        // the secret first: a configuration that names a file there is none of is of no use
        if let Some(secret) = &adopted.secret {
            write(&sources.password_file, secret.expose(), 0o600, arguments.force)?;
        }
        write(&arguments.out, &adopted.text, 0o644, arguments.force)?;
    }
    for finding in &adopted.findings {
        eprintln!("{finding}");
    }
    if to_stdout && adopted.secret.is_some() {
        eprintln!("note: the secret of the gate's user was written nowhere; --out FILE writes it beside the file");
    }
    Ok(adopted.findings.iter().map(|finding| finding.weight).max())
}

/// Makes sure that the gate takes what was written, but for what is told.
fn check(adopted: &Adopted) -> io::Result<()> {
    let is_told = adopted.findings.iter().any(|finding| finding.weight == Weight::Obstacle);
    let Err(mistakes) = load::parse("the new configuration", &without_files(&adopted.text), &secrets()) else {
        return Ok(());
    };
    if is_told {
        return Ok(());
    }
    let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    Err(io::Error::other(mistakes.join("\n")))
}

/// Leaves out the secret's file, which is not there yet.
fn without_files(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("_file = ") || line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

fn secrets() -> Vec<(String, String)> {
    ["PASSWORD", "APPLICATION_CREDENTIAL_SECRET"]
        .map(|name| (format!("GLANCE_GATE_KEYSTONE_AUTHTOKEN_{name}"), "x".to_owned()))
        .into()
}

fn write(path: &Path, text: &str, mode: u32, force: bool) -> io::Result<()> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    if !force && path.exists() {
        return Err(told(io::Error::other("it is there already; --force writes over it")));
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(told)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(told)?;
    // whole, or not at all
    std::fs::rename(&temporary, path).map_err(told)
}
