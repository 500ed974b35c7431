//! edge-imap.
