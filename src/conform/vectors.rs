//! The questions that an endpoint is asked, and what each contract answers.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use crate::conform::callers::Role;

/// What is asked, one JSON object a line.
const LINES: &str = include_str!("vectors.jsonl");

/// What a member update says if nothing else is written.
const ACCEPT: &str = r#"{"status": "accepted"}"#;

/// A set of answers that an endpoint may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// Glance with `[oslo_policy] enforce_new_defaults = true`.
    GlanceNew,
    /// Glance with `[oslo_policy] enforce_new_defaults = false`.
    GlanceLegacy,
    /// The Image API's documentation to the letter.
    Documented,
}

/// One question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Its name: the group, and what is special about it.
    pub id: String,
    /// What is asked, for people.
    pub asks: String,
    /// Who asks.
    #[serde(default = "member")]
    pub caller: Role,
    /// How.
    #[serde(default = "put")]
    pub method: String,
    /// What of, with places to fill in.
    #[serde(default = "shared_member")]
    pub target: String,
    /// What `Accept` says; nothing if it is empty.
    #[serde(default = "json")]
    pub accept: String,
    /// Its other headers; a `Content-Type` goes with each body if they are not written.
    pub headers: Option<Vec<(String, String)>>,
    body: Option<String>,
    status: Statuses,
    /// The statuses that are right as well, because they are stricter.
    #[serde(default, rename = "or")]
    pub stricter: Vec<u16>,
    /// The member's status that is set before it is asked.
    pub before: Option<String>,
    /// Whose memberships the list in the answer must hold, these and no others.
    pub lists: Option<Vec<Role>>,
    /// The images that the list in the answer must hold.
    #[serde(default)]
    pub shows: Vec<String>,
    /// The images that the list in the answer must not hold.
    #[serde(default)]
    pub hides: Vec<String>,
}

/// The status by contract.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Statuses {
    All(u16),
    Each { new: u16, legacy: u16, documented: Option<u16> },
}

/// What questions of one group have in common.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The part of the id before the slash.
    pub name: &'static str,
    /// What is asked.
    pub title: &'static str,
    /// Why the answers matter.
    pub why: &'static str,
}

/// The groups, in the order in which they are told.
pub const GROUPS: [Group; 12] = [
    Group {
        name: "roles",
        title: "who may set a member's status",
        why: "a wrong yes lets a project decide for another one; a wrong no keeps a member from its image",
    },
    Group {
        name: "credentials",
        title: "calls without a good token",
        why: "an answer other than 401 either lets somebody in or keeps clients from asking for a new token",
    },
    Group {
        name: "visibility",
        title: "images that are not shared, or not any more",
        why: "only shared images have members that count; a 403 where a 404 belongs tells that an image exists",
    },
    Group {
        name: "body",
        title: "bodies, good and bad",
        why: "what one server takes and another does not can mean two things behind a proxy",
    },
    Group {
        name: "order",
        title: "calls with two faults",
        why: "the order of checks decides what a stranger learns about an image",
    },
    Group {
        name: "method",
        title: "other methods",
        why: "clients tell a wrong method from a missing image by the 405",
    },
    Group {
        name: "media",
        title: "media types",
        why: "the documentation says 415; Glance itself does not look, and clients rely on either",
    },
    Group { name: "form", title: "the form of refusals", why: "clients read the message from the form they asked for" },
    Group {
        name: "list",
        title: "who sees which members",
        why: "the list of members is the list of an owner's customers",
    },
    Group { name: "show", title: "who sees one member", why: "as for the list of members" },
    Group { name: "share", title: "sharing, and no longer sharing", why: "only the owner decides who is a member" },
    Group {
        name: "image",
        title: "what a member sees of the image",
        why: "pending and rejected images are not listed, accepted ones are; all can be used",
    },
];

/// The group of the schema documents, which stands last.
pub const SCHEMAS: Group =
    Group { name: "schema", title: "the schema documents", why: "clients check answers against them" };

impl Contract {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GlanceNew, Self::GlanceLegacy, Self::Documented];

    /// Returns its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GlanceNew => "glance-new",
            Self::GlanceLegacy => "glance-legacy",
            Self::Documented => "documented",
        }
    }
}

