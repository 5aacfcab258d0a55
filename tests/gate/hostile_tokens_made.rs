//! How hostile signed tokens are made.
