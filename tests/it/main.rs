//! Black-box tests of the binary: a file per promise, topology or protocol.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod acme;
mod admin;
mod backlog;
mod cli;
mod clients;
mod coverage;
mod demo;
mod disk_error;
mod disk_full;
mod domain_reports;
mod dsn;
mod egress_spf;
mod exchangers;
mod forwarding;
mod imap_commands;
mod imap_extensions;
mod kill;
mod kill_sending;
mod memory;
mod milter;
mod peers;
mod policy;
mod power_cut;
mod process;
mod real_mail;
mod refusals;
mod reports;
mod scram;
mod sending;
mod sending_attacks;
mod smtp_attacks;
mod smtp_extensions;
mod topology;
mod trace;
mod verified;
