//! As much of XML as reports need: elements with text, read in one pass, bounded.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::NoReport;

/// Deepest element.
const DEPTH_MAX: usize = 16;

/// Longest text of an element that is kept.
const TEXT_BYTES_MAX: usize = 2_048;

/// What is met on the way through a document. Namespaces are passed over: reports have several, or
/// none.
pub(super) trait Visitor {
    /// An element ends: the names from the root to it, and its own text.
    /// # Errors
    /// [`NoReport`]: it is of no use to go on.
    fn element(&mut self, path: &[String], text: &str) -> Result<(), NoReport>;
}

/// Goes through a document. Entities that a document declares itself are never expanded.
pub(super) fn walk(text: &str, visitor: &mut impl Visitor) -> Result<(), NoReport> {
    let mut reader = Reader::from_str(text);
    let (mut path, mut texts): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().map_err(|_| NoReport("broken XML"))? {
            Event::Start(element) => {
                if path.len() >= DEPTH_MAX {
                    return Err(NoReport("XML nested too deep"));
                }
                path.push(lower(element.local_name().as_ref()));
                texts.push(String::new());
            }
            Event::Empty(element) => {
                if path.len() >= DEPTH_MAX {
                    return Err(NoReport("XML nested too deep"));
                }
                path.push(lower(element.local_name().as_ref()));
                visitor.element(&path, "")?;
                path.pop();
            }
            Event::Text(part) => add(texts.last_mut(), &part.xml10_content()),
            Event::CData(part) => add(texts.last_mut(), &part.xml10_content()),
            Event::GeneralRef(entity) => {
                let letter = match entity.resolve_char_ref() {
                    Ok(Some(letter)) => Some(letter),
                    Ok(None) => named(entity.xml10_content().as_ref()),
                    Err(_) => None,
                };
                let letter = letter.ok_or(NoReport("XML with an entity of its own"))?;
                add(texts.last_mut(), letter.encode_utf8(&mut [0; 4]));
            }
            Event::End(_) => {
                let text = texts.pop().unwrap_or_default();
                visitor.element(&path, text.trim())?;
                path.pop();
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err(NoReport("XML without an end")),
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
        }
    }
}

fn lower(name: &str) -> String {
    name.chars().take(64).collect::<String>().to_ascii_lowercase()
}

fn add(text: Option<&mut String>, more: &str) {
    if let Some(text) = text
        && text.len() + more.len() <= TEXT_BYTES_MAX
    {
        text.push_str(more);
    }
}

fn named(entity: &str) -> Option<char> {
    Some(match entity {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

/// Text as it stands in a document.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 §2.2 has no way to write these.
            control if control.is_control() => out.push('?'),
            other => out.push(other),
        }
    }
    out
}
