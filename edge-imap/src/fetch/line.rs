//! Writing one message's FETCH response, literals streamed in bounded memory.

use std::num::NonZeroU32;
use std::ops::Range;

use mail::part::{Encoding, Part};
use mail::summary::Summary;
use mail::transfer::Decoder;
use net::{Gone, Out};
use proto::imap::command::{DateTime, FetchItem, Partial, Section, SectionText};
use proto::imap::response::{FetchData, FetchLine, LiteralName, Style};

use crate::fetch::reading::{PIECE_BYTES, Reading, Unread};
use crate::fetch::section::{Content, Layout, window};
use crate::fetch::{envelope, fields, structure};
use crate::flags;
use crate::selection::Listed;

/// Most bytes of a header that are read to select fields from it (docs/rules.md: header 1 MiB).
const HEADER_BYTES_MAX: u64 = 1024 * 1024 + 64 * 1024;

/// Written lines wait for so many bytes before they go out.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why a message's line was not written. Whatever it is, no half of a line has been.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The message is gone.
    Expunged,
    /// It cannot be read now.
    Unread(store::LogError),
    /// A part's encoding is not known.
    UnknownCte,
    /// The connection is over, perhaps in the middle of a line.
    Gone,
}

impl From<Gone> for Unwritten {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Unread> for Unwritten {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Expunged => Self::Expunged,
            Unread::Failed(error) => Self::Unread(error),
        }
    }
}

/// Writes lines through a bounded buffer.
pub(crate) struct Writer<'a, 'b> {
    pub(crate) out: &'a mut Out<'b>,
    pub(crate) style: Style,
    buffer: Vec<u8>,
    /// Where the line being written begins; `None` once a piece of it has gone out.
    line_from: Option<usize>,
}

/// A message about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) listed: &'a Listed,
    pub(crate) reading: Reading<'a>,
    pub(crate) summary: Option<&'a Summary>,
}

