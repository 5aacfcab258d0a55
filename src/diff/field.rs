//! Where something differs, in a name that is the same for every image and in every list.
//!
//! Fields of JSON are paths without ids and indexes, such as `/images/*/status`; the root is `/`. The others are
//! `status`, `header:` with a name, and `body` for what is no JSON.

use uuid::Uuid;

use crate::diff::shown::holds_token;

/// The status.
pub const STATUS: &str = "status";
/// A body that is no JSON.
pub const BODY: &str = "body";
/// What the fields of headers begin with.
pub const HEADER: &str = "header:";

/// A name that is longer, as a random one may be, is no name.
const MAX_NAME: usize = 64;
/// Paths go no deeper; what differs below is told at this depth.
const MAX_STEPS: usize = 24;

/// A step from a value to one within it.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// To the value of this name.
    Name(&'a str),
    /// To one of a list.
    Item,
}

/// Names the field that these steps lead to.
pub fn of(steps: &[Step<'_>]) -> String {
    if steps.is_empty() {
        return "/".into();
    }
    let mut field = String::new();
    for step in steps.iter().take(MAX_STEPS) {
        field.push('/');
        match step {
            Step::Name(name) if is_name(name) => field.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Step::Name(_) | Step::Item => field.push('*'),
        }
    }
    field
}

/// Returns the name that the last value has, or the list that it is in.
pub fn name<'a>(steps: &[Step<'a>]) -> &'a str {
    let name = |step: &Step<'a>| match step {
        Step::Name(name) => Some(*name),
        Step::Item => None,
    };
    steps.iter().rev().find_map(name).unwrap_or_default()
}

/// Names the field of a header.
pub fn of_header(name: &str) -> String {
    format!("{HEADER}{name}")
}

/// Tells a name from an id, and from what nobody would call a name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "*"
        && !holds_token(name)
        && !name.contains(|c: char| c.is_control() || c.is_whitespace())
        && Uuid::try_parse(name).is_err()
        && !(name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::Step;
    use super::name;
    use super::of;

    #[test]
    fn a_field_has_no_ids_and_no_indexes_in_it() {
        let of_names =
            |names: &[&'static str]| of(&names.iter().map(|name| Step::Name(name)).collect::<Vec<Step<'_>>>());
        assert_eq!(of(&[Step::Name("images"), Step::Item, Step::Name("status")]), "/images/*/status");
        assert_eq!(of_names(&["5efaa75f-b4e2-4e11-8a8e-f1a3a4e7ae1d", "x"]), "/*/x");
        assert_eq!(of_names(&["5efaa75fb4e24e118a8ef1a3a4e7ae1d"]), "/*");
        assert_eq!(of_names(&["a/b~c", "os_distro", "*", "two words"]), "/a~1b~0c/os_distro/*/*");
        assert_eq!(of(&[]), "/");
        let long = "n".repeat(65);
        assert_eq!(of(&[Step::Name(&long)]), "/*");
        assert_eq!(of(&[Step::Item; 100]).len(), 2 * super::MAX_STEPS);
    }

    #[test]
    fn what_is_in_a_list_is_called_by_the_list() {
        assert_eq!(name(&[Step::Name("links"), Step::Item, Step::Name("href")]), "href");
        assert_eq!(name(&[Step::Name("tags"), Step::Item]), "tags");
        assert_eq!(name(&[Step::Item]), "");
    }
}
