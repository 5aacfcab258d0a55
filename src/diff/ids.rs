//! The ids of the primary that have another name in staging: images, projects, users.

use std::borrow::Cow;
use std::collections::HashMap;

/// Which id of the primary stands for which one in staging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    staging: HashMap<String, String>,
}

impl Ids {
    /// Gathers pairs of a primary's id and the one in staging.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { staging: pairs.into_iter().collect() }
    }

    /// Tells whether no id is renamed.
    pub fn is_empty(&self) -> bool {
        self.staging.is_empty()
    }

    /// Returns the text with the ids of staging in the place of the primary's. An id is a whole run of letters, digits,
    /// `-` and `_`: part of a longer one is left alone.
    pub fn renamed<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut renamed = String::with_capacity(text.len());
        let mut rest = text;
        let mut is_changed = false;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_of_id(c)).unwrap_or(rest.len());
            let (id, after) = rest.split_at(end);
            if let Some(other) = self.staging.get(id) {
                renamed.push_str(other);
                is_changed = true;
            } else {
                renamed.push_str(id);
            }
            let between = after.find(is_of_id).unwrap_or(after.len());
            let (between, after) = after.split_at(between);
            renamed.push_str(between);
            rest = after;
        }
        if is_changed { Cow::Owned(renamed) } else { Cow::Borrowed(text) }
    }
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn an_id_is_renamed_where_it_stands_whole() {
        let ids = Ids::new([("p1".to_owned(), "s1".to_owned()), ("5efa-75f".to_owned(), "i2".to_owned())]);
        for (text, expected) in [
            ("/v2/images/5efa-75f/members/p1", "/v2/images/i2/members/s1"),
            ("p1", "s1"),
            ("p11 xp1 p1-", "p11 xp1 p1-"),
            ("p1?owner=p1&é", "s1?owner=s1&é"),
            ("", ""),
        ] {
            assert_eq!(ids.renamed(text), expected);
        }
    }

    #[test]
    fn nothing_is_renamed_without_a_pair() {
        assert_eq!(Ids::default().renamed("p1"), "p1");
    }
}
