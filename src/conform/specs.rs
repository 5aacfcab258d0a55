//! Which images are made to ask about.

use crate::conform::callers::Role;

/// An image to be made.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What it is called here.
    pub name: &'static str,
    /// Its visibility when it is made.
    pub visibility: &'static str,
    /// What becomes of it once its members are there.
    pub afterwards: Afterwards,
    /// Whose projects it is shared with.
    pub members: &'static [Role],
    /// Another attribute that is true.
    pub attribute: Option<&'static str>,
}

/// What becomes of an image after its members are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It stays as it is.
    Stays,
    /// It is made private.
    Private,
    /// It is made public, by an administrator.
    Public,
    /// It is deleted.
    Deleted,
}

/// All images.
pub const SPECS: [Spec; 10] = [
    Spec::shared("shared", &[Role::Member, Role::Stranger, Role::Owner]),
    Spec::shared("single", &[Role::Member]),
    Spec::shared("nomember", &[]),
    Spec { visibility: "private", ..Spec::shared("private", &[]) },
    Spec { afterwards: Afterwards::Private, ..Spec::shared("unshared", &[Role::Member]) },
    Spec { visibility: "community", ..Spec::shared("community", &[]) },
    Spec { attribute: Some("protected"), ..Spec::shared("protected", &[Role::Member]) },
    Spec { attribute: Some("os_hidden"), ..Spec::shared("hidden", &[Role::Member]) },
    Spec { afterwards: Afterwards::Deleted, ..Spec::shared("deleted", &[Role::Member]) },
    Spec { afterwards: Afterwards::Public, ..Spec::shared("public", &[]) },
];

impl Spec {
    const fn shared(name: &'static str, members: &'static [Role]) -> Self {
        Self { name, visibility: "shared", afterwards: Afterwards::Stays, members, attribute: None }
    }
}
