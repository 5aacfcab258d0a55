//! The socket side of a stand-in: accepts on a loopback port, serves HTTP/1.1, and can break a connection on purpose.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;

use crate::demo::answers::Answer;
use crate::demo::fault::Breakage;
use crate::demo::fault::Ending;

/// Why a request gets no answer: its connection is to be broken.
#[derive(Debug)]
pub struct Broken(pub Breakage);

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the connection is broken on purpose: {:?}", self.0)
    }
}

impl Error for Broken {}

/// What a stand-in does with a request.
pub trait Answers: Send + Sync + 'static {
    /// Answers the request, or says how to break its connection.
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Result<Answer, Broken>> + Send;
}

/// A bound port that is not served yet, so that its address is known to who will serve it.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn free() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns the address bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on the current runtime until the returned handle is stopped or dropped.
    #[must_use]
    pub fn serve(self, answers: Arc<impl Answers>) -> Serving {
        let accepting = tokio::spawn(accept(self.listener, answers));
        Serving { address: self.address, accepting: accepting.abort_handle() }
    }
}

/// A served port; every connection ends with it.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Serving {
    /// Returns the address served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection.
    pub fn stop(&self) {
        self.accepting.abort();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Accepts until aborted; the connections are aborted with it, because the set is dropped.
async fn accept(listener: TcpListener, answers: Arc<impl Answers>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&answers)));
                }
                // out of descriptors or the like: let others run, then try again
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, answers: Arc<impl Answers>) {
    // an answer's latency would otherwise be the delayed acknowledgement's
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        Box::pin(async move { answers.answer(request).await.map(Answer::into_response) })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let breakage = ended
        .err()
        .and_then(|error| error.source().and_then(|cause| cause.downcast_ref::<Broken>()).map(|broken| broken.0));
    match breakage {
        Some(breakage) => end(stream, breakage).await,
        None => {
            let _ = stream.shutdown().await;
        }
    }
}

async fn end(mut stream: TcpStream, breakage: Breakage) {
    let _ = stream.write_all(breakage.bytes()).await;
    match breakage.ending() {
        Ending::Reset => {
            let _ = stream.set_zero_linger();
        }
        Ending::Close => {
            let _ = stream.shutdown().await;
        }
    }
}