impl Vector {
    /// Reads all questions.
    ///
    /// # Errors
    /// Names the line that is none; a test shows that there is no such line.
    pub fn all() -> Result<Vec<Self>, String> {
        let line = |(index, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| format!("vectors.jsonl:{}: {error}", index + 1))
        };
        LINES.lines().enumerate().map(line).collect()
    }

    /// Returns what the contract answers; nothing if it does not say.
    pub fn status(&self, contract: Contract) -> Option<u16> {
        match (&self.status, contract) {
            (Statuses::All(status), _) => Some(*status),
            (Statuses::Each { new, .. }, Contract::GlanceNew) => Some(*new),
            (Statuses::Each { legacy, .. }, Contract::GlanceLegacy) => Some(*legacy),
            (Statuses::Each { documented, .. }, Contract::Documented) => *documented,
        }
    }

    /// Returns the body, with places to fill in; it may be empty.
    pub fn body(&self) -> &str {
        match &self.body {
            Some(body) => body,
            None if self.method == "PUT" => ACCEPT,
            None => "",
        }
    }

    /// Returns the group that it belongs to.
    pub fn group(&self) -> Group {
        let name = self.id.split('/').next().unwrap_or_default();
        GROUPS.into_iter().find(|group| group.name == name).unwrap_or(SCHEMAS)
    }

    /// Returns the images that it needs, by their names here.
    pub fn images(&self) -> BTreeSet<&str> {
        let named = self.target.split("{img.").skip(1).filter_map(|rest| rest.split('}').next());
        named.chain(self.shows.iter().chain(&self.hides).map(String::as_str)).collect()
    }

    /// Returns who must be there for it: the caller, and the projects that it names.
    pub fn roles(&self) -> BTreeSet<Role> {
        let texts = [self.target.as_str(), self.body()].into_iter();
        let headers = self.headers.iter().flatten().map(|(_, value)| value.as_str());
        let named = texts.chain(headers).flat_map(|text| text.split("{p.").skip(1));
        let named = named.filter_map(|rest| Role::parse(rest.split('}').next()?));
        named.chain(self.lists.iter().flatten().copied()).chain([self.caller]).collect()
    }

    /// Tells whether it is a member update.
    pub fn is_update(&self) -> bool {
        self.method == "PUT" && self.target.contains("/members/")
    }
}

fn member() -> Role {
    Role::Member
}

fn put() -> String {
    "PUT".into()
}

fn shared_member() -> String {
    "/v2/images/{img.shared}/members/{p.member}".into()
}

fn json() -> String {
    "application/json".into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Contract;
    use super::GROUPS;
    use super::SCHEMAS;
    use super::Vector;
    use crate::conform::callers::Role;
    use crate::conform::specs::SPECS;

    #[test]
    fn all_lines_are_questions_with_names_of_their_own() {
        let vectors = Vector::all().expect("good lines");
        let ids: BTreeSet<&str> = vectors.iter().map(|vector| vector.id.as_str()).collect();
        assert_eq!(ids.len(), vectors.len());
        assert!(vectors.len() > 200);
        for group in GROUPS.into_iter().chain([SCHEMAS]) {
            assert!(vectors.iter().any(|vector| vector.group().name == group.name), "{} is empty", group.name);
        }
        for vector in &vectors {
            assert_eq!(Some(vector.group().name), vector.id.split('/').next(), "{}", vector.id);
        }
    }

    #[test]
    fn every_image_that_is_named_is_made() {
        for vector in Vector::all().expect("good lines") {
            for image in vector.images() {
                assert!(image == "missing" || SPECS.iter().any(|spec| spec.name == image), "{}: {image}", vector.id);
            }
        }
    }

    #[test]
    fn every_kind_of_caller_asks() {
        let callers: BTreeSet<Role> = Vector::all().expect("good lines").iter().map(|vector| vector.caller).collect();
        assert_eq!(callers, Role::ALL.into());
    }

    #[test]
    fn the_owner_is_refused_by_all_contracts() {
        let vectors = Vector::all().expect("good lines");
        let owner = vectors.iter().filter(|vector| vector.caller == Role::Owner && vector.is_update());
        for vector in owner {
            for contract in Contract::ALL {
                assert!(vector.status(contract).is_none_or(|status| status >= 400), "{}", vector.id);
            }
        }
    }
}
