//! Wakes a poll many times a millisecond: its own timeouts are whole milliseconds.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::Interest;
use mio::Registry;
use mio::Token;
use mio::unix::SourceFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::ClockId;
use nix::sys::timerfd::Expiration;
use nix::sys::timerfd::TimerFd;
use nix::sys::timerfd::TimerFlags;
use nix::sys::timerfd::TimerSetTimeFlags;

/// How often it wakes.
const TICK: Duration = Duration::from_micros(50);

/// Ticks until it is dropped.
#[derive(Debug)]
pub struct Ticks {
    _timer: TimerFd,
}

impl Ticks {
    /// Starts; each tick is an event with this token, and nothing must be read.
    pub fn start(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        timer.set(Expiration::Interval(TimeSpec::from_duration(TICK)), TimerSetTimeFlags::empty())?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { _timer: timer })
    }
}
