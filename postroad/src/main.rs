//! The `postroad` command; everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    postroad::cli::run()
}
