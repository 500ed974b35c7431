//! Bodies of entries, one layout per kind, version 1. Ids of writers are 16 random bytes, so each
//! body begins with a table of those it uses, and names them by number.

use bytes::Bytes;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::flags::FlagSet;
use mail::uidset::{RANGES_MAX, UidSet};
use mail::{RecordId, Seq, Timestamp, WriterId};

use super::Kind;
use crate::change::{
    ARRIVALS_MAX, AccountObject, Arrival, ArrivalPlace, Change, Effect, FlagOp, MESSAGE_BYTES_MAX,
    MailboxChange, MailboxId, Move, SUMMARY_BYTES_MAX, SpecialUse,
};
use crate::inline::{INLINE_BYTES_MAX, Inline};
use crate::place::{ObjectNonce, SegmentRef, Slot};

/// Most new places in one entry, and most writers that a body names.
const MOVES_MAX: usize = 65_536;
/// Most segments or objects let go in one entry: the state remembers those of 128 entries [F, G].
const LET_GO_MAX: usize = 8_192;
/// Longest mailbox name in all (docs/rules.md).
const NAME_BYTES_MAX: usize = 1_000;
/// Longest key of an effect, and reason of a void.
const TEXT_BYTES_MAX: usize = 512;
/// Longest name of a region.
const REGION_BYTES_MAX: usize = 63;

const AGAIN: u8 = 1;
const FROM_INGEST: u8 = 0;
const FROM_MADE: u8 = 1;
const FROM_ACCOUNT: u8 = 2;
const FROM_INLINE: u8 = 3;

/// The body of a change; bytes of inline messages are added to `inline`. `None` if something in it
/// is over its limit.
pub(super) fn encode(change: &Change, inline: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut writers = Writers::default();
    match change {
        Change::Deliver(arrivals) | Change::Append(arrivals) => {
            put_arrivals(&mut out, arrivals, &mut writers, inline)?;
        }
        Change::Flags { mailbox, uids, op, flags } => {
            put_varint(&mut out, u64::from(mailbox.0));
            out.push(*op as u8);
            flags.encode(&mut out);
            put_uids(&mut out, uids)?;
        }
        Change::Expunge { mailbox, uids } => {
            put_varint(&mut out, u64::from(mailbox.0));
            put_uids(&mut out, uids)?;
        }
        Change::Copy { from, to, uids, is_move } => {
            put_varint(&mut out, u64::from(from.0));
            put_varint(&mut out, u64::from(to.0));
            out.push(u8::from(*is_move));
            put_uids(&mut out, uids)?;
        }
        Change::Mailbox(change) => put_mailbox_change(&mut out, change)?,
        Change::Reloc { moves, released } => {
            put_count(&mut out, moves.len(), MOVES_MAX)?;
            for one in moves {
                put_varint(&mut out, u64::from(one.arrival));
                put_record(&mut out, one.record, &mut writers);
                put_segment(&mut out, one.to.segment, &mut writers);
                put_varint(&mut out, u64::from(one.to.index));
            }
            put_segments(&mut out, released, &mut writers)?;
        }
        Change::Release { segments } => put_segments(&mut out, segments, &mut writers)?,
        Change::Drop { objects } => {
            put_count(&mut out, objects.len(), LET_GO_MAX)?;
            for object in objects {
                let (tag, nonce) = match object {
                    AccountObject::Segment(nonce) => (0, nonce),
                    AccountObject::EntryBody(nonce) => (1, nonce),
                };
                out.push(tag);
                out.extend_from_slice(&nonce.0);
            }
        }
        Change::Effect(Effect { kind, key, until }) => {
            out.push(*kind);
            put_limited(&mut out, key, TEXT_BYTES_MAX)?;
            put_varint(&mut out, until.0);
        }
        Change::Fence { region, epoch } => {
            put_limited(&mut out, region.as_bytes(), REGION_BYTES_MAX)?;
            put_varint(&mut out, u64::from(*epoch));
        }
        Change::Open { waiting } => out.push(u8::from(*waiting)),
        Change::Void { seq, reason } => {
            put_varint(&mut out, seq.0);
            put_limited(&mut out, reason.as_bytes(), TEXT_BYTES_MAX)?;
        }
    }
    if writers.0.is_empty() && !uses_writers(change.kind()) {
        return Some(out);
    }
    let mut body = Vec::with_capacity(out.len() + writers.0.len() * 16 + 2);
    put_varint(&mut body, writers.0.len() as u64);
    writers.0.iter().for_each(|writer| body.extend_from_slice(&writer.0));
    body.extend_from_slice(&out);
    Some(body)
}

const fn uses_writers(kind: Kind) -> bool {
    matches!(kind, Kind::Deliver | Kind::Append | Kind::Reloc | Kind::Release)
}

