//! When tokens became worthless, as far as others have told: what Keystone said before counts no more.

use std::time::Instant;

use crate::cache::Remembered;
use crate::cache::forgotten::Forgotten;
use crate::cache::vouched::Vouched;
use crate::fleet::news::News;
use crate::keystone::VerifyError;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::UserId;
use crate::openstack::token::TokenDigest;

/// What others have told of tokens and of those who hold them.
#[derive(Debug, Default)]
pub struct Revoked {
    users: Forgotten,
    projects: Forgotten,
    /// Apart from those who hold them: anybody can make gates tell each other of tokens that never were.
    tokens: Forgotten,
}

impl Revoked {
    /// Notes news; those of images are not for here.
    pub fn note(&self, news: &News) {
        match news {
            News::Token(digest) => self.tokens.forget(digest),
            News::User(user) => self.users.forget(user),
            News::Project(project) => self.projects.forget(project),
            News::AllTokens => self.users.forget_all(),
            News::Image(_) | News::AllImages => {}
        }
    }

    /// Tells whether nothing was told of the holder of a verdict since it was asked for.
    pub fn spares_holder(&self, vouched: &Vouched) -> bool {
        let (user, since): (&UserId, _) = (&vouched.identity.user, vouched.since);
        let project: Option<&ProjectId> = vouched.identity.project();
        self.users.holds(user, since) && project.is_none_or(|project| self.projects.holds(project, since))
    }

    /// Returns what is remembered or loaded; if others have told since it was asked for that it is not so any more, it
    /// is asked for again. What is revoked while that goes on is used once, and not remembered.
    ///
    /// # Errors
    /// As loading.
    pub async fn ask_anew<F>(
        &self,
        cache: &Remembered<TokenDigest, Vouched, VerifyError>,
        digest: TokenDigest,
        holds: impl Fn(Instant) -> bool,
        load: impl Fn() -> F,
    ) -> Result<Vouched, VerifyError>
    where
        F: Future<Output = Result<Vouched, VerifyError>>,
    {
        let vouched = cache.get_or_load(digest, &holds, &load).await?;
        if self.spares(&digest, &vouched) {
            return Ok(vouched);
        }
        cache.drop_good(&digest).await;
        let vouched = cache.get_or_load(digest, &holds, &load).await?;
        if !self.spares(&digest, &vouched) {
            cache.drop_good(&digest).await;
        }
        Ok(vouched)
    }

    /// Tells whether nothing was told of a token or its holder since the verdict was asked for.
    fn spares(&self, digest: &TokenDigest, vouched: &Vouched) -> bool {
        self.tokens.holds(digest, vouched.since) && self.spares_holder(vouched)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use super::Revoked;
    use crate::cache::vouched::Vouched;
    use crate::fleet::news::News;
    use crate::openstack::identity::Identity;
    use crate::openstack::identity::ProjectId;
    use crate::openstack::identity::Roles;
    use crate::openstack::identity::Scope;
    use crate::openstack::identity::UserId;
    use crate::openstack::token::TokenDigest;

    fn vouched(user: &str, project: &str) -> Vouched {
        let identity = Identity {
            user: UserId::new(user),
            scope: Scope::Project(ProjectId::new(project)),
            roles: Roles::Unknown,
            expires_at: SystemTime::now() + Duration::from_hours(1),
            access_rules: [].into(),
            audit_ids: [].into(),
        };
        Vouched::now(identity, Duration::from_hours(1))
    }

    #[test]
    fn news_deny_what_they_name_and_nothing_else() {
        let digest = TokenDigest::from_hex(&"01".repeat(32)).expect("a digest");
        let other = TokenDigest::from_hex(&"02".repeat(32)).expect("a digest");
        for (news, spared) in [
            (News::User(UserId::new("u1")), [false, true]),
            (News::Project(ProjectId::new("p1")), [false, true]),
            (News::Token(digest), [false, true]),
            (News::AllTokens, [false, false]),
            (News::AllImages, [true, true]),
            (News::Image(uuid::Uuid::nil()), [true, true]),
        ] {
            let revoked = Revoked::default();
            let verdicts = [(digest, vouched("u1", "p1")), (other, vouched("u2", "p2"))];
            revoked.note(&news);
            assert_eq!(verdicts.map(|(digest, verdict)| revoked.spares(&digest, &verdict)), spared, "{news:?}");
            assert!(revoked.spares(&digest, &vouched("u1", "p1")), "asked for after {news:?}");
        }
    }
}
