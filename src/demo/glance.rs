//! A stand-in for Glance: images and members over HTTP, with the real one's order of checks, words and layouts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

mod catalog;
mod data;
mod identify;
mod images;
mod members;
mod policy;
mod service;
mod target;
mod view;

use crate::demo::arrival::Door;
use crate::demo::fault::Fault;
use crate::demo::glance::images::Content;
use crate::demo::glance::images::Images;
use crate::demo::keystone::Keystone;
use crate::demo::listener::Bound;
use crate::demo::listener::Serving;
use crate::demo::record::Seen;

pub use crate::demo::glance::images::ImageSpec;
pub use crate::demo::glance::images::Upload;
pub use crate::demo::glance::images::Visibility;
pub use crate::demo::glance::policy::Policy;

/// What a Glance stand-in starts with.
#[derive(Clone, Debug)]
pub struct GlanceOptions {
    /// Who knows the tokens.
    pub keystone: Keystone,
    /// Which policies are in force.
    pub policy: Policy,
    /// Whether it has no `auth_token` and believes the identity headers.
    pub believes_headers: bool,
}

impl GlanceOptions {
    /// Returns options with this Keystone and the new policies.
    #[must_use]
    pub fn new(keystone: Keystone) -> Self {
        Self { keystone, policy: Policy::New, believes_headers: false }
    }
}

/// A handle on a running Glance stand-in; it ends with its last clone.
#[derive(Clone, Debug)]
pub struct Glance {
    state: Arc<State>,
    serving: Arc<Serving>,
}

impl Glance {
    /// Starts a stand-in on a free loopback port, on the current runtime.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(options: GlanceOptions) -> io::Result<Self> {
        let bound = Bound::free().await?;
        let state = Arc::new(State {
            keystone: options.keystone,
            believes_headers: options.believes_headers,
            door: Door::default(),
            healthy: AtomicBool::new(true),
            policy: Mutex::new(options.policy),
            images: Mutex::new(Images::default()),
        });
        let serving = Arc::new(bound.serve(Arc::clone(&state)));
        Ok(Self { state, serving })
    }

    /// Closes the port and every connection, for all clones.
    pub fn stop(&self) {
        self.serving.stop();
    }

    /// Returns the address, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Adds an image and returns its id.
    #[must_use]
    pub fn add_image(&self, spec: ImageSpec) -> String {
        self.state.images().add(spec)
    }

    /// Returns the status of a member, if the image and the member are there.
    #[must_use]
    pub fn member_status(&self, image: &str, member: &str) -> Option<String> {
        self.state.images().by_id.get(image)?.member(member).map(|member| member.status.clone())
    }

    /// Returns the visibility of an image, if it is there.
    #[must_use]
    pub fn visibility(&self, image: &str) -> Option<Visibility> {
        self.state.images().by_id.get(image).map(|image| image.visibility)
    }

    /// Sets the visibility of an image; its members stay.
    pub fn set_visibility(&self, image: &str, visibility: Visibility) {
        if let Some(image) = self.state.images().by_id.get_mut(image) {
            image.visibility = visibility;
        }
    }

    /// Sets the owner of an image.
    pub fn set_owner(&self, image: &str, owner: &str) {
        if let Some(image) = self.state.images().by_id.get_mut(image) {
            owner.clone_into(&mut image.owner);
        }
    }

    /// Removes an image.
    pub fn remove_image(&self, image: &str) {
        self.state.images().by_id.remove(image);
    }

    /// Returns what was uploaded to an image, once all of it has arrived.
    #[must_use]
    pub fn upload(&self, image: &str) -> Option<Upload> {
        self.state.images().by_id.get(image)?.upload.clone()
    }

    /// Gives an image so many bytes of generated data to download.
    pub fn set_size(&self, image: &str, bytes: u64) {
        if let Some(image) = self.state.images().by_id.get_mut(image) {
            image.fill(Content::Generated(bytes));
        }
    }

    /// Sets which policies are in force.
    pub fn set_policy(&self, policy: Policy) {
        *self.state.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Sets what the health check answers: 200, or 503 when not healthy.
    pub fn set_healthy(&self, healthy: bool) {
        self.state.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Shows this fault on every request from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.state.door.faults.set(fault);
    }

    /// Shows this fault on requests whose target contains the substring, and on no others.
    pub fn set_fault_on(&self, substring: &str, fault: Fault) {
        self.state.door.faults.set_on(substring, fault);
    }

    /// Returns every request seen, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.state.door.recorder.requests()
    }

    /// Returns how many requests satisfied the condition.
    #[must_use]
    pub fn count(&self, condition: impl Fn(&Seen) -> bool) -> usize {
        self.state.door.recorder.count(condition)
    }

    /// Returns how many requests waited for their answers at once at most, since it was last asked.
    #[must_use]
    pub fn crowd(&self) -> usize {
        self.state.door.recorder.crowd()
    }

    /// Forgets the requests seen.
    pub fn clear(&self) {
        self.state.door.recorder.clear();
    }
}

/// What the handles and the served port share.
#[derive(Debug)]
struct State {
    keystone: Keystone,
    believes_headers: bool,
    door: Door,
    healthy: AtomicBool,
    policy: Mutex<Policy>,
    images: Mutex<Images>,
}

impl State {
    fn images(&self) -> MutexGuard<'_, Images> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn policy(&self) -> Policy {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}
