//! Passwords: asked for at a terminal, else read from standard input; never an argument, which
//! everybody on the machine could read.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use proto::sasl::Password;

use crate::failure::Failure;

/// Longest line read.
const LINE_BYTES_MAX: u64 = 1024;

/// A new password: asked for twice at a terminal, else the first line of standard input.
pub(crate) fn new_password(of: &str) -> Result<Password, Failure> {
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password(format!("New password of {of}: "))?;
        let again = rpassword::prompt_password("The same again: ")?;
        if first != again {
            return Err(Failure::new("the two passwords differ", "try again"));
        }
        return Ok(Password::new(first));
    }
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let password = line.strip_suffix('\r').unwrap_or(line);
    if password.is_empty() {
        return Err(Failure::new(
            "no password on standard input",
            "write it as the first line, or run the command at a terminal",
        ));
    }
    Ok(Password::new(password.to_owned()))
}
