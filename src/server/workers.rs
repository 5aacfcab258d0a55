//! One thread a core, each with its own runtime and its own listener on the same port.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener as StdListener;
use std::thread;
use std::thread::JoinHandle;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// How many connections may wait in the kernel for each worker.
pub const BACKLOG: u16 = 4096;

/// Binds one listener a worker on the same address (`SO_REUSEPORT`); port 0 becomes one free port for all.
///
/// # Errors
/// Fails if the address can not be bound.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<StdListener>> {
    let first = bind_one(address)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind_one(address)?);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG.into())?;
    Ok(socket.into())
}

/// Starts a thread with a single-threaded runtime of its own that runs `work` on its listeners.
///
/// # Errors
/// Fails if the thread or its runtime can not be made.
pub fn spawn<W, F>(name: String, listeners: Vec<StdListener>, work: W) -> io::Result<JoinHandle<F::Output>>
where
    W: FnOnce(Vec<TcpListener>) -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listeners = {
        let _entered = runtime.enter();
        listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?
    };
    thread::Builder::new().name(name).spawn(move || runtime.block_on(work(listeners)))
}
