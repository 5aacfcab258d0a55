//! Whether a rule passes for a target and the credentials of a caller.

use std::borrow::Cow;

use crate::oslo_policy::check::Check;
use crate::oslo_policy::check::Leaf;
use crate::oslo_policy::kind;
use crate::oslo_policy::kind::Found;
use crate::oslo_policy::kind::Kind;
use crate::oslo_policy::template::Attributes;
use crate::oslo_policy::template::Filled;
use crate::oslo_policy::value::Value;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It allows the call.
    Passed,
    /// It does not.
    Failed,
    /// It hangs on something that is not known here.
    Unknown,
    /// Python raises an exception, which a service answers with an error of its own.
    Raised,
}

/// Where rules are found by their names.
pub trait Named {
    /// Returns the rule of this name, or the default rule in its place.
    fn named(&self, name: &str) -> Option<&Check>;
}

/// What a rule is evaluated for.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Where the rules are that a rule names.
    pub rules: &'a dyn Named,
    /// What is acted on.
    pub target: &'a dyn Attributes,
    /// Who acts, as Python's dictionary of credentials.
    pub credentials: &'a dyn Attributes,
}

/// How many rules may name each other in a row; Python gives up some hundreds later.
const MAX_RULES: usize = 64;

impl Question<'_> {
    /// Evaluates a check.
    pub fn evaluate(&self, check: &Check) -> Outcome {
        self.look(check, 0)
    }

    fn look(&self, check: &Check, depth: usize) -> Outcome {
        match check {
            Check::True => Outcome::Passed,
            Check::False => Outcome::Failed,
            Check::Not(check) => self.look(check, depth).reversed(),
            Check::And(checks) => self.all(checks, Outcome::Passed, depth),
            Check::Or(checks) => self.all(checks, Outcome::Failed, depth),
            Check::Rule(_) if depth >= MAX_RULES => Outcome::Raised,
            Check::Rule(name) => self.rules.named(name).map_or(Outcome::Failed, |named| self.look(named, depth + 1)),
            Check::Role(leaf) => self.role(leaf),
            Check::Generic(leaf) => self.generic(leaf),
            Check::Remote(leaf) => match leaf.right.fill(self.target) {
                // nobody here catches what Python raises
                Filled::Missing | Filled::Raised => Outcome::Raised,
                Filled::Text(_) | Filled::Unknown => Outcome::Unknown,
            },
        }
    }

    /// Evaluates checks one after the other, as long as they say `going`.
    fn all(&self, checks: &[Check], going: Outcome, depth: usize) -> Outcome {
        let mut said = going;
        for check in checks {
            match self.look(check, depth) {
                outcome if outcome == going => {}
                Outcome::Unknown => said = Outcome::Unknown,
                // whether Python gets that far is not known
                Outcome::Raised if said == Outcome::Unknown => return Outcome::Unknown,
                end => return end,
            }
        }
        said
    }

    fn role(&self, leaf: &Leaf<()>) -> Outcome {
        let wanted = match leaf.right.fill(self.target) {
            Filled::Text(text) => text,
            Filled::Missing => return Outcome::Failed,
            Filled::Unknown => return Outcome::Unknown,
            Filled::Raised => return Outcome::Raised,
        };
        let wanted = if wanted.is_ascii() { wanted } else { Cow::Owned(wanted.to_lowercase()) };
        let Some(roles) = self.credentials.attribute("roles") else { return Outcome::Failed };
        let has = |is_there: bool| if is_there { Outcome::Passed } else { Outcome::Failed };
        match &*roles {
            Value::Unknown => Outcome::Unknown,
            Value::List(roles) => {
                let mut is_there = false;
                for role in roles {
                    match role {
                        Value::Str(role) => is_there |= is_same_role(role, &wanted),
                        Value::Unknown => return Outcome::Unknown,
                        _ => return Outcome::Raised,
                    }
                }
                has(is_there)
            }
            // Python goes through the letters, and through the keys
            Value::Str(letters) => has(letters.chars().any(|c| is_same_role(c.encode_utf8(&mut [0; 4]), &wanted))),
            Value::Dict(entries) => has(entries.iter().any(|(key, _)| is_same_role(key, &wanted))),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Outcome::Raised,
        }
    }

    fn generic(&self, leaf: &Leaf<Kind>) -> Outcome {
        let wanted = match leaf.right.fill(self.target) {
            Filled::Text(text) => text,
            Filled::Missing => return Outcome::Failed,
            // with a left side that raises, Python does so whatever the text is
            Filled::Unknown if leaf.left == Kind::Raises => return Outcome::Raised,
            Filled::Unknown => return Outcome::Unknown,
            Filled::Raised => return Outcome::Raised,
        };
        let found = match &leaf.left {
            Kind::Literal(text) if **text == *wanted => Found::Same,
            Kind::Literal(_) => Found::Other,
            Kind::Path(path) => self.find(path, &wanted),
            Kind::Raises => Found::Raised,
            Kind::Unclear => Found::Unknown,
        };
        match found {
            Found::Same => Outcome::Passed,
            Found::Other => Outcome::Failed,
            Found::Unknown => Outcome::Unknown,
            Found::Raised => Outcome::Raised,
        }
    }

    fn find(&self, path: &[String], wanted: &str) -> Found {
        let Some((first, rest)) = path.split_first() else { return Found::Unknown };
        match self.credentials.attribute(first) {
            None => Found::Other,
            Some(value) => kind::find_below(&value, rest, wanted),
        }
    }
}

/// Compares without case; `wanted` is in lower case, unless it is plain ASCII.
fn is_same_role(role: &str, wanted: &str) -> bool {
    if role.is_ascii() { role.eq_ignore_ascii_case(wanted) } else { role.to_lowercase() == wanted.to_lowercase() }
}

impl Outcome {
    /// Returns what `not` makes of it.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Passed => Self::Failed,
            Self::Failed => Self::Passed,
            Self::Unknown | Self::Raised => self,
        }
    }
}
