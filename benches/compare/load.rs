//! Sends requests over connections that stay: as fast as they are answered, or at a constant rate.
//!
//! At a constant rate a request's latency counts from when it was due, not from when a connection was free to send it,
//! so that a proxy that stalls can not hide the requests it kept from being sent ("coordinated omission").

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use clap::Args;
use mio::Events;
use mio::Interest;
use mio::Poll;
use mio::Token;
use mio::net::TcpStream;
use serde_json::json;

use crate::cpu;
use crate::histogram::Histogram;
use crate::link::Filled;
use crate::link::Link;
use crate::message;
use crate::ticks::Ticks;
use crate::work;
use crate::work::Work;

/// Where to, how much, and for how long.
#[derive(Clone, Debug, Args)]
pub struct Options {
    #[arg(long)]
    target: SocketAddr,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long is measured
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long is not measured before that, once each token and each image was sent
    #[arg(long, default_value_t = 0.5)]
    warm_seconds: f64,
    /// Requests a second; without it each answer is followed by the next request
    #[arg(long)]
    rate: Option<u32>,
    #[command(flatten)]
    work: work::Options,
    /// The processes whose CPU time is reported
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
    /// The stub, whose CPU time is reported with that of this program
    #[arg(long)]
    beside: Option<u32>,
}

const TICKS: Token = Token(usize::MAX);

struct Client {
    link: Link,
    /// When the request that is under way was due.
    due: Option<Instant>,
    length: Option<(usize, u64, u16)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As fast as answers come.
    Closed,
    /// When it is due.
    Constant,
}

struct Load {
    target: SocketAddr,
    poll: Poll,
    work: Work,
    clients: Vec<Client>,
    idle: Vec<usize>,
    pace: Pace,
    due: VecDeque<Instant>,
    answered: u64,
    /// Those before the measurement among them.
    answered_before: u64,
    statuses: BTreeMap<u16, u64>,
    reconnects: u64,
    latency: Histogram,
}

