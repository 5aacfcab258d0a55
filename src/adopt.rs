//! A gate's configuration out of a deployed Glance's own files, and what of them the gate can not reproduce.

pub mod draft;
pub mod identity;
pub mod ini;
pub mod options;
pub mod pipeline;
pub mod place;
pub mod policies;

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::adopt::draft::Draft;
use crate::adopt::options::Options;
use crate::oslo_policy::files::Notice;
use crate::secret::Secret;

/// Where the files of a Glance are.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `glance-api.conf` and those after it; the last setting of an option counts.
    pub configuration: Vec<PathBuf>,
    /// `glance-api-paste.ini`; where the configuration says unless it is given.
    pub paste: Option<PathBuf>,
    /// `policy.yaml`; where the configuration says unless it is given.
    pub policy: Option<PathBuf>,
    /// Where Glance listens behind the gate.
    pub upstream: Option<String>,
    /// Where clients connect to the gate; where they connect to Glance unless it is given.
    pub listen: Option<String>,
    /// Where the password of the gate's user will be.
    pub password_file: PathBuf,
}

/// What became of it.
#[derive(Debug)]
pub struct Adopted {
    /// The configuration, in TOML.
    pub text: String,
    /// The secret of the gate's user, if Glance's files have it.
    pub secret: Option<Secret<String>>,
    /// What an operator must know, the worst first.
    pub findings: Vec<Finding>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is good to know.
    Note,
    /// The gate may answer otherwise than Glance, or something must be looked at.
    Warning,
    /// The gate can not do what this Glance does.
    Obstacle,
}

/// Something about a Glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// The option, and where it is set.
    pub about: String,
    /// What there is to say.
    pub what: String,
}

/// Reads a Glance's files, and writes a gate's configuration that only observes.
///
/// # Errors
/// Fails if one of them can not be read.
pub fn adopt(sources: &Sources) -> io::Result<Adopted> {
    let unread = |error: Notice| io::Error::other(error.to_string());
    let options = Options::read(&sources.configuration).map_err(unread)?;
    let mut draft = Draft::default();
    draft.put("", "profile", "\"glance\"", "the answers of this very Glance");
    place::profile(&options, &mut draft);
    policies::adopt(sources, &options, &mut draft)?;
    place::server(sources, &options, &mut draft);
    let pipeline = place::pipeline(sources, &options, &mut draft)?;
    identity::adopt(sources, &options, &mut draft);
    place::upstream(sources, &options, pipeline.as_ref(), &mut draft);
    place::others(&options, &mut draft);
    Ok(draft.into_adopted())
}

/// Returns a file that is named relative to Glance's configuration.
fn beside(sources: &Sources, name: &str) -> PathBuf {
    let directory = sources.configuration.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
    directory.join(name)
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.weight {
            Weight::Note => "note",
            Weight::Warning => "warning",
            Weight::Obstacle => "can not be reproduced",
        };
        write!(out, "{word}: {}: {}", self.about, self.what)
    }
}
