//! edge-smtp.
