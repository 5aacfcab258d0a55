//! Who asks? Exchanges the request's credential for the identity somebody vouches for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;
use std::time::SystemTime;

use http::HeaderMap;

use crate::cache::vouched::Vouched;
use crate::call::Refused;
use crate::check::Check;
use crate::check::Checking;
use crate::limits::Limits;
use crate::limits::Over;
use crate::limits::subject::Asker;
use crate::member_update::MemberUpdate;
use crate::member_update::Unproven;
use crate::member_update::rate::Rates;
use crate::openstack::identity::Identity;
use crate::openstack::identity_headers;
use crate::openstack::member_action::Action;
use crate::openstack::token::Credential;
use crate::openstack::token::UnverifiedToken;
use crate::openstack::token::X_SERVICE_TOKEN;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::rules::setting::Mode;
use crate::secret::Secret;
use crate::vouch::No;
use crate::vouch::Telling;
use crate::vouch::Vouchers;
use crate::vouch::no_for_fault;

/// The check that asks who the caller is.
#[derive(Clone, Debug)]
pub struct Authenticate {
    vouchers: Vouchers,
    rates: Rates,
    limits: Limits,
    rules: Rules,
}

/// Proof that somebody vouches for the one token of the request.
#[derive(Debug)]
pub struct Authenticated {
    caller: Arc<Caller>,
}

/// Who asks, as Glance is told it; can be kept apart from the call.
#[derive(Clone, Debug)]
pub struct Caller {
    credential: Credential,
    service: Option<UnverifiedToken>,
    identity: Arc<Identity>,
    telling: Telling,
}

impl Authenticate {
    /// Asks those who vouch, within the rates and the limits; `rules` say whether who is over one is refused.
    pub fn new(vouchers: Vouchers, rates: Rates, limits: Limits, rules: Rules) -> Self {
        Self { vouchers, rates, limits, rules }
    }
}

impl Authenticated {
    /// Returns who asks.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Returns what the token proves.
    pub fn identity(&self) -> &Identity {
        &self.caller.identity
    }
}

impl Caller {
    /// Returns the credential, which is the one that is forwarded.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the headers by which Glance learns who asks.
    pub fn headers(&self) -> Secret<HeaderMap> {
        let mut headers = HeaderMap::new();
        let (name, value) = self.credential.to_header();
        headers.insert(name, value);
        if let Some(service) = &self.service {
            headers.insert(X_SERVICE_TOKEN, service.expose().clone());
        }
        if self.telling == Telling::Headers {
            // it was said before in the call itself, or the call would not be authenticated
            identity_headers::confirm(&mut headers, &self.identity);
        }
        Secret::new(headers)
    }
}

impl Check<MemberUpdate<Unproven>> for Authenticate {
    type Proven = MemberUpdate<Authenticated>;

    fn check(self: &Arc<Self>, mut update: MemberUpdate<Unproven>) -> Checking<Self::Proven> {
        let client = update.call.account.peer;
        if update.action == Action::Update && !self.rates.admits_client(client) {
            update = match self.over(update, over_rate("limits.member_updates_per_client")) {
                Ok(update) => update,
                Err(refused) => return Checking::Done(Err(refused)),
            };
        }
        let credential = match self.vouchers.credential(&update.call.head.headers) {
            Ok(credential) => credential,
            Err(fault) => return Checking::Done(Err(update.say(no_for_fault(fault)))),
        };
        let service = UnverifiedToken::service_from_headers(&update.call.head.headers).ok();
        if let Some(vouched) = self.vouchers.at_hand(&credential) {
            return Checking::Done(self.accept(update, credential, service, &vouched));
        }
        let check = self.clone();
        Checking::waits(async move {
            let asker = update.call.account.request_id;
            match check.vouchers.vouch(&credential, service.as_ref(), client, asker).await {
                Ok(vouched) => check.accept(update, credential, service, &vouched),
                Err(no) => Err(update.say(no)),
            }
        })
    }
}

impl Authenticate {
    /// Notes who asks, and looks at what that caller may ask at all.
    fn accept(
        &self,
        mut update: MemberUpdate<Unproven>,
        credential: Credential,
        service: Option<UnverifiedToken>,
        vouched: &Vouched,
    ) -> Result<MemberUpdate<Authenticated>, Box<Refused>> {
        let identity = vouched.identity.clone();
        vouched.note_in(&mut update.call.account);
        let project = identity.project().filter(|_| update.action == Action::Update);
        if project.is_some_and(|project| !self.rates.admits_project(project)) {
            update = self.over(update, over_rate("limits.member_updates_per_project"))?;
        }
        if !self.limits.is_empty() {
            let account = &update.call.account;
            let asker = Asker { identity: Some(&identity), address: account.peer };
            let route = Some(update.action.route());
            if let Err(over) = self.limits.admit(&asker, &account.method, route, Instant::now()) {
                update = self.over(update, over)?;
            }
        }
        let told = self
            .check_rules(&update, &identity)
            .and_then(|()| self.vouchers.tell(&mut update.call.head.headers, &identity));
        if let Err(no) = told {
            return Err(update.say(no));
        }
        // it is only sent along where it is needed
        let service = service.filter(|_| identity.is_expired_at(SystemTime::now()));
        let caller = Arc::new(Caller { credential, service, identity, telling: self.vouchers.telling() });
        Ok(update.prove(|Unproven(())| Authenticated { caller }))
    }

    /// Says no to who asks too often. Where that is only told of, it is noted and the other checks go on: asking often must
    /// not be a way past them.
    fn over(&self, mut update: MemberUpdate<Unproven>, over: Over) -> Result<MemberUpdate<Unproven>, Box<Refused>> {
        let account = &mut update.call.account;
        match self.rules.weigh(over.refusal, account) {
            Mode::Enforce => {
                account.retry_after = over.retry_after;
                Err(update.refuse(over.refusal, over.cause))
            }
            Mode::Observe | Mode::Off => {
                account.cause = Some(over.cause);
                Ok(update)
            }
        }
    }

    fn check_rules(&self, update: &MemberUpdate<Unproven>, identity: &Identity) -> Result<(), No> {
        if identity.access_rules.is_empty() {
            return Ok(());
        }
        // keystonemiddleware looks at the path after Glance has read the version, so every alias counts as `/v2`
        let (image, member) = (update.path.image(), update.path.member());
        let joint = if member.is_empty() { "" } else { "/" };
        let path = format!("/v2/images/{image}/members{joint}{member}");
        self.vouchers.check_rules(identity, update.call.head.method.as_str(), &path)
    }
}

/// One of the rates was reached; when it is not any more is not known.
fn over_rate(which: &'static str) -> Over {
    Over { refusal: Refusal::RateLimited, cause: Cow::Borrowed(which), retry_after: None }
}
