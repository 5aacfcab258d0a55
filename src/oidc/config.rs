//! Whose access tokens the gate takes, in the words of keystonemiddleware's `[ext_oauth2_auth]`.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use http::Uri;

use crate::oidc::algorithm::Algorithm;

/// How far clocks may be apart: a token must not live on much longer than its issuer says.
const MAX_LEEWAY: Duration = Duration::from_mins(5);

/// All issuers and how their keys are kept fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The issuers; none means that no access token is taken.
    pub issuers: Vec<IssuerConfig>,
    /// How often the keys are fetched.
    pub jwks_refresh: Duration,
    /// How long the gate waits, after it fetched keys for a token that names an unknown one, before it does so again.
    pub jwks_min_interval: Duration,
    /// How many bytes a key set may have.
    pub max_jwks_bytes: usize,
    /// How many keys a key set may have.
    pub max_keys: usize,
    /// How far the clocks of gate and issuer may be apart.
    pub token_leeway: Duration,
}

/// One issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Its name, exactly as the claim `iss` has it.
    pub issuer: String,
    /// Who its tokens must be for: one of the claim `aud`.
    pub audience: String,
    /// Where its keys are; no token can name another place.
    pub jwks_url: String,
    /// What it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Where the project's id stands in the claims.
    pub mapping_project_id: String,
    /// Where the roles stand: a list, or text separated by commas.
    pub mapping_roles: String,
    /// Where the user's id stands.
    pub mapping_user_id: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            jwks_refresh: Duration::from_mins(5),
            jwks_min_interval: Duration::from_secs(10),
            max_jwks_bytes: 256 * 1024,
            max_keys: 64,
            token_leeway: Duration::from_secs(5),
        }
    }
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks_url: String::new(),
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            mapping_project_id: "project_id".into(),
            mapping_roles: "roles".into(),
            // keystonemiddleware's own default
            mapping_user_id: "client_id".into(),
        }
    }
}

impl Config {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Names the setting that can not be used.
    pub fn check(&self) -> io::Result<()> {
        if self.jwks_refresh.is_zero() || self.jwks_min_interval.is_zero() {
            return Err(io::Error::other("jwks_refresh and jwks_min_interval must be longer than nothing"));
        }
        if self.max_keys == 0 || self.max_jwks_bytes == 0 {
            return Err(io::Error::other("max_keys and max_jwks_bytes must be more than zero"));
        }
        if self.token_leeway > MAX_LEEWAY {
            return Err(io::Error::other("token_leeway must be five minutes at most"));
        }
        let mut names = BTreeSet::new();
        for issuer in &self.issuers {
            issuer.check().map_err(|wrong| io::Error::other(format!("issuer {:?}: {wrong}", issuer.issuer)))?;
            if !names.insert(&issuer.issuer) {
                return Err(io::Error::other(format!("issuer {:?} stands twice", issuer.issuer)));
            }
        }
        Ok(())
    }
}

impl IssuerConfig {
    fn check(&self) -> Result<(), &'static str> {
        if self.issuer.is_empty() || self.audience.is_empty() {
            return Err("issuer and audience must be set");
        }
        if self.algorithms.is_empty() {
            return Err("no algorithms");
        }
        let mappings = [&self.mapping_project_id, &self.mapping_roles, &self.mapping_user_id];
        if mappings.iter().any(|path| path.split('.').any(str::is_empty)) {
            return Err("a mapping has an empty name");
        }
        // such claims are Keystone's own, and a token that has one is refused
        if mappings.iter().any(|path| path.starts_with("openstack_")) {
            return Err("a mapping names a claim of Keystone's own tokens");
        }
        self.key_url().map(drop)
    }

    /// Returns where the keys are.
    ///
    /// # Errors
    /// Fails if that is no plain HTTP or HTTPS URL.
    pub fn key_url(&self) -> Result<Uri, &'static str> {
        let url: Uri = self.jwks_url.parse().map_err(|_| "jwks_url is no URL")?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err("jwks_url is no http or https URL");
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("jwks_url must not hold a credential");
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Config;
    use super::IssuerConfig;

    fn issuer(adjust: impl FnOnce(&mut IssuerConfig)) -> IssuerConfig {
        let mut issuer = IssuerConfig {
            issuer: "https://idp.example".into(),
            audience: "glance".into(),
            jwks_url: "https://idp.example/keys".into(),
            ..IssuerConfig::default()
        };
        adjust(&mut issuer);
        issuer
    }

    #[test]
    fn the_names_default_to_those_of_keystonemiddleware() {
        let issuer = IssuerConfig::default();
        assert_eq!(issuer.mapping_user_id, "client_id");
        assert_eq!((issuer.mapping_project_id.as_str(), issuer.mapping_roles.as_str()), ("project_id", "roles"));
    }

    #[test]
    fn what_can_not_work_is_refused_at_once() {
        let config = |issuers| Config { issuers, ..Config::default() };
        assert!(config(vec![issuer(|_| {})]).check().is_ok());
        assert!(config(Vec::new()).check().is_ok());
        assert!(config(vec![issuer(|_| {}), issuer(|_| {})]).check().is_err());
        assert!(Config { jwks_refresh: Duration::ZERO, ..Config::default() }.check().is_err());
        assert!(Config { jwks_min_interval: Duration::ZERO, ..Config::default() }.check().is_err());
        assert!(Config { token_leeway: Duration::from_hours(1), ..Config::default() }.check().is_err());
        assert!(Config { max_keys: 0, ..Config::default() }.check().is_err());
        for wrong in [
            issuer(|issuer| issuer.issuer.clear()),
            issuer(|issuer| issuer.audience.clear()),
            issuer(|issuer| issuer.algorithms.clear()),
            issuer(|issuer| issuer.mapping_roles = "realm..roles".into()),
            issuer(|issuer| issuer.mapping_user_id.clear()),
            issuer(|issuer| issuer.mapping_project_id = "openstack_project_id".into()),
            issuer(|issuer| issuer.jwks_url = "/keys".into()),
            issuer(|issuer| issuer.jwks_url = "file:///etc/keys".into()),
            issuer(|issuer| issuer.jwks_url = "ftp://idp.example/keys".into()),
            issuer(|issuer| issuer.jwks_url = "https://user:word@idp.example/keys".into()),
            issuer(|issuer| issuer.jwks_url = "not a url".into()),
        ] {
            assert!(config(vec![wrong.clone()]).check().is_err(), "{wrong:?}");
        }
    }
}
