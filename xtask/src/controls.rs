//! Negative controls: each takes one rule out of the product and shows that the simulation sees it.
//!
//! The rules are taken out of a copy of the source, so that the product needs no switch for it
//! (docs/decisions/0061-controls-by-source-mutation.md). `sim/controls.toml` names, for each
//! control, the expression that is the rule and what stands there without it. In the copy both
//! stand, with a switch between them, so that one build serves all controls. An expression that is
//! not found exactly once fails: the controls follow the code.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::command::{Failure, output, root};
use crate::docs::tracked;

/// Environment variable of the copy's simulation: the control whose rule is off.
const SWITCH: &str = "POSTROAD_CONTROL";

/// Seeds that must be green while the switch is off.
const GREEN_SEEDS: u32 = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Controls {
    control: Vec<Control>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    /// The rule's name.
    name: String,
    /// Its row of docs/rules.md, and the rule, in one line.
    about: String,
    /// Seeds to play at most; the first red one ends it.
    seeds: u32,
    /// Whether it is sending that is played.
    #[serde(default)]
    sending: bool,
    edit: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// File that carries the rule out.
    file: String,
    /// Text that stands once in the file and has `find` in it once; `find` itself if not given.
    within: Option<String>,
    /// The expression that is the rule.
    find: String,
    /// The expression that stands there without it.
    without: String,
}

/// A rule's place, and the controls that take it out, by name.
type Rule<'a> = (Range<usize>, Vec<(&'a str, &'a Edit)>);

/// Plays the controls of these names; all if none is given.
pub(crate) fn run(names: &[String]) -> Result<(), Failure> {
    let text = std::fs::read_to_string(root().join("sim/controls.toml"))?;
    let controls: Controls = toml::from_str(&text)?;
    let copy = root().join("target/controls/source");
    write_copy(&copy, &controls.control)?;
    let binary = build(&copy)?;
    for sending in [false, true] {
        if let Some(red) = play(&binary, "", GREEN_SEEDS, sending)? {
            return Err(format!("the simulation is red with all rules on: {red}").into());
        }
    }
    let mut unseen = Vec::new();
    let wanted = |control: &&Control| names.is_empty() || names.contains(&control.name);
    for control in controls.control.iter().filter(wanted) {
        let red = play(&binary, &control.name, control.seeds, control.sending)?;
        let told = red.as_deref().unwrap_or("NOT SEEN");
        println!("{:<20} {}\n    {told}", control.name, control.about);
        if red.is_none() {
            unseen.push(control.name.as_str());
        }
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("not seen: {}", unseen.join(", ")).into()) }
}

/// Builds the copy's simulation, beside what this workspace has built of other people's crates, and
/// puts the binary aside.
fn build(copy: &Path) -> Result<PathBuf, Failure> {
    let target = root().join("target");
    let mut command = Command::new("cargo");
    // Offline: the lock file names these crates without the mark of the copy.
    command.args(["build", "-q", "--offline", "-p", "sim"]).current_dir(copy);
    // Its warnings are about what is unused without the rules.
    output(command.env("CARGO_TARGET_DIR", &target))?;
    let binary = target.join("controls/sim");
    std::fs::copy(target.join("debug/sim"), &binary)?;
    Ok(binary)
}

/// Plays seeds with one rule off; what was red first.
fn play(binary: &Path, off: &str, seeds: u32, sending: bool) -> Result<Option<String>, Failure> {
    let mut command = Command::new(binary);
    command.args(["--until-red", "--seeds", &seeds.to_string()]).env(SWITCH, off);
    if sending {
        command.arg("--sending");
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match said.lines().find(|line| line.starts_with("seed ")) {
        Some(first) => Ok(Some(first.chars().take(160).collect())),
        // Nothing is shown by a simulation that does not come to its end.
        None => Err(format!("the simulation broke down without the rule {off:?}: {said}").into()),
    }
}

/// Makes the copy what the source is, with the switches in it. A file that is already so keeps its
/// time, so that a second run builds little.
fn write_copy(copy: &Path, controls: &[Control]) -> Result<(), Failure> {
    let mut edits: BTreeMap<&str, Vec<(&str, &Edit)>> = BTreeMap::new();
    for control in controls {
        for edit in &control.edit {
            edits.entry(&edit.file).or_default().push((&control.name, edit));
        }
    }
    let mut there = BTreeSet::new();
    for path in tracked("")? {
        let mut bytes = std::fs::read(root().join(&path))?;
        if path == "Cargo.toml" {
            bytes = marked(&String::from_utf8(bytes)?)?.into_bytes();
        }
        if let Some(edits) = edits.remove(path.as_str()) {
            bytes = mutate(&path, &String::from_utf8(bytes)?, &edits)?.into_bytes();
        }
        let target = copy.join(&path);
        if std::fs::read(&target).ok().as_deref() != Some(&bytes[..]) {
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&target, bytes)?;
        }
        there.insert(target);
    }
    match edits.keys().next() {
        Some(file) => Err(format!("controls.toml names {file}, which does not exist").into()),
        None => remove_others(copy, &there),
    }
}

