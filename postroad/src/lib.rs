//! Postroad as a program: configuration, the roles of a process, and the commands of `postroad`.
//!
//! The only crate that knows everything: it names the engines, wires store, edges and functions
//! together, and holds no mail logic of its own.

pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod events;
mod failure;
pub mod metrics;
mod notify;
pub mod office;
pub mod serve;

pub use failure::Failure;
