//! A gate whose traffic is copied to a staging: a Keystone and a Glance of its own.

use std::path::PathBuf;

use glance_gate::config::Config;
use glance_gate::demo::glance::Glance;
use glance_gate::demo::glance::GlanceOptions;
use glance_gate::demo::keystone::Keystone;
use glance_gate::demo::record::Seen;

use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::STARTING;
use crate::harness::eventually;
use crate::harness::neighbours;

/// The gate, and where copies go.
pub struct Shadowed {
    pub gate: Gate,
    pub staging: Staging,
}

/// A Keystone and a Glance that know nothing of production's.
pub struct Staging {
    pub keystone: Keystone,
    pub glance: Glance,
}

impl Staging {
    pub async fn start() -> Self {
        let _alone = STARTING.lock().await;
        let keystone = Keystone::start().await.expect("a Keystone");
        let glance = Glance::start(GlanceOptions::new(keystone.clone())).await.expect("a Glance");
        Self { keystone, glance }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.glance.requests()
    }

    /// Waits until so many copies have come.
    pub async fn wait_for(&self, count: usize) -> Vec<Seen> {
        eventually(&format!("{count} copies"), || async { self.seen().len() >= count }).await;
        self.seen()
    }

    /// Returns everything that came here, head by head and body by body, as bytes.
    pub fn all_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for seen in self.glance.requests().into_iter().chain(self.keystone.requests()) {
            bytes.extend_from_slice(format!("{} {}\n", seen.method, seen.target).as_bytes());
            for (name, value) in &seen.headers {
                bytes.extend_from_slice(format!("{name}: {value}\n").as_bytes());
            }
            bytes.extend_from_slice(&seen.body);
        }
        bytes
    }

    pub fn expect_nowhere(&self, secret: &str) {
        let bytes = self.all_bytes();
        let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_there, "staging has received {secret}");
    }
}

impl Shadowed {
    pub async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let staging = Staging::start().await;
        let url = staging.glance.url();
        let gate = Gate::between(neighbours().await, |config| {
            config.shadow.target = url;
            adjust(config);
        })
        .await;
        Self { gate, staging }
    }

    /// Waits until so many copies were sent and answered.
    pub async fn wait_for_sent(&self, count: u64) {
        self.gate.wait_for_metric("glance_gate_shadow_copies_total{outcome=\"sent\"}", count).await;
    }

    /// Waits until so many copies were dropped for the reason.
    pub async fn wait_for_dropped(&self, reason: &str, count: u64) {
        let metric = format!("glance_gate_shadow_dropped_total{{reason=\"{reason}\"}}");
        self.gate.wait_for_metric(&metric, count).await;
    }

    /// Waits until no copy takes memory, waits, or is under way.
    pub async fn wait_for_rest(&self) {
        for metric in ["shadow_held_bytes", "shadow_waiting_copies", "shadow_in_flight_copies"] {
            self.gate.wait_for_metric(&format!("glance_gate_{metric}"), 0).await;
        }
    }
}

/// Writes a file that only its owner may read.
pub fn private(directory: &Directory, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a file of its own");
    path
}
