//! `cargo xtask tidy`: what the compiler does not check.

mod arrows;
mod links;
mod sizes;

use crate::command::Failure;
use crate::docs;

/// Every rule, all findings told at once.
pub(crate) fn check() -> Result<(), Failure> {
    let mut findings = arrows::findings()?;
    findings.extend(sizes::findings()?);
    findings.extend(links::findings()?);
    findings.extend(docs::findings()?);
    if findings.is_empty() {
        println!("tidy");
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    Err(format!("{} findings", findings.len()).into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        super::check().unwrap();
    }
}
