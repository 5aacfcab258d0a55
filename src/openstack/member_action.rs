//! What can be done with the members of an image (Image API v2, "Sharing").

use http::Method;

/// One call of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `PUT /v2/images/{image_id}/members/{member_id}`: a member answers.
    Update,
    /// `POST /v2/images/{image_id}/members`: the owner shares the image with a project.
    Create,
    /// `DELETE /v2/images/{image_id}/members/{member_id}`: the owner stops that.
    Delete,
    /// `GET /v2/images/{image_id}/members`: with whom it is shared.
    List,
    /// `GET /v2/images/{image_id}/members/{member_id}`: one of them.
    Show,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 5] = [Self::Update, Self::Create, Self::Delete, Self::List, Self::Show];

    /// Returns the word used in the configuration and in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Show => "show",
        }
    }

    /// Parses the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Returns its method.
    pub fn method(self) -> Method {
        match self {
            Self::Update => Method::PUT,
            Self::Create => Method::POST,
            Self::Delete => Method::DELETE,
            Self::List | Self::Show => Method::GET,
        }
    }

    /// Returns what the method does with one member; nothing for `OPTIONS`, which belongs to Glance's CORS. What is no
    /// method of the resource is an update that is refused for its method.
    pub fn on_member(method: &Method) -> Option<Self> {
        match *method {
            Method::OPTIONS => None,
            Method::GET => Some(Self::Show),
            Method::DELETE => Some(Self::Delete),
            _ => Some(Self::Update),
        }
    }

    /// Returns what the method does with all members; nothing for what Glance answers 405 or, for `OPTIONS`, by its CORS.
    pub fn on_members(method: &Method) -> Option<Self> {
        match *method {
            Method::GET => Some(Self::List),
            Method::POST => Some(Self::Create),
            _ => None,
        }
    }

    /// Returns its route.
    pub fn route(self) -> &'static str {
        match self {
            Self::Update | Self::Delete | Self::Show => "/v2/images/{image_id}/members/{member_id}",
            Self::Create | Self::List => "/v2/images/{image_id}/members",
        }
    }

    /// Returns the name of its policy (`glance/policies/image.py`).
    pub fn policy(self) -> &'static str {
        match self {
            Self::Update => "modify_member",
            Self::Create => "add_member",
            Self::Delete => "delete_member",
            Self::List => "get_members",
            Self::Show => "get_member",
        }
    }

    /// Returns what its body looks like, in Glance's words (`RequestDeserializer`).
    pub fn body_form(self) -> &'static str {
        match self {
            Self::Create => r#"member in the form: {"member": "image_id"}"#,
            Self::Update | Self::Delete | Self::List | Self::Show => r#"status in the form: {"status": "status"}"#,
        }
    }

    /// Tells whether Glance reads a body with it.
    pub fn has_body(self) -> bool {
        match self {
            Self::Update | Self::Create => true,
            Self::Delete | Self::List | Self::Show => false,
        }
    }

    /// Tells whether it changes who is a member, and so who sees the image.
    pub fn changes_members(self) -> bool {
        match self {
            Self::Create | Self::Delete => true,
            Self::Update | Self::List | Self::Show => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Action;
    use crate::openstack::route::route;

    #[test]
    fn each_action_has_a_word_of_its_own() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
            assert_eq!(route(action.route(), ""), Some(action.route()));
        }
        assert_eq!(Action::parse("Update"), None);
    }
}
