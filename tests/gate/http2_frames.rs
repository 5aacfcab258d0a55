//! HTTP/2 frame by frame: writes whatever a test wants, and reads what comes back.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

pub const PROTOCOL_ERROR: u32 = 1;

/// A frame that came back.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection on which nothing happens by itself.
pub struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Sends the preface and empty settings.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gate takes connections");
        stream.set_nodelay(true).expect("a live socket");
        let mut frames = Self { stream };
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.send(&frame(SETTINGS, 0, 0, &[])).await;
        frames
    }

    /// Sends what the other side may refuse to read.
    pub async fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Sends, and tells whether the other side still takes it.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Returns the next frame, or nothing at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Returns the next frame that is about a stream or ends the connection; nothing at the end.
    pub async fn verdict(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.stream != 0 || frame.kind == GOAWAY {
                return Some(frame);
            }
        }
    }

    /// Reads to the end and returns the reason of the last GOAWAY.
    pub async fn until_gone(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                reason = Some(frame.error());
            }
        }
        reason
    }
}

impl Frame {
    /// Returns the reason of a `RST_STREAM` or GOAWAY.
    pub fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Writes fields as they are: literals that are not remembered, without Huffman (RFC 7541 section 6.2.2).
pub fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in list {
        bytes.push(0);
        for text in [name, value] {
            length(text.len(), &mut bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

fn length(length: usize, bytes: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        bytes.push(u8::try_from(length).expect("below 127"));
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).expect("seven bits") | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
}