/// Reads the body of an entry of this kind. `inline` is what follows it in the row.
pub(super) fn decode(kind: Kind, body: &[u8], inline: Bytes) -> Result<Change, Malformed> {
    let mut reader = Reader::new(body);
    let r = &mut reader;
    let mut inline = Blobs(inline);
    let writers = if uses_writers(kind) { Writers::decode(r)? } else { Writers::default() };
    let change = match kind {
        Kind::Deliver => Change::Deliver(take_arrivals(r, &writers, &mut inline)?),
        Kind::Append => Change::Append(take_arrivals(r, &writers, &mut inline)?),
        Kind::Flags => Change::Flags {
            mailbox: MailboxId(r.varint32()?),
            op: match r.byte()? {
                0 => FlagOp::Add,
                1 => FlagOp::Remove,
                2 => FlagOp::Set,
                _ => return Err(Malformed("flags: operation")),
            },
            flags: FlagSet::decode(r)?,
            uids: UidSet::decode(r)?,
        },
        Kind::Expunge => {
            Change::Expunge { mailbox: MailboxId(r.varint32()?), uids: UidSet::decode(r)? }
        }
        Kind::Copy => Change::Copy {
            from: MailboxId(r.varint32()?),
            to: MailboxId(r.varint32()?),
            is_move: take_bool(r)?,
            uids: UidSet::decode(r)?,
        },
        Kind::Mailbox => Change::Mailbox(take_mailbox_change(r)?),
        Kind::Reloc => {
            let moves = take_moves(r, &writers)?;
            Change::Reloc { moves, released: take_segments(r, &writers)? }
        }
        Kind::Release => Change::Release { segments: take_segments(r, &writers)? },
        Kind::Drop => Change::Drop { objects: take_objects(r)? },
        Kind::Effect => Change::Effect(Effect {
            kind: r.byte()?,
            key: Bytes::copy_from_slice(r.bytes(TEXT_BYTES_MAX)?),
            until: Timestamp(r.varint()?),
        }),
        Kind::Fence => {
            Change::Fence { region: r.str(REGION_BYTES_MAX)?.to_owned(), epoch: r.varint32()? }
        }
        Kind::Open => Change::Open { waiting: take_bool(r)? },
        Kind::Void => {
            Change::Void { seq: Seq(r.varint()?), reason: r.str(TEXT_BYTES_MAX)?.to_owned() }
        }
    };
    reader.end()?;
    if inline.0.is_empty() { Ok(change) } else { Err(Malformed("entry: bytes left over")) }
}

/// Table of the writers that a body names.
#[derive(Default)]
struct Writers(Vec<WriterId>);

impl Writers {
    fn number(&mut self, writer: WriterId) -> u64 {
        let at = self.0.iter().position(|known| *known == writer).unwrap_or_else(|| {
            self.0.push(writer);
            self.0.len() - 1
        });
        at as u64
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(MOVES_MAX)?;
        (0..count).map(|_| reader.array().map(WriterId)).collect::<Result<_, _>>().map(Self)
    }

    fn take(&self, reader: &mut Reader<'_>) -> Result<WriterId, Malformed> {
        let at = usize::try_from(reader.varint()?).map_err(|_| Malformed("writer"))?;
        self.0.get(at).copied().ok_or(Malformed("writer"))
    }

    fn take_record(&self, reader: &mut Reader<'_>) -> Result<RecordId, Malformed> {
        Ok(RecordId { writer: self.take(reader)?, counter: reader.varint()? })
    }
}

/// What follows the body in the row: inline messages, one after the other.
struct Blobs(Bytes);

impl Blobs {
    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.0.len() {
            return Err(Malformed("inline body"));
        }
        Ok(self.0.split_to(length))
    }
}

fn put_count(out: &mut Vec<u8>, count: usize, most: usize) -> Option<()> {
    put_varint(out, count as u64);
    (count <= most).then_some(())
}

fn put_limited(out: &mut Vec<u8>, bytes: &[u8], most: usize) -> Option<()> {
    put_bytes(out, bytes);
    (bytes.len() <= most).then_some(())
}

fn put_uids(out: &mut Vec<u8>, uids: &UidSet) -> Option<()> {
    uids.encode(out);
    (uids.ranges().len() <= RANGES_MAX).then_some(())
}

fn put_record(out: &mut Vec<u8>, record: RecordId, writers: &mut Writers) {
    put_varint(out, writers.number(record.writer));
    put_varint(out, record.counter);
}

fn segment_tag(segment: SegmentRef) -> u8 {
    match segment {
        SegmentRef::Ingest { .. } => FROM_INGEST,
        SegmentRef::Made { .. } => FROM_MADE,
        SegmentRef::Account { .. } => FROM_ACCOUNT,
    }
}

