//! One process takes the listeners over from another, over a Unix socket (`SCM_RIGHTS`, `unix(7)`).
//!
//! Both then hold the very same sockets, so that the queue of connections that wait to be accepted is one: whoever
//! closes first, nobody is lost. Two listeners on one port (`SO_REUSEPORT`) would not do: the kernel resets what waits
//! or still shakes hands at the one that closes.
//!
//! The old process sends one byte with each descriptor, and `END`. When the new one accepts connections, it says
//! `READY`; the old one says `END` again, and stops.

use std::fs;
use std::fs::Permissions;
use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::io::Read;
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::recvmsg;
use rustix::net::sendmsg;
use rustix::process::geteuid;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::Interest;
use tokio::net::UnixListener;
use tokio::net::UnixStream;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Clients.
    Main,
    /// Operators.
    Admin,
}

/// The listeners of a process that runs, for one that comes after it.
#[derive(Debug)]
pub struct Offer {
    socket: StdUnixListener,
    listeners: Vec<(Purpose, TcpListener)>,
}

/// What was taken over, and from whom.
#[derive(Debug)]
pub struct Taken {
    /// The listeners.
    pub listeners: Vec<(Purpose, TcpListener)>,
    /// The process that still holds them too.
    pub predecessor: Predecessor,
}

/// The process before this one: it goes on until it is told that this one is ready.
#[derive(Debug)]
pub struct Predecessor {
    stream: StdUnixStream,
}

/// How long each side waits for the other: the new one starts in between.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the one waits for a byte that the other need not think about.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
/// Far more listeners than there are: one a worker, and one for operators.
const MAX_LISTENERS: usize = 4096;

const MAIN: u8 = b'm';
const ADMIN: u8 = b'a';
const END: u8 = b'.';
const READY: u8 = b'r';

/// Takes the listeners from the process that offers them at `path`; nothing if none does.
///
/// # Errors
/// Fails if there is one, but it is another user's or does not keep to the protocol.
pub fn take(path: &Path) -> io::Result<Option<Taken>> {
    let stream = match StdUnixStream::connect(path) {
        Ok(stream) => stream,
        // no process has been here, or one has and ended
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(told(path, &error)),
    };
    stream.set_read_timeout(Some(SHORT_PATIENCE))?;
    stream.set_write_timeout(Some(SHORT_PATIENCE))?;
    let owner = rustix::net::sockopt::socket_peercred(&stream)?.uid.as_raw();
    if !is_trusted(owner) {
        return Err(told(path, &"another user's process listens there"));
    }
    let mut listeners = Vec::new();
    while let Some(listener) = receive(&stream).map_err(|error| told(path, &error))? {
        if listeners.len() == MAX_LISTENERS {
            return Err(told(path, &"too many listeners"));
        }
        listeners.push(listener);
    }
    Ok(Some(Taken { listeners, predecessor: Predecessor { stream } }))
}

impl Predecessor {
    /// Lets the process before this one stop accepting; returns when it has heard that.
    ///
    /// # Errors
    /// Fails if it is not there any more, or does not answer.
    pub fn relieve(mut self) -> io::Result<()> {
        self.stream.write_all(&[READY])?;
        let mut answer = [0];
        self.stream.read_exact(&mut answer)?;
        if answer == [END] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl Offer {
    /// Offers the listeners at `path`, in the place of whoever offered some there before. Only this user may take them.
    ///
    /// # Errors
    /// Fails if no socket can be made there.
    pub fn new(path: &Path, listeners: Vec<(Purpose, TcpListener)>) -> io::Result<Self> {
        let mut own = path.as_os_str().to_owned();
        own.push(format!(".{}", uuid::Uuid::new_v4().simple()));
        let own = PathBuf::from(own);
        let socket = StdUnixListener::bind(&own).map_err(|error| told(path, &error))?;
        socket.set_nonblocking(true)?;
        // nobody can connect by the final name before the permissions are right, nor find nobody there
        fs::set_permissions(&own, Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&own, path))
            .inspect_err(|_| drop(fs::remove_file(&own)))
            .map_err(|error| told(path, &error))?;
        Ok(Self { socket, listeners })
    }

    /// Hands the listeners to every process that asks; returns when one of them is ready to go on alone.
    ///
    /// # Errors
    /// Fails if the socket can not be used any more.
    pub async fn given(self) -> io::Result<()> {
        let socket = UnixListener::from_std(self.socket)?;
        loop {
            let (stream, _) = socket.accept().await?;
            match tokio::time::timeout(PATIENCE, hand_over(stream, &self.listeners)).await {
                Ok(Ok(())) => return Ok(()),
                // the other one did not come up: this one goes on as if nothing had been
                Ok(Err(error)) => tracing::warn!(%error, "the listeners were not taken over"),
                Err(_) => tracing::warn!("the listeners were not taken over in time"),
            }
        }
    }
}

async fn hand_over(mut stream: UnixStream, listeners: &[(Purpose, TcpListener)]) -> io::Result<()> {
    if !is_trusted(stream.peer_cred()?.uid()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    for (purpose, listener) in listeners {
        stream.async_io(Interest::WRITABLE, || send(&stream, *purpose, listener)).await?;
    }
    stream.write_all(&[END]).await?;
    if stream.read_u8().await? != READY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&[END]).await
}

/// The same user's processes, and root's.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

fn send(stream: &impl AsFd, purpose: Purpose, listener: &TcpListener) -> io::Result<()> {
    let tag = match purpose {
        Purpose::Main => MAIN,
        Purpose::Admin => ADMIN,
    };
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(stream, &[IoSlice::new(&[tag])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one listener; nothing at the end of them.
fn receive(stream: &StdUnixStream) -> io::Result<Option<(Purpose, TcpListener)>> {
    let mut tag = [0];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut tag)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(sent) => descriptors.extend(sent),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    match (tag, descriptors.pop()) {
        ([END], None) => Ok(None),
        ([MAIN], Some(descriptor)) => Ok(Some((Purpose::Main, listener(descriptor)?))),
        ([ADMIN], Some(descriptor)) => Ok(Some((Purpose::Admin, listener(descriptor)?))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Makes sure that a descriptor is what it should be.
fn listener(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let listener = TcpListener::from(descriptor);
    // fails for what is not a socket of this family
    listener.local_addr()?;
    if !socket2::SockRef::from(&listener).is_listener()? {
        return Err(io::ErrorKind::InvalidData.into());
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn told(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("server.handover_socket {}: {error}", path.display()))
}
