//! Rows of reports: what is counted for those that go out, and what came in.

use bytes::Bytes;
use engine::Key;
use mail::codec::{Malformed, Reader, put_bytes, put_varint};
use mail::report::{DIGEST_BYTES_MAX, Digest, ReportKind};
use mail::{Domain, RecordId, Timestamp};

use super::ingest::Lease;
use super::{RowValue, hash, put_list, put_text, shard_of, take_list};

/// Partitions of the counts of one time: domains spread over them, and each is worked on by itself.
pub const TALLY_BUCKETS: u8 = 16;

/// Bytes of the counts of one row.
pub const TALLY_BYTES_MAX: usize = 12 * 1024;

/// Reports about one domain that are kept of a day; more are only counted.
pub const RECEIVED_SLOTS: u16 = 512;

/// Counts of one row.
const TALLIES_MAX: usize = 4_096;

/// What was seen, in one count.
const SEEN_BYTES_MAX: usize = 8 * 1024;

const NAME_BYTES_MAX: usize = 255;

const fn number(kind: ReportKind) -> u8 {
    match kind {
        ReportKind::Dmarc => 1,
        ReportKind::Tls => 2,
    }
}

/// Where the counts of a domain lie.
#[must_use]
pub fn tally_bucket(domain: &str) -> u8 {
    shard_of(domain.as_bytes(), u16::from(TALLY_BUCKETS))
}

/// Partition of the counts of a time that begins at `from` (seconds).
#[must_use]
pub fn tallies_partition(kind: ReportKind, from: u64, bucket: u8) -> Vec<u8> {
    let mut partition = vec![b'q', b't', number(kind)];
    partition.extend_from_slice(&from.to_be_bytes());
    partition.push(bucket);
    partition
}

/// Key of counts; `fresh` is random, so that every row is written once, unconditionally.
#[must_use]
pub fn tally_key(kind: ReportKind, from: u64, bucket: u8, fresh: [u8; 16]) -> Key {
    Key::new(tallies_partition(kind, from, bucket), fresh.to_vec())
}

/// How often something was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Whom the report is about.
    pub domain: String,
    /// What was seen: [`mail::report::DmarcSeen`] or [`mail::report::TlsSeen`], encoded.
    pub seen: Vec<u8>,
    /// How often.
    pub count: u64,
}

/// Counts that a process had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TallyRow {
    /// The counts.
    pub tallies: Vec<Tally>,
}

impl RowValue for TallyRow {
    const NAME: &'static str = "tally row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_list(out, &self.tallies, TALLIES_MAX, |out, one| {
            put_text(out, &one.domain, NAME_BYTES_MAX)?;
            put_bytes(out, &one.seen);
            put_varint(out, one.count);
            (one.seen.len() <= SEEN_BYTES_MAX).then_some(())
        })
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tallies = take_list(reader, TALLIES_MAX, |reader| {
            Ok(Tally {
                domain: reader.str(NAME_BYTES_MAX)?.to_owned(),
                seen: reader.bytes(SEEN_BYTES_MAX)?.to_vec(),
                count: reader.varint()?,
            })
        })?;
        Ok(Self { tallies })
    }
}

/// Key of the work on the counts of a time. Put where absent, or by version.
#[must_use]
pub fn report_work_key(kind: ReportKind, from: u64, bucket: u8) -> Key {
    let mut sort = from.to_be_bytes().to_vec();
    sort.push(bucket);
    Key::new(vec![b'q', b'w', number(kind)], sort)
}

/// Who makes reports of the counts of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportWorkRow {
    /// Who, and until when: economy only, ids make it harmless to do it twice.
    pub lease: Lease,
    /// All are made.
    pub done: bool,
}

impl RowValue for ReportWorkRow {
    const NAME: &'static str = "report work row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        self.lease.put(out);
        out.push(u8::from(self.done));
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { lease: Lease::take(reader)?, done: reader.byte()? != 0 })
    }
}

