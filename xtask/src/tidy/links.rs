//! Links between our own documents lead somewhere.

use std::path::Path;

use crate::command::{Failure, root};
use crate::docs::tracked;

pub(super) fn findings() -> Result<Vec<String>, Failure> {
    let mut findings = Vec::new();
    for path in tracked(".md")? {
        let text = std::fs::read_to_string(root().join(&path))?;
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !elsewhere && !root().join(folder).join(file).exists() {
                findings.push(format!("{path} links to {file}, which does not exist"));
            }
        }
    }
    Ok(findings)
}
