//! Log lines on their way out: gathered in memory, and written by a thread of their own, many at a time.
//!
//! Who logs never waits for a pipe or a disk, and pays for no system call: that is most of what a line costs.

use std::fmt;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

/// Where lines are put; cloning shares it.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
}

/// Writes what is left when it is dropped.
#[derive(Debug)]
pub struct Writing {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lost: u64,
    state: State,
}

/// What the writing thread does, or is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It will look at what is pending by itself.
    #[default]
    Writing,
    /// It waits for the first line.
    Waiting,
    /// It writes what is left and ends.
    Ending,
}

/// How many bytes may wait to be written; more lines are lost, and counted, rather than let a request wait.
const MAX_PENDING: usize = 16 * 1024 * 1024;

/// How long lines are gathered after the first one.
const GATHER: Duration = Duration::from_millis(50);

/// How many lines found no room since the process started: as global as the log itself.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Returns how many lines found no room since the process started.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

impl Lines {
    /// Starts a thread that writes lines to `out`.
    ///
    /// # Errors
    /// Fails if the thread can not be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Writing)> {
        let shared = Arc::new(Shared { pending: Mutex::default(), changed: Condvar::new() });
        let lines = Self { shared };
        let writer = lines.clone();
        let thread = thread::Builder::new().name("log".into()).spawn(move || writer.write_all(out))?;
        Ok((lines.clone(), Writing { lines, thread: Some(thread) }))
    }

    /// Puts a line behind the others. Its end is part of it.
    pub fn push(&self, line: &[u8]) {
        let mut pending = self.lock();
        if pending.bytes.len() + line.len() > MAX_PENDING {
            pending.lost += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pending.bytes.extend_from_slice(line);
        if pending.state == State::Waiting {
            pending.state = State::Writing;
            drop(pending);
            self.shared.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until it is to end.
    fn write_all(&self, mut out: impl Write) {
        let mut bytes = Vec::new();
        while let Some(lost) = self.next(&mut bytes) {
            // who reads the log may have gone; the gate goes on
            let _ = out.write_all(&bytes);
            if lost > 0 {
                let _ = writeln!(out, r#"{{"level":"WARN","message":"log lines were lost","lost":{lost}}}"#);
            }
            let _ = out.flush();
            bytes.clear();
        }
    }

    /// Waits for lines, takes them, and tells how many were lost; nothing when there will be no more.
    fn next(&self, bytes: &mut Vec<u8>) -> Option<u64> {
        let mut pending = self.lock();
        while pending.bytes.is_empty() {
            if pending.state == State::Ending {
                return None;
            }
            pending.state = State::Waiting;
            pending = self.shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        let is_gathering = |pending: &mut Pending| pending.state != State::Ending;
        let gathered = self.shared.changed.wait_timeout_while(pending, GATHER, is_gathering);
        let (mut pending, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut pending.bytes, bytes);
        Some(std::mem::take(&mut pending.lost))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.lines.lock().state = State::Ending;
        self.lines.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // a panic there was told when it happened
            let _ = thread.join();
        }
    }
}

/// One line for `tracing_subscriber`, which writes each with one call.
impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Lines").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::Lines;
    use super::MAX_PENDING;
    use super::lost;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_and_none_is_left_at_the_end() {
        let kept = Kept::default();
        let (lines, writing) = Lines::start(kept.clone()).expect("a thread");
        for number in 0..10_000 {
            lines.push(format!("{number}\n").as_bytes());
        }
        drop(writing);
        let written = String::from_utf8(kept.0.lock().expect("no panic").clone()).expect("text");
        assert!(written.lines().map(|line| line.parse::<u32>().expect("a number")).eq(0..10_000));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let kept = Kept::default();
        // nothing is written while the lock of the writer is held
        let out = kept.clone();
        let hold = out.0.lock().expect("no panic");
        let (lines, writing) = Lines::start(kept.clone()).expect("a thread");
        let line = vec![b'\n'; MAX_PENDING / 4];
        for _ in 0..12 {
            lines.push(&line);
        }
        drop(hold);
        drop(writing);
        let written = kept.0.lock().expect("no panic");
        assert!(written.len() < 9 * line.len(), "{} bytes", written.len());
        let text = String::from_utf8_lossy(&written);
        assert!(text.contains("log lines were lost"));
        // no other test loses any
        assert!(text.contains(&format!("\"lost\":{}}}", lost())), "{} were lost", lost());
    }
}
