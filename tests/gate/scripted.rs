//! An upstream that does what a test tells it, byte by byte, and notes what it saw.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// What the upstream does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads the request and answers with these bytes.
    Answer(String),
    /// The same, one byte at a time.
    Trickle(String),
    /// The same, and closes afterwards without having said so.
    AnswerAndClose(String),
    /// Answers with these bytes as soon as the head is there, and closes without reading more.
    Early(String),
    /// Begins an answer as soon as the head is there, reads the request to its end, and ends the answer with the second.
    Meanwhile(String, String),
    /// Begins an answer as soon as the head is there, and says nothing more.
    Begin(String),
    /// Reads the request and closes.
    Close,
    /// Reads the head and nothing more, and keeps the connection.
    Stall,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// On which connection, counted from one.
    pub connection: usize,
    /// Its head, with its empty line.
    pub head: String,
    /// How long its body was.
    pub body_length: usize,
}

/// The upstream; ends with the test.
pub struct Upstream {
    pub url: String,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct State {
    connections: Mutex<usize>,
    closed: Mutex<usize>,
    checks: Mutex<usize>,
    arrived: Mutex<Vec<Arrived>>,
}

type Script = Arc<dyn Fn(&Arrived) -> Act + Send + Sync>;

impl Upstream {
    /// Starts one on a free port that does this with each request.
    pub async fn start(script: impl Fn(&Arrived) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Self::serve(url, script, move |state, script| async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, state.clone(), script.clone()));
            }
        })
    }

    /// Starts one that speaks TLS.
    pub async fn start_secured(tls: TlsAcceptor, script: impl Fn(&Arrived) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        Self::serve(url, script, move |state, script| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, script, accepting) = (state.clone(), script.clone(), tls.accept(stream));
                tokio::spawn(async move {
                    if let Ok(stream) = accepting.await {
                        serve(stream, state, script).await;
                    }
                });
            }
        })
    }

    /// Starts one on a socket in the file system.
    pub fn start_at(path: &Path, script: impl Fn(&Arrived) -> Act + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        Self::serve(format!("unix:{}", path.display()), script, move |state, script| async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, state.clone(), script.clone()));
            }
        })
    }

    fn serve<F: Future<Output = ()> + Send + 'static>(
        url: String,
        script: impl Fn(&Arrived) -> Act + Send + Sync + 'static,
        accept: impl FnOnce(Arc<State>, Script) -> F,
    ) -> Self {
        let state = Arc::<State>::default();
        let accepting = tokio::spawn(accept(state.clone(), Arc::new(script))).abort_handle();
        Self { url, state, accepting }
    }

    /// Returns how many health checks it saw.
    pub fn checks(&self) -> usize {
        *self.state.checks.lock().expect("no test has failed")
    }

    /// Returns what it saw of clients.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.arrived.lock().expect("no test has failed").clone()
    }

    /// Returns on which connections the requests came.
    pub fn connections(&self) -> Vec<usize> {
        self.arrived().iter().map(|arrived| arrived.connection).collect()
    }

    /// Returns how many connections it has closed.
    pub fn closed(&self) -> usize {
        *self.state.closed.lock().expect("no test has failed")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Returns an answer with this body.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>, script: Script) {
    let (mut read, mut number) = (Vec::new(), None);
    while let Some(head) = head(&mut stream, &mut read).await {
        if head.starts_with("GET /healthcheck ") {
            *state.checks.lock().expect("no test has failed") += 1;
            drop(stream.write_all(ok("").as_bytes()).await);
            continue;
        }
        let connection = *number.get_or_insert_with(|| {
            let mut connections = state.connections.lock().expect("no test has failed");
            *connections += 1;
            *connections
        });
        let arrived = Arrived { connection, head, body_length: 0 };
        let act = script(&arrived);
        let index = {
            let mut all = state.arrived.lock().expect("no test has failed");
            all.push(arrived.clone());
            all.len() - 1
        };
        let note = |length| state.arrived.lock().expect("no test has failed")[index].body_length = length;
        if !perform(&mut stream, &mut read, &arrived.head, act, note).await {
            break;
        }
    }
    drop(stream);
    *state.closed.lock().expect("no test has failed") += 1;
}

/// Does what it was told; tells whether the connection goes on.
async fn perform(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    read: &mut Vec<u8>,
    head: &str,
    act: Act,
    note: impl FnOnce(usize),
) -> bool {
    match act {
        Act::Early(bytes) => {
            drop(stream.write_all(bytes.as_bytes()).await);
            return false;
        }
        Act::Begin(ref bytes) => {
            drop(stream.write_all(bytes.as_bytes()).await);
            std::future::pending::<()>().await;
        }
        Act::Stall => std::future::pending().await,
        Act::Meanwhile(ref begin, _) => drop(stream.write_all(begin.as_bytes()).await),
        Act::Answer(_) | Act::Trickle(_) | Act::AnswerAndClose(_) | Act::Close => {}
    }
    let Some(length) = body(stream, read, head).await else { return false };
    note(length);
    match act {
        Act::Trickle(bytes) => {
            for byte in bytes.as_bytes() {
                drop(stream.write_all(&[*byte]).await);
                tokio::task::yield_now().await;
            }
            true
        }
        Act::Answer(bytes) | Act::Meanwhile(_, bytes) => stream.write_all(bytes.as_bytes()).await.is_ok(),
        Act::AnswerAndClose(bytes) => {
            drop(stream.write_all(bytes.as_bytes()).await);
            false
        }
        Act::Early(_) | Act::Begin(_) | Act::Stall | Act::Close => false,
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<String> {
    until(stream, read, b"\r\n\r\n").await.map(|head| String::from_utf8(head).expect("a head of ASCII"))
}

/// Reads the body and returns how long it was; nothing if it breaks off.
async fn body(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>, head: &str) -> Option<usize> {
    let value = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_start_matches(':').trim().to_owned())
    };
    if value("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        let mut all = 0;
        loop {
            let size = String::from_utf8(until(stream, read, b"\r\n").await?).expect("a size");
            let size = usize::from_str_radix(size.trim(), 16).expect("a hexadecimal size");
            exactly(stream, read, size + 2).await?;
            all += size;
            if size == 0 {
                return Some(all);
            }
        }
    }
    let length = value("content-length").map_or(0, |length| length.parse().expect("a length"));
    exactly(stream, read, length).await?;
    Some(length)
}

async fn until(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>, mark: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = read.windows(mark.len()).position(|window| window == mark) {
            return Some(read.drain(..at + mark.len()).collect());
        }
        if stream.read_buf(read).await.is_ok_and(|count| count > 0) {
            continue;
        }
        return None;
    }
}

async fn exactly(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>, length: usize) -> Option<()> {
    let mut missing = length;
    loop {
        let taken = missing.min(read.len());
        read.drain(..taken);
        missing -= taken;
        if missing == 0 {
            return Some(());
        }
        if !stream.read_buf(read).await.is_ok_and(|count| count > 0) {
            return None;
        }
    }
}
