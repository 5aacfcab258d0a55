//! A stand-in for Keystone: issues tokens to tests and validates them over HTTP as the real one does.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

mod authentication;
pub mod base64;
mod jws;
mod service;
mod spec;
mod tokens;
mod view;

use crate::demo::arrival::Door;
use crate::demo::fault::Fault;
use crate::demo::keystone::jws::SigningKey;
use crate::demo::listener::Bound;
use crate::demo::listener::Serving;
use crate::demo::record::Seen;

pub use crate::demo::keystone::spec::TokenSpec;
pub use crate::demo::keystone::tokens::AccessRule;
pub use crate::demo::keystone::tokens::Kind;
pub use crate::demo::keystone::tokens::Scope;
pub use crate::demo::keystone::tokens::Token;
pub use crate::demo::keystone::tokens::stable_id;

/// The name of the service user that is registered from the start.
pub const SERVICE_USER: &str = "glance-gate";
/// The password of that user.
pub const SERVICE_PASSWORD: &str = "gate-password";
/// The id of the application credential that is registered from the start, for the same user.
pub const SERVICE_CREDENTIAL_ID: &str = "9a7e0000000000000000000000000001";
/// The secret of that credential.
pub const SERVICE_CREDENTIAL_SECRET: &str = "gate-secret";
/// The project of service users, by name and id.
pub const SERVICE_PROJECT: &str = "service";

/// A handle on a running Keystone stand-in; it ends with its last clone.
#[derive(Clone, Debug)]
pub struct Keystone {
    state: Arc<State>,
    serving: Arc<Serving>,
}

impl Keystone {
    /// Starts a stand-in on a free loopback port, on the current runtime.
    ///
    /// # Errors
    /// When no port can be bound or no keys can be made.
    pub async fn start() -> io::Result<Self> {
        let bound = Bound::free().await?;
        let state = Arc::new(State {
            address: bound.address(),
            door: Door::default(),
            own_key: SigningKey::generate()?,
            foreign_key: SigningKey::generate()?,
            book: Mutex::new(Book::default()),
        });
        let serving = Arc::new(bound.serve(Arc::clone(&state)));
        Ok(Self { state, serving })
    }

    /// Closes the port and every connection, for all clones.
    pub fn stop(&self) {
        self.serving.stop();
    }

    /// Returns the address, with `/v3` at its end.
    #[must_use]
    pub fn url(&self) -> String {
        self.state.url()
    }

    /// Issues a token.
    #[must_use]
    pub fn issue(&self, spec: TokenSpec) -> String {
        self.state.issue(spec.chosen_kind(), spec.build())
    }

    /// Returns a signed token that claims what the spec says, signed with a key this Keystone does not know.
    #[must_use]
    pub fn foreign_jws(&self, spec: TokenSpec) -> String {
        self.state.foreign_key.sign(&spec.build())
    }

