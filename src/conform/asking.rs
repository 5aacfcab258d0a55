//! One question: what it needs is put in place, it is asked, and what it has left behind is looked at.

use serde_json::Value;

use crate::client::json::JsonAnswer;
use crate::conform::callers::Callers;
use crate::conform::callers::Role;
use crate::conform::endpoint::Ask;
use crate::conform::endpoint::Endpoint;
use crate::conform::forms;
use crate::conform::vectors::Vector;
use crate::conform::world::Members;
use crate::conform::world::World;

/// After how many questions in a row without an answer no more are asked.
pub const MAX_SILENT: u32 = 5;

/// Who asks whom about what.
#[derive(Debug)]
pub struct Asking<'a> {
    /// Who is asked.
    pub endpoint: &'a Endpoint,
    /// Who asks.
    pub callers: &'a Callers,
    /// The images.
    pub world: &'a mut World,
}

/// What became of a question.
#[derive(Debug)]
pub enum Asked {
    /// It was not asked, because something it needs is not there.
    Skipped(String),
    /// It could not be asked, because the endpoint did not do what comes before it.
    Unprepared(String),
    /// There was no answer, and why.
    Unanswered(String),
    /// There was one.
    Answered {
        /// Its status.
        status: u16,
        /// What is wrong with it beside the status.
        faults: Vec<String>,
    },
}

impl Asked {
    /// Tells whether the endpoint has said nothing.
    pub fn is_silent(&self) -> bool {
        match self {
            Self::Unanswered(_) | Self::Unprepared(_) => true,
            Self::Skipped(_) | Self::Answered { .. } => false,
        }
    }
}

