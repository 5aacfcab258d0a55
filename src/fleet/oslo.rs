//! What Glance's and Keystone's notifications mean for what the gate remembers.
//!
//! oslo.messaging sends them as JSON, in an envelope (message format 2.0) or without one (1.0). Glance tells of images
//! and members by their id (`glance/notifier.py`), Keystone of users, projects and roles in one of two formats
//! (`keystone/notifications.py`, "basic" and "cadf"). What can not be led back to a user or a project may concern any
//! token. Keystone tells nothing of a single token that is revoked, and its own bus does not carry it either.

use std::time::Duration;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use time::PrimitiveDateTime;
use time::format_description::well_known::Iso8601;
use uuid::Uuid;

use crate::fleet::news::News;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::UserId;

/// A notification, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it is about.
    pub kind: Kind,
    /// What the gate has to forget; nothing for what it does not remember.
    pub news: Vec<News>,
    /// When it was sent, by the sender's clock.
    sent: Option<SystemTime>,
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image or its members.
    Image,
    /// Users, projects, roles and the like.
    Identity,
    /// Something else, of another service.
    Other,
}

/// It is no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "oslo.message")]
    message: String,
}

#[derive(Deserialize)]
struct Message {
    event_type: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    timestamp: String,
}

/// The longest notification that is read; those of images with many properties have some kilobytes.
pub const MAX_BYTES: usize = 1024 * 1024;

impl Kind {
    /// Returns the word used in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Identity => "identity",
            Self::Other => "other",
        }
    }
}

impl Notification {
    /// Reads a notification, with or without its envelope.
    ///
    /// # Errors
    /// Fails if it is none: then it could have been about anything.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > MAX_BYTES {
            return Err(Unreadable);
        }
        let message: Message = match serde_json::from_slice::<Envelope>(bytes) {
            Ok(envelope) => serde_json::from_str(&envelope.message),
            Err(_) => serde_json::from_slice(bytes),
        }
        .map_err(|_| Unreadable)?;
        let event = message.event_type.as_str();
        let (kind, news) = if event.starts_with("image.") {
            (Kind::Image, of_image(event, &message.payload))
        } else if let Some(event) = event.strip_prefix("identity.") {
            (Kind::Identity, of_identity(event, &message.payload))
        } else {
            (Kind::Other, Vec::new())
        };
        Ok(Self { kind, news, sent: moment(&message.timestamp) })
    }

    /// Returns how long it took to arrive, as far as both clocks agree.
    pub fn age(&self) -> Option<Duration> {
        self.sent.map(|sent| SystemTime::now().duration_since(sent).unwrap_or_default())
    }
}

/// Reads a time as oslo.messaging writes it, in UTC without saying so: `2026-01-01 12:00:00.000000`.
fn moment(text: &str) -> Option<SystemTime> {
    let time = PrimitiveDateTime::parse(&text.replacen(' ', "T", 1), &Iso8601::DEFAULT).ok()?;
    Some(time.assume_utc().into())
}

/// Tells what a notification of Glance changes.
fn of_image(event: &str, payload: &Value) -> Vec<News> {
    let id = match event {
        // a download changes nothing, and there are many
        "image.send" => return Vec::new(),
        _ if event.starts_with("image.member.") => payload.get("image_id"),
        _ => payload.get("id"),
    };
    let image = id.and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    // a failed upload has a text for its payload: nothing that is remembered has changed
    let is_text = payload.is_string();
    image.map(News::Image).or((!is_text).then_some(News::AllImages)).into_iter().collect()
}