/// Partition of reports that were made and sent.
#[must_use]
pub fn report_sent_partition() -> Vec<u8> {
    vec![b'q', b's']
}

/// Key of a report that is made. Written unconditionally, before the report is: whoever finds its
/// item finished deletes it.
#[must_use]
pub fn report_sent_key(from: u64, id: RecordId) -> Key {
    let mut sort = from.to_be_bytes().to_vec();
    sort.extend_from_slice(&id.to_bytes());
    Key::new(report_sent_partition(), sort)
}

/// A report that is made, and is on its way as an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSentRow {
    /// Its kind.
    pub kind: ReportKind,
    /// Whom it is about.
    pub domain: String,
    /// To whom.
    pub to: String,
    /// The destination of its item.
    pub destination: String,
    /// Since when.
    pub at: Timestamp,
}

impl ReportSentRow {
    /// Reads the sort key made by [`report_sent_key`]: the beginning of its time, and its id.
    #[must_use]
    pub fn parse_sort(sort: &[u8]) -> Option<(u64, RecordId)> {
        let (from, id) = sort.split_at_checked(8)?;
        Some((u64::from_be_bytes(from.try_into().ok()?), RecordId::from_bytes(id)?))
    }
}

impl RowValue for ReportSentRow {
    const NAME: &'static str = "report sent row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.push(number(self.kind));
        put_text(out, &self.domain, NAME_BYTES_MAX)?;
        put_text(out, &self.to, 1_024)?;
        put_text(out, &self.destination, NAME_BYTES_MAX)?;
        put_varint(out, self.at.0);
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = match reader.byte()? {
            1 => ReportKind::Dmarc,
            2 => ReportKind::Tls,
            _ => return Err(Malformed(Self::NAME)),
        };
        Ok(Self {
            kind,
            domain: reader.str(NAME_BYTES_MAX)?.to_owned(),
            to: reader.str(1_024)?.to_owned(),
            destination: reader.str(NAME_BYTES_MAX)?.to_owned(),
            at: Timestamp(reader.varint()?),
        })
    }
}

/// Partition of the reports about a domain of ours.
#[must_use]
pub fn received_partition(domain: &Domain) -> Vec<u8> {
    [b"qr".as_slice(), domain.as_str().as_bytes()].concat()
}

/// Sort key of a report in a slot of a day. Put only where absent.
#[must_use]
pub fn received_sort(day: u32, slot: u16) -> Bytes {
    let mut sort = day.to_be_bytes().to_vec();
    sort.extend_from_slice(&slot.to_be_bytes());
    sort.into()
}

/// The first slot that a report is looked for in.
#[must_use]
pub fn received_slot(organisation: &str, id: &str) -> u16 {
    let said = [organisation.as_bytes(), &[0], id.as_bytes()].concat();
    u16::try_from(hash(&said) % u32::from(RECEIVED_SLOTS)).unwrap_or_default()
}

/// Reads the sort key made by [`received_sort`]; no slot: [`refused_key`].
#[must_use]
pub fn parse_received_sort(sort: &[u8]) -> Option<(u32, Option<u16>)> {
    let (day, slot) = sort.split_at_checked(4)?;
    let slot = u16::from_be_bytes(slot.try_into().ok()?);
    Some((u32::from_be_bytes(day.try_into().ok()?), (slot < RECEIVED_SLOTS).then_some(slot)))
}

/// A report that came in, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRow {
    /// When.
    pub at: Timestamp,
    /// Whether its sender is who it says to be (DMARC passed).
    pub verified: bool,
    /// The domain of its sender.
    pub from: String,
    /// What it says.
    pub digest: Digest,
}

