//! `glance-gate demo`: the gate between a Keystone- and a Glance-like neighbour, all in one process.
//!
//! The neighbours speak HTTP on loopback and behave as the real ones do, so the gate is the very same. The tests use
//! them as well.

pub mod answers;
pub mod arrival;
pub mod fault;
pub mod generated;
pub mod glance;
pub mod issuer;
pub mod keystone;
pub mod listener;
pub mod overhear;
pub mod python_json;
pub mod record;
pub mod tour;
pub mod webob;

use std::io;
use std::io::Write;

use crate::app::App;
use crate::config::Config;
use crate::config::load;
use crate::config::settings::Settings;
use crate::demo::glance::Glance;
use crate::demo::glance::GlanceOptions;
use crate::demo::keystone::Keystone;
use crate::demo::tour::Tour;
use crate::keystone::config::Credentials;
use crate::keystone::config::Domain;
use crate::secret::Secret;

/// The neighbours, and the gate between them and the clients.
#[derive(Debug)]
pub struct Demo {
    /// Who vouches for tokens.
    pub keystone: Keystone,
    /// Who keeps the images.
    pub glance: Glance,
    /// The gate.
    pub app: App,
}

impl Demo {
    /// Starts the neighbours on free ports and the gate before them; `adjust` may change the configuration.
    ///
    /// # Errors
    /// Fails if a port can not be bound.
    pub async fn start(adjust: impl FnOnce(&mut Config)) -> io::Result<Self> {
        let keystone = Keystone::start().await?;
        let glance = Glance::start(GlanceOptions::new(keystone.clone())).await?;
        let mut config = config(&keystone, &glance);
        config.settings = settings(&keystone, &glance);
        adjust(&mut config);
        let app = App::start(&config)?;
        Ok(Self { keystone, glance, app })
    }
}

/// Returns a configuration for the neighbours: the defaults, on loopback and free ports.
pub fn config(keystone: &Keystone, glance: &Glance) -> Config {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.server.workers = 2;
    config.server.healthcheck_disable_file = "".into();
    config.rules.kill_switch_file = "".into();
    config.admin_listen = ([127, 0, 0, 1], 0).into();
    config.keystone.auth_url = keystone.url();
    config.keystone.www_authenticate_uri = keystone.url();
    config.keystone.credentials = Credentials::Password {
        username: keystone::SERVICE_USER.into(),
        password: Secret::new(keystone::SERVICE_PASSWORD.into()),
        user_domain: Domain::Id("default".into()),
        project_name: keystone::SERVICE_PROJECT.into(),
        project_domain: Domain::Id("default".into()),
    };
    config.upstream.servers = vec![glance.url()];
    config
}

/// Tells the same configuration as a file and an environment would.
fn settings(keystone: &Keystone, glance: &Glance) -> Settings {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\nhealthcheck_disable_file = \"\"\n\n[admin]\nlisten = \"127.0.0.1:0\"\n\n\
         [upstream]\nservers = [\"{}\"]\n\n[keystone_authtoken]\nauth_url = \"{}\"\nusername = \"{}\"\nproject_name = \"{}\"\n",
        glance.url(),
        keystone.url(),
        keystone::SERVICE_USER,
        keystone::SERVICE_PROJECT,
    );
    let environment = [("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".to_owned(), keystone::SERVICE_PASSWORD.to_owned())];
    load::parse("demo", &text, &environment).map(|(config, _)| config.settings).unwrap_or_default()
}

/// Runs the demo: the tour, the curl lines, and then whatever the user tries, until `stop`.
///
/// Returns whether every answer of the tour was the documented one.
///
/// # Errors
/// Fails if the neighbours or the gate can not start, or if nobody reads the output.
pub async fn run(once: bool, stop: impl Future<Output = ()>) -> io::Result<bool> {
    let overheard = overhear::start()?;
    let demo = Demo::start(|_| {}).await?;
    let mut out = io::stdout();
    let mut tour = Tour::new(&demo, overheard);
    let is_as_documented = tour.run(&mut out).await?;
    if !once {
        tour.invite(&mut out)?;
        out.flush()?;
        stop.await;
    }
    let app = demo.app;
    let stopped = tokio::task::spawn_blocking(move || app.stop()).await.map_err(io::Error::other)?;
    stopped.map(|_| is_as_documented)
}