/// Runs the warm-up and the measurement, and prints the result as JSON.
pub fn run(options: &Options) -> io::Result<()> {
    let mut load = Load::new(options)?;
    load.start()?;
    let round = load.work.round() as u64;
    load.until(|load| load.answered >= round, None)?;
    let warm = Instant::now() + Duration::from_secs_f64(options.warm_seconds);
    load.until(|_| Instant::now() >= warm, None)?;
    load.forget();

    let own: Vec<u32> = options.beside.into_iter().chain([std::process::id()]).collect();
    let (cpu_before, own_before, started) = (cpu::of_trees(&options.watch), cpu::of_trees(&own), Instant::now());
    let end = started + Duration::from_secs_f64(options.seconds);
    match options.rate {
        None => load.until(|_| Instant::now() >= end, None)?,
        Some(rate) => {
            load.pace = Pace::Constant;
            load.until(|load| Instant::now() >= end && load.is_done(), Some((started, end, rate)))?;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu_ns = cpu::of_trees(&options.watch).saturating_sub(cpu_before);
    let load_cpu_ns = cpu::of_trees(&own).saturating_sub(own_before);
    let statuses: BTreeMap<String, u64> =
        load.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect();
    println!(
        "{}",
        json!({
            "requests": load.answered, "seconds": seconds, "statuses": statuses, "reconnects": load.reconnects,
            "all_requests": load.answered_before + load.answered, "cpu_ns": cpu_ns, "load_cpu_ns": load_cpu_ns,
            "p50_us": load.latency.per_mille(500), "p99_us": load.latency.per_mille(990),
            "p999_us": load.latency.per_mille(999),
        })
    );
    Ok(())
}

impl Load {
    fn new(options: &Options) -> io::Result<Self> {
        let mut load = Self {
            target: options.target,
            poll: Poll::new()?,
            work: Work::new(&options.work)?,
            clients: Vec::with_capacity(options.connections),
            idle: Vec::new(),
            pace: Pace::Closed,
            due: VecDeque::new(),
            answered: 0,
            answered_before: 0,
            statuses: BTreeMap::new(),
            reconnects: 0,
            latency: Histogram::default(),
        };
        for id in 0..options.connections {
            let link = load.connect(id)?;
            load.clients.push(Client { link, due: None, length: None });
        }
        Ok(load)
    }

    /// Connects, waiting for it: a listener's queue is shorter than 10,000.
    fn connect(&self, id: usize) -> io::Result<Link> {
        let stream = std::net::TcpStream::connect(self.target)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        Link::new(stream)
    }

    fn start(&mut self) -> io::Result<()> {
        (0..self.clients.len()).try_for_each(|id| self.next(id))
    }

    /// Begins to count.
    fn forget(&mut self) {
        self.answered_before += self.answered;
        self.answered = 0;
        self.reconnects = 0;
        self.statuses.clear();
        self.latency = Histogram::default();
    }

    fn is_done(&self) -> bool {
        self.due.is_empty() && self.idle.len() == self.clients.len()
    }

    /// Runs until the condition holds; `paced` tells from when to when how many requests a second are due.
    fn until(&mut self, done: impl Fn(&Self) -> bool, paced: Option<(Instant, Instant, u32)>) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let _ticks = paced.map(|_| Ticks::start(self.poll.registry(), TICKS)).transpose()?;
        let mut scheduled = 0_u32;
        while !done(self) {
            if let Some((start, end, rate)) = paced {
                let now = Instant::now();
                loop {
                    let due = start + Duration::from_secs_f64(f64::from(scheduled) / f64::from(rate));
                    if due > now || due >= end {
                        break;
                    }
                    self.due.push_back(due);
                    scheduled += 1;
                }
                self.send_due()?;
            }
            if let Err(error) = self.poll.poll(&mut events, Some(Duration::from_millis(20)))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in events.iter().filter(|event| event.token() != TICKS) {
                self.serve(event.token().0)?;
            }
        }
        Ok(())
    }

    fn send_due(&mut self) -> io::Result<()> {
        while !self.due.is_empty() {
            let Some(id) = self.idle.pop() else { break };
            self.next(id)?;
        }
        Ok(())
    }

    /// Sends the next request on a connection that is free, if one is due.
    fn next(&mut self, id: usize) -> io::Result<()> {
        let due = match self.pace {
            Pace::Closed => Some(Instant::now()),
            Pace::Constant => self.due.pop_front(),
        };
        let Some(client) = self.clients.get_mut(id) else { return Ok(()) };
        client.due = due;
        if due.is_none() {
            self.idle.push(id);
            return Ok(());
        }
        self.work.write(client.link.output());
        match client.link.flush() {
            Ok(_) => Ok(()),
            Err(_) => self.reconnect(id),
        }
    }

    fn reconnect(&mut self, id: usize) -> io::Result<()> {
        self.reconnects += 1;
        let link = self.connect(id)?;
        let Some(client) = self.clients.get_mut(id) else { return Ok(()) };
        let lost = client.due.is_some();
        *client = Client { link, due: None, length: None };
        // a connection that ends between requests loses none
        if lost {
            *self.statuses.entry(0).or_default() += 1;
            self.next(id)?;
        }
        Ok(())
    }

    fn serve(&mut self, id: usize) -> io::Result<()> {
        loop {
            let Some(client) = self.clients.get_mut(id) else { return Ok(()) };
            let filled = match client.link.flush().and_then(|_| client.link.fill()) {
                Ok(Filled::Closed) | Err(_) => return self.reconnect(id),
                Ok(filled) => filled,
            };
            if let Some(status) = client.answer() {
                let took = client.due.take().map(|due| due.elapsed()).unwrap_or_default();
                self.latency.record(took);
                self.answered += 1;
                *self.statuses.entry(status).or_default() += 1;
                self.next(id)?;
            }
            if filled == Filled::Drained {
                return Ok(());
            }
        }
    }
}

impl Client {
    /// Returns the status of an answer that has come whole, and drops it.
    fn answer(&mut self) -> Option<u16> {
        let received = self.link.received();
        if self.length.is_none() {
            let length = message::head_length(received)?;
            let head = received.get(..length)?;
            self.length = Some((length, message::content_length(head), message::status(head)?));
        }
        let (head, body, status) = self.length?;
        let whole = head + usize::try_from(body).ok()?;
        if received.len() < whole {
            return None;
        }
        self.link.consume(whole);
        self.length = None;
        Some(status)
    }
}
