//! Messages to test with: each carries an id of its own in its header.

/// Name of the header field with a test message's id.
pub const ID_FIELD: &str = "X-Test-Id";

/// A small message with this id, CRLF line ends.
#[must_use]
pub fn message(id: &str) -> Vec<u8> {
    sized(id, 200)
}

/// A message with this id and about `bytes` bytes of text.
#[must_use]
pub fn sized(id: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Ana Sender <ana@sender.test>\r\nTo: alice@example.test\r\nSubject: test {id}\r\n\
         Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{id}@sender.test>\r\n\
         {ID_FIELD}: {id}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    let head = text.len();
    let mut line = 0_u64;
    while text.len() - head < bytes {
        line += 1;
        // Numbers that do not repeat, so that compression does not flatter.
        let noise = line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!("line {line} of {id} says {noise:016x}\r\n"));
    }
    text.into_bytes()
}

/// The id in a message.
#[must_use]
pub fn id_of(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let (_, rest) = text.split_once(&format!("\n{ID_FIELD}: "))?;
    Some(rest.lines().next()?.trim().to_owned())
}

/// What was sent, behind the trace headers that were put before it: one Return-Path, one Received.
/// `None` if they are not there.
#[must_use]
pub fn without_trace(read: &[u8]) -> Option<&[u8]> {
    let mut rest = after_field(read, b"Return-Path:")?;
    // What our own people submitted was signed.
    while let Some(behind) = after_field(rest, b"DKIM-Signature:") {
        rest = behind;
    }
    // A message may begin with white space, so that it looks like a continuation of our Received:
    // that one ends with its date, which is told in UTC.
    let zone = b" +0000\r\n";
    let end = rest.windows(zone.len()).position(|part| part == zone)? + zone.len();
    rest.starts_with(b"Received:").then(|| rest.get(end..)).flatten()
}

/// What follows the header field of this name, its continuation lines included.
fn after_field<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if !text.get(..name.len())?.eq_ignore_ascii_case(name) {
        return None;
    }
    let mut at = 0;
    loop {
        at += text.get(at..)?.windows(2).position(|pair| pair == b"\r\n")? + 2;
        if !matches!(text.get(at), Some(b' ' | b'\t')) {
            return text.get(at..);
        }
    }
}