impl Asking<'_> {
    /// Asks one question.
    pub async fn ask(&mut self, vector: &Vector) -> Asked {
        if let Some(why) = self.lacks(vector) {
            return Asked::Skipped(why);
        }
        for image in vector.images() {
            let before = vector.before.as_deref();
            if let Err(why) = self.world.reset(image, before, self.endpoint, self.callers).await {
                return Asked::Unprepared(why);
            }
        }
        let ask = self.spell(vector);
        if vector.method != "GET" {
            for image in vector.images() {
                self.world.forget(image);
            }
        }
        let answer = match self.endpoint.send(&ask, self.callers.token(vector.caller)).await {
            Ok(answer) => answer,
            Err(error) => return Asked::Unanswered(error.to_string()),
        };
        let mut faults = forms::faults(&ask, &answer);
        faults.extend(self.listed(vector, &answer));
        if vector.method != "GET" {
            for image in vector.images() {
                faults.extend(self.left(vector, image, &ask, &answer).await);
            }
        }
        Asked::Answered { status: answer.status.as_u16(), faults }
    }

    /// Tells what a question needs that is not there.
    fn lacks(&self, vector: &Vector) -> Option<String> {
        for role in vector.roles() {
            if !self.callers.has(role) {
                return Some(format!("there is no {}", role.as_str()));
            }
        }
        vector.images().into_iter().find_map(|image| self.world.lacks(image))
    }

    /// Spells the call out.
    fn spell(&self, vector: &Vector) -> Ask {
        let body = self.fill(vector.body());
        let mut headers = Vec::new();
        if !vector.accept.is_empty() {
            headers.push(("Accept".to_owned(), vector.accept.clone()));
        }
        match &vector.headers {
            Some(written) => headers.extend(written.iter().map(|(name, value)| (name.clone(), self.fill(value)))),
            None if body.is_empty() => {}
            None => headers.push(("Content-Type".to_owned(), "application/json".to_owned())),
        }
        Ask { method: vector.method.clone(), target: self.fill(&vector.target), headers, body }
    }

    /// Fills in `{p.role}`, `{img.name}`, `{name}` and `{rep:text*count}`; other braces are left alone.
    fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            rest = after;
            if let Some((place, behind)) = after.split_once('}')
                && let Some(value) = self.place(place)
            {
                filled.push_str(&value);
                rest = behind;
            } else {
                filled.push('{');
            }
        }
        filled + rest
    }

    fn place(&self, place: &str) -> Option<String> {
        if let Some(repeated) = place.strip_prefix("rep:") {
            let (text, count) = repeated.rsplit_once('*')?;
            return Some(text.repeat(count.parse().ok()?));
        }
        if let Some(image) = place.strip_prefix("img.") {
            return Some(self.world.id(image).to_owned());
        }
        if let Some(role) = place.strip_prefix("p.") {
            return self.callers.project(Role::parse(role)?).map(str::to_owned);
        }
        (place == "name").then(|| self.world.name.clone())
    }

    /// Tells what is wrong with a list's entries.
    fn listed(&self, vector: &Vector, answer: &JsonAnswer) -> Vec<String> {
        let mut faults = Vec::new();
        if !answer.status.is_success() {
            return faults;
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let ids = |list: &str, key: &str| -> Vec<String> {
            let entries = body.get(list).and_then(Value::as_array).into_iter().flatten();
            entries.filter_map(|entry| Some(entry.get(key)?.as_str()?.to_owned())).collect()
        };
        if let Some(roles) = &vector.lists {
            let mut found = ids("members", "member_id");
            let mut wanted: Vec<&str> = roles.iter().filter_map(|role| self.callers.project(*role)).collect();
            found.sort_unstable();
            wanted.sort_unstable();
            if found != wanted {
                faults.push(format!("it lists {} members, and not just the {} it should", found.len(), wanted.len()));
            }
        }
        let found = ids("images", "id");
        let is_listed = |image: &String| found.iter().any(|id| id == self.world.id(image));
        faults.extend(vector.shows.iter().filter(|image| !is_listed(image)).map(|_| "the image is not listed".into()));
        faults.extend(vector.hides.iter().filter(|image| is_listed(image)).map(|_| "the image is listed".into()));
        faults
    }

    /// Tells what is wrong with the members that the call has left behind.
    async fn left(&mut self, vector: &Vector, image: &str, ask: &Ask, answer: &JsonAnswer) -> Option<String> {
        let mut wanted = self.world.meant(image)?;
        if let (Some(status), Some(member)) = (&vector.before, self.callers.project(Role::Member))
            && let Some(held) = wanted.get_mut(member)
        {
            status.clone_into(held);
        }
        if answer.status.is_success() {
            effect(ask, &mut wanted);
        }
        let found = match self.world.members(image, self.endpoint, self.callers).await {
            Ok(found) => found,
            Err(why) => return Some(format!("what it has left behind is not known: {why}")),
        };
        let so_far = if answer.status.is_success() { "it did not do what it said" } else { "it was refused, and yet" };
        let fault = changes(&wanted, &found).map(|what| format!("{so_far}: {what}"));
        self.world.remember(image, found);
        fault
    }
}

/// Does to the members what the call does if it is granted.
fn effect(ask: &Ask, members: &mut Members) {
    let body: Option<Value> = serde_json::from_str(&ask.body).ok();
    let text = |key: &str| Some(body.as_ref()?.get(key)?.as_str()?.to_owned());
    let named = ask.target.split("/members/").nth(1);
    match (ask.method.as_str(), named) {
        ("PUT", Some(member)) => members.extend(text("status").map(|status| (member.to_owned(), status))),
        ("DELETE", Some(member)) => drop(members.remove(member)),
        ("POST", None) => members.extend(text("member").map(|member| (member, "pending".to_owned()))),
        _ => {}
    }
}

/// Tells how the members differ from what they should be.
fn changes(wanted: &Members, found: &Members) -> Option<String> {
    let gone = wanted.keys().filter(|member| !found.contains_key(*member)).count();
    let new = found.keys().filter(|member| !wanted.contains_key(*member)).count();
    let other = wanted.iter().find_map(|(member, status)| {
        let held = found.get(member).filter(|held| *held != status)?;
        Some(format!("a member is {} and not {status}", known(held)))
    });
    match (gone, new, other) {
        (0, 0, other) => other,
        (0, _, _) => Some("there is a member more".into()),
        (_, _, _) => Some("a member is gone".into()),
    }
}

/// Returns a member's status if it is one, for the report has no words of the endpoint's own.
fn known(status: &str) -> &'static str {
    ["pending", "accepted", "rejected"].into_iter().find(|known| *known == status).unwrap_or("something else")
}