impl<'a> Message<'a> {
    /// Where its parts are; without a summary it is one piece.
    fn layout(&self) -> Option<Layout<'a>> {
        self.summary.map(|summary| Layout { summary, size: self.listed.size })
    }
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(crate) const fn new(out: &'a mut Out<'b>, style: Style) -> Self {
        Self { out, style, buffer: Vec::new(), line_from: None }
    }

    /// Sends what has been written.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        self.line_from = None;
        let buffer = std::mem::take(&mut self.buffer);
        self.out.write(&buffer).await
    }

    /// Writes the line of one message. If that fails before a piece of it has gone out it is
    /// taken back; if later, the connection cannot go on.
    pub(crate) async fn message(
        &mut self,
        items: &[FetchItem],
        message: Message<'_>,
    ) -> Result<(), Unwritten> {
        self.line_from = Some(self.buffer.len());
        let written = self.line(items, message).await;
        match (&written, self.line_from.take()) {
            (Ok(()), _) | (Err(Unwritten::Gone), _) => {}
            (Err(_), Some(from)) => self.buffer.truncate(from),
            (Err(why), None) => {
                tracing::warn!(?why, uid = %message.listed.uid, "FETCH broken off in a literal");
                return Err(Unwritten::Gone);
            }
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush().await?;
        }
        written
    }

    async fn line(&mut self, items: &[FetchItem], it: Message<'_>) -> Result<(), Unwritten> {
        let mut line = FetchLine::begin(it.listed.msn, self.style, &mut self.buffer);
        for item in items {
            if self.buffer.len() >= 4 * BUFFER_BYTES {
                self.flush().await?;
            }
            match item {
                FetchItem::Section { section, partial, .. } => {
                    let name = LiteralName::Section(section, partial.map(|partial| partial.start));
                    self.section(&mut line, name, section, *partial, it).await?;
                }
                FetchItem::Rfc822 => {
                    let section = Section::default();
                    self.section(&mut line, LiteralName::Rfc822, &section, None, it).await?;
                }
                FetchItem::Rfc822Header => {
                    let section = Section { text: SectionText::Header, ..Section::default() };
                    self.section(&mut line, LiteralName::Rfc822Header, &section, None, it).await?;
                }
                FetchItem::Rfc822Text => {
                    let section = Section { text: SectionText::Text, ..Section::default() };
                    self.section(&mut line, LiteralName::Rfc822Text, &section, None, it).await?;
                }
                FetchItem::Binary { part, partial, .. } => {
                    let name = LiteralName::Binary(part, partial.map(|partial| partial.start));
                    self.binary(&mut line, name, part, *partial, it).await?;
                }
                FetchItem::BinarySize { part } => {
                    let size = match binary_source(part, it)? {
                        Some(source) => decode(&it.reading, &source, 0..0).await?.length,
                        None => 0,
                    };
                    line.item(&FetchData::BinarySize(part, size), &mut self.buffer);
                }
                simple => self.simple(&mut line, simple, it),
            }
        }
        line.end(&mut self.buffer);
        Ok(())
    }

    /// What the state and the summary tell.
    fn simple(&mut self, line: &mut FetchLine, item: &FetchItem, it: Message<'_>) {
        let listed = it.listed;
        let out = &mut self.buffer;
        match (item, it.summary) {
            (FetchItem::Flags, _) => {
                line.item(&FetchData::Flags(&flags::shown(&listed.flags)), out);
            }
            (FetchItem::Uid, _) => line.item(&FetchData::Uid(listed.uid), out),
            (FetchItem::ModSeq, _) => line.item(&FetchData::ModSeq(listed.modseq.0), out),
            (FetchItem::Size, _) => line.item(&FetchData::Size(listed.size), out),
            (FetchItem::InternalDate, _) => {
                let date = DateTime { at: listed.date, offset_minutes: 0 };
                line.item(&FetchData::InternalDate(date), out);
            }
            (FetchItem::Envelope, Some(summary)) => {
                line.item(&FetchData::Envelope(&envelope::of(&summary.fields)), out);
            }
            (FetchItem::Body, Some(summary)) => {
                line.item(&FetchData::Body(&structure::of(&summary.structure)), out);
            }
            (FetchItem::BodyStructure, Some(summary)) => {
                line.item(&FetchData::BodyStructure(&structure::of(&summary.structure)), out);
            }
            // The plan has the summary ready for all that needs it, and the caller writes the rest.
            _ => debug_assert!(false, "item without what it needs: {item:?}"),
        }
    }

    async fn section(
        &mut self,
        line: &mut FetchLine,
        name: LiteralName<'_>,
        section: &Section,
        partial: Option<Partial>,
        it: Message<'_>,
    ) -> Result<(), Unwritten> {
        let content = match it.layout() {
            Some(layout) => layout.find(section),
            None => Content::Span(0..it.listed.size),
        };
        match content {
            Content::Missing => line.item(&FetchData::Missing(name), &mut self.buffer),
            Content::Span(span) => {
                let window = window(span.end - span.start, partial);
                let span = span.start + window.start..span.start + window.end;
                self.span(line, name, span, &it.reading).await?;
            }
            Content::Fields { header, listed } => {
                let (names, not) = match &section.text {
                    SectionText::HeaderFields(names) => (names.as_slice(), false),
                    SectionText::HeaderFieldsNot(names) => (names.as_slice(), true),
                    _ => (&[][..], true),
                };
                let selected = match listed {
                    Some(listed) => fields::select_listed(listed, names),
                    None => {
                        let header = it.reading.whole(header, HEADER_BYTES_MAX).await?;
                        fields::select(&header, names, not)
                    }
                };
                let window = cut(&selected, partial);
                line.literal(name, window.len() as u64, false, &mut self.buffer);
                self.buffer.extend_from_slice(window);
            }
        }
        Ok(())
    }

    /// A literal of these bytes of the message. The first piece is read before the literal is
    /// announced, so that a message that cannot be read at all costs its line only.
    async fn span(
        &mut self,
        line: &mut FetchLine,
        name: LiteralName<'_>,
        span: Range<u64>,
        reading: &Reading<'_>,
    ) -> Result<(), Unwritten> {
        let mut at = span.end.min(span.start + PIECE_BYTES);
        let first = reading.piece(span.start..at).await?;
        line.literal(name, span.end - span.start, false, &mut self.buffer);
        self.buffer.extend_from_slice(&first);
        while at < span.end {
            self.flush().await?;
            let end = span.end.min(at + PIECE_BYTES);
            let piece = reading.piece(at..end).await?;
            self.out.write(&piece).await?;
            at = end;
        }
        Ok(())
    }

    async fn binary(
        &mut self,
        line: &mut FetchLine,
        name: LiteralName<'_>,
        part: &[NonZeroU32],
        partial: Option<Partial>,
        it: Message<'_>,
    ) -> Result<(), Unwritten> {
        let Some(source) = binary_source(part, it)? else {
            line.item(&FetchData::Missing(name), &mut self.buffer);
            return Ok(());
        };
        let wanted = match partial {
            Some(Partial { start, count }) => start..start.saturating_add(count),
            None => 0..u64::MAX,
        };
        // Twice over a large part: the literal's length comes before its bytes.
        let decoded = decode(&it.reading, &source, wanted).await?;
        let window = window(decoded.length, partial);
        line.literal(name, window.end - window.start, decoded.nul, &mut self.buffer);
        match decoded.small {
            Some(small) => self.buffer.extend_from_slice(&small),
            None => {
                self.flush().await?;
                self.decoded(&it.reading, &source, window).await?;
            }
        }
        Ok(())
    }

    /// Streams the bytes `window` of what a part decodes to.
    async fn decoded(
        &mut self,
        reading: &Reading<'_>,
        source: &Source,
        window: Range<u64>,
    ) -> Result<(), Unwritten> {
        let mut decoder = Decoder::new(&source.encoding);
        let (mut at, mut read) = (0, source.span.start);
        while at < window.end {
            let end = source.span.end.min(read + PIECE_BYTES);
            let mut bytes = Vec::new();
            if read < end {
                decoder.feed(&reading.piece(read..end).await?, &mut bytes);
                read = end;
            } else {
                decoder.finish(&mut bytes);
            }
            let piece = overlap(&bytes, at, &window);
            self.out.write(piece).await?;
            let ended = bytes.is_empty() && read >= source.span.end;
            at += bytes.len() as u64;
            if ended && at < window.end {
                // The first pass counted more: what is stored cannot have changed.
                return Err(Unwritten::Gone);
            }
        }
        Ok(())
    }
}

