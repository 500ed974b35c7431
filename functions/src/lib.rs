//! functions.
