//! The small file in which earned enforcement survives a restart.

use std::collections::BTreeMap;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::refusal::Refusal;
use crate::rules::earned::Standing;

/// The version of the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    rules: BTreeMap<String, Standing>,
}

/// Reads how rules stood; nothing if there is no file yet. A rule that this gate does not know is left out.
///
/// # Errors
/// Fails if the file can not be read or is not the gate's own.
pub fn read(file: &Path) -> io::Result<Vec<(Refusal, Standing)>> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let state: State = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    if state.version != VERSION {
        return Err(io::Error::other(format!("version {} is not this gate's {VERSION}", state.version)));
    }
    let known = |reason: &str| Refusal::rules().find(|refusal| refusal.reason() == reason);
    Ok(state.rules.into_iter().filter_map(|(reason, standing)| Some((known(&reason)?, standing))).collect())
}

/// Writes how rules stand, in whole or not at all.
///
/// # Errors
/// Fails if the file can not be written; the one before it stays.
pub fn write(file: &Path, standings: &[(Refusal, Standing)]) -> io::Result<()> {
    let rules = standings.iter().map(|(refusal, standing)| (refusal.reason().to_owned(), *standing)).collect();
    let mut bytes = serde_json::to_vec_pretty(&State { version: VERSION, rules }).map_err(io::Error::other)?;
    bytes.push(b'\n');
    // beside it, so that the rename is within one file system
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    // one that a crash has left, or that somebody has put there to have another file written
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    new.write_all(&bytes)?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::read;
    use super::write;
    use crate::refusal::Refusal;
    use crate::rules::earned::Standing;

    #[test]
    fn what_is_written_is_read_again_and_garbage_is_told() {
        let file = std::env::temp_dir().join(format!("glance-gate-rules-{}.json", uuid::Uuid::new_v4()));
        assert_eq!(read(&file).expect("no file is no mistake"), []);
        let standing = Standing { is_enforced: true, samples: 7, ..Standing::new(SystemTime::now()) };
        write(&file, &[(Refusal::OwnerForbidden, standing)]).expect("a writable folder");
        assert_eq!(read(&file).expect("the file"), [(Refusal::OwnerForbidden, standing)]);
        let text = fs::read_to_string(&file).expect("the file");
        fs::write(&file, text.replace("owner_forbidden", "of_another_version")).expect("a writable folder");
        assert_eq!(read(&file).expect("the file"), []);
        for garbage in ["", "{}", "{\"version\": 2, \"rules\": {}}", &text[..text.len() / 2]] {
            fs::write(&file, garbage).expect("a writable folder");
            assert!(read(&file).is_err(), "{garbage}");
        }
        fs::remove_file(&file).expect("the file");
    }

    #[test]
    fn no_other_file_is_written_through_a_link() {
        let name = |kind| std::env::temp_dir().join(format!("glance-gate-rules-{kind}-{}", uuid::Uuid::new_v4()));
        let (file, victim) = (name("state"), name("victim"));
        fs::write(&victim, "theirs").expect("a writable folder");
        let mut beside = file.clone().into_os_string();
        beside.push(".new");
        std::os::unix::fs::symlink(&victim, &beside).expect("a link");
        write(&file, &[(Refusal::OwnerForbidden, Standing::new(SystemTime::now()))]).expect("a writable folder");
        assert_eq!(fs::read_to_string(&victim).expect("the file"), "theirs");
        let kind = fs::symlink_metadata(&file).expect("the file");
        assert!(kind.is_file() && std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o777 == 0o600);
        for path in [file, victim] {
            fs::remove_file(path).expect("the file");
        }
    }
}
