//! Tokens of staging's own: each caller has an application credential there that stands for them.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use http::HeaderValue;

use crate::client::json;
use crate::client::json::JsonClient;
use crate::keystone;
use crate::keystone::service_token::ServiceToken;
use crate::openstack::identity::Identity;
use crate::secret::Secret;
use crate::shadow::config::ExchangeFile;
use crate::shadow::config::LOGIN_ANSWER_BYTES;
use crate::shadow::config::LOGIN_TIMEOUT;
use crate::shadow::config::StagingCredential;

/// Logs in at staging's Keystone.
#[derive(Debug)]
pub struct Exchange {
    client: JsonClient,
    entries: Vec<Entry>,
}

/// One credential, with the token that it got.
#[derive(Debug)]
pub struct Entry {
    project: Option<String>,
    user: Option<String>,
    token: ServiceToken,
    forgotten: Mutex<Option<Instant>>,
}

/// How long a token that staging refuses is not fetched anew a second time.
const FORGET_PAUSE: Duration = Duration::from_secs(5);

impl Exchange {
    /// Prepares to log in; nothing is sent yet.
    ///
    /// # Errors
    /// Fails if the certificates can not be read.
    pub fn new(file: &ExchangeFile) -> io::Result<Self> {
        let limits = json::Limits {
            connect_timeout: LOGIN_TIMEOUT,
            call_timeout: LOGIN_TIMEOUT,
            answer_bytes: LOGIN_ANSWER_BYTES,
            idle_connections: 1,
        };
        let auth_url = file.auth_url.trim_end_matches('/');
        let entry = |credential: &StagingCredential| Entry {
            project: credential.project.clone(),
            user: credential.user.clone(),
            token: ServiceToken::of(
                auth_url,
                &keystone::config::Credentials::ApplicationCredential {
                    id: credential.id.clone(),
                    secret: credential.secret.clone(),
                },
                "[shadow] exchange_file",
            ),
            forgotten: Mutex::default(),
        };
        let entries = file.credentials.iter().map(entry).collect();
        Ok(Self { client: JsonClient::new(limits, file.cafile.as_deref())?, entries })
    }

    /// Returns the credential that stands for a caller: the one that names most of them.
    pub fn entry(&self, identity: Option<&Identity>) -> Option<&Entry> {
        let user = identity.map(|identity| identity.user.as_str());
        let project = identity.and_then(Identity::project).map(crate::openstack::identity::ProjectId::as_str);
        let fits = |named: Option<&str>, is: Option<&str>| named.is_none() || named == is;
        self.entries
            .iter()
            .filter(|entry| fits(entry.user.as_deref(), user) && fits(entry.project.as_deref(), project))
            .max_by_key(|entry| (entry.user.is_some(), entry.project.is_some()))
    }

    /// Returns a token for the credential.
    ///
    /// # Errors
    /// Tells why staging's Keystone gave none; it is logged.
    pub async fn token(&self, entry: &Entry) -> Result<Secret<HeaderValue>, String> {
        entry.token.value(&self.client).await
    }

    /// Drops a token that staging refuses, unless that was just done.
    pub async fn forget(&self, entry: &Entry, token: &Secret<HeaderValue>) {
        {
            let mut forgotten = entry.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
            if forgotten.is_some_and(|at| at.elapsed() < FORGET_PAUSE) {
                return;
            }
            *forgotten = Some(Instant::now());
        }
        entry.token.forget(token).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::Exchange;
    use crate::openstack::identity::Identity;
    use crate::openstack::identity::ProjectId;
    use crate::openstack::identity::Roles;
    use crate::openstack::identity::Scope;
    use crate::openstack::identity::UserId;
    use crate::secret::Secret;
    use crate::shadow::config::ExchangeFile;
    use crate::shadow::config::StagingCredential;

    fn exchange(entries: &[(Option<&str>, Option<&str>)]) -> Exchange {
        let credential = |(project, user): &(Option<&str>, Option<&str>)| StagingCredential {
            project: project.map(str::to_owned),
            user: user.map(str::to_owned),
            id: "id".into(),
            secret: Secret::new("secret".into()),
        };
        let credentials = entries.iter().map(credential).collect();
        let file = ExchangeFile { auth_url: "http://keystone:5000/v3".into(), cafile: None, credentials };
        Exchange::new(&file).expect("no certificates")
    }

    #[test]
    fn the_credential_that_names_most_of_the_caller_stands_for_them() {
        let identity = |project: &str, user: &str| Identity {
            user: UserId::new(user),
            scope: Scope::Project(ProjectId::new(project)),
            roles: Roles::known([]),
            expires_at: SystemTime::UNIX_EPOCH,
            access_rules: [].into(),
            audit_ids: [].into(),
        };
        let all = exchange(&[(None, None), (Some("p"), None), (None, Some("u")), (Some("p"), Some("u"))]);
        for (caller, expected) in [
            (Some(identity("p", "u")), (Some("p"), Some("u"))),
            (Some(identity("q", "u")), (None, Some("u"))),
            (Some(identity("p", "v")), (Some("p"), None)),
            (Some(identity("q", "v")), (None, None)),
            (None, (None, None)),
        ] {
            let entry = all.entry(caller.as_ref()).expect("one for all");
            assert_eq!((entry.project.as_deref(), entry.user.as_deref()), expected);
        }
        let some = exchange(&[(Some("p"), None)]);
        assert!(some.entry(Some(&identity("q", "u"))).is_none() && some.entry(None).is_none());
    }
}
