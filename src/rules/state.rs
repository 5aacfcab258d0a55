//! The small file in which earned enforcement survives a restart.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Write;
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
    let mut new = fs::File::create(&beside)?;
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
}
