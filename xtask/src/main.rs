//! Every developer command: `cargo xtask help`.
#![expect(clippy::print_stdout, reason = "a command line tool: this is its output")]

mod bench;
mod command;
mod controls;
mod docs;
mod install;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Postroad")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the tests need, then fmt, clippy, deny, tidy and all tests, with times.
    Test,
    /// Check the crate picture, file sizes, links, invariants and generated docs.
    Tidy,
    /// Write the generated docs and golden files anew.
    Bless {
        /// Only those made of comments, docs/invariants.md and docs/rfc.md: nothing is built.
        #[arg(long)]
        comments: bool,
    },
    /// Play seeds of the simulation: `cargo xtask sim --seeds 500 [--first 0] [--trace]`.
    Sim {
        /// Arguments of the simulation's own command line.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Turn each rule off once and show that the simulation sees it.
    Controls {
        /// Only these; all if none is named.
        names: Vec<String>,
    },
    /// Count and time us and Debian's Postfix and Dovecot in the same run.
    Bench {
        /// Arguments of the benchmark's own command line.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Test => test::all(),
        Verb::Tidy => tidy::check(),
        Verb::Bless { comments } => docs::bless(comments),
        Verb::Sim { arguments } => test::sim(&arguments),
        Verb::Controls { names } => controls::run(&names),
        Verb::Bench { arguments } => bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
