//! The members of an image: the checks of each action, in Glance's order and with its words.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::demo::answers::Answer;
use crate::demo::glance::images::Image;
use crate::demo::glance::images::Member;
use crate::demo::glance::images::Visibility;
use crate::demo::glance::policy::Action;
use crate::demo::glance::policy::Policy;
use crate::demo::glance::policy::is_admin;
use crate::demo::glance::policy::owns;
use crate::demo::glance::policy::sees;
use crate::demo::glance::view::stamp;
use crate::demo::keystone::Token;
use crate::demo::python_json;
use crate::demo::python_json::Read;
use crate::demo::webob::Refused;

/// How many members an image may have.
const QUOTA: usize = 128;

/// An image as one caller finds it, under one policy.
#[derive(Debug)]
pub struct Found<'a> {
    /// The image.
    pub image: &'a mut Image,
    /// The caller.
    pub caller: &'a Token,
    /// The policy in force.
    pub policy: Policy,
}

impl<'a> Found<'a> {
    /// Finds the image for the caller.
    ///
    /// # Errors
    /// 404 when there is none that the caller can see.
    pub fn find(image: Option<&'a mut Image>, id: &str, caller: &'a Token, policy: Policy) -> Result<Self, Refused> {
        match image.filter(|image| sees(caller, image)) {
            Some(image) => Ok(Self { image, caller, policy }),
            None => Err(Refused::new(StatusCode::NOT_FOUND, format!("Image {id} not found."))),
        }
    }

    /// Lists the members the caller may know of.
    ///
    /// # Errors
    /// As Glance refuses.
    pub fn list(self) -> Result<Answer, Refused> {
        self.must_be_shared(|id| {
            format!("Not allowed to list members for image {id}: Only shared images have members.")
        })?;
        self.policy.check(Action::GetMembers, self.caller, self.image)?;
        let known = self.image.members.iter().filter(|member| self.may_know(member));
        let members = known.map(|member| MemberView::new(self.image, member)).collect();
        Ok(Answer::json(StatusCode::OK, &MembersView { members, schema: "/v2/schemas/members" }))
    }

    /// Shows one member.
    ///
    /// # Errors
    /// As Glance refuses.
    pub fn show(self, id: &str) -> Result<Answer, Refused> {
        if self.image.visibility != Visibility::Shared {
            return Err(Refused::new(StatusCode::NOT_FOUND, "Only shared images have members."));
        }
        let member = self.member(id)?;
        Ok(Answer::json(StatusCode::OK, &MemberView::new(self.image, member)))
    }

