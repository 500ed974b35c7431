//! Content: DATA and BDAT, from the edge's consent to the reply.

use std::time::Duration;

use mail::Instant;

use super::{Asked, Beginning, Next, Server, State, Transaction};
use crate::smtp::content::{Chunk, Data, Fault, Piece, Then};
use crate::smtp::{Answer, Ask, Reply, config};

/// So much of a message that is refused already, or as much as a message may have, is thrown away
/// to reply in step; who sends more is closed.
const THROWN_BYTES: u64 = 64 * 1024;

/// How slowly content comes (B3).
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// All the time that we waited for it.
    pub(super) waited: Duration,
    bytes: u64,
}

impl Pace {
    /// When patience ends if nothing more comes.
    fn deadline(&self, now: Instant, times: &config::Times) -> Instant {
        let paid = Duration::from_secs(self.bytes / times.content_rate.max(1));
        let left = (times.content_grace + paid).saturating_sub(self.waited);
        now.after(left.min(times.content_silence))
    }
}

/// How much of the message has come.
#[derive(Debug, Default)]
struct Size {
    /// Content given to the edge.
    kept: u64,
    /// Bytes thrown away after a fault.
    thrown: u64,
    /// The edge was told to throw away what it has.
    aborted: bool,
}

/// Content after DATA.
#[derive(Debug)]
pub(super) struct DataContent {
    scanner: Data,
    size: Size,
    pub(super) pace: Pace,
}

/// A message in chunks.
#[derive(Debug)]
pub(super) struct Chunking {
    scanner: Chunk,
    size: Size,
    pub(super) pace: Pace,
    /// Of the current chunk.
    bytes: u64,
    last: bool,
    /// The edge is still to be given a CRLF, in place of a bare LF.
    owed: bool,
}

impl Chunking {
    pub(super) const TOO_LARGE: Reply = Reply::of(552, 3, 4, "Message too large");
}

const fn reply(fault: Fault) -> Reply {
    match fault {
        Fault::BareLineEnd => Reply::of(550, 6, 0, "Lines end with CRLF: a CR or LF stood alone"),
        Fault::Nul => Reply::of(550, 6, 0, "Text has no NUL, send it as BINARYMIME"),
        Fault::TooLarge => Chunking::TOO_LARGE,
    }
}

impl<Receipt: std::fmt::Display> Server<Receipt> {
    pub(super) fn begun(&mut self, beginning: Beginning, answer: Answer<Receipt>) -> State {
        let refusal = match answer {
            Answer::Accepted => None,
            Answer::Refused(reply) => Some(reply),
            _ => Some(Reply::of(451, 3, 0, "Internal error, try again")),
        };
        match (beginning, refusal) {
            (Beginning::Data, None) => {
                Reply::plain(354, "Go on, end with <CRLF>.<CRLF>").write(&mut self.out);
                let (scanner, size, pace) = (Data::new(), Size::default(), Pace::default());
                State::Data(Box::new(DataContent { scanner, size, pace }))
            }
            (Beginning::Data, Some(reply)) => {
                self.reply(&reply);
                State::Ready(Transaction::None)
            }
            (Beginning::Bdat { binary, bytes, last }, None) => {
                let mut scanner = Chunk::new(binary);
                scanner.begin(bytes);
                let (size, pace) = (Size::default(), Pace::default());
                State::Chunk(Box::new(Chunking { scanner, size, pace, bytes, last, owed: false }))
            }
            (Beginning::Bdat { bytes, .. }, Some(reply)) => State::Skipping { bytes, reply },
        }
    }

    pub(super) fn data(&mut self, mut data: Box<DataContent>, now: Instant) -> Next {
        let piece = data.scanner.scan(self.input.waiting());
        data.pace.bytes = data.pace.bytes.saturating_add(piece.consumed as u64);
        let DataContent { scanner, size, .. } = &mut *data;
        if let Some(next) = self.keep(&piece, size, &mut scanner.fault) {
            self.state = State::Data(data);
            return next;
        }
        match piece.then {
            Then::More | Then::CrLf => self.again(State::Data(data)),
            Then::Starved if self.ended || (self.draining && data.size.aborted) => self.stop(),
            Then::Starved if self.too_much_thrown(&data.size) => {
                let reply = reply(data.scanner.fault.unwrap_or(Fault::TooLarge));
                let close = self.close(&reply);
                self.again(close)
            }
            Then::Starved => {
                let until = data.pace.deadline(now, &self.config.times);
                self.wait(State::Data(data), until)
            }
            Then::End => self.complete(data.scanner.fault, &data.size),
        }
    }

