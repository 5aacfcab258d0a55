//! The files beside the section `[shadow]`: ids that have another name in staging, and the credentials that staging knows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::config::mistake::Mistake;
use crate::config::reader::Section;
use crate::config::reader::line_of;
use crate::config::sections::is_http_url;
use crate::diff::ids::Ids;
use crate::secret::Secret;
use crate::shadow::config::ExchangeFile;
use crate::shadow::config::StagingCredential;

/// How large such a file may be.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// The longest id that is renamed.
const MAX_ID: usize = 255;

/// The file of ids: the primary's on the left, staging's on the right.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IdsFile {
    images: BTreeMap<String, Spanned<String>>,
    projects: BTreeMap<String, Spanned<String>>,
    users: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    auth_url: Spanned<String>,
    #[serde(default)]
    cafile: PathBuf,
    #[serde(default)]
    credential: Vec<Spanned<CredentialTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialTable {
    project: Option<String>,
    user: Option<String>,
    application_credential_id: String,
    application_credential_secret: String,
}

/// A file that is being read, and what is wrong with it.
struct Reading<'s, 'b, 'a> {
    section: &'s mut Section<'b, 'a>,
    key: &'static str,
    path: &'s Path,
    text: String,
}

/// Reads the file of ids; none is one without ids.
pub fn ids(section: &mut Section<'_, '_>, path: &Path) -> Ids {
    let Some(mut reading) = Reading::open(section, "ids_file", path) else { return Ids::default() };
    let text = reading.text.clone();
    let file: IdsFile = match toml::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            let hint = "[images], [projects] and [users], with lines such as \"primary's id\" = \"staging's id\"";
            reading.wrong(error.span().map(|span| span.start), error.message(), hint);
            return Ids::default();
        }
    };
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for (primary, staging) in [file.images, file.projects, file.users].into_iter().flatten() {
        let at = Some(staging.span().start);
        let staging = staging.into_inner();
        if !is_id(&primary) || !is_id(&staging) {
            reading.wrong(at, "this is no id", "letters, digits, \"-\" and \"_\", 255 at most");
        } else if pairs.get(&primary).is_some_and(|other| *other != staging) {
            reading.wrong(at, "this id has two names in staging", "one id of the primary is one id in staging");
        }
        pairs.insert(primary, staging);
    }
    Ids::new(pairs)
}

/// Reads the file of credentials. What it says is told nowhere: there are secrets in it.
pub fn exchange(section: &mut Section<'_, '_>, path: &Path) -> ExchangeFile {
    let Some(mut reading) = Reading::open(section, "exchange_file", path) else { return ExchangeFile::default() };
    if fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o007 != 0) {
        reading.wrong(None, "everybody on this machine may use the file", "chmod o= it: there are secrets in it");
    }
    let text = reading.text.clone();
    let file: CredentialsFile = match toml::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            let hint = "auth_url, cafile, and tables [[credential]] with application_credential_id, \
                        application_credential_secret and perhaps project and user";
            reading.wrong(error.span().map(|span| span.start), "this is not what such a file holds", hint);
            return ExchangeFile::default();
        }
    };
    let auth_url = file.auth_url.get_ref().trim_end_matches('/').to_owned();
    if !is_http_url(&auth_url) || !auth_url.ends_with("/v3") {
        let hint = "write http(s)://host:port/v3, without a user in it";
        reading.wrong(Some(file.auth_url.span().start), "auth_url is no URL of Keystone's version 3", hint);
    }
    if file.credential.is_empty() {
        reading.wrong(None, "there is no [[credential]]", "see `openstack application credential create` in staging");
    }
    let mut credentials: Vec<StagingCredential> = Vec::new();
    for table in file.credential {
        let at = Some(table.span().start);
        let table = table.into_inner();
        if table.application_credential_id.is_empty() || table.application_credential_secret.is_empty() {
            reading.wrong(at, "this credential lacks its id or its secret", "both must be there");
        }
        if credentials.iter().any(|known| known.project == table.project && known.user == table.user) {
            reading.wrong(
                at,
                "another credential stands for the same callers",
                "one for each pair of project and user",
            );
        }
        credentials.push(StagingCredential {
            project: table.project,
            user: table.user,
            id: table.application_credential_id,
            secret: Secret::new(table.application_credential_secret),
        });
    }
    let cafile = Some(file.cafile).filter(|path| !path.as_os_str().is_empty());
    ExchangeFile { auth_url, cafile, credentials }
}

fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_plain)
}

impl<'s, 'b, 'a> Reading<'s, 'b, 'a> {
    /// Reads the file; nothing if there is none, or if it can not be read, which is a mistake.
    fn open(section: &'s mut Section<'b, 'a>, key: &'static str, path: &'s Path) -> Option<Self> {
        if path.as_os_str().is_empty() {
            return None;
        }
        if fs::metadata(path).is_ok_and(|data| data.len() > MAX_FILE) {
            section.mistake(key, "the file is too large", "16 MiB at most");
            return None;
        }
        match fs::read_to_string(path) {
            Ok(text) => Some(Self { section, key, path, text }),
            Err(error) => {
                section.mistake(key, &error.to_string(), "the gate must be able to read the file");
                None
            }
        }
    }

    fn wrong(&mut self, at: Option<usize>, what: &str, hint: &str) {
        let line = at.map(|at| line_of(&self.text, at));
        self.section.blame([Mistake {
            source: self.path.display().to_string(),
            line,
            key: format!("[shadow] {}", self.key),
            what: what.into(),
            hint: hint.into(),
        }]);
    }
}
