//! Postroad as a program: configuration, the roles of a process, and the commands of `postroad`.
//!
//! The only crate that knows everything: it names the engines, wires store, edges and functions
//! together, and holds no mail logic of its own.

pub mod config;