/// Tells what a notification of Keystone changes; the event is without its `identity.`.
fn of_identity(event: &str, payload: &Value) -> Vec<News> {
    let Some((resource, operation)) = event.rsplit_once('.') else {
        // identity.authenticate: somebody logs in
        return Vec::new();
    };
    let text = |key: &str| payload.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let failed = text("outcome").is_some_and(|outcome| outcome != "success");
    let news = match (resource, operation) {
        _ if failed => None,
        // a role more or less: the holder's tokens prove something else from now on
        ("role_assignment", "created" | "deleted") => {
            Some(text("user").map_or(News::AllTokens, |user| News::User(UserId::new(user))))
        }
        ("region" | "service" | "endpoint" | "policy" | "project_tag" | "credential", _) | (_, "created") => None,
        ("user", _) => Some(text("resource_info").map_or(News::AllTokens, |user| News::User(UserId::new(user)))),
        ("project", _) => {
            Some(text("resource_info").map_or(News::AllTokens, |project| News::Project(ProjectId::new(project))))
        }
        // who joined or left a group is named in the basic format only
        ("group", "updated") if text("actor_type") == Some("user") => {
            Some(text("actor_id").map_or(News::AllTokens, |user| News::User(UserId::new(user))))
        }
        // groups, domains, roles, trusts, application credentials, consumers: whose tokens those are is not told
        (_, _) => Some(News::AllTokens),
    };
    news.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::Kind;
    use super::MAX_BYTES;
    use super::News;
    use super::Notification;
    use crate::openstack::identity::ProjectId;
    use crate::openstack::identity::UserId;

    const IMAGE: &str = "7d6f1c0e-3f0b-4f5a-9a68-0c5d1b0c7a11";

    fn enveloped(event: &str, payload: &serde_json::Value) -> Vec<u8> {
        let message = json!({
            "message_id": "5a4c", "publisher_id": "image.host", "event_type": event, "priority": "INFO",
            "payload": payload, "timestamp": "2026-01-01 12:00:00.123456", "_unique_id": "x",
        });
        json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string().into_bytes()
    }

    fn news(event: &str, payload: &serde_json::Value) -> (Kind, Vec<News>) {
        let read = Notification::decode(&enveloped(event, payload)).expect("a notification");
        assert!(read.age().is_some());
        (read.kind, read.news)
    }

    #[test]
    fn images_and_members_are_forgotten_by_their_id() {
        let image = Uuid::try_parse(IMAGE).expect("an id");
        for event in ["image.create", "image.update", "image.delete", "image.activate"] {
            assert_eq!(
                news(event, &json!({"id": IMAGE, "owner": "p"})),
                (Kind::Image, vec![News::Image(image)]),
                "{event}"
            );
        }
        for event in ["image.member.create", "image.member.update", "image.member.delete"] {
            let payload = json!({"image_id": IMAGE, "member_id": "m", "status": "accepted"});
            assert_eq!(news(event, &payload), (Kind::Image, vec![News::Image(image)]), "{event}");
        }
        assert_eq!(news("image.send", &json!({"image_id": IMAGE})), (Kind::Image, vec![]));
        assert_eq!(news("image.upload", &json!("disk full")), (Kind::Image, vec![]));
        assert_eq!(
            news("image.update", &json!({"id": 7})),
            (Kind::Image, vec![News::AllImages]),
            "it changed something"
        );
    }

    #[test]
    fn both_formats_of_keystone_lead_to_the_same() {
        let cadf = |action: &str, info: &str| {
            json!({
                "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "eventType": "activity", "id": "e",
                "action": action, "outcome": "success", "resource_info": info,
                "initiator": {"id": "i", "user_id": "admin"}, "target": {"id": info}, "observer": {"id": "o"},
            })
        };
        for (event, info, expected) in [
            ("user.updated", "u1", News::User(UserId::new("u1"))),
            ("user.deleted", "u1", News::User(UserId::new("u1"))),
            ("user.disabled", "u1", News::User(UserId::new("u1"))),
            ("project.disabled", "p1", News::Project(ProjectId::new("p1"))),
            ("project.deleted", "p1", News::Project(ProjectId::new("p1"))),
            ("domain.disabled", "d1", News::AllTokens),
            ("role.deleted", "r1", News::AllTokens),
            ("group.deleted", "g1", News::AllTokens),
            ("OS-TRUST:trust.deleted", "t1", News::AllTokens),
            ("OS-OAUTH1:consumer.deleted", "c1", News::AllTokens),
            ("application_credential.deleted", "a1", News::AllTokens),
            ("something_new.deleted", "x1", News::AllTokens),
        ] {
            let basic = json!({"resource_info": info, "request_id": "req-1"});
            for payload in [basic, cadf(event, info)] {
                let event = format!("identity.{event}");
                assert_eq!(news(&event, &payload), (Kind::Identity, vec![expected.clone()]), "{event} {payload}");
            }
        }
    }

    #[test]
    fn roles_given_and_taken_concern_their_holder() {
        for event in ["identity.role_assignment.created", "identity.role_assignment.deleted"] {
            let user = json!({"outcome": "success", "role": "r", "user": "u1", "project": "p1"});
            assert_eq!(news(event, &user).1, [News::User(UserId::new("u1"))]);
            let group = json!({"outcome": "success", "role": "r", "group": "g1", "project": "p1"});
            assert_eq!(news(event, &group).1, [News::AllTokens], "nobody says who is in it");
            let failed = json!({"outcome": "failure", "role": "r", "user": "u1", "project": "p1"});
            assert_eq!(news(event, &failed).1, []);
        }
        let left = json!({"resource_info": "g1", "actor_id": "u1", "actor_type": "user", "actor_operation": "removed"});
        assert_eq!(news("identity.group.updated", &left).1, [News::User(UserId::new("u1"))]);
        assert_eq!(news("identity.group.updated", &json!({"resource_info": "g1"})).1, [News::AllTokens]);
    }

    #[test]
    fn what_ends_no_token_leaves_all_remembered() {
        for event in [
            "identity.authenticate",
            "identity.user.created",
            "identity.project.created",
            "identity.OS-TRUST:trust.created",
            "identity.endpoint.deleted",
            "identity.project_tag.deleted",
        ] {
            assert_eq!(news(event, &json!({"resource_info": "x"})), (Kind::Identity, vec![]), "{event}");
        }
        assert_eq!(news("compute.instance.create.end", &json!({})), (Kind::Other, vec![]));
        assert_eq!(news("imaginary.update", &json!({"id": IMAGE})), (Kind::Other, vec![]));
    }

    #[test]
    fn a_message_without_an_envelope_is_read_too() {
        let bare = json!({"event_type": "image.update", "payload": {"id": IMAGE}, "timestamp": "now"}).to_string();
        let read = Notification::decode(bare.as_bytes()).expect("message format 1.0");
        assert_eq!((read.news.len(), read.age()), (1, None));
    }

    #[test]
    fn what_is_no_notification_is_told_apart() {
        for garbage in
            ["", "[]", "{}", "null", r#"{"oslo.message": "{}"}"#, r#"{"oslo.message": 1}"#, r#"{"event_type": 1}"#]
        {
            assert!(Notification::decode(garbage.as_bytes()).is_err(), "{garbage}");
        }
        assert!(Notification::decode(&vec![b' '; MAX_BYTES + 1]).is_err());
    }
}