    /// Uses up a piece. Returns what is to be done with it before anything else.
    fn keep(&mut self, piece: &Piece, size: &mut Size, fault: &mut Option<Fault>) -> Option<Next> {
        let range = self.input.consume(piece.consumed);
        let content = range.start + piece.content.start..range.start + piece.content.end;
        let bytes = content.len() as u64;
        if fault.is_none() && size.kept + bytes > self.config.limits.message_bytes_max {
            *fault = Some(Fault::TooLarge);
        }
        if fault.is_some() {
            size.thrown = size.thrown.saturating_add(piece.consumed as u64);
            if !size.aborted {
                size.aborted = true;
                return Some(Next::Ask(Ask::Abort));
            }
            return None;
        }
        size.kept += bytes;
        (bytes > 0).then_some(Next::Take(content))
    }

    /// Who goes on for so long after a fault does not listen.
    fn too_much_thrown(&self, size: &Size) -> bool {
        size.thrown > self.thrown_bytes_max()
    }

    fn thrown_bytes_max(&self) -> u64 {
        self.config.limits.message_bytes_max.max(THROWN_BYTES)
    }

    /// All content has come.
    fn complete(&mut self, fault: Option<Fault>, size: &Size) -> Next {
        self.messages = self.messages.saturating_add(1);
        if let Some(fault) = fault {
            self.reply(&reply(fault));
            self.state = State::Ready(Transaction::None);
            return if size.aborted { Next::Again } else { Next::Ask(Ask::Abort) };
        }
        self.ask(Asked::Commit, Ask::Commit)
    }

    pub(super) fn committed(&mut self, answer: Answer<Receipt>) -> State {
        match answer {
            Answer::Stored(receipt) => {
                // Promise 1: the receipt proves that the message is durable.
                self.reply(&Reply::new(250, (0, 0), format!("stored as {receipt}")));
                self.idle_commands = 0;
            }
            Answer::Refused(reply) => self.reply(&reply),
            _ => self.reply(&Reply::of(451, 3, 0, "Internal error, try again")),
        }
        self.flush = true;
        State::Ready(Transaction::None)
    }

    pub(super) fn next_chunk(
        &mut self,
        mut chunking: Box<Chunking>,
        bytes: u64,
        last: bool,
    ) -> Next {
        if chunking.size.kept.saturating_add(bytes) > self.config.limits.message_bytes_max {
            self.state = self.skipping(bytes, Chunking::TOO_LARGE);
            return Next::Ask(Ask::Abort);
        }
        chunking.scanner.begin(bytes);
        (chunking.bytes, chunking.last) = (bytes, last);
        self.again(State::Chunk(chunking))
    }

    pub(super) fn chunk(&mut self, mut chunking: Box<Chunking>, now: Instant) -> Next {
        if std::mem::take(&mut chunking.owed) {
            chunking.size.kept += 2;
            self.state = State::Chunk(chunking);
            return Next::TakeCrLf;
        }
        let piece = chunking.scanner.scan(self.input.waiting());
        chunking.pace.bytes = chunking.pace.bytes.saturating_add(piece.consumed as u64);
        let Chunking { scanner, size, owed, .. } = &mut *chunking;
        *owed = piece.then == Then::CrLf;
        if let Some(next) = self.keep(&piece, size, &mut scanner.fault) {
            self.state = State::Chunk(chunking);
            return next;
        }
        match piece.then {
            Then::More | Then::CrLf => self.again(State::Chunk(chunking)),
            Then::Starved if self.ended || (self.draining && chunking.size.aborted) => self.stop(),
            Then::Starved => {
                let until = chunking.pace.deadline(now, &self.config.times);
                self.wait(State::Chunk(chunking), until)
            }
            Then::End => self.chunk_complete(chunking),
        }
    }

    fn chunk_complete(&mut self, mut chunking: Box<Chunking>) -> Next {
        if chunking.last {
            chunking.scanner.finish();
        }
        let fault = chunking.scanner.fault;
        if chunking.last || fault.is_some() {
            return self.complete(fault, &chunking.size);
        }
        let text = format!("{} octets received", chunking.bytes);
        self.reply(&Reply::new(250, (0, 0), text));
        self.again(State::Ready(Transaction::Chunks(chunking)))
    }

    /// A BDAT that is refused: its bytes come all the same (RFC 3030 §2).
    pub(super) fn refuse_chunk(&mut self, bytes: u64, reply: Reply) -> Next {
        let skipping = self.skipping(bytes, reply);
        self.again(skipping)
    }

    fn skipping(&mut self, bytes: u64, reply: Reply) -> State {
        if bytes > self.thrown_bytes_max() {
            return self.close(&reply);
        }
        State::Skipping { bytes, reply }
    }

    pub(super) fn skip(&mut self, bytes: u64, reply: Reply, now: Instant) -> Next {
        let waiting = self.input.waiting().len();
        let skipped = usize::try_from(bytes).map_or(waiting, |bytes| bytes.min(waiting));
        self.input.consume(skipped);
        let bytes = bytes - skipped as u64;
        if bytes == 0 {
            self.reply(&reply);
            return self.again(State::Ready(Transaction::None));
        }
        if self.ended || self.draining {
            return self.stop();
        }
        let until = now.after(self.config.times.content_silence);
        self.wait(State::Skipping { bytes, reply }, until)
    }
}
