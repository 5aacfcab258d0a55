//! Listeners that somebody else has bound: systemd's socket activation (`sd_listen_fds(3)`).

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;

/// The listeners that came with the process.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For clients; `FileDescriptorName=main`.
    pub main: Vec<TcpListener>,
    /// For operators; `FileDescriptorName=admin`.
    pub admin: Vec<TcpListener>,
}

/// Takes what the environment tells (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`). Where no name is `main` or
/// `admin`, the first socket is for clients and the second for operators.
///
/// Must be called before threads are started, and once: it clears the variables.
///
/// # Errors
/// Fails if a descriptor is no TCP listener, or if it can not be told what it is for.
pub fn take() -> io::Result<Inherited> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut listeners = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(listeners.len());
    for index in 0..listeners.len() {
        if let Some(socket) = listeners.take_tcp_listener(index)? {
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
    }
    let mut inherited = Inherited::default();
    for (purpose, socket) in purposes(&names, sockets.len())?.into_iter().zip(sockets) {
        match purpose {
            Purpose::Main => inherited.main.push(socket),
            Purpose::Admin => inherited.admin.push(socket),
        }
    }
    Ok(inherited)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Main,
    Admin,
}

fn purposes(names: &str, count: usize) -> io::Result<Vec<Purpose>> {
    let names: Vec<&str> = names.split(':').collect();
    let is_named = names.iter().any(|name| matches!(*name, "main" | "admin"));
    let purpose = |index: usize| match (names.get(index).copied(), index) {
        (Some("main"), _) => Ok(Purpose::Main),
        (Some("admin"), _) => Ok(Purpose::Admin),
        (_, 0) if !is_named => Ok(Purpose::Main),
        (_, 1) if !is_named => Ok(Purpose::Admin),
        (name, _) => Err(io::Error::other(format!(
            "the inherited socket {:?} is neither main nor admin: set FileDescriptorName",
            name.unwrap_or_default()
        ))),
    };
    (0..count).map(purpose).collect()
}

#[cfg(test)]
mod tests {
    use super::Purpose::Admin;
    use super::Purpose::Main;
    use super::purposes;

    #[test]
    fn a_socket_is_known_by_its_name_or_else_by_its_place() {
        let told = |names, count| purposes(names, count).ok();
        assert_eq!(told("main:admin", 2), Some(vec![Main, Admin]));
        assert_eq!(told("admin:main:main", 3), Some(vec![Admin, Main, Main]));
        assert_eq!(told("glance-gate.socket:glance-gate.socket", 2), Some(vec![Main, Admin]));
        assert_eq!(told("", 1), Some(vec![Main]));
        assert_eq!(told("", 0), Some(vec![]));
        assert_eq!(told("", 3), None);
        assert_eq!(told("main:other", 2), None);
        assert_eq!(told("main", 2), None);
    }
}
