//! Negative controls: each takes one rule out of the product and shows that the simulation sees it.
//!
//! The rules are taken out of a copy of the source, so that the product needs no switch for it.
//! `sim/controls.toml` names, for each control, the piece of code that is the rule and what stands
//! there without it. A piece that is not found exactly once fails: the controls follow the code.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::command::{Failure, root, run};
use crate::docs::tracked;

#[derive(Deserialize)]
struct Controls {
    control: Vec<Control>,
}

#[derive(Deserialize)]
struct Control {
    /// The rule's name in reports.
    name: String,
    /// File that carries it out.
    file: String,
    /// The code that is the rule.
    find: String,
    /// What stands there without the rule.
    replace: String,
    /// Seeds to play at most; the first red one ends it.
    seeds: u32,
}

/// Plays all controls.
pub(crate) fn run_all() -> Result<(), Failure> {
    let text = std::fs::read_to_string(root().join("sim/controls.toml"))?;
    let controls: Controls = toml::from_str(&text)?;
    let copy = root().join("target/controls/source");
    copy_source(&copy)?;
    if !red(&copy, 20)?.is_empty() {
        return Err("the simulation is red with all rules on".into());
    }
    let mut unseen = Vec::new();
    for control in &controls.control {
        let path = copy.join(&control.file);
        let original = std::fs::read_to_string(&path)?;
        let count = original.matches(&control.find).count();
        if count != 1 {
            let (name, file) = (&control.name, &control.file);
            return Err(format!("control {name}: its code stands {count} times in {file}").into());
        }
        std::fs::write(&path, original.replace(&control.find, &control.replace))?;
        let said = red(&copy, control.seeds)?;
        std::fs::write(&path, original)?;
        println!("{:<24} {}", control.name, if said.is_empty() { "NOT SEEN" } else { &said });
        if said.is_empty() {
            unseen.push(control.name.as_str());
        }
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("not seen: {}", unseen.join(", ")).into()) }
}

/// Builds the copy's simulation and plays it; returns what was red first, nothing if all is well.
fn red(copy: &Path, seeds: u32) -> Result<String, Failure> {
    let target = root().join("target/controls/target");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(copy).env("CARGO_TARGET_DIR", &target);
        command
    };
    run(cargo(&["build", "-q", "--locked", "-p", "sim"]).env("RUSTFLAGS", "-Awarnings"))?;
    let binary = target.join("debug/sim");
    let output = Command::new(binary).args(["--seeds", &seeds.to_string()]).output()?;
    if output.status.success() {
        return Ok(String::new());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let first = said.lines().find(|line| line.contains("seed")).unwrap_or("red").to_owned();
    Ok(first)
}

fn copy_source(to: &Path) -> Result<(), Failure> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    for path in tracked("")? {
        let target = to.join(&path);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(root().join(&path), target)?;
    }
    Ok(())
}