/// The parts of a segment reference after its tag.
fn put_segment_parts(out: &mut Vec<u8>, segment: SegmentRef, writers: &mut Writers) {
    match segment {
        SegmentRef::Ingest { writer, number } => {
            put_varint(out, writers.number(writer));
            put_varint(out, number);
        }
        SegmentRef::Made { id } => put_record(out, id, writers),
        SegmentRef::Account { nonce } => out.extend_from_slice(&nonce.0),
    }
}

fn take_segment_parts(
    tag: u8,
    reader: &mut Reader<'_>,
    writers: &Writers,
) -> Result<SegmentRef, Malformed> {
    Ok(match tag {
        FROM_INGEST => {
            SegmentRef::Ingest { writer: writers.take(reader)?, number: reader.varint()? }
        }
        FROM_MADE => SegmentRef::Made { id: writers.take_record(reader)? },
        FROM_ACCOUNT => SegmentRef::Account { nonce: ObjectNonce(reader.array()?) },
        _ => return Err(Malformed("segment")),
    })
}

fn put_segment(out: &mut Vec<u8>, segment: SegmentRef, writers: &mut Writers) {
    out.push(segment_tag(segment));
    put_segment_parts(out, segment, writers);
}

fn take_segment(reader: &mut Reader<'_>, writers: &Writers) -> Result<SegmentRef, Malformed> {
    let tag = reader.byte()?;
    take_segment_parts(tag, reader, writers)
}

fn put_segments(out: &mut Vec<u8>, list: &[SegmentRef], writers: &mut Writers) -> Option<()> {
    put_count(out, list.len(), LET_GO_MAX)?;
    list.iter().for_each(|segment| put_segment(out, *segment, writers));
    Some(())
}

fn take_segments(r: &mut Reader<'_>, writers: &Writers) -> Result<Vec<SegmentRef>, Malformed> {
    let count = r.count(LET_GO_MAX)?;
    (0..count).map(|_| take_segment(r, writers)).collect()
}

fn take_moves(r: &mut Reader<'_>, writers: &Writers) -> Result<Vec<Move>, Malformed> {
    let count = r.count(MOVES_MAX)?;
    let one = |_| {
        let arrival = r.varint32()?;
        let record = writers.take_record(r)?;
        let segment = take_segment(r, writers)?;
        Ok(Move { arrival, record, to: Slot { segment, index: r.varint32()? } })
    };
    (0..count).map(one).collect()
}

fn take_objects(r: &mut Reader<'_>) -> Result<Vec<AccountObject>, Malformed> {
    let count = r.count(LET_GO_MAX)?;
    let one = |_| {
        let tag = r.byte()?;
        let nonce = ObjectNonce(r.array()?);
        match tag {
            0 => Ok(AccountObject::Segment(nonce)),
            1 => Ok(AccountObject::EntryBody(nonce)),
            _ => Err(Malformed("account object")),
        }
    };
    (0..count).map(one).collect()
}

fn put_arrivals(
    out: &mut Vec<u8>,
    arrivals: &[Arrival],
    writers: &mut Writers,
    inline: &mut Vec<u8>,
) -> Option<()> {
    if arrivals.is_empty() || arrivals.len() > ARRIVALS_MAX {
        return None;
    }
    put_varint(out, arrivals.len() as u64);
    let mut before: Option<&Arrival> = None;
    for arrival in arrivals {
        if arrival.again {
            // Record, size, place and summary are those of the arrival before.
            let same = before.is_some_and(|b| {
                b.record == arrival.record && b.size == arrival.size && b.place == arrival.place
            });
            if !same || !arrival.summary.is_empty() {
                return None;
            }
            out.push(AGAIN);
        } else {
            put_new_arrival(out, arrival, writers, inline)?;
        }
        put_varint(out, u64::from(arrival.mailbox.0));
        arrival.flags.encode(out);
        put_varint(out, arrival.date.seconds());
        before = Some(arrival);
    }
    Some(())
}

fn put_new_arrival(
    out: &mut Vec<u8>,
    arrival: &Arrival,
    writers: &mut Writers,
    inline: &mut Vec<u8>,
) -> Option<()> {
    let tag = match &arrival.place {
        ArrivalPlace::Slot(slot) => segment_tag(slot.segment),
        ArrivalPlace::Inline(_) => FROM_INLINE,
    };
    out.push(tag << 1);
    put_record(out, arrival.record, writers);
    match &arrival.place {
        ArrivalPlace::Slot(slot) => {
            put_segment_parts(out, slot.segment, writers);
            put_varint(out, u64::from(slot.index));
        }
        ArrivalPlace::Inline(body) => {
            out.push(u8::from(body.is_compressed()));
            put_varint(out, u64::from(body.raw_bytes()));
            put_varint(out, body.stored().len() as u64);
            out.extend_from_slice(&body.crc().to_be_bytes());
            inline.extend_from_slice(body.stored());
        }
    }
    put_varint(out, arrival.size);
    put_limited(out, &arrival.summary, SUMMARY_BYTES_MAX)?;
    (arrival.size <= MESSAGE_BYTES_MAX).then_some(())
}