/// The workspace's Cargo.toml with a mark at its version. Cargo tells crates apart by name, version
/// and place *in* their workspace: without a mark it would take the copy's for ours.
fn marked(text: &str) -> Result<String, Failure> {
    const VERSION: &str = "[workspace.package]\nversion = \"";
    let start = once(text, VERSION).map_err(|why| format!("the version {why} in Cargo.toml"))?;
    let (before, version) = text.split_at(start + VERSION.len());
    Ok(format!("{before}{}", version.replacen('"', "+controls\"", 1)))
}

/// Removes files of an earlier source.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The text with a switch at each rule.
fn mutate(path: &str, text: &str, edits: &[(&str, &Edit)]) -> Result<String, Failure> {
    let mut rules: BTreeMap<usize, Rule<'_>> = BTreeMap::new();
    for (name, edit) in edits {
        let place =
            place(text, edit).map_err(|why| format!("control {name}: its rule {why} in {path}"))?;
        let overlaps = |known: &Range<usize>| {
            *known != place && known.start < place.end && place.start < known.end
        };
        if rules.values().any(|(known, _)| overlaps(known)) {
            return Err(format!("control {name}: its rule overlaps another in {path}").into());
        }
        rules.entry(place.start).or_insert((place, Vec::new())).1.push((name, edit));
    }
    let mut mutated = text.to_owned();
    for (place, edits) in rules.into_values().rev() {
        let mut switch = String::from("(");
        for (name, edit) in edits {
            let off = format!("::std::env::var_os({SWITCH:?}).is_some_and(|off| off == {name:?})");
            switch.push_str(&format!("if {off} {{ {} }} else ", edit.without));
        }
        let rule = mutated.get(place.clone()).unwrap_or_default();
        switch.push_str(&format!("{{ {rule} }})"));
        mutated.replace_range(place, &switch);
    }
    Ok(mutated)
}

/// Where an edit's rule stands.
fn place(text: &str, edit: &Edit) -> Result<Range<usize>, String> {
    let around = edit.within.as_ref().unwrap_or(&edit.find);
    let offset = once(text, around)? + once(around, &edit.find)?;
    Ok(offset..offset + edit.find.len())
}

fn once(text: &str, wanted: &str) -> Result<usize, String> {
    let mut found = text.match_indices(wanted).map(|(offset, _)| offset);
    match (found.next(), found.count()) {
        (Some(offset), 0) => Ok(offset),
        (None, _) => Err("does not stand".to_owned()),
        (Some(_), more) => Err(format!("stands {} times", more + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(within: Option<&str>, find: &str, without: &str) -> Edit {
        let (find, without) = (find.to_owned(), without.to_owned());
        Edit { file: "a.rs".to_owned(), within: within.map(str::to_owned), find, without }
    }

    #[test]
    fn a_rule_gets_a_switch_where_it_stands_once() {
        let one = edit(Some("if a < b {"), "a < b", "true");
        let other = edit(Some("if a < b {"), "a < b", "false");
        let last = edit(None, "c()", "d()");
        let text = "let x = a < b; if a < b { c() }";
        let mutated = mutate("a.rs", text, &[("one", &one), ("last", &last), ("other", &other)]);
        let off = |name: &str| {
            format!("if ::std::env::var_os({SWITCH:?}).is_some_and(|off| off == {name:?})")
        };
        assert_eq!(
            mutated.unwrap(),
            format!(
                "let x = a < b; if ({} {{ true }} else {} {{ false }} else {{ a < b }}) \
                 {{ ({} {{ d() }} else {{ c() }}) }}",
                off("one"),
                off("other"),
                off("last")
            )
        );
    }

    #[test]
    fn the_copy_is_another_version() {
        let text = "[workspace]\n\n[workspace.package]\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        assert_eq!(marked(text).unwrap(), text.replace("0.1.0", "0.1.0+controls"));
    }

    #[test]
    fn a_rule_that_moved_is_an_error() {
        let check = |within, find, expected: &str| {
            let edit = edit(within, find, "x");
            let error = mutate("a.rs", "f(a); g(a);", &[("rule", &edit)]).unwrap_err();
            assert_eq!(error.to_string(), format!("control rule: its rule {expected} in a.rs"));
        };
        check(None, "h(a)", "does not stand");
        check(None, "a", "stands 2 times");
        check(Some("f(b)"), "b", "does not stand");
    }

    #[test]
    fn the_controls_of_the_simulation_are_well_formed() {
        let text = std::fs::read_to_string(root().join("sim/controls.toml")).unwrap();
        let controls: Controls = toml::from_str(&text).unwrap();
        let names: BTreeSet<&String> = controls.control.iter().map(|c| &c.name).collect();
        assert_eq!(names.len(), controls.control.len());
        for control in &controls.control {
            for edit in &control.edit {
                let text = std::fs::read_to_string(root().join(&edit.file)).unwrap();
                assert_eq!(place(&text, edit).err(), None, "{} in {}", control.name, edit.file);
            }
        }
    }
}
