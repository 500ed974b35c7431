//! The crates' arrows are those of the picture in docs/ARCHITECTURE.md; what is not drawn is
//! forbidden.

use crate::command::{Failure, at_root, output};

/// Crate, and the crates of ours that it may use.
const PICTURE: &[(&str, &[&str])] = &[
    ("mail", &[]),
    ("proto", &["mail"]),
    ("engine", &["mail"]),
    ("net", &["engine", "mail", "proto"]),
    ("store", &["engine", "mail"]),
    ("edge-smtp", &["engine", "mail", "net", "proto", "store"]),
    ("edge-imap", &["engine", "mail", "net", "proto", "store"]),
    ("edge-http", &["engine", "mail", "net", "store"]),
    ("functions", &["engine", "mail", "net", "proto", "store"]),
    (
        "postroad",
        &[
            "edge-http",
            "edge-imap",
            "edge-smtp",
            "engine",
            "functions",
            "mail",
            "net",
            "proto",
            "store",
        ],
    ),
    ("sim", &["engine", "functions", "mail", "net", "store", "tests"]),
    (
        "bench",
        &[
            "edge-imap",
            "edge-smtp",
            "engine",
            "functions",
            "mail",
            "net",
            "proto",
            "store",
            "tests",
        ],
    ),
    ("tests", &[]),
    ("xtask", &[]),
];

pub(super) fn findings() -> Result<Vec<String>, Failure> {
    let text = output(&mut at_root("cargo", &["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = PICTURE.iter().find(|(drawn, _)| *drawn == name) else {
            findings.push(format!("crate {name} is not in the picture (xtask/src/tidy/arrows.rs)"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let ours =
                PICTURE.iter().any(|(drawn, _)| *drawn == to) && !dependency["path"].is_null();
            // A crate's tests may ask for features of its own.
            if ours && to != name && !allowed.contains(&to) {
                findings.push(format!("{name} must not use {to}: the picture has no such arrow"));
            }
        }
    }
    Ok(findings)
}
