//! Hostile signed tokens, through the gate.
