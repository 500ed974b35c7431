//! SEARCH and UID SEARCH (RFC 9051 §6.4.4): a linear engine over the state, the summaries, and,
//! only where those do not decide, headers and bodies. It has a budget of time, tells the client
//! that it is at work (and so notices that the client has left), and holds one message at a time
//! (B2).

mod expression;
mod header;
mod hunt;

use mail::part::Part;
use mail::summary::Summary;
use mail::text::Needle;
use mail::{Instant, Seq, Uid, UidSet};
use net::{Gone, Out};
use proto::imap::Answer;
use proto::imap::command::{Search, SearchReturn, Tag};
use proto::imap::response::{Code, Esearch, Response};
use store::{AccountLog, LogError};

use crate::announce::Client;
use crate::fetch::GROUP;
use crate::fetch::reading::{PIECE_BYTES, Reading, Unread};
use crate::fetch::section::Layout;
use crate::fetch::summaries;
use crate::replies::{Refusal, Stop};
use crate::search::expression::{Facts, Header, Question, Unsearchable};
use crate::search::hunt::{Hunt, TextReader};
use crate::selection::{Listed, Selected, groups};
use crate::session::Session;

/// Messages judged by the state alone at once, between two looks at the clock.
const STATE_GROUP: u32 = 16 * 1024;

/// Most bytes of a header that is searched (docs/rules.md: header 1 MiB, and our prefix).
const HEADER_BYTES_MAX: u64 = 1024 * 1024 + 64 * 1024;

/// How often a client that waits hears that it is not forgotten.
const SIGN_OF_LIFE: std::time::Duration = std::time::Duration::from_secs(10);

/// Bytes of a long line written at once.
const LINE_PIECE: usize = 16 * 1024;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

impl Session {
    pub(crate) async fn search(
        &mut self,
        tag: &Tag,
        search: &Search,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let found = self.find(search, client, out).await;
        let saves = search.told.is_some_and(|told| told.save);
        let found = match found {
            Ok(found) => found,
            Err(stop) => {
                if let (true, Some(selected)) = (saves, &mut self.selected) {
                    // RFC 5182 §2.1: a SEARCH that fails empties what was saved.
                    selected.saved = UidSet::new();
                }
                return Err(stop);
            }
        };
        let selected = self.selected.as_mut().ok_or(Refusal::NotSelected)?;
        if saves {
            selected.saved = saved(&found.uids, search.told.unwrap_or_default());
        }
        let mut bytes = Vec::new();
        if found.damaged {
            let text = "some messages are damaged and were not searched";
            Response::No(Some(Code::Corruption), text.into()).encode(client.style, &mut bytes);
        }
        out.write(&bytes).await?;
        tell(tag, search, &found, selected, client, out).await?;
        Ok(Answer::Ok(None, "SEARCH done".into()))
    }

    async fn find(
        &self,
        search: &Search,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Found, Stop> {
        let log = self.log()?;
        let selected = self.selected()?;
        let question = Question::new(search, &selected.view, &selected.saved)?;
        let clock = self.shared.clock();
        let now = clock.instant();
        let mut run = Run {
            log: &log,
            selected,
            question: &question,
            found: Found::default(),
            budget: Budget {
                until: now.after(self.shared.options.search_time),
                sign: now.after(SIGN_OF_LIFE),
                clock: &**clock,
            },
            client,
        };
        let candidates = question.candidates(selected.view.all());
        for group in groups(&candidates, STATE_GROUP) {
            let open = run.by_state(&group);
            for group in groups(&open, GROUP) {
                run.by_content(&group, out).await?;
            }
            run.breathe(out).await?;
        }
        Ok(run.found)
    }
}

impl From<Unsearchable> for Stop {
    fn from(error: Unsearchable) -> Self {
        match error {
            Unsearchable::Charset => Refusal::BadCharset.into(),
            Unsearchable::Needles => Refusal::Limit("at most 256 strings in one SEARCH").into(),
        }
    }
}

/// The result of a SEARCH.
#[derive(Debug, Default)]
struct Found {
    uids: UidSet,
    /// The highest modseq among them.
    modseq: Seq,
    /// Some could not be looked into and count as not found.
    damaged: bool,
}

struct Budget<'a> {
    until: Instant,
    /// When the client is next told that the search goes on.
    sign: Instant,
    clock: &'a dyn engine::Clock,
}

/// A SEARCH under way.
struct Run<'a> {
    log: &'a AccountLog,
    selected: &'a Selected,
    question: &'a Question,
    found: Found,
    budget: Budget<'a>,
    client: Client,
}

