//! What the process writes to stderr: readable on a terminal, JSON otherwise.
//!
//! Span fields are always the same words: `region edge conn account record segment seq item egress
//! peer`. One INFO event a message and stage; ERROR: a promise is at stake; WARN: unexpected but
//! handled.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{LogFormat, LogSection};

/// The filter of `log.level` is not one.
#[derive(Debug, thiserror::Error)]
#[error("log.level is not a filter: {0}")]
pub struct FilterSyntax(String);

impl FilterSyntax {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "write error, warn, info, debug or trace, or a filter such as info,net=debug"
    }
}

/// Starts writing events. Once in a process, before anything else.
/// # Errors
/// [`FilterSyntax`]: mend `log.level`.
pub fn start(log: &LogSection) -> Result<(), FilterSyntax> {
    let wrong = |why: &dyn std::fmt::Display| FilterSyntax(format!("{:?}: {why}", log.level));
    let filter = EnvFilter::try_new(&log.level).map_err(|why| wrong(&why))?;
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    let started = if text {
        events.with_ansi(std::io::stderr().is_terminal()).compact().try_init()
    } else {
        events.json().flatten_event(true).with_current_span(false).try_init()
    };
    started.map_err(|why| wrong(&why))?;
    report_panics();
    Ok(())
}

/// A panic is an event like others, and counted wherever it happens. It ends what it happened in,
/// never the process.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        metrics::counter!("postroad_panics_total", "at" => "anywhere").increment(1);
        let why = panic.payload_as_str().unwrap_or("no message");
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        // Empty unless RUST_BACKTRACE asks for it.
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(at, why, %trace, "panicked");
    }));
}