    /// Adds a member.
    ///
    /// # Errors
    /// As Glance refuses.
    pub fn create(self, id: &str) -> Result<Answer, Refused> {
        let forbidden = |image: &str| format!("Not allowed to create members for image {image}.");
        self.must_be_shared(forbidden)?;
        if self.policy == Policy::Legacy && !is_admin(self.caller) && !owns(self.caller, self.image) {
            return Err(Refused::new(StatusCode::FORBIDDEN, forbidden(&self.image.id)));
        }
        self.policy.check(Action::AddMember, self.caller, self.image)?;
        let attempted = self.image.members.len() + 1;
        if attempted > QUOTA {
            let explanation = format!(
                "Image member limit exceeded for image {}: The limit has been exceeded on the number of allowed image \
                 members for this image. Attempted: {attempted}, Maximum: {QUOTA}:",
                self.image.id
            );
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, explanation));
        }
        if self.image.member(id).is_some() {
            let explanation = format!("Member {id} is duplicated for image {}", self.image.id);
            return Err(Refused::new(StatusCode::CONFLICT, explanation));
        }
        let member = Member::new(id, "pending");
        let answer = Answer::json(StatusCode::OK, &MemberView::new(self.image, &member));
        self.image.members.push(member);
        Ok(answer)
    }

    /// Sets a member's status.
    ///
    /// # Errors
    /// As Glance refuses.
    pub fn update(self, id: &str, status: &Value) -> Result<Answer, Refused> {
        let forbidden = |image: &str| format!("Not allowed to update members for image {image}.");
        self.must_be_shared(forbidden)?;
        if self.policy == Policy::Legacy && !is_admin(self.caller) && owns(self.caller, self.image) {
            return Err(Refused::new(StatusCode::FORBIDDEN, forbidden(&self.image.id)));
        }
        self.member(id)?;
        self.policy.check(Action::ModifyMember, self.caller, self.image)?;
        let known = ["pending", "accepted", "rejected"];
        let Some(status) = status.as_str().filter(|status| known.contains(status)) else {
            let explanation = "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".";
            return Err(Refused::new(StatusCode::BAD_REQUEST, explanation));
        };
        if let Some(member) = self.image.members.iter_mut().find(|member| member.id == id && member.status != status) {
            status.clone_into(&mut member.status);
            member.updated_at = OffsetDateTime::now_utc();
        }
        let member = self.member(id)?;
        Ok(Answer::json(StatusCode::OK, &MemberView::new(self.image, member)))
    }

    /// Removes a member.
    ///
    /// # Errors
    /// As Glance refuses.
    pub fn delete(self, id: &str) -> Result<Answer, Refused> {
        let forbidden = |image: &str| format!("Not allowed to delete members for image {image}.");
        self.must_be_shared(forbidden)?;
        if self.policy == Policy::Legacy && !is_admin(self.caller) && !owns(self.caller, self.image) {
            return Err(Refused::new(StatusCode::FORBIDDEN, forbidden(&self.image.id)));
        }
        self.member(id)?;
        self.policy.check(Action::DeleteMember, self.caller, self.image)?;
        self.image.members.retain(|member| member.id != id);
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    fn must_be_shared(&self, explanation: impl Fn(&str) -> String) -> Result<(), Refused> {
        if self.image.visibility == Visibility::Shared {
            return Ok(());
        }
        Err(Refused::new(StatusCode::FORBIDDEN, explanation(&self.image.id)))
    }

    /// Returns the member if it is there and the caller may know of it.
    fn member(&self, id: &str) -> Result<&Member, Refused> {
        self.policy.check(Action::GetMember, self.caller, self.image)?;
        self.image.member(id).filter(|member| self.may_know(member)).ok_or_else(|| {
            let explanation = format!("{id} not found in the member list of the image {}.", self.image.id);
            Refused::new(StatusCode::NOT_FOUND, explanation)
        })
    }

    fn may_know(&self, member: &Member) -> bool {
        is_admin(self.caller) || owns(self.caller, self.image) || self.caller.project() == Some(&member.id)
    }
}

/// Returns the status that the body of an update asks for, its value not looked at yet.
///
/// # Errors
/// As Glance refuses.
pub fn status_asked_for(body: &[u8]) -> Result<Value, Refused> {
    match object(body, "status", "Expected a status in the form: {\"status\": \"status\"}")? {
        Some(status) => Ok(status),
        None => Err(Refused::new(StatusCode::BAD_REQUEST, "Status not specified")),
    }
}

/// Returns the member that the body of a creation names.
///
/// # Errors
/// As Glance refuses.
pub fn member_asked_for(body: &[u8]) -> Result<String, Refused> {
    match object(body, "member", "Expected a member in the form: {\"member\": \"image_id\"}")? {
        Some(Value::String(member)) if !member.is_empty() => Ok(member),
        Some(Value::Number(member)) if member.as_f64() != Some(0.0) => Ok(member.to_string()),
        Some(_) => Err(Refused::new(StatusCode::BAD_REQUEST, "Member can't be empty")),
        None => Err(Refused::new(StatusCode::BAD_REQUEST, "Member to be added not specified")),
    }
}

fn object(body: &[u8], key: &str, expected: &str) -> Result<Option<Value>, Refused> {
    let bad = |explanation: &str| Err(Refused::new(StatusCode::BAD_REQUEST, explanation));
    if body.is_empty() {
        return bad("Body expected in request.");
    }
    match python_json::read(body, key) {
        Read::Object(value) => Ok(value),
        Read::Array => bad(expected),
        Read::Scalar => bad("Unexpected body type. Expected list/dict."),
        Read::Malformed => bad("Malformed JSON in request body."),
        Read::TooDeep => {
            let explanation = "The server has either erred or is incapable of performing the requested operation.";
            Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, explanation))
        }
    }
}

#[derive(Serialize)]
struct MemberView<'a> {
    member_id: &'a str,
    image_id: &'a str,
    status: &'a str,
    created_at: String,
    updated_at: String,
    schema: &'static str,
}

impl<'a> MemberView<'a> {
    fn new(image: &'a Image, member: &'a Member) -> Self {
        Self {
            member_id: &member.id,
            image_id: &image.id,
            status: &member.status,
            created_at: stamp(member.created_at),
            updated_at: stamp(member.updated_at),
            schema: "/v2/schemas/member",
        }
    }
}

#[derive(Serialize)]
struct MembersView<'a> {
    members: Vec<MemberView<'a>>,
    schema: &'static str,
}
