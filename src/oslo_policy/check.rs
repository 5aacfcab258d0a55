//! A rule as a tree of checks.

use std::fmt;

use crate::oslo_policy::kind::Kind;
use crate::oslo_policy::template::Template;

/// A check, which passes or fails.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// `@`: always passes.
    True,
    /// `!`: always fails.
    False,
    /// Passes if the other fails.
    Not(Box<Check>),
    /// Passes if all pass.
    And(Vec<Check>),
    /// Passes if one passes.
    Or(Vec<Check>),
    /// `rule:name`: what the rule of that name says.
    Rule(String),
    /// `role:name`: whether the caller has the role.
    Role(Leaf<()>),
    /// `attribute:text` or `literal:text`: whether both are the same.
    Generic(Leaf<Kind>),
    /// `http:…`: what another server says.
    Remote(Leaf<()>),
}

/// A check of one thing, with the words it was written in.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf<K> {
    /// What stands before the colon.
    pub kind: String,
    /// What stands after it.
    pub wanted: String,
    /// What the former means.
    pub left: K,
    /// What the latter means.
    pub right: Template,
}

/// The kinds that `oslo.policy` or a plug-in of it asks another server about.
const REMOTE_KINDS: [&str; 3] = ["http", "https", "opa"];

impl Check {
    /// Reads one check of the form `kind:text`; what can not be one always fails.
    pub fn parse(text: &str) -> Self {
        match text {
            "!" => return Self::False,
            "@" => return Self::True,
            _ => {}
        }
        let Some((kind, wanted)) = text.split_once(':') else { return Self::False };
        if kind == "rule" {
            return Self::Rule(wanted.into());
        }
        if kind == "role" {
            return Self::Role(Leaf::new(kind, wanted, ()));
        }
        if REMOTE_KINDS.contains(&kind) {
            return Self::Remote(Leaf::new(kind, wanted, ()));
        }
        Self::Generic(Leaf::new(kind, wanted, Kind::parse(kind)))
    }

    /// Returns the checks right below.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Not(check) => std::slice::from_ref(&**check),
            Self::And(checks) | Self::Or(checks) => checks,
            Self::True | Self::False | Self::Rule(_) | Self::Role(_) | Self::Generic(_) | Self::Remote(_) => &[],
        }
    }

    /// Calls `look` for each check of the tree.
    pub fn walk(&self, look: &mut impl FnMut(&Self)) {
        look(self);
        for part in self.parts() {
            part.walk(look);
        }
    }
}

impl<K> Leaf<K> {
    fn new(kind: &str, wanted: &str, left: K) -> Self {
        Self { kind: kind.into(), wanted: wanted.into(), left, right: Template::parse(wanted) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |out: &mut fmt::Formatter<'_>, checks: &[Self], word: &str| {
            out.write_str("(")?;
            for (index, check) in checks.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { word })?;
                check.fmt(out)?;
            }
            out.write_str(")")
        };
        match self {
            Self::True => out.write_str("@"),
            Self::False => out.write_str("!"),
            Self::Not(check) => write!(out, "not {check}"),
            Self::And(checks) => joined(out, checks, " and "),
            Self::Or(checks) => joined(out, checks, " or "),
            Self::Rule(name) => write!(out, "rule:{name}"),
            Self::Role(leaf) | Self::Remote(leaf) => write!(out, "{}:{}", leaf.kind, leaf.wanted),
            Self::Generic(leaf) => write!(out, "{}:{}", leaf.kind, leaf.wanted),
        }
    }
}
