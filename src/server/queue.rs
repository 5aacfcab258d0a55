//! The end of a listener: who has been let in by the kernel, and waits to be accepted, is not left standing.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// Closes the listener and returns the connections that were waiting in its queue; `bound` of them at most, or a flood
/// would keep it open.
///
/// What is still shaking hands is not in the queue yet: if no other process holds the very same socket, the kernel
/// resets it.
pub fn empty(listener: TcpListener, bound: u16) -> Vec<(TcpStream, SocketAddr)> {
    // tokio asks only when the kernel has told it to; this asks now
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut waiting = Vec::new();
    while waiting.len() < usize::from(bound)
        && let Ok((stream, peer)) = listener.accept()
    {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            waiting.push((stream, peer));
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::empty;

    #[tokio::test]
    async fn who_waits_is_let_in_and_nobody_after() {
        for (bound, expected) in [(100, 3), (2, 2)] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(TcpStream::connect(address).await.expect("the kernel lets it in"));
            }
            let waiting = empty(listener, bound);
            assert_eq!(waiting.len(), expected);
            for (client, (_, peer)) in clients.iter().zip(&waiting) {
                assert_eq!(client.local_addr().expect("an address"), *peer);
            }
            assert!(TcpStream::connect(address).await.is_err());
        }
    }
}