fn take_arrivals(
    r: &mut Reader<'_>,
    writers: &Writers,
    inline: &mut Blobs,
) -> Result<Vec<Arrival>, Malformed> {
    let count = r.count(ARRIVALS_MAX)?;
    if count == 0 {
        return Err(Malformed("no arrival"));
    }
    let mut arrivals: Vec<Arrival> = Vec::with_capacity(count);
    for _ in 0..count {
        let tag = r.byte()?;
        let mut arrival = if tag == AGAIN {
            let before = arrivals.last().ok_or(Malformed("arrival: copy of nothing"))?;
            Arrival { again: true, summary: Bytes::new(), ..before.clone() }
        } else {
            take_new_arrival(tag, r, writers, inline)?
        };
        arrival.mailbox = MailboxId(r.varint32()?);
        arrival.flags = FlagSet::decode(r)?;
        arrival.date = Timestamp::from_seconds(r.varint()?);
        arrivals.push(arrival);
    }
    Ok(arrivals)
}

fn take_new_arrival(
    tag: u8,
    r: &mut Reader<'_>,
    writers: &Writers,
    inline: &mut Blobs,
) -> Result<Arrival, Malformed> {
    if tag & AGAIN != 0 {
        return Err(Malformed("arrival"));
    }
    let record = writers.take_record(r)?;
    let place = if tag >> 1 == FROM_INLINE {
        let compressed = take_bool(r)?;
        let raw_bytes = r.varint32()?;
        let length = usize::try_from(r.varint()?).map_err(|_| Malformed("inline body"))?;
        let crc = u32::from_be_bytes(r.array()?);
        if length > INLINE_BYTES_MAX {
            return Err(Malformed("inline body"));
        }
        ArrivalPlace::Inline(Inline::from_parts(inline.take(length)?, compressed, raw_bytes, crc))
    } else {
        let segment = take_segment_parts(tag >> 1, r, writers)?;
        ArrivalPlace::Slot(Slot { segment, index: r.varint32()? })
    };
    let size = u64::from(r.varint32()?);
    let summary = Bytes::copy_from_slice(r.bytes(SUMMARY_BYTES_MAX)?);
    let (mailbox, flags, date) = (MailboxId::INBOX, FlagSet::default(), Timestamp::default());
    Ok(Arrival { record, again: false, mailbox, flags, date, size, place, summary })
}

fn put_mailbox_change(out: &mut Vec<u8>, change: &MailboxChange) -> Option<()> {
    match change {
        MailboxChange::Create { name, special_use } => {
            out.push(0);
            put_limited(out, name.as_bytes(), NAME_BYTES_MAX)?;
            out.push(special_use.map_or(0, SpecialUse::number));
        }
        MailboxChange::Rename { from, to } => {
            out.push(1);
            put_limited(out, from.as_bytes(), NAME_BYTES_MAX)?;
            put_limited(out, to.as_bytes(), NAME_BYTES_MAX)?;
        }
        MailboxChange::Delete { name } => {
            out.push(2);
            put_limited(out, name.as_bytes(), NAME_BYTES_MAX)?;
        }
        MailboxChange::Subscribe { name, on } => {
            out.push(3 + u8::from(*on));
            put_limited(out, name.as_bytes(), NAME_BYTES_MAX)?;
        }
    }
    Some(())
}

fn take_mailbox_change(r: &mut Reader<'_>) -> Result<MailboxChange, Malformed> {
    let tag = r.byte()?;
    let name = r.str(NAME_BYTES_MAX)?.to_owned();
    Ok(match tag {
        0 => {
            let special_use = match r.byte()? {
                0 => None,
                number => Some(SpecialUse::from_number(number).ok_or(Malformed("special use"))?),
            };
            MailboxChange::Create { name, special_use }
        }
        1 => MailboxChange::Rename { from: name, to: r.str(NAME_BYTES_MAX)?.to_owned() },
        2 => MailboxChange::Delete { name },
        3 | 4 => MailboxChange::Subscribe { name, on: tag == 4 },
        _ => return Err(Malformed("mailbox change")),
    })
}

impl SpecialUse {
    const ALL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// How formats write it, from 1.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Archive => 1,
            Self::Drafts => 2,
            Self::Junk => 3,
            Self::Sent => 4,
            Self::Trash => 5,
        }
    }

    /// Reads [`Self::number`].
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number() == number)
    }
}

fn take_bool(r: &mut Reader<'_>) -> Result<bool, Malformed> {
    match r.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("yes or no")),
    }
}