/// The part of `bytes`, which are at `at`, that lies in `window`.
fn overlap<'a>(bytes: &'a [u8], at: u64, window: &Range<u64>) -> &'a [u8] {
    let index = |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
    let end = index(window.end).min(bytes.len());
    bytes.get(index(window.start).min(end)..end).unwrap_or_default()
}

/// What `partial` leaves of bytes that are in memory.
fn cut(bytes: &[u8], partial: Option<Partial>) -> &[u8] {
    overlap(bytes, 0, &window(bytes.len() as u64, partial))
}

/// Where BINARY's bytes come from.
struct Source {
    span: Range<u64>,
    encoding: Encoding,
}

fn binary_source(part: &[NonZeroU32], it: Message<'_>) -> Result<Option<Source>, Unwritten> {
    if part.is_empty() {
        // RFC 9051 §6.4.5: the whole message, which has no transfer encoding.
        let span = 0..it.listed.size;
        return Ok(Some(Source { span, encoding: Encoding::Binary }));
    }
    let Some(layout) = it.layout() else { return Ok(None) };
    let Some(found): Option<&Part> = layout.part(part) else { return Ok(None) };
    if matches!(found.encoding, Encoding::Other(_)) {
        return Err(Unwritten::UnknownCte);
    }
    Ok(Some(Source { span: layout.body(found), encoding: found.encoding.clone() }))
}

/// What a part decodes to.
struct Decoded {
    length: u64,
    /// There is a NUL in it: it must be a literal8.
    nul: bool,
    /// The bytes wanted, if they are few.
    small: Option<Vec<u8>>,
}

async fn decode(
    reading: &Reading<'_>,
    source: &Source,
    wanted: Range<u64>,
) -> Result<Decoded, Unread> {
    let mut decoder = Decoder::new(&source.encoding);
    let mut decoded = Decoded { length: 0, nul: false, small: Some(Vec::new()) };
    let mut bytes = Vec::new();
    reading
        .each(source.span.clone(), |piece| {
            decoder.feed(piece, &mut bytes);
            decoded.take(&bytes, &wanted);
            bytes.clear();
            true
        })
        .await?;
    decoder.finish(&mut bytes);
    decoded.take(&bytes, &wanted);
    Ok(decoded)
}

impl Decoded {
    fn take(&mut self, bytes: &[u8], wanted: &Range<u64>) {
        let piece = overlap(bytes, self.length, wanted);
        self.nul |= memchr::memchr(0, piece).is_some();
        self.length += bytes.len() as u64;
        if let Some(small) = &mut self.small {
            if (small.len() + piece.len()) as u64 <= PIECE_BYTES {
                small.extend_from_slice(piece);
            } else {
                self.small = None;
            }
        }
    }
}
