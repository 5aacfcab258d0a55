//! What packages ship beside the binary, made from the arguments themselves: manual pages and shell completions.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::Roff;
use clap_mangen::roff::bold;
use clap_mangen::roff::roman;

/// What the page of the whole command tells beside its arguments: heading, then what is explained and how.
const SECTIONS: [(&str, &[(&str, &str)]); 5] = [
    (
        "EXIT STATUS",
        &[
            ("0", "good"),
            (
                "1",
                "the configuration has mistakes, the gate refused to reload it or is not well, something would change (replay), \
                 or nothing is known of what is asked (explain)",
            ),
            (
                "2",
                "wrong arguments, a configuration that cannot be used here, or no gate to reload or ask. For replay and explain \
                 a configuration with mistakes is 2 as well",
            ),
        ],
    ),
    (
        "SIGNALS",
        &[
            ("SIGHUP", "reads the configuration anew; one with mistakes changes nothing"),
            ("SIGTERM, SIGINT", "lets requests under way end, for at most server.drain_timeout, and ends"),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            (
                "GLANCE_GATE_<SECTION>_<KEY>",
                "goes before the key in the file, such as GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD. A variable that names no key \
                 is a mistake",
            ),
            ("NOTIFY_SOCKET, LISTEN_FDS", "set by systemd(1) for Type=notify and for socket activation"),
        ],
    ),
    (
        "FILES",
        &[
            ("/etc/glance-gate/gate.toml", "the configuration; glance-gate check tells all mistakes in it at once"),
            ("/etc/glance-gate/observe_all", "while it exists, all rules only observe"),
            ("/etc/glance-gate/healthcheck_disable", "while it exists, /healthcheck answers 503"),
        ],
    ),
    ("SEE ALSO", &[("systemctl(1), glance-api(1)", "the documents and the reference in /usr/share/doc/glance-gate")]),
];

/// Prints the page of the whole command or, with a directory, writes it and one for each command there.
///
/// # Errors
/// Fails if they can not be written.
pub fn pages(command: Command, directory: Option<&Path>) -> io::Result<ExitCode> {
    // commands are looked up, and not put in a manual, by the word help
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let page = main_page(&command)?;
    let Some(directory) = directory else {
        io::stdout().write_all(&page)?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(directory)?;
    fs::write(directory.join("glance-gate.1"), page)?;
    for inner in command.get_subcommands() {
        Man::new(inner.clone()).source(source(&command)).generate_to(directory)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn main_page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).source(source(command));
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut roff = Roff::new();
    for (heading, entries) in SECTIONS {
        roff.control("SH", [heading]);
        for (name, text) in entries {
            roff.control("TP", []);
            roff.text([bold(*name)]);
            roff.text([roman(*text)]);
        }
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn source(command: &Command) -> String {
    format!("glance-gate {}", command.get_version().unwrap_or_default())
}

/// Prints what lets a shell complete the arguments.
///
/// # Errors
/// Fails if it can not be written.
pub fn completions(mut command: Command, shell: Shell) -> io::Result<ExitCode> {
    // into memory first: the generator panics where it can not write
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "glance-gate", &mut script);
    // clap_complete 4.6 names the inner commands of a name with a hyphen in two ways, so that bash finds none of them
    let script = String::from_utf8_lossy(&script).replace("glance__subcmd__gate", "glance__gate");
    io::stdout().write_all(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
