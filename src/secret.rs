//! A value that is used but never shown.

use std::fmt;

/// Keeps a token, password or key out of logs, errors and debug prints.
///
/// The only way to the value is [`Secret::expose`], which a reviewer can search for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides the value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Shows the value to the code that must send it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_stars() {
        assert_eq!(format!("{:?}", Secret::new("password")), "***");
    }
}
