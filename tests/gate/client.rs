//! A client that writes HTTP/1.1 byte by byte and reads whatever comes back.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// One connection; nothing is sent but what a test writes.
pub struct Connection {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

/// What a connection is written to and read from.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A request to be sent on a connection of its own.
#[derive(Clone, Debug)]
pub struct Call {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub is_whole: bool,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gate takes connections");
        stream.set_nodelay(true).expect("a live socket");
        Self::over(stream)
    }

    /// Speaks on a stream that was prepared elsewhere.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// Opens one, if the other side takes it.
    pub async fn try_open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the gate reads");
    }

    /// Sends what the other side may refuse to read to its end.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        // an answer that came early is still to be read
        drop(self.stream.write_all(bytes.as_ref()).await);
    }

    /// Says that nothing more will come, and still reads.
    pub async fn close_its_side(&mut self) {
        self.stream.shutdown().await.expect("a live socket");
    }

    /// Reads the answer to a request with this method; nothing if the connection ends before a head is there.
    pub async fn try_reply(&mut self, method: &str) -> Option<Reply> {
        let head = loop {
            let end = self.until(b"\r\n\r\n").await?;
            let head = String::from_utf8(end).expect("a head of ASCII");
            // 1xx are not the answer yet
            if !head.starts_with("HTTP/1.1 1") {
                break head;
            }
        };
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new(), is_whole: true };
        if method != "HEAD" && !matches!(status, 204 | 304) {
            self.body(&mut reply).await;
        }
        Some(reply)
    }

    pub async fn reply(&mut self, method: &str) -> Reply {
        self.try_reply(method).await.expect("an answer")
    }

    /// Returns the head of an answer whose body does not end.
    pub async fn head(&mut self) -> String {
        String::from_utf8(self.until(b"\r\n\r\n").await.expect("a head")).expect("a head of ASCII")
    }

    /// Returns the next chunk of such a body; nothing after the last one.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.until(b"\r\n").await?).expect("a chunk size");
        let size = usize::from_str_radix(line.trim(), 16).expect("a hexadecimal chunk size");
        let mut chunk = Vec::with_capacity(size);
        self.exactly(size, &mut chunk).await?;
        self.until(b"\r\n").await?;
        (size > 0).then_some(chunk)
    }

    /// Tells whether the other side has closed and sent nothing more.
    pub async fn is_over(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    async fn body(&mut self, reply: &mut Reply) {
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.is_whole = self.chunks(&mut reply.body).await.is_some();
        } else if let Some(length) = reply.header("content-length") {
            let length = length.parse().expect("a length");
            reply.is_whole = self.exactly(length, &mut reply.body).await.is_some();
        } else {
            while self.more().await {}
            reply.body.append(&mut self.read);
        }
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).expect("a chunk size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a hexadecimal chunk size");
            if size == 0 {
                self.until(b"\r\n").await?;
                return Some(());
            }
            self.exactly(size, body).await?;
            self.until(b"\r\n").await?;
        }
    }

    async fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        let mut missing = length;
        loop {
            let taken = self.read.len().min(missing);
            into.extend(self.read.drain(..taken));
            missing -= taken;
            if missing == 0 {
                return Some(());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Returns everything up to and with the mark.
    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|window| window == mark) {
                return Some(self.read.drain(..at + mark.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        self.stream.read_buf(&mut self.read).await.is_ok_and(|read| read > 0)
    }
}

impl Call {
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        Self { address, method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.header("X-Auth-Token", token)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the bytes that go out: the headers as given, `Host` and `Content-Length` where they are missing.
    pub fn bytes(&self) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !has("host") {
            bytes.extend_from_slice(format!("Host: {}\r\n", self.address).as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        let takes_body = matches!(self.method.as_str(), "PUT" | "POST" | "PATCH") || !self.body.is_empty();
        if takes_body && !has("content-length") && !has("transfer-encoding") {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub async fn send(self) -> Reply {
        self.try_send().await.expect("an answer")
    }

    /// Returns nothing if the connection ends without an answer.
    pub async fn try_send(self) -> Option<Reply> {
        let mut connection = Connection::open(self.address).await;
        connection.try_send(self.bytes()).await;
        connection.try_reply(&self.method).await
    }
}

impl Reply {
    /// Returns the one value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there more than once");
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
