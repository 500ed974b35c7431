//! What commands print: tables for people, JSON for programs.

use std::io::{self, Write as _};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::admin::{Report, Verdict};
use crate::failure::Failure;

/// Prints as it is. A reader that left (`| head`) is no failure.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

/// Prints one line.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// For people, beside what is printed.
pub(crate) fn to_stderr(text: &str) {
    // Nobody is left to be told if this fails.
    drop(io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}

/// Prints JSON, for programs.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|why| Failure { error: why.to_string(), hint: None })?;
    line(&text)
}

/// Prints a table; nothing where there are no rows.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if table.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    line(&lines.join("\n"))
}

/// Prints names and values, one a line.
pub(crate) fn fields(fields: &[(&str, String)]) -> Result<(), Failure> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    line(&lines.join("\n"))
}

/// Prints what `doctor` found.
pub(crate) fn report(report: &Report, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return json(report);
    }
    for check in &report.checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        line(&format!("{verdict}  {:12}  {}", check.name, check.found))?;
        if let Some(hint) = check.hint {
            line(&format!("                       hint: {hint}"))?;
        }
    }
    Ok(())
}
