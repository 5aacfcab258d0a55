//! `glance-gate conform`: asks an endpoint what the contract of member updates fixes, and judges its answers.
//!
//! It makes images of its own, asks about these alone, one call after the other, and removes them again, whatever
//! happens in between.

pub mod asking;
pub mod callers;
pub mod endpoint;
pub mod forms;
pub mod identities;
pub mod judge;
pub mod question;
pub mod report;
pub mod specs;
pub mod vectors;
pub mod world;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use crate::client::json::JsonClient;
use crate::client::json::Limits;
use crate::conform::asking::Asked;
use crate::conform::asking::Asking;
use crate::conform::callers::Callers;
use crate::conform::endpoint::Endpoint;
use crate::conform::identities::Identities;
use crate::conform::report::End;
use crate::conform::report::Report;
use crate::conform::vectors::Contract;
use crate::conform::vectors::Vector;
use crate::conform::world::Publicity;
use crate::conform::world::World;

/// How large an answer may be.
const MAX_ANSWER: usize = 1024 * 1024;
/// How long the removal of the images may take, beside the time for the questions.
const REMOVAL_TIME: Duration = Duration::from_mins(2);

/// What is to be judged, and how.
#[derive(Debug)]
pub struct Plan {
    /// The endpoint: `http://glance:9292`, perhaps with a path.
    pub url: String,
    /// Who asks.
    pub identities: Identities,
    /// The certificates to trust for both, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// The contract that must be kept; nothing if it is to be found out which Glance's it is.
    pub contract: Option<Contract>,
    /// Whether an image may be public for a while.
    pub publicity: Publicity,
    /// What becomes of the images.
    pub images: Images,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long all may take, without the removal of the images.
    pub timeout: Duration,
}

/// What becomes of the images at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// They are removed.
    Removed,
    /// They stay, to be looked at.
    Kept,
}

/// Asks everything, or until `stop`, and judges what was answered.
///
/// # Errors
/// Tells why nothing could be asked. Images are removed even then.
pub async fn run(plan: &Plan, stop: impl Future<Output = ()>) -> io::Result<Report> {
    let mut stop = pin!(stop);
    let limits = Limits {
        connect_timeout: plan.call_timeout,
        call_timeout: plan.call_timeout,
        answer_bytes: MAX_ANSWER,
        idle_connections: 1,
    };
    let client = JsonClient::new(limits, plan.cafile.as_deref())?;
    let vectors = Vector::all().map_err(io::Error::other)?;
    let callers = tokio::select! {
        logged_in = Callers::log_in(&plan.identities, &client) => logged_in.map_err(io::Error::other)?,
        () = stop.as_mut() => return Err(io::Error::other("stopped before anything was asked")),
    };
    let endpoint = Endpoint::new(&plan.url, client);
    let (mut world, mut asked) = (World::named(), Vec::new());
    let work = work(plan, &vectors, &endpoint, &callers, &mut world, &mut asked);
    let ended = tokio::select! {
        ended = tokio::time::timeout(plan.timeout, work) => ended.unwrap_or(Ok(End::OutOfTime)),
        () = stop.as_mut() => Ok(End::Stopped),
    };
    let left = match plan.images {
        Images::Kept => world.ids(),
        Images::Removed => {
            let removal = world.remove(&endpoint, &callers);
            tokio::time::timeout(REMOVAL_TIME, removal).await.unwrap_or_else(|_| world.ids())
        }
    };
    let ended = ended.map_err(|why| {
        let left = if left.is_empty() { String::new() } else { format!("\n    images left: {}", left.join(", ")) };
        io::Error::other(format!("{why}{left}"))
    })?;
    Ok(Report::new(plan, vectors, &asked, callers.notes, ended, left))
}

/// Makes the images and asks one question after the other.
async fn work(
    plan: &Plan,
    vectors: &[Vector],
    endpoint: &Endpoint,
    callers: &Callers,
    world: &mut World,
    asked: &mut Vec<Asked>,
) -> Result<End, String> {
    world.make(endpoint, callers, plan.publicity).await?;
    let mut asking = Asking { endpoint, callers, world };
    let mut silent = 0;
    for vector in vectors {
        let one = asking.ask(vector).await;
        silent = if one.is_silent() { silent + 1 } else { 0 };
        asked.push(one);
        if silent == asking::MAX_SILENT {
            return Ok(End::Silent);
        }
    }
    Ok(End::Complete)
}
