//! A pipe between two sockets: the kernel moves a body's bytes through it, and the gate never holds them (splice(2)).

use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::pipe::SpliceFlags;
use rustix::pipe::fcntl_setpipe_size;
use rustix::pipe::pipe_with;
use rustix::pipe::splice;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::UnixStream;

use crate::body::pour::Poured;

/// A pipe that is filled only when it is empty, so that only the socket can be what is waited for.
#[derive(Debug)]
pub struct Pipe {
    /// Nothing once they were given back.
    ends: Option<Ends>,
    held: usize,
    /// How often it was filled in a row without a wait.
    turns: u8,
}

/// A socket whose bytes are the body's own, without TLS.
#[derive(Clone, Copy, Debug)]
pub enum Socket<'a> {
    /// TCP.
    Tcp(&'a TcpStream),
    /// A socket in the file system.
    Unix(&'a UnixStream),
}

/// Whether the bytes of one body go through a pipe.
#[derive(Debug, Default)]
pub enum Shortcut {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// They do.
    Pipe(Pipe),
    /// They are copied.
    Closed,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// The pipes of a worker.
struct Pipes {
    kept: Vec<Ends>,
    in_use: usize,
}

/// How much a pipe has room for. Who has no privileges may have 64 MiB of them (`fs.pipe-user-pages-soft`).
const PIPE_BYTES: usize = 512 * 1024;
/// How much is moved at once: the bytes are already in the kernel's memory, in pieces larger than a page.
const MOVED_BYTES: usize = 1024 * 1024;
/// How often a pipe is filled before the worker's other requests get their turn: a few milliseconds.
const MAX_TURNS: u8 = 8;
/// Shorter bodies are copied, which takes no more system calls.
const MIN_BYTES: u64 = 128 * 1024;
/// How many transfers of a worker have a pipe, with two descriptors each; the others are copied.
const MAX_PIPES: usize = 64;
/// How many pipes a worker keeps while nobody needs them.
const MAX_KEPT: usize = 8;

thread_local! {
    static PIPES: RefCell<Pipes> = const { RefCell::new(Pipes { kept: Vec::new(), in_use: 0 }) };
}

impl Pipe {
    /// Takes an empty pipe, unless there are enough of them or the system gives none of a useful size.
    pub fn take() -> Option<Self> {
        PIPES.with_borrow_mut(|pipes| {
            if pipes.in_use >= MAX_PIPES {
                return None;
            }
            let ends = pipes.kept.pop().or_else(|| Ends::open().ok())?;
            pipes.in_use += 1;
            Some(Self { ends: Some(ends), held: 0, turns: 0 })
        })
    }

    /// Tells whether all that went in has come out.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves at most `max` bytes in; none at the end of the stream. Must be empty.
    ///
    /// # Errors
    /// Tells how the socket broke.
    pub fn poll_fill(&mut self, from: Socket<'_>, max: u64, context: &mut Context<'_>) -> Poll<io::Result<Poured>> {
        let Some(ends) = self.ends.as_ref().filter(|_| self.held == 0) else { return Poll::Ready(Ok(Poured::Unable)) };
        if self.turns >= MAX_TURNS {
            self.turns = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = usize::try_from(max).unwrap_or(usize::MAX).min(MOVED_BYTES);
        loop {
            let polled = from.poll_read_ready(context);
            if polled.is_pending() {
                self.turns = 0;
            }
            ready!(polled)?;
            match from.try_io(Interest::READABLE, || moved(from.as_fd(), ends.write.as_fd(), length)) {
                Ok(count) => {
                    self.held = count;
                    self.turns += 1;
                    return Poll::Ready(Ok(Poured::Bytes(count)));
                }
                Err(error) if is_transient(&error) => {}
                Err(error) if is_unable(&error) => return Poll::Ready(Ok(Poured::Unable)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves at most `max` bytes in of a body of which so much is left, and counts them off. Must be empty.
    ///
    /// # Errors
    /// Tells how the socket broke, or that it ended before the body.
    pub fn poll_fill_body(
        &mut self,
        from: Socket<'_>,
        max: u64,
        left: &mut u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Poured>> {
        let poured = ready!(self.poll_fill(from, max.min(*left), context))?;
        match poured {
            Poured::Bytes(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poured::Bytes(count) => *left = left.saturating_sub(count as u64),
            Poured::Unable => {}
        }
        Poll::Ready(Ok(poured))
    }

    /// Moves bytes out, and returns how many.
    ///
    /// # Errors
    /// Tells how the socket broke.
    pub fn poll_drain(&mut self, into: Socket<'_>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            let polled = into.poll_write_ready(context);
            if polled.is_pending() {
                self.turns = 0;
            }
            ready!(polled)?;
            match into.try_io(Interest::WRITABLE, || moved(ends.read.as_fd(), into.as_fd(), self.held)) {
                Ok(count) => {
                    self.held = self.held.saturating_sub(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // a worker that ends keeps nothing
        let _ = PIPES.try_with(|pipes| {
            let mut pipes = pipes.borrow_mut();
            pipes.in_use = pipes.in_use.saturating_sub(1);
            // what is left of a body that broke off must never reach another
            if let Some(ends) = self.ends.take().filter(|_| self.held == 0 && pipes.kept.len() < MAX_KEPT) {
                pipes.kept.push(ends);
            }
        });
    }
}

impl Ends {
    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write, PIPE_BYTES)?;
        Ok(Self { read, write })
    }
}

impl Shortcut {
    /// Returns the pipe for a body of which so much is left, if it is worth one and there is one.
    pub fn pipe(&mut self, left: u64) -> Option<&mut Pipe> {
        if matches!(self, Self::Unasked) && left >= MIN_BYTES {
            *self = Pipe::take().map_or(Self::Closed, Self::Pipe);
        }
        match self {
            Self::Pipe(pipe) => Some(pipe),
            Self::Unasked | Self::Closed => None,
        }
    }

    /// Returns the pipe if bytes are in it.
    pub fn loaded(&mut self) -> Option<&mut Pipe> {
        match self {
            Self::Pipe(pipe) if !pipe.is_empty() => Some(pipe),
            Self::Pipe(_) | Self::Unasked | Self::Closed => None,
        }
    }

    /// Tells whether bytes are in the pipe.
    pub fn is_loaded(&self) -> bool {
        matches!(self, Self::Pipe(pipe) if !pipe.is_empty())
    }

    /// Gives the pipe up for the rest of the body.
    pub fn close(&mut self) {
        *self = Self::Closed;
    }
}

impl<'a> Socket<'a> {
    /// Returns the socket that a stream is, if it is nothing more.
    pub fn of<S: 'static>(stream: &'a S) -> Option<Self> {
        (stream as &dyn Any).downcast_ref().map(Self::Tcp)
    }

    fn poll_read_ready(self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
        }
    }

    fn poll_write_ready(self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
        }
    }

    fn try_io(self, interest: Interest, operation: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, operation),
            Self::Unix(stream) => stream.try_io(interest, operation),
        }
    }

    fn as_fd(self) -> BorrowedFd<'a> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

fn moved(from: BorrowedFd<'_>, into: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
    Ok(splice(from, None, into, None, length, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tells whether this system, or this kind of socket, can not splice at all.
fn is_unable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        runtime.expect("a runtime").block_on(test);
    }

    async fn filled(pipe: &mut Pipe, from: &UnixStream, max: u64) -> Poured {
        poll_fn(|context| pipe.poll_fill(Socket::Unix(from), max, context)).await.expect("a live socket")
    }

    #[test]
    fn a_pipe_moves_what_is_asked_for_and_leaves_the_rest() {
        run(async {
            let (mut client, from) = UnixStream::pair().expect("sockets");
            let (into, mut upstream) = UnixStream::pair().expect("sockets");
            let mut pipe = Pipe::take().expect("a pipe");
            client.write_all(b"body and the next request").await.expect("a live socket");
            assert_eq!(filled(&mut pipe, &from, 4).await, Poured::Bytes(4));
            assert_eq!(filled(&mut pipe, &from, 4).await, Poured::Unable, "it is not empty");
            let count = poll_fn(|context| pipe.poll_drain(Socket::Unix(&into), context)).await;
            assert_eq!((count.expect("a live socket"), pipe.is_empty()), (4, true));
            let mut read = [0; 4];
            upstream.read_exact(&mut read).await.expect("a live socket");
            assert_eq!(&read, b"body");
            drop(client);
            assert_eq!(filled(&mut pipe, &from, 100).await, Poured::Bytes(21));
            poll_fn(|context| pipe.poll_drain(Socket::Unix(&into), context)).await.expect("a live socket");
            assert_eq!(filled(&mut pipe, &from, 100).await, Poured::Bytes(0), "the client has gone");
        });
    }

    #[test]
    fn who_moves_much_lets_others_have_their_turn() {
        run(async {
            let (mut client, from) = UnixStream::pair().expect("sockets");
            let (into, _upstream) = UnixStream::pair().expect("sockets");
            let mut pipe = Pipe::take().expect("a pipe");
            client.write_all(&[b'x'; 100]).await.expect("a live socket");
            for _ in 0..MAX_TURNS {
                assert_eq!(filled(&mut pipe, &from, 1).await, Poured::Bytes(1));
                poll_fn(|context| pipe.poll_drain(Socket::Unix(&into), context)).await.expect("a live socket");
            }
            let polled = poll_fn(|context| Poll::Ready(pipe.poll_fill(Socket::Unix(&from), 1, context))).await;
            assert!(polled.is_pending());
            assert_eq!(filled(&mut pipe, &from, 1).await, Poured::Bytes(1), "nothing was waited for");
        });
    }

    #[test]
    fn what_is_left_in_a_pipe_reaches_nobody() {
        run(async {
            let (mut client, from) = UnixStream::pair().expect("sockets");
            client.write_all(b"of one client").await.expect("a live socket");
            let mut pipe = Pipe::take().expect("a pipe");
            assert_eq!(filled(&mut pipe, &from, 100).await, Poured::Bytes(13));
            drop(pipe);
            assert!(PIPES.with_borrow(|pipes| pipes.kept.is_empty()));
            drop(Pipe::take().expect("a pipe"));
            assert_eq!(PIPES.with_borrow(|pipes| (pipes.kept.len(), pipes.in_use)), (1, 0));
        });
    }

    #[test]
    fn a_worker_has_so_many_pipes_and_keeps_a_few() {
        let taken: Vec<_> = (0..MAX_PIPES).map(|_| Pipe::take()).collect();
        assert!(taken.iter().all(Option::is_some));
        let mut shortcut = Shortcut::default();
        assert!(shortcut.pipe(MIN_BYTES).is_none());
        drop(taken);
        assert_eq!(PIPES.with_borrow(|pipes| (pipes.kept.len(), pipes.in_use)), (MAX_KEPT, 0));
        assert!(shortcut.pipe(MIN_BYTES).is_none(), "a body goes on as it began");
        let mut shortcut = Shortcut::default();
        assert!(shortcut.pipe(MIN_BYTES - 1).is_none(), "a short one is copied");
        assert!(shortcut.pipe(MIN_BYTES).is_some());
        assert!(shortcut.pipe(1).is_some(), "to its end");
    }
}
