//! Connections that have done their work and stay: what does a proxy keep for them?

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use clap::Args;

use crate::message;
use crate::work;
use crate::work::Work;

/// Where to, how many, and what each sends.
#[derive(Clone, Debug, Args)]
pub struct Options {
    #[arg(long)]
    target: SocketAddr,
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    #[command(flatten)]
    work: work::Options,
}

/// How many of the requests are under way at once.
const AT_ONCE: usize = 64;

/// Opens them, prints `held`, and closes them when standard input ends.
pub fn run(options: &Options) -> io::Result<()> {
    let mut work = Work::new(&options.work)?;
    let mut streams = Vec::with_capacity(options.connections);
    for _ in 0..options.connections {
        let stream = TcpStream::connect(options.target)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        streams.push(stream);
    }
    for group in streams.chunks_mut(AT_ONCE) {
        for stream in group.iter_mut() {
            let mut request = Vec::new();
            work.write(&mut request);
            stream.write_all(&request)?;
        }
        for stream in group {
            read_answer(stream)?;
        }
    }
    println!("held");
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// Reads one answer to its end.
///
/// # Errors
/// Fails if it is not 200 or does not come whole.
pub fn read_answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let Some(length) = message::head_length(&received) else { continue };
        let head = received.get(..length).unwrap_or_default();
        if (received.len() - length) as u64 >= message::content_length(head) {
            return match message::status(head) {
                Some(200 | 204) => Ok(()),
                status => Err(io::Error::other(format!("answered {status:?}"))),
            };
        }
    }
}
