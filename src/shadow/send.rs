//! What happens to one copy on the shadow thread: whose it is, what it may carry, who is asked, who is told.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use http::HeaderValue;
use tokio::time::Instant;

use crate::openstack::token::X_AUTH_TOKEN;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::shadow::Queued;
use crate::shadow::config::Credentials;
use crate::shadow::config::Twice;
use crate::shadow::copied::Copied;
use crate::shadow::exchange::Entry;
use crate::shadow::plan::Plan;
use crate::shadow::repeated::Writes;
use crate::shadow::sample::is_safe;
use crate::shadow::ticket::Reason;
use crate::shadow::ticket::Ticket;
use crate::shadow::twice;
use crate::shadow::way::Credential;

/// What all copies share on the thread.
#[derive(Debug, Default)]
pub struct Sending {
    writes: Mutex<Writes>,
    /// Writes go one after the other, in the order they were answered.
    turn: tokio::sync::Mutex<()>,
}

/// What a copy carries to staging.
struct Fare<'a> {
    credential: Credential,
    /// Whose token it is, if it is one of staging's own.
    exchanged: Option<(&'a Entry, Secret<HeaderValue>)>,
}

impl Sending {
    /// Sends one copy, and tells whoever wants to know.
    pub async fn send(self: Arc<Self>, queued: Queued) {
        let Queued { copied, plan, ticket } = queued;
        let deadline = Instant::from_std(copied.since) + plan.ways.config.limits.age;
        let _turn = if is_safe(&copied.asked.method) {
            None
        } else {
            match tokio::time::timeout_at(deadline, self.turn.lock()).await {
                Ok(turn) => Some(turn),
                Err(_) => return ticket.drop_for(Reason::TooOld),
            }
        };
        self.give(copied, &plan, ticket).await;
    }

    async fn give(&self, mut copied: Copied, plan: &Plan, mut ticket: Ticket) {
        let fare = match self.prepare(&mut copied, plan, &mut ticket).await {
            Ok(fare) => fare,
            Err(reason) => return ticket.drop_for(reason),
        };
        for consumer in &plan.consumers {
            consumer.copied(&copied);
        }
        let ways = &plan.ways;
        if !ways.config.has_target() {
            return ticket.close("kept");
        }
        let since = Instant::now();
        let Some(answer) = ways.ask(&ways.config.target, &copied, &fare.credential).await else {
            return ticket.drop_for(Reason::Unwritable);
        };
        let staging = match answer {
            Ok(staging) => staging,
            Err(error) => return ticket.close(error.as_str()),
        };
        plan.counts.took(since.elapsed());
        if staging.status == http::StatusCode::UNAUTHORIZED
            && let (Some((entry, token)), Some(exchange)) = (&fare.exchanged, &ways.exchange)
        {
            exchange.forget(entry, token).await;
        }
        for consumer in &plan.consumers {
            consumer.compared(&copied.asked, &copied.answered, &staging);
        }
        twice::ask(plan, &copied, &staging, &fare.credential).await;
        ticket.close("sent");
    }

    /// Finds out whose copy it is, and what it may carry; says no before anything is sent.
    async fn prepare<'a>(&self, copied: &mut Copied, plan: &'a Plan, ticket: &mut Ticket) -> Result<Fare<'a>, Reason> {
        let config = &plan.ways.config;
        if plan.needs_identity() {
            identify(copied, plan).await?;
        }
        if !config.projects.is_empty() {
            let project = copied.asked.project.as_ref().map(crate::openstack::identity::ProjectId::as_str);
            if !project.is_some_and(|project| config.projects.iter().any(|wanted| wanted == project)) {
                return Err(Reason::Project);
            }
        }
        if !config.has_target() {
            return Ok(Fare { credential: None, exchanged: None });
        }
        let fare = fare(copied, plan).await?;
        // staging's answer, and one more where something is asked twice
        let answers = if config.twice == Twice::Off { 1 } else { 2 };
        if !ticket.take(config.limits.answer_bytes.saturating_mul(answers)) {
            return Err(Reason::BytesFull);
        }
        if let Some(write) = copied.repeats {
            let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
            if !writes.is_new(write, config.limits.remembered_writes) {
                return Err(Reason::Repeated);
            }
        }
        Ok(fare)
    }
}

/// Finds out who asks, if the request's own way has not. Nobody is somebody, too: who has no good token stays unknown.
async fn identify(copied: &mut Copied, plan: &Plan) -> Result<(), Reason> {
    let caller = &mut copied.caller;
    if let (None, Some(credential)) = (&caller.identity, &caller.credential) {
        caller.identity = plan.vouchers.at_hand(credential).map(|vouched| vouched.identity);
    }
    if let (None, Some(credential)) = (&caller.identity, &caller.credential) {
        let asked = plan.askers.vouch(credential, caller.service.as_ref(), caller.peer, copied.asked.request_id);
        let limit = plan.ways.config.limits.call_timeout;
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(vouched)) => caller.identity = Some(vouched.identity),
            Ok(Err((Refusal::KeystoneUnavailable | Refusal::IssuerUnavailable | Refusal::RateLimited, _))) | Err(_) => {
                return Err(Reason::CallerUnknown);
            }
            // a token that is no good
            Ok(Err(_)) => {}
        }
    }
    copied.asked.project = caller.identity.as_deref().and_then(|identity| identity.project().cloned());
    Ok(())
}

/// Returns what the copy carries: nothing, a token of staging's own, or the caller's if that was said twice.
async fn fare<'a>(copied: &Copied, plan: &'a Plan) -> Result<Fare<'a>, Reason> {
    let nothing = Fare { credential: None, exchanged: None };
    match (&plan.ways.config.credentials, &plan.ways.exchange) {
        (Credentials::Keep, _) => {
            let kept = copied.caller.credential.as_ref().map(crate::openstack::token::Credential::to_header);
            Ok(Fare { credential: kept.map(|(name, value)| (name, Secret::new(value))), exchanged: None })
        }
        (Credentials::Exchange(_), Some(exchange)) if is_somebody(copied, plan) => {
            let identity = copied.caller.identity.as_deref();
            let entry = exchange.entry(identity).ok_or(Reason::NoCredential)?;
            let token = exchange.token(entry).await.map_err(|_| Reason::LoginFailed)?;
            Ok(Fare { credential: Some((X_AUTH_TOKEN, token.clone())), exchanged: Some((entry, token)) })
        }
        (Credentials::Strip | Credentials::Exchange(_), _) => Ok(nothing),
    }
}

/// Tells whether the caller had a token that was good: who had none must have none in staging either.
fn is_somebody(copied: &Copied, plan: &Plan) -> bool {
    let is_refused = copied.answered.status == http::StatusCode::UNAUTHORIZED;
    let is_known = copied.caller.identity.is_some() || !plan.needs_identity();
    copied.caller.had_token && is_known && !is_refused
}