    /// Returns the public half of the key that signs this Keystone's own JWS tokens.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.state.own_key.public_key_pem().to_owned()
    }

    /// Returns the public half of the key behind [`foreign_jws`](Self::foreign_jws).
    #[must_use]
    pub fn foreign_public_key_pem(&self) -> String {
        self.state.foreign_key.public_key_pem().to_owned()
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        if let Some(known) = self.state.book().tokens.get_mut(token) {
            known.revoked = true;
        }
    }

    /// Makes every token that was asked for over HTTP invalid at once.
    pub fn expire_service_tokens(&self) {
        self.state.book().tokens.retain(|_, token| !token.for_service);
    }

    /// Sets how long tokens asked for over HTTP are good; four hours at the start.
    pub fn set_service_token_lifetime(&self, lifetime: Duration) {
        self.state.book().service_lifetime = lifetime;
    }

    /// Sets how tokens are written when nothing else is asked for; opaque at the start.
    pub fn set_kind(&self, kind: Kind) {
        self.state.book().kind = kind;
    }

    /// Sets the address of Glance in the catalog.
    pub fn set_image_endpoint(&self, url: &str) {
        url.clone_into(&mut self.state.book().image_endpoint);
    }

    /// Registers a user who may authenticate with a password, with these roles in the project `service`.
    pub fn register_user<const N: usize>(&self, name: &str, password: &str, roles: [&str; N]) {
        let user = Registered::new(name, password, roles);
        self.state.book().users.insert(name.to_owned(), user);
    }

    /// Registers an application credential for a user, with these roles in the project `service`.
    pub fn register_credential<const N: usize>(&self, id: &str, secret: &str, user: &str, roles: [&str; N]) {
        let credential = Registered::new(user, secret, roles);
        self.state.book().credentials.insert(id.to_owned(), credential);
    }

    /// Registers an application credential for a user of the project's name, with these roles there.
    pub fn register_credential_in<const N: usize>(&self, project: &str, id: &str, secret: &str, roles: [&str; N]) {
        let credential = Registered { project: project.to_owned(), ..Registered::new(project, secret, roles) };
        self.state.book().credentials.insert(id.to_owned(), credential);
    }

    /// Returns what is known about a token, good or not; nothing when it was never issued.
    #[must_use]
    pub fn look_up(&self, token: &str) -> Option<Token> {
        self.state.look_up(token)
    }

    /// Shows this fault on every request from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.state.door.faults.set(fault);
    }

    /// Shows this fault on requests whose target contains the substring.
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

    /// Forgets the requests seen.
    pub fn clear(&self) {
        self.state.door.recorder.clear();
    }
}

/// Somebody who may authenticate over HTTP.
#[derive(Clone, Debug)]
struct Registered {
    user: String,
    secret: String,
    roles: Vec<String>,
    /// What application credentials are for.
    project: String,
}

impl Registered {
    fn new<const N: usize>(user: &str, secret: &str, roles: [&str; N]) -> Self {
        let roles = roles.into_iter().map(str::to_owned).collect();
        Self { user: user.to_owned(), secret: secret.to_owned(), roles, project: SERVICE_PROJECT.to_owned() }
    }
}

/// What changes while the stand-in runs.
#[derive(Debug)]
struct Book {
    tokens: HashMap<String, Token>,
    users: HashMap<String, Registered>,
    credentials: HashMap<String, Registered>,
    service_lifetime: Duration,
    kind: Kind,
    image_endpoint: String,
}

impl Default for Book {
    fn default() -> Self {
        let user = Registered::new(SERVICE_USER, SERVICE_PASSWORD, ["service"]);
        let credential = Registered::new(SERVICE_USER, SERVICE_CREDENTIAL_SECRET, ["service"]);
        Self {
            tokens: HashMap::new(),
            users: HashMap::from([(SERVICE_USER.to_owned(), user)]),
            credentials: HashMap::from([(SERVICE_CREDENTIAL_ID.to_owned(), credential)]),
            service_lifetime: Duration::from_hours(4),
            kind: Kind::Opaque,
            image_endpoint: "http://127.0.0.1:9292".to_owned(),
        }
    }
}

/// What the handles and the served port share.
#[derive(Debug)]
struct State {
    address: SocketAddr,
    door: Door,
    own_key: SigningKey,
    foreign_key: SigningKey,
    book: Mutex<Book>,
}

impl State {
    fn url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, token: &str) -> Option<Token> {
        self.book().tokens.get(token).cloned()
    }

    /// Writes the token down and returns it in the form asked for, or in this Keystone's own.
    fn issue(&self, kind: Option<Kind>, token: Token) -> String {
        let mut book = self.book();
        let written = match kind.unwrap_or(book.kind) {
            Kind::Opaque => tokens::opaque(&token),
            Kind::Jws => self.own_key.sign(&token),
        };
        book.tokens.insert(written.clone(), token);
        written
    }
}
