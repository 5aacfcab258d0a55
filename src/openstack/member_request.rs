//! What exactly a call on the members of an image asks for.

use bytes::Bytes;

use crate::openstack::member::RequestedStatus;
use crate::openstack::member_action::Action;

/// A call that was read: nothing of it is looked at again in another form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRequest {
    /// The member shall have this status.
    Update(RequestedStatus),
    /// This project shall be a member.
    Create(RequestedMember),
    /// The member of the path shall be none any more.
    Delete,
    /// All members.
    List,
    /// The member of the path.
    Show,
}

/// The member a client asks for: the id of a project, or something only Glance may judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedMember {
    /// What can be a project's id, and stand in a path.
    Known(Box<str>),
    /// Any other JSON value that Glance does not find empty, kept as canonical JSON.
    Unknown(Bytes),
}

impl MemberRequest {
    /// Returns which call it is.
    pub fn action(&self) -> Action {
        match self {
            Self::Update(_) => Action::Update,
            Self::Create(_) => Action::Create,
            Self::Delete => Action::Delete,
            Self::List => Action::List,
            Self::Show => Action::Show,
        }
    }

    /// Returns the body that is forwarded, if there is one: this and nothing else that the client wrote.
    pub fn canonical_body(&self) -> Option<Bytes> {
        match self {
            Self::Update(status) => Some(status.canonical_body()),
            Self::Create(member) => Some(member.canonical_body()),
            Self::Delete | Self::List | Self::Show => None,
        }
    }
}

impl RequestedMember {
    /// Returns the id, if it is one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Known(id) => Some(id),
            Self::Unknown(_) => None,
        }
    }

    fn canonical_body(&self) -> Bytes {
        match self {
            // an id has nothing that JSON would escape
            Self::Known(id) => format!(r#"{{"member":"{id}"}}"#).into(),
            Self::Unknown(value) => [br#"{"member":"#, value.as_ref(), b"}"].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MemberRequest;
    use super::RequestedMember;

    #[test]
    fn the_canonical_body_names_the_member() {
        let body = |member| MemberRequest::Create(member).canonical_body().expect("a body");
        assert_eq!(body(RequestedMember::Known("ab-1".into())), r#"{"member":"ab-1"}"#);
        assert_eq!(body(RequestedMember::Unknown("7".into())), r#"{"member":7}"#);
        assert_eq!(MemberRequest::Delete.canonical_body(), None);
    }
}
