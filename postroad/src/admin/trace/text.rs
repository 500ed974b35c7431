//! Words of a trace.

use jiff::Timestamp as Moment;
use mail::Timestamp;
use mail::header::unfold;
use mail::summary::{FieldName, Summary};

/// Longest text shown of somebody else's.
const SHOWN_CHARS_MAX: usize = 1_000;

/// Subject and Message-ID in an encoded summary.
pub(super) fn named(summary: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(summary) = Summary::decode(summary) else { return (None, None) };
    let field = |name| {
        let field = summary.field(name)?;
        Some(one_line(&String::from_utf8_lossy(&unfold(field.value()))))
    };
    let subject = summary
        .field(FieldName::Subject)
        .map(|field| one_line(&mail::header::decode_text(&unfold(field.value()))));
    (subject, field(FieldName::MessageId))
}

/// Text of others on one line of ours: no control characters (D3), and not endless.
pub(super) fn one_line(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = clean.clone().take(SHOWN_CHARS_MAX).collect();
    if clean.count() > SHOWN_CHARS_MAX {
        shown.push('…');
    }
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A time, for people.
pub(super) fn moment(at: Timestamp) -> String {
    let moment = i64::try_from(at.millis()).ok().and_then(|ms| Moment::from_millisecond(ms).ok());
    moment.map_or_else(
        || at.millis().to_string(),
        |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}
