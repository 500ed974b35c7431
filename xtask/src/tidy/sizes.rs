//! Files that a newcomer can hold in the head.

use crate::command::{Failure, root};
use crate::docs::tracked;

/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 1_000;

pub(super) fn findings() -> Result<Vec<String>, Failure> {
    let mut findings = Vec::new();
    for path in tracked(".rs")? {
        let text = std::fs::read_to_string(root().join(&path))?;
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{path} has {lines} lines: more than {FILE_LINES_MAX}"));
        }
        if path.ends_with("/mod.rs") {
            findings.push(format!("{path}: use a file named for the module"));
        }
        if text.contains(concat!("#[", "ignore")) {
            findings.push(format!("{path} has an ignored test"));
        }
    }
    Ok(findings)
}
