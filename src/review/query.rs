//! What the gate that runs is asked to explain, as the query of `GET /explain`.

use std::fmt::Write as _;

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;

use crate::openstack::member_action::Action;
use crate::review::hypothesis::Hypothesis;
use crate::review::hypothesis::Look;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What became of a request.
    Request(String),
    /// What would become of a call; if nothing is said of the image, the gate looks at it.
    Call(Hypothesis),
}

/// All but what ids are made of.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

impl Asked {
    /// Writes the query, without its `?`.
    pub fn to_query(&self) -> String {
        let hypothesis = match self {
            Self::Request(id) => return format!("request_id={}", utf8_percent_encode(id, ESCAPED)),
            Self::Call(hypothesis) => hypothesis,
        };
        let roles = hypothesis.roles.as_ref().map(|roles| roles.join(","));
        let stated = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let mut pairs = vec![
            ("action", hypothesis.action.map(|action| action.as_str().into())),
            ("scope", Some(hypothesis.scope.clone())),
            ("project", hypothesis.project.clone()),
            ("roles", roles),
            ("image", hypothesis.image.clone()),
            ("member", stated(&hypothesis.member)),
            ("status", stated(&hypothesis.status)),
        ];
        match &hypothesis.look {
            Look::None => {}
            Look::Absent => pairs.push(("seen", Some("absent".into()))),
            Look::Impossible => pairs.push(("seen", Some("impossible".into()))),
            Look::Image { owner, visibility, .. } => {
                pairs.push(("owner", owner.clone()));
                pairs.push(("visibility", Some(visibility.clone())));
            }
        }
        let mut query = String::new();
        for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let joint = if query.is_empty() { "" } else { "&" };
            // writing to a string can not fail
            let _ = write!(query, "{joint}{name}={}", utf8_percent_encode(&value, ESCAPED));
        }
        query
    }

    /// Reads a query.
    ///
    /// # Errors
    /// Tells what is wrong with it.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut hypothesis = Hypothesis { scope: "project".into(), ..Hypothesis::default() };
        let (mut owner, mut visibility, mut request) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                percent_decode_str(value).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?.into_owned();
            // the answer is read in a terminal, which must not take its orders from there
            if value.contains(char::is_control) {
                return Err(format!("{name} has a control character in it"));
            }
            match name {
                "request_id" => request = Some(value),
                "action" => hypothesis.action = Some(action(&value)?),
                "scope" => hypothesis.scope = value,
                "project" => hypothesis.project = Some(value),
                "roles" => hypothesis.roles = Some(roles(&value)),
                "image" => hypothesis.image = Some(value),
                "member" => hypothesis.member = value,
                "status" => hypothesis.status = value,
                "owner" => owner = Some(value),
                "visibility" => visibility = Some(value),
                "seen" if value == "absent" => hypothesis.look = Look::Absent,
                "seen" if value == "impossible" => hypothesis.look = Look::Impossible,
                // how the answer is to be written, which is not for here
                "as" => {}
                _ => return Err(format!("{name} is nothing that can be asked")),
            }
        }
        if let Some(id) = request {
            return Ok(Self::Request(id));
        }
        if let Some(visibility) = visibility {
            hypothesis.look = Look::Image { owner, visibility, age_ms: None };
        }
        hypothesis.check()?;
        Ok(Self::Call(hypothesis))
    }
}

/// Reads what a call does with the members of an image.
///
/// # Errors
/// Tells that it is nothing one can do.
pub fn action(word: &str) -> Result<Action, String> {
    Action::parse(word).ok_or_else(|| format!("{word} is no action: update, create, delete, list or show"))
}

/// Reads roles with commas between, in lower case as Glance compares them.
pub fn roles(text: &str) -> Vec<String> {
    text.split(',').map(|role| role.trim().to_lowercase()).filter(|role| !role.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use crate::openstack::member_action::Action;
    use crate::review::hypothesis::Hypothesis;
    use crate::review::hypothesis::Look;

    #[test]
    fn what_is_written_is_read_again() {
        let call = |look| {
            Asked::Call(Hypothesis {
                project: Some("p".into()),
                scope: "project".into(),
                roles: Some(vec!["member".into(), "my role & more".into()]),
                image: Some("1b2a".into()),
                member: "ä/b".into(),
                status: "accepted".into(),
                look,
                ..Hypothesis::default()
            })
        };
        let list =
            Asked::Call(Hypothesis { action: Some(Action::List), scope: "unscoped".into(), ..Hypothesis::default() });
        let image = Look::Image { owner: Some("o".into()), visibility: "shared".into(), age_ms: None };
        let system = Asked::Call(Hypothesis {
            scope: "system".into(),
            member: "m".into(),
            status: "s".into(),
            ..Hypothesis::default()
        });
        for asked in [
            Asked::Request("req-1".into()),
            call(Look::Absent),
            call(Look::Impossible),
            call(image),
            call(Look::None),
            system,
            list,
        ] {
            assert_eq!(Asked::parse(&asked.to_query()), Ok(asked));
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for query in [
            "",
            "member=m",
            "colour=red",
            "member=m&status=s",
            "member=%ff",
            "member=m&status=accepted&project=%1b%5b31mred",
            "project=p&member=m&status=s&visibility=odd",
            "project=p&action=remove&member=m",
            "project=p&action=list&member=m",
            "project=p&action=create",
            "project=p&action=show&member=m&status=accepted",
        ] {
            assert!(Asked::parse(query).is_err(), "{query}");
        }
    }
}
