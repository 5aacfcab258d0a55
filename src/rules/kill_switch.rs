//! One switch that turns every rule to observing at once: in the configuration, by an operator's call, or by a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::gauge::Gauge;

/// The switch; cloning shares it.
#[derive(Clone, Default)]
pub struct KillSwitch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// One bit for each hand that holds it on.
    held: AtomicU8,
    gauge: Gauge,
    file_told: AtomicBool,
}

/// Who holds the switch on; it is off when nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// `[rules] kill_switch = "on"`.
    Config,
    /// `POST /kill-switch/on`, until `/off` or a restart.
    Operator,
    /// The file `[rules] kill_switch_file` exists.
    File,
}

impl KillSwitch {
    /// Shows itself by this gauge.
    pub fn new(gauge: Gauge) -> Self {
        Self { shared: Arc::new(Shared { gauge, ..Shared::default() }) }
    }

    /// Tells whether any hand holds it on.
    pub fn is_on(&self) -> bool {
        self.shared.held.load(Ordering::Relaxed) != 0
    }

    /// Tells whether this hand holds it on.
    pub fn is_held_by(&self, hand: Hand) -> bool {
        self.shared.held.load(Ordering::Relaxed) & hand.bit() != 0
    }

    /// Holds it on, or lets go of it.
    pub fn hold(&self, hand: Hand, on: bool) {
        let before = if on {
            self.shared.held.fetch_or(hand.bit(), Ordering::Relaxed)
        } else {
            self.shared.held.fetch_and(!hand.bit(), Ordering::Relaxed)
        };
        let after = if on { before | hand.bit() } else { before & !hand.bit() };
        self.shared.gauge.set(i64::from(after != 0));
        match (before != 0, after != 0) {
            (false, true) => tracing::warn!(by = hand.as_str(), "kill switch on: all rules only observe"),
            (true, false) => tracing::warn!(by = hand.as_str(), "kill switch off: rules are enforced as configured"),
            _ => {}
        }
    }

    /// Looks whether the file is there. One that can not be looked at holds the switch as it was, and is told once.
    pub fn look(&self, file: &Path) {
        if file.as_os_str().is_empty() {
            self.hold(Hand::File, false);
            return;
        }
        match file.try_exists() {
            Ok(exists) => {
                self.shared.file_told.store(false, Ordering::Relaxed);
                self.hold(Hand::File, exists);
            }
            Err(error) => {
                if !self.shared.file_told.swap(true, Ordering::Relaxed) {
                    tracing::error!(file = %file.display(), %error, "the kill switch's file can not be looked at");
                }
            }
        }
    }
}

impl Hand {
    /// All hands.
    pub const ALL: [Self; 3] = [Self::Config, Self::Operator, Self::File];

    /// Returns the word used in logs and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Operator => "operator",
            Self::File => "file",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::Operator => 2,
            Self::File => 4,
        }
    }
}

impl fmt::Debug for KillSwitch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<Hand> = Hand::ALL.into_iter().filter(|hand| self.is_held_by(*hand)).collect();
        out.debug_tuple("KillSwitch").field(&held).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Hand;
    use super::KillSwitch;

    #[test]
    fn it_is_on_while_any_hand_holds_it() {
        let switch = KillSwitch::default();
        assert!(!switch.is_on());
        switch.hold(Hand::Config, true);
        switch.hold(Hand::Operator, true);
        switch.hold(Hand::Config, false);
        assert!(switch.is_on() && switch.is_held_by(Hand::Operator) && !switch.is_held_by(Hand::Config));
        switch.hold(Hand::Operator, false);
        assert!(!switch.is_on());
    }

    #[test]
    fn a_file_holds_it_as_long_as_it_is_there() {
        let switch = KillSwitch::default();
        let file = std::env::temp_dir().join(format!("glance-gate-switch-{}", uuid::Uuid::new_v4()));
        switch.look(&file);
        assert!(!switch.is_on());
        std::fs::write(&file, "").expect("a writable folder");
        switch.look(&file);
        assert!(switch.is_held_by(Hand::File));
        std::fs::remove_file(&file).expect("the file");
        switch.look(&file);
        assert!(!switch.is_on());
    }
}
