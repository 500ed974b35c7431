//! edge-http.
