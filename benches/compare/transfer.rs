//! One large image, down or up.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use clap::Args;
use clap::ValueEnum;
use serde_json::json;

use crate::cpu;
use crate::hold::read_answer;
use crate::message;

/// Where, which way, how much.
#[derive(Clone, Debug, Args)]
pub struct Options {
    #[arg(long)]
    target: SocketAddr,
    /// The path of the image's bytes
    #[arg(long)]
    path: String,
    #[arg(long)]
    direction: Direction,
    /// How many bytes are sent up; down, the stub knows
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
    /// The processes whose CPU time is reported
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    Down,
    Up,
}

/// How much goes through one system call.
const BLOCK_BYTES: usize = 256 * 1024;

/// Moves the image and prints bytes, seconds and CPU time as JSON.
pub fn run(options: &Options) -> io::Result<()> {
    let mut stream = TcpStream::connect(options.target)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let before = cpu::of_trees(&options.watch);
    let started = Instant::now();
    let bytes = match options.direction {
        Direction::Down => down(&mut stream, &options.path)?,
        Direction::Up => up(&mut stream, &options.path, options.bytes)?,
    };
    let seconds = started.elapsed().as_secs_f64();
    let cpu_ns = cpu::of_trees(&options.watch).saturating_sub(before);
    println!("{}", json!({"bytes": bytes, "seconds": seconds, "cpu_ns": cpu_ns}));
    Ok(())
}

fn down(stream: &mut TcpStream, path: &str) -> io::Result<u64> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: glance\r\nAccept: */*\r\n\r\n").as_bytes())?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut head = Vec::new();
    let (length, mut body) = loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if let Some(length) = message::head_length(&head) {
            break (length, (head.len() - length) as u64);
        }
    };
    let head = head.get(..length).unwrap_or_default();
    let wanted = message::content_length(head);
    if message::status(head) != Some(200) || wanted == 0 {
        return Err(io::Error::other(format!("answered {:?} with {wanted} bytes", message::status(head))));
    }
    while body < wanted {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => body += read as u64,
        }
    }
    Ok(body)
}

fn up(stream: &mut TcpStream, path: &str, bytes: u64) -> io::Result<u64> {
    stream.write_all(
        format!(
            "PUT {path} HTTP/1.1\r\nHost: glance\r\nAccept: */*\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {bytes}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let block = vec![0; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        stream.write_all(block.get(..length).unwrap_or_default())?;
        left -= length as u64;
    }
    read_answer(stream)?;
    Ok(bytes)
}
