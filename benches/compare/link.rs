//! One connection without waiting: what has come and is not read yet, what is to go and is not sent yet.

use std::io;
use std::io::Read;
use std::io::Write;

use mio::net::TcpStream;

/// How many bytes are taken from the socket at once.
const INPUT_BYTES: usize = 64 * 1024;

/// A connection and its two buffers.
#[derive(Debug)]
pub struct Link {
    /// The socket.
    pub stream: TcpStream,
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    sent: usize,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There is nothing more to read for now.
    Drained,
    /// The buffer is full, and there may be more.
    Full,
    /// The other side has ended the connection.
    Closed,
}

impl Link {
    /// Wraps a socket; `input_bytes` is how large a head or a small body may be.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: vec![0; INPUT_BYTES], start: 0, end: 0, output: Vec::new(), sent: 0 })
    }

    /// Returns what has come.
    pub fn received(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops so many bytes from the front of what has come.
    pub fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once; a short read means that there is no more, so that the next event tells of new bytes.
    pub fn fill(&mut self) -> io::Result<Filled> {
        if self.end == self.input.len() {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let Some(room) = self.input.get_mut(self.end..).filter(|room| !room.is_empty()) else {
            return Err(io::Error::other("a head is larger than the buffer"));
        };
        let wanted = room.len();
        match self.stream.read(room) {
            Ok(0) => Ok(Filled::Closed),
            Ok(read) => {
                self.end += read;
                Ok(if read < wanted { Filled::Drained } else { Filled::Full })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Drained),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Filled::Full),
            Err(error) => Err(error),
        }
    }

    /// Returns where to put what is to be sent next.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends what the socket takes and tells whether that was all.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }
}
