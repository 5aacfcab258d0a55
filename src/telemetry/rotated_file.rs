//! A file of lines that is renamed when it has grown, and opened anew when it broke; for one thread, which may wait.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use memchr::memchr;
use memchr::memchr_iter;
use memchr::memrchr;
use rustix::fs::OFlags;

/// Where lines go and how many of them are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file; those before it have `.1`, `.2` and so on behind their names.
    pub path: PathBuf,
    /// How many bytes it may have; zero is no limit. A single line that is longer still is written whole.
    pub rotate_at: usize,
    /// How many of those before it are kept.
    pub kept: usize,
}

/// The file.
#[derive(Debug)]
pub struct RotatedFile {
    settings: Settings,
    open: Option<Open>,
    /// The last line was cut off by an error.
    is_torn: bool,
    /// When it failed last; it is told once until it works again.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: usize,
    /// Pipes and devices are never renamed.
    rotates: bool,
}

/// How long a file that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// Nobody but the gate's user reads it: it names projects and users.
const MODE: u32 = 0o600;

impl RotatedFile {
    /// Opens the file when the first line comes.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None, is_torn: false, failed: None }
    }

    /// Writes whole lines; returns how many of them are lost.
    pub fn write(&mut self, lines: &[u8]) -> usize {
        if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return count(lines);
        }
        let mut rest = lines;
        let outcome = self.write_pieces(&mut rest);
        let path = self.settings.path.display();
        match outcome {
            Ok(()) if self.failed.take().is_some() => tracing::info!(file = %path, "the file is written again"),
            Ok(()) => {}
            Err(error) => {
                self.open = None;
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(file = %path, %error, "the file can not be written: its lines are lost until it can");
                }
            }
        }
        count(rest)
    }

    /// Takes from `rest` what is written.
    fn write_pieces(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            let settings = &self.settings;
            let open = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(Open::new(&settings.path)?),
            };
            if self.is_torn {
                open.write(&mut b"\n".as_slice())?;
                self.is_torn = false;
            }
            let piece = open.room_for(rest, settings.rotate_at);
            if piece == 0 {
                open.rotate(settings);
                self.open = None;
                continue;
            }
            let (mut now, later) = rest.split_at(piece);
            let written = open.write(&mut now);
            self.is_torn = written.is_err() && now.len() < piece && !ends_before(rest, now.len());
            *rest = if written.is_ok() { later } else { rest.get(piece - now.len()..).unwrap_or_default() };
            written?;
        }
        Ok(())
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        // a pipe that nobody reads is an error, and not something to wait for
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(nonblocking).open(path)?;
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        let known = file.metadata()?;
        let size = usize::try_from(known.len()).unwrap_or(usize::MAX);
        Ok(Self { file, size, rotates: known.is_file() })
    }

    /// Takes from `rest` what is written.
    fn write(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.size = self.size.saturating_add(written);
                    *rest = rest.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns how many bytes of the lines, in whole lines, the file still takes; an empty one takes the first always.
    fn room_for(&self, lines: &[u8], rotate_at: usize) -> usize {
        if rotate_at == 0 || !self.rotates {
            return lines.len();
        }
        let room = rotate_at.saturating_sub(self.size).min(lines.len());
        let whole = lines.get(..room).and_then(|fitting| memrchr(b'\n', fitting)).map_or(0, |end| end + 1);
        if whole == 0 && self.size == 0 { memchr(b'\n', lines).map_or(lines.len(), |end| end + 1) } else { whole }
    }

    /// Renames the file and those before it. What can not be renamed grows on.
    fn rotate(&mut self, settings: &Settings) {
        let rotated = if settings.kept == 0 {
            fs::remove_file(&settings.path)
        } else {
            for number in (1..settings.kept).rev() {
                // the first ones are not there yet
                let _ = fs::rename(numbered(&settings.path, number), numbered(&settings.path, number + 1));
            }
            fs::rename(&settings.path, numbered(&settings.path, 1))
        };
        if let Err(error) = rotated
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(file = %settings.path.display(), %error, "the file can not be renamed: it grows on");
            self.rotates = false;
        }
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn count(lines: &[u8]) -> usize {
    memchr_iter(b'\n', lines).count()
}

/// Tells whether what stands before the last `left` bytes ends a line.
fn ends_before(lines: &[u8], left: usize) -> bool {
    lines.len().checked_sub(left + 1).and_then(|last| lines.get(last)) == Some(&b'\n')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::path::PathBuf;

    use super::RotatedFile;
    use super::Settings;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("glance-gate-file-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).expect("a new folder");
            Self(path)
        }

        fn file(&self, rotate_at: usize, kept: usize) -> RotatedFile {
            RotatedFile::new(Settings { path: self.0.join("lines"), rotate_at, kept })
        }

        fn text(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.join(name)).ok()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_file_that_has_grown_is_renamed_between_two_lines() {
        let folder = Folder::new();
        let mut file = folder.file(10, 2);
        assert_eq!(file.write(b"1111\n2222\n3333\n"), 0);
        assert_eq!(file.write(b"44\na line that is longer than a file\n"), 0);
        assert_eq!(folder.text("lines").as_deref(), Some("a line that is longer than a file\n"));
        assert_eq!(folder.text("lines.1").as_deref(), Some("3333\n44\n"));
        assert_eq!(folder.text("lines.2").as_deref(), Some("1111\n2222\n"));
        assert_eq!(file.write(b"5\n"), 0);
        assert_eq!((folder.text("lines").as_deref(), folder.text("lines.3")), (Some("5\n"), None));
        let mode = fs::metadata(folder.0.join("lines")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut none = folder.file(4, 0);
        assert_eq!(none.write(b"666\n777\n"), 0);
        assert_eq!(folder.text("lines").as_deref(), Some("777\n"));
    }

    #[test]
    fn it_goes_on_where_it_was_and_without_a_limit_it_grows() {
        let folder = Folder::new();
        for line in ["1\n", "2\n"] {
            assert_eq!(folder.file(0, 3).write(line.as_bytes()), 0);
        }
        assert_eq!(folder.text("lines").as_deref(), Some("1\n2\n"));
    }

    #[test]
    fn what_can_not_be_written_is_counted() {
        let settings = Settings { path: "/nowhere/at/all".into(), rotate_at: 0, kept: 0 };
        let mut file = RotatedFile::new(settings);
        assert_eq!((file.write(b"1\n2\n"), file.write(b"3\n")), (2, 1));
        assert!(!Path::new("/nowhere").exists());
        let full = Settings { path: "/dev/full".into(), rotate_at: 1, kept: 1 };
        assert_eq!(RotatedFile::new(full).write(b"1\n2\n"), 2);
    }
}
