//! What one configuration wants: how events are put into words, and each sink, ready to be started.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::amqp::Amqp;
use crate::audit::config::Config;
use crate::audit::config::Events;
use crate::audit::courier;
use crate::audit::courier::Carrier;
use crate::audit::courier::Counts;
use crate::audit::event::Entry;
use crate::audit::event::Words;
use crate::audit::map::Map;
use crate::audit::post::Post;
use crate::audit::queue::Inlet;
use crate::audit::queue::Put;
use crate::audit::queue::queue;
use crate::audit::syslog::Syslog;
use crate::telemetry::lines::Lines;
use crate::telemetry::lines::Pushed;
use crate::telemetry::lines::Writing;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::rotated_file::RotatedFile;
use crate::telemetry::rotated_file::Settings;

/// A plan that was not started yet.
pub struct Plan {
    words: Words,
    queue_bytes: usize,
    /// How long a sink has at its end.
    pub drain: Duration,
    file: Option<(Settings, Counts)>,
    syslog: Option<(Syslog, Counts)>,
    post: Option<(Post, Counts)>,
    amqp: Option<(Amqp, Counts)>,
}

/// A plan that is followed.
pub struct Followed {
    /// How events are put into words.
    pub words: Words,
    queue_bytes: usize,
    drain: Duration,
    file: Option<(Lines, Writing, Counts)>,
    sinks: Vec<(Inlet<Entry>, Counter)>,
    closing: CancellationToken,
}

/// The kernel's name of the machine.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

impl Plan {
    /// Makes the sinks ready; none if nothing is to be told.
    ///
    /// # Errors
    /// Fails if the map, a certificate or a name can not be used.
    pub fn new(config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let cafile = config.cafile.as_deref();
        let hostname = hostname();
        let counts = |sink| Counts::of(sink, metrics);
        let is_on = config.events != Events::Off;
        let observer = if config.observer.is_empty() { &hostname } else { &config.observer };
        let syslog = config.syslog.as_ref().filter(|_| is_on);
        let post = config.post.as_ref().filter(|_| is_on);
        let amqp = config.amqp.as_ref().filter(|_| is_on);
        Ok(Self {
            words: Words::new(map(config.map_file.as_deref())?, observer, &config.endpoint),
            queue_bytes: config.queue_bytes,
            drain: config.drain_timeout,
            file: config.file.clone().filter(|_| is_on).map(|file| (file, counts("file"))),
            syslog: syslog
                .map(|config| io::Result::Ok((Syslog::new(config, &hostname, cafile)?, counts("syslog"))))
                .transpose()?,
            post: post.map(|config| io::Result::Ok((Post::new(config, cafile)?, counts("http")))).transpose()?,
            amqp: amqp
                .map(|config| io::Result::Ok((Amqp::new(config, &hostname, cafile)?, counts("amqp"))))
                .transpose()?,
        })
    }

    /// Returns what counts the losses of each sink.
    pub fn lost(&self) -> Vec<Counter> {
        let counts = [
            self.file.as_ref().map(|(_, counts)| counts),
            self.syslog.as_ref().map(|(_, counts)| counts),
            self.post.as_ref().map(|(_, counts)| counts),
            self.amqp.as_ref().map(|(_, counts)| counts),
        ];
        counts.into_iter().flatten().map(|counts| counts.lost.clone()).collect()
    }

    /// Tells whether there is somebody to be told.
    pub fn has_sink(&self) -> bool {
        !self.lost().is_empty()
    }

    /// Starts the sinks as tasks among these.
    pub fn start(self, tasks: &mut JoinSet<()>) -> Followed {
        let mut followed = Followed {
            words: self.words,
            queue_bytes: self.queue_bytes,
            drain: self.drain,
            file: self.file.and_then(|(settings, counts)| start_file(settings, counts, self.queue_bytes)),
            sinks: Vec::new(),
            closing: CancellationToken::new(),
        };
        if let Some((syslog, counts)) = self.syslog {
            followed.start("syslog", syslog, counts, tasks);
        }
        if let Some((post, counts)) = self.post {
            followed.start("http", post, counts, tasks);
        }
        if let Some((amqp, counts)) = self.amqp {
            followed.start("amqp", amqp, counts, tasks);
        }
        followed
    }
}

impl Followed {
    fn start<C: Carrier>(&mut self, sink: &'static str, carrier: C, counts: Counts, tasks: &mut JoinSet<()>) {
        let (inlet, outlet) = queue(counts.lost.clone());
        self.sinks.push((inlet, counts.lost.clone()));
        tasks.spawn(courier::run(sink, carrier, outlet, counts, self.closing.clone(), self.drain));
    }

    /// Puts an event into the queue of each sink.
    pub fn spread(&self, entry: &Entry) {
        if let Some((lines, _, counts)) = &self.file {
            let mut line = entry.json.to_vec();
            line.push(b'\n');
            if lines.push(&line) == Pushed::Lost {
                counts.lost.inc();
            }
        }
        for (inlet, lost) in &self.sinks {
            if inlet.put(entry.clone(), entry.json.len(), self.queue_bytes) == Put::Lost {
                lost.inc();
            }
        }
    }

    /// Gives each sink some time for what is left, and forgets them.
    pub fn close(self, tasks: &mut JoinSet<()>) {
        self.closing.cancel();
        if let Some((_, writing, _)) = self.file {
            tasks.spawn_blocking(move || writing.finish(self.drain));
        }
    }
}

fn start_file(settings: Settings, counts: Counts, bound: usize) -> Option<(Lines, Writing, Counts)> {
    let counted = counts.clone();
    let mut file = RotatedFile::new(settings);
    let write = move |lines: &[u8], _| {
        if lines.is_empty() {
            return;
        }
        let all = memchr::memchr_iter(b'\n', lines).count();
        let failed = file.write(lines);
        counted.written.inc_by((all - failed) as u64);
        counted.failed.inc_by(failed as u64);
    };
    match Lines::start("audit-file", bound, write) {
        Ok((lines, writing)) => Some((lines, writing, counts)),
        Err(error) => {
            tracing::error!(%error, "audit events can not be written to their file: no thread");
            None
        }
    }
}

fn map(file: Option<&Path>) -> io::Result<Map> {
    let Some(file) = file else { return Ok(Map::default()) };
    let told = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| told(&error))?;
    Map::parse(&text).map_err(|error| told(&error))
}

/// Returns the name of the machine, as far as it can stand in a syslog's message (RFC 5424 section 6.2.4).
fn hostname() -> String {
    let name = fs::read_to_string(HOSTNAME).unwrap_or_default();
    let name = name.trim();
    let is_plain = !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { name.to_owned() } else { "-".to_owned() }
}