impl Run<'_> {
    /// Judges a group by what the state knows; returns the messages that take more.
    fn by_state(&mut self, group: &UidSet) -> UidSet {
        let (question, selected) = (self.question, self.selected);
        let found = &mut self.found;
        self.log.view(|state| {
            let mut open = UidSet::new();
            let mailbox = state.mailbox(selected.id);
            for message in mailbox.iter().flat_map(|mailbox| mailbox.in_set(group)) {
                let facts = Facts {
                    uid: message.uid.get(),
                    modseq: message.modseq.0,
                    flags: message.flags,
                    day: day(message.date),
                    size: message.size,
                    header: None,
                    content: None,
                };
                match question.holds(&facts) {
                    Some(true) => found.take(message.uid, message.modseq),
                    Some(false) => {}
                    None => open.insert(message.uid.get()),
                }
            }
            open
        })
    }

    /// Judges a group by summaries, then by headers, then by bodies.
    async fn by_content(&mut self, group: &UidSet, out: &mut Out<'_>) -> Result<(), Stop> {
        let id = self.selected.id;
        let listed = self.log.view(|state| self.selected.view.listed(state, id, group));
        let encoded = summaries::encoded(self.log, &listed).await?;
        for (listed, encoded) in listed.iter().zip(encoded) {
            let summary = summaries::decoded(listed, encoded);
            let reading =
                Reading { log: self.log, mailbox: id, uid: listed.uid, size: listed.size };
            match judge(self.question, listed, summary, reading).await {
                Ok(true) => self.found.take(listed.uid, listed.modseq),
                // RFC 2180 §4.3: a message that is gone matches nothing.
                Ok(false) | Err(Unread::Expunged) => {}
                // One damaged message does not spoil every search for ever: the client is told.
                Err(Unread::Failed(error @ LogError::Damaged(_))) => {
                    tracing::error!(%error, uid = %listed.uid, "a message cannot be searched");
                    self.found.damaged = true;
                }
                Err(Unread::Failed(error)) => {
                    tracing::warn!(%error, uid = %listed.uid, "a message cannot be searched");
                    return Err(Refusal::Unreadable.into());
                }
            }
            self.breathe(out).await?;
        }
        Ok(())
    }

    /// Lets others work, and stops what takes too long.
    async fn breathe(&mut self, out: &mut Out<'_>) -> Result<(), Stop> {
        let now = self.budget.clock.instant();
        if now >= self.budget.until {
            return Err(Refusal::Limit("SEARCH took too long, ask for less").into());
        }
        if now >= self.budget.sign {
            self.budget.sign = now.after(SIGN_OF_LIFE);
            let mut bytes = Vec::new();
            Response::Ok(None, "still searching".into()).encode(self.client.style, &mut bytes);
            out.write(&bytes).await?;
            out.flush().await?;
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Found {
    fn take(&mut self, uid: Uid, modseq: Seq) {
        self.uids.insert(uid.get());
        self.modseq = self.modseq.max(modseq);
    }
}

fn day(date: mail::Timestamp) -> i64 {
    i64::try_from(date.millis() / DAY_MS).unwrap_or(i64::MAX)
}

/// Whether one message fits, reading of it as little as decides.
async fn judge(
    question: &Question,
    listed: &Listed,
    summary: Option<Summary>,
    reading: Reading<'_>,
) -> Result<bool, Unread> {
    let summary = match summary {
        Some(summary) => summary,
        None => reading.scan(0).await?,
    };
    let holds = |header: &dyn Header, content: Option<&[(bool, bool)]>| {
        question.holds(&Facts {
            uid: listed.uid.get(),
            modseq: listed.modseq.0,
            flags: &listed.flags,
            day: day(listed.date),
            size: listed.size,
            header: Some(header),
            content,
        })
    };
    if let Some(fits) = holds(&header::Listed(&summary), None) {
        return Ok(fits);
    }
    let prefix = listed.size.saturating_sub(summary.size);
    let header = reading.whole(0..prefix + summary.header_len, HEADER_BYTES_MAX).await?;
    let header_facts = header::Whole(&header);
    if let Some(fits) = holds(&header_facts, None) {
        return Ok(fits);
    }
    let summary = if summary.cut { reading.scan(prefix).await? } else { summary };
    let content = content(&question.needles, &header, &summary, reading).await?;
    // Everything is known now.
    Ok(holds(&header_facts, Some(&content)).unwrap_or(false))
}

/// For each needle: whether it is in the body; whether it is in the header or the body.
async fn content(
    needles: &[Needle],
    header: &[u8],
    summary: &Summary,
    reading: Reading<'_>,
) -> Result<Vec<(bool, bool)>, Unread> {
    let layout = Layout { summary, size: reading.size };
    let mut body = Hunt::new(needles);
    let small = (reading.size <= PIECE_BYTES).then_some(reading.size);
    let whole = match small {
        Some(size) => Some(reading.piece(0..size).await?),
        None => None,
    };
    for (index, part) in summary.structure.walk().enumerate() {
        if body.is_over() {
            break;
        }
        let source = Source { reading, whole: whole.as_deref() };
        if index > 0 {
            // MIME headers, and headers of messages inside, are in the body.
            let span = layout.mime_header(part);
            source.each(span, |piece| body.see_header(piece)).await?;
        }
        search_part(part, &layout, &source, &mut body).await?;
    }
    let in_body = body.found().to_vec();
    let mut anywhere = body;
    anywhere.see_header(header);
    Ok(in_body.into_iter().zip(anywhere.found().iter().copied()).collect())
}

async fn search_part(
    part: &Part,
    layout: &Layout<'_>,
    source: &Source<'_>,
    hunt: &mut Hunt,
) -> Result<(), Unread> {
    if part.embedded().is_some() {
        // Its parts are walked by themselves.
        return Ok(());
    }
    let Some(mut reader) = TextReader::of(part) else { return Ok(()) };
    source.each(layout.body(part), |piece| reader.feed(piece, hunt)).await?;
    reader.finish(hunt);
    Ok(())
}

/// A message's bytes: in memory if it is small, else read piece by piece.
struct Source<'a> {
    reading: Reading<'a>,
    whole: Option<&'a [u8]>,
}

impl Source<'_> {
    async fn each(
        &self,
        span: std::ops::Range<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Unread> {
        match self.whole {
            Some(whole) => {
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                take(whole.get(index(span.start)..index(span.end)).unwrap_or_default());
                Ok(())
            }
            None => {
                self.reading
                    .each(span, |piece| {
                        take(piece);
                        true
                    })
                    .await
            }
        }
    }
}

/// RFC 5182 §2.4: with MIN or MAX alone only those are saved.
fn saved(found: &UidSet, told: SearchReturn) -> UidSet {
    if told.all || told.count || !(told.min || told.max) {
        return found.clone();
    }
    let min = found.first().filter(|_| told.min);
    let max = found.last().filter(|_| told.max);
    min.into_iter().chain(max).collect()
}

/// SEARCH or ESEARCH (RFC 9051 §7.3.4, RFC 3501 §7.2.5), with the highest modseq where MODSEQ was
/// asked for (RFC 7162 §3.1.5, §3.1.10).
async fn tell(
    tag: &Tag,
    search: &Search,
    found: &Found,
    selected: &Selected,
    client: Client,
    out: &mut Out<'_>,
) -> Result<(), Gone> {
    let numbers = if search.uid {
        found.uids.clone()
    } else {
        let msn = |uid: u32| Uid::new(uid).and_then(|uid| selected.view.msn(uid));
        found.uids.iter().filter_map(msn).map(|msn| msn.get()).collect()
    };
    let asked = search.keys.iter().any(proto::imap::command::SearchKey::asks_modseq);
    let modseq = (asked && !numbers.is_empty()).then_some(found.modseq.0);
    let mut bytes = Vec::new();
    let told = match search.told {
        None if !client.style.rev2 => {
            Response::Search { found: &[], modseq: None }.encode(client.style, &mut bytes);
            let each = numbers.iter().map(|number| format!(" {number}"));
            // RFC 7162 §3.1.5
            let end = modseq.map(|modseq| format!(" (MODSEQ {modseq})")).unwrap_or_default();
            return lengthen(bytes, each.chain([end]), out).await;
        }
        // RFC 9051 §6.4.4: in rev2 the answer without RETURN is ESEARCH with ALL.
        None => SearchReturn { all: true, ..SearchReturn::default() },
        // RFC 5182 §2.1: with SAVE alone nothing is told.
        Some(SearchReturn { min: false, max: false, all: false, count: false, save: true }) => {
            return Ok(());
        }
        Some(told) => told,
    };
    let esearch = Esearch {
        uid: search.uid,
        min: numbers.first().filter(|_| told.min),
        max: numbers.last().filter(|_| told.max),
        all: None,
        count: told.count.then(|| u32::try_from(numbers.len()).unwrap_or(u32::MAX)),
        modseq,
    };
    Response::Esearch(tag, esearch).encode(client.style, &mut bytes);
    // RFC 4731 §3.1: ALL is left out where nothing was found. The items may come in any order.
    let ranges = numbers.ranges().filter(|_| told.all).enumerate().map(|(at, range)| {
        let (first, last) = range.into_inner();
        let before = if at == 0 { " ALL " } else { "," };
        if first == last { format!("{before}{first}") } else { format!("{before}{first}:{last}") }
    });
    lengthen(bytes, ranges, out).await
}

/// Writes a line with more behind what it says, a piece at a time: a result of a million numbers is
/// one line, and is never held whole (I8).
async fn lengthen(
    mut line: Vec<u8>,
    more: impl Iterator<Item = String> + Send,
    out: &mut Out<'_>,
) -> Result<(), Gone> {
    if line.ends_with(b"\r\n") {
        line.truncate(line.len() - 2);
    }
    for piece in more {
        line.extend_from_slice(piece.as_bytes());
        if line.len() >= LINE_PIECE {
            out.write(&line).await?;
            line.clear();
        }
    }
    line.extend_from_slice(b"\r\n");
    out.write(&line).await
}
