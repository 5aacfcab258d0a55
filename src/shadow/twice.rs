//! A/A: one side is asked the same a second time. What differs between its two answers is noise, not a difference.

use http::Request;
use http::header::HOST;
use http_body_util::BodyExt;
use http_body_util::Limited;
use tower::Service;

use crate::body::Body;
use crate::call::Account;
use crate::call::Call;
use crate::client::json::JsonClientError;
use crate::diff::answered::Answered;
use crate::diff::answered::Content;
use crate::openstack::request_id::Draw;
use crate::openstack::request_id::RequestId;
use crate::peer::Peer;
use crate::shadow::config::Twice;
use crate::shadow::copied::Copied;
use crate::shadow::draft::is_readable;
use crate::shadow::headers;
use crate::shadow::plan::Plan;
use crate::shadow::sample::is_safe;
use crate::shadow::way::Credential;

/// Asks a second time, if that is wanted for this copy; never for a write.
pub async fn ask(plan: &Plan, copied: &Copied, staging: &Answered, credential: &Credential) {
    let config = &plan.ways.config;
    let is_drawn = copied.asked.request_id.draw(Draw::Second) < config.twice_percent;
    if !is_drawn || !is_safe(&copied.asked.method) {
        return;
    }
    let (first, second) = match config.twice {
        Twice::Off => return,
        Twice::Primary => (&copied.answered, primary(plan, copied).await),
        Twice::Staging => (staging, control(plan, copied, credential).await),
    };
    match second {
        Ok(second) => {
            for consumer in &plan.consumers {
                consumer.learned(&copied.asked, first, &second);
            }
            plan.counts.repeat("learned");
        }
        Err(cause) => plan.counts.repeat(cause),
    }
}

async fn control(plan: &Plan, copied: &Copied, credential: &Credential) -> Result<Answered, &'static str> {
    let answer = plan.ways.ask(&plan.ways.config.control, copied, credential).await;
    answer.ok_or("unwritable")?.map_err(JsonClientError::as_str)
}

/// Asks the primary again, as the caller.
async fn primary(plan: &Plan, copied: &Copied) -> Result<Answered, &'static str> {
    let limits = &plan.ways.config.limits;
    let call = again(plan, copied).ok_or("unwritable")?;
    let mut forward = plan.primary.clone();
    let asked = async {
        let answer = forward.call(call).await.map_err(|_| "unanswered")?;
        let (head, body) = answer.response.into_parts();
        let is_wanted = is_readable(&head.headers);
        let read = Limited::new(body, limits.answer_bytes).collect().await.map_err(|_| "unread")?.to_bytes();
        let body = if is_wanted || read.is_empty() { Content::Whole(read) } else { Content::Unread };
        let (headers, _) = headers::answered(&head.headers);
        Ok(Answered { status: head.status, headers, body })
    };
    tokio::time::timeout(limits.call_timeout, asked).await.unwrap_or(Err("timed_out"))
}

fn again(plan: &Plan, copied: &Copied) -> Option<Call> {
    let mut request = Request::new(());
    *request.method_mut() = copied.asked.method.clone();
    *request.uri_mut() = copied.asked.target.parse().ok()?;
    *request.headers_mut() = copied.headers.clone();
    let (mut head, ()) = request.into_parts();
    head.headers.insert(headers::X_GLANCE_GATE_SHADOW, copied.asked.request_id.to_header());
    if let Some(credential) = &copied.caller.credential {
        let (name, value) = credential.to_header();
        head.headers.insert(name, value);
    }
    if let Some(identity) = &copied.caller.identity {
        plan.vouchers.tell(&mut head.headers, identity).ok()?;
    }
    if let Some(host) = &copied.host {
        head.headers.insert(HOST, host.clone());
    }
    let account = Box::new(Account::new(RequestId::random(), Peer::plain(copied.caller.peer), &head));
    Some(Call { head: Box::new(head), body: Body::Empty, account })
}