impl RowValue for ReceivedRow {
    const NAME: &'static str = "received report row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_varint(out, self.at.0);
        out.push(u8::from(self.verified));
        put_text(out, &self.from, NAME_BYTES_MAX)?;
        let digest = self.digest.encode();
        put_bytes(out, &digest);
        (digest.len() <= DIGEST_BYTES_MAX).then_some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            at: Timestamp(reader.varint()?),
            verified: reader.byte()? != 0,
            from: reader.str(NAME_BYTES_MAX)?.to_owned(),
            digest: Digest::decode(reader.bytes(DIGEST_BYTES_MAX)?)?,
        })
    }
}

/// Key of the counts of reports that were not kept on a day. By version.
#[must_use]
pub fn refused_key(domain: &Domain, day: u32) -> Key {
    Key::new(received_partition(domain), received_sort(day, u16::MAX))
}

/// Reports of a day that were not kept; their messages are in the mailbox all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedRow {
    /// They could not be read.
    pub malformed: u64,
    /// They are about others' domains.
    pub foreign: u64,
    /// There were too many.
    pub over: u64,
}

impl RowValue for RefusedRow {
    const NAME: &'static str = "refused reports row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        [self.malformed, self.foreign, self.over].iter().for_each(|one| put_varint(out, *one));
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { malformed: reader.varint()?, foreign: reader.varint()?, over: reader.varint()? })
    }
}

/// Shards of remembered policies.
const POLICY_SHARDS: u16 = 16;

/// Key of a domain's MTA-STS policy. Written unconditionally; expires when the policy does.
#[must_use]
pub fn sts_policy_key(domain: &Domain) -> Key {
    let name = domain.as_str().as_bytes();
    Key::new(vec![b'q', b'p', shard_of(name, POLICY_SHARDS)], name.to_vec())
}

/// The MTA-STS policy of another domain, as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicyRow {
    /// Of the TXT record it was fetched for.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Until when it holds.
    pub until: Timestamp,
}

impl RowValue for StsPolicyRow {
    const NAME: &'static str = "MTA-STS policy row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_text(out, &self.id, NAME_BYTES_MAX)?;
        put_text(out, &self.text, 14 * 1024)?;
        put_varint(out, self.until.0);
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: reader.str(NAME_BYTES_MAX)?.to_owned(),
            text: reader.str(14 * 1024)?.to_owned(),
            until: Timestamp(reader.varint()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use mail::WriterId;

    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn rows_of_reports_survive_and_sort_by_time() {
        let tally =
            |domain: &str| Tally { domain: domain.into(), seen: vec![1, 2, 3], count: 70_000 };
        survives(&TallyRow { tallies: vec![tally("a.test"), tally("b.test")] });
        let lease = Lease { holder: WriterId([7; 16]), until: Timestamp(9) };
        survives(&ReportWorkRow { lease, done: true });
        let sent = ReportSentRow {
            kind: ReportKind::Tls,
            domain: "a.test".into(),
            to: "x@b.test".into(),
            destination: "b.test".into(),
            at: Timestamp(5),
        };
        survives(&sent);
        let digest = Digest { organisation: "o".into(), id: "i".into(), ..Digest::default() };
        survives(&ReceivedRow { at: Timestamp(5), verified: true, from: "c.test".into(), digest });
        survives(&StsPolicyRow { id: "1".into(), text: "mode: x".into(), until: Timestamp(7) });
        survives(&RefusedRow { malformed: 300, foreign: 1, over: 0 });
        let id = RecordId { writer: WriterId([1; 16]), counter: 2 };
        assert_eq!(ReportSentRow::parse_sort(&report_sent_key(8, id).sort), Some((8, id)));
        assert_eq!(parse_received_sort(&received_sort(7, 511)), Some((7, Some(511))));
        let domain = Domain::parse("a.test").unwrap();
        assert_eq!(parse_received_sort(&refused_key(&domain, 7).sort), Some((7, None)));
        assert!(refused_key(&domain, 7).sort < received_sort(8, 0));
        assert!(received_slot("a", "b") < RECEIVED_SLOTS);
        assert!(tally_bucket("example.test") < TALLY_BUCKETS);
    }
}
