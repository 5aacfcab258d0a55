//! Lines on their way out: gathered in memory, and written by a thread of their own, many at a time.
//!
//! Who tells something never waits for a pipe or a disk, and pays for no system call: that is most of what a line costs.

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
    ended: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// How many bytes may wait; more lines are lost rather than let a request wait.
    bound: usize,
    lost: u64,
    state: State,
    is_woken: bool,
    has_ended: bool,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits to be written.
    Waiting,
    /// There was no room for it.
    Lost,
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

/// How long lines are gathered after the first one.
const GATHER: Duration = Duration::from_millis(50);

/// How many lines of the log found no room since the process started: as global as the log itself.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Returns how many lines of the log found no room since the process started.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

impl Lines {
    /// Starts a thread of this name that hands lines to `write`, many at a time, with the number of those that were lost
    /// since it was last called. At most `bound` bytes wait.
    ///
    /// # Errors
    /// Fails if the thread can not be started.
    pub fn start(
        name: &str,
        bound: usize,
        write: impl FnMut(&[u8], u64) + Send + 'static,
    ) -> io::Result<(Self, Writing)> {
        let pending = Mutex::new(Pending { bound, ..Pending::default() });
        let lines = Self { shared: Arc::new(Shared { pending, changed: Condvar::new(), ended: Condvar::new() }) };
        let writer = lines.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || writer.write_all(write))?;
        Ok((lines.clone(), Writing { lines, thread: Some(thread) }))
    }

    /// Puts a line behind the others. Its end is part of it.
    pub fn push(&self, line: &[u8]) -> Pushed {
        let mut pending = self.lock();
        if pending.bytes.len() + line.len() > pending.bound {
            pending.lost += 1;
            return Pushed::Lost;
        }
        pending.bytes.extend_from_slice(line);
        if pending.state == State::Waiting {
            pending.state = State::Writing;
            drop(pending);
            self.shared.changed.notify_one();
        }
        Pushed::Waiting
    }

    /// Puts a line of the log behind the others; one that finds no room is counted.
    pub fn log(&self, line: &[u8]) {
        if self.push(line) == Pushed::Lost {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the thread call `write` soon, even if there is nothing to be written.
    pub fn wake(&self) {
        let mut pending = self.lock();
        pending.is_woken = true;
        if pending.state == State::Waiting {
            pending.state = State::Writing;
        }
        drop(pending);
        self.shared.changed.notify_one();
    }

    /// Lets more bytes, or fewer, wait from now on.
    pub fn set_bound(&self, bound: usize) {
        self.lock().bound = bound;
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until it is to end.
    fn write_all(&self, mut write: impl FnMut(&[u8], u64)) {
        let mut bytes = Vec::new();
        while let Some(lost) = self.next(&mut bytes) {
            write(&bytes, lost);
            bytes.clear();
        }
        drop(write);
        self.lock().has_ended = true;
        self.shared.ended.notify_all();
    }

    /// Waits for lines, takes them, and tells how many were lost; nothing when there will be no more.
    fn next(&self, bytes: &mut Vec<u8>) -> Option<u64> {
        let mut pending = self.lock();
        while pending.bytes.is_empty() && !pending.is_woken {
            if pending.state == State::Ending {
                return None;
            }
            pending.state = State::Waiting;
            pending = self.shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        let is_gathering = |pending: &mut Pending| pending.state != State::Ending;
        let gathered = self.shared.changed.wait_timeout_while(pending, GATHER, is_gathering);
        let (mut pending, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        pending.is_woken = false;
        std::mem::swap(&mut pending.bytes, bytes);
        Some(std::mem::take(&mut pending.lost))
    }
}

impl Writing {
    /// Writes what is left, but waits no longer than this for whoever takes the lines.
    pub fn finish(mut self, within: Duration) {
        let mut pending = self.lines.lock();
        pending.state = State::Ending;
        self.lines.shared.changed.notify_one();
        let is_writing = |pending: &mut Pending| !pending.has_ended;
        let waited = self.lines.shared.ended.wait_timeout_while(pending, within, is_writing);
        let has_ended = waited.unwrap_or_else(PoisonError::into_inner).0.has_ended;
        if !has_ended {
            // it is stuck in a write, and ends with the process
            self.thread = None;
        }
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
        self.log(bytes);
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
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::Lines;
    use super::Pushed;

    const BOUND: usize = 1024 * 1024;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<(Vec<u8>, u64)>>);

    impl Kept {
        fn taker(&self) -> impl FnMut(&[u8], u64) + Send + use<> {
            let kept = self.0.clone();
            move |bytes, lost| {
                let mut kept = kept.lock().expect("no panic");
                kept.0.extend_from_slice(bytes);
                kept.1 += lost;
            }
        }
    }

    #[test]
    fn lines_are_written_in_order_and_none_is_left_at_the_end() {
        let kept = Kept::default();
        let (lines, writing) = Lines::start("test", BOUND, kept.taker()).expect("a thread");
        for number in 0..10_000 {
            assert_eq!(lines.push(format!("{number}\n").as_bytes()), Pushed::Waiting);
        }
        drop(writing);
        let written = String::from_utf8(kept.0.lock().expect("no panic").0.clone()).expect("text");
        assert!(written.lines().map(|line| line.parse::<u32>().expect("a number")).eq(0..10_000));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let kept = Kept::default();
        // nothing is written while the lock of the writer is held
        let hold = kept.0.lock().expect("no panic");
        let (lines, writing) = Lines::start("test", BOUND, kept.taker()).expect("a thread");
        let line = vec![b'\n'; BOUND / 4];
        let lost = (0..12).filter(|_| lines.push(&line) == Pushed::Lost).count();
        drop(hold);
        drop(writing);
        let written = kept.0.lock().expect("no panic");
        assert!((4..=8).contains(&lost), "one batch may be on its way: {lost}");
        assert_eq!((written.0.len(), written.1), ((12 - lost) * line.len(), lost as u64));
    }

    #[test]
    fn who_does_not_take_the_lines_holds_up_the_end_for_a_moment_only() {
        let kept = Kept::default();
        let hold = kept.0.lock().expect("no panic");
        let (lines, writing) = Lines::start("test", BOUND, kept.taker()).expect("a thread");
        lines.push(b"line\n");
        writing.finish(Duration::from_millis(10));
        drop(hold);
    }

    #[test]
    fn a_thread_that_is_woken_looks_up_without_a_line() {
        let (told, heard) = std::sync::mpsc::channel();
        let (lines, writing) =
            Lines::start("test", BOUND, move |bytes, _| told.send(bytes.len()).expect("it is heard"))
                .expect("a thread");
        lines.wake();
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)), Ok(0));
        writing.finish(Duration::from_secs(20));
    }
}
