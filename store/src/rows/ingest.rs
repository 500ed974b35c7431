//! Rows about ingest segments: who writes them, and who delivers each.

use std::time::Duration;

use engine::{Key, Nonce};
use mail::codec::{Malformed, Reader, put_varint};
use mail::{Account, Address, RecordId, Timestamp, WriterId};

use super::items::{ItemKey, ItemKind};
use super::{RowValue, put_list, put_text, take_list};

/// Most members (accounts and items) of a plan when it is made; more become `fan` items [δ].
pub const PLAN_MEMBERS_MAX: usize = 500;

/// Most bytes of an encoded plan when it is made.
pub const PLAN_BYTES_MAX: usize = 12 * 1024;

/// Most bytes of a plan that items were added to for what could not be appended [O′]: the claim
/// row still fits [Q].
const PLAN_GROWN_BYTES_MAX: usize = 15 * 1024 + 768;

/// Most accounts, and most items, of such a plan.
const PLAN_GROWN_MEMBERS_MAX: usize = 1_000;

/// Most recipients of one member of a plan.
const MAIL_MAX: usize = 4_096;

/// Longest text of a canonical address.
const ADDRESS_BYTES_MAX: usize = 1_024;

/// Partition of all writer rows.
#[must_use]
pub fn writers_partition() -> Vec<u8> {
    vec![b'w']
}

/// Key of a writer's row. The edge puts it where absent, before its first segment [K]; the sweep
/// changes it by version.
#[must_use]
pub fn writer_key(writer: WriterId) -> Key {
    Key::new(writers_partition(), writer.0.to_vec())
}

/// Life of a writer [γ].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterState {
    /// It puts segments.
    Open,
    /// Its *end* tombstones are being put.
    Ending,
    /// Eight *end* tombstones stand in a row: nothing of it can ever land again.
    Ended {
        /// Since when.
        at: Timestamp,
    },
}

/// A writer: one incarnation of one edge, or one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterRow {
    /// The edge's name, for people; at most 63 bytes.
    pub edge: String,
    /// When it began.
    pub started: Timestamp,
    /// All numbers up to it are done or closed.
    pub watermark: u64,
    /// Life.
    pub state: WriterState,
    /// Highest number seen by the sweep.
    pub last: u64,
}

impl RowValue for WriterRow {
    const NAME: &'static str = "writer row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        put_text(out, &self.edge, 63)?;
        put_varint(out, self.started.0);
        put_varint(out, self.watermark);
        put_varint(out, self.last);
        match self.state {
            WriterState::Open => out.push(0),
            WriterState::Ending => out.push(1),
            WriterState::Ended { at } => {
                out.push(2);
                put_varint(out, at.0);
            }
        }
        Some(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let edge = reader.str(63)?.to_owned();
        let started = Timestamp(reader.varint()?);
        let watermark = reader.varint()?;
        let last = reader.varint()?;
        let state = match reader.byte()? {
            0 => WriterState::Open,
            1 => WriterState::Ending,
            2 => WriterState::Ended { at: Timestamp(reader.varint()?) },
            _ => return Err(Malformed(Self::NAME)),
        };
        Ok(Self { edge, started, watermark, state, last })
    }
}

/// Partition of the claims of a writer's segments.
#[must_use]
pub fn claims_partition(writer: WriterId) -> Vec<u8> {
    let mut partition = vec![b'c'];
    partition.extend_from_slice(&writer.0);
    partition
}

/// Key of the claim of a segment. Put where absent, or taken over by version; its version is the
/// fence, one up with each write.
#[must_use]
pub fn claim_key(writer: WriterId, number: u64) -> Key {
    Key::new(claims_partition(writer), number.to_be_bytes().to_vec())
}

/// Who works on something, and until when. Only economy for a claim: any number of deliverers at
/// once is correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The process.
    pub holder: WriterId,
    /// Store time.
    pub until: Timestamp,
}

impl Lease {
    /// Whether it runs, by this process's clock; `longest` is what a lease of its kind is given for.
    /// One that was taken by a clock a little ahead of ours runs too; one by a clock that was far ahead
    /// counts for nothing (I10).
    #[must_use]
    pub fn is_live(&self, now: Timestamp, longest: Duration) -> bool {
        self.until > now && self.until <= now.after(longest.saturating_mul(2))
    }

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.holder.0);
        put_varint(out, self.until.0);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let holder = WriterId(reader.array()?);
        Ok(Self { holder, until: Timestamp(reader.varint()?) })
    }
}

/// What of a segment goes to one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanAccount {
    /// The account's log.
    pub account: Account,
    /// (record's number in the segment, recipient's number in its envelope), aliases and groups
    /// expanded; at least one.
    pub mail: Vec<(u32, u32)>,
}

/// What of a segment becomes one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanItem {
    /// The item's key.
    pub key: ItemKey,
    /// The recipients it stands for, by number in the record's envelope.
    pub recipients: Vec<u32>,
    /// Where an address of ours forwards: the one recipient is this address, and the item goes to
    /// these; empty: to the recipients as they are.
    pub targets: Vec<Address>,
}

impl PlanItem {
    /// One that goes to its recipients as they are.
    #[must_use]
    pub const fn new(key: ItemKey, recipients: Vec<u32>) -> Self {
        Self { key, recipients, targets: Vec::new() }
    }
}

/// What a segment becomes: fixed before its first effect, used for ever [H].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Accounts of this store.
    pub accounts: Vec<PlanAccount>,
    /// Everything else, and what could not be appended [O′].
    pub items: Vec<PlanItem>,
}

impl Plan {
    /// Whether it is within the limits of a plan that is made; if not, members become `fan` items.
    #[must_use]
    pub fn fits(&self) -> bool {
        let mut out = Vec::new();
        self.put(&mut out).is_some()
            && self.accounts.len() + self.items.len() <= PLAN_MEMBERS_MAX
            && out.len() <= PLAN_BYTES_MAX
    }

    /// Whether it still fits its row; one that items were added to may be larger than [`Self::fits`].
    #[must_use]
    pub fn fits_row(&self) -> bool {
        self.put(&mut Vec::new()).is_some()
    }

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        let put_pair = |out: &mut Vec<u8>, (record, recipient): &(u32, u32)| {
            put_varint(out, u64::from(*record));
            put_varint(out, u64::from(*recipient));
            Some(())
        };
        put_list(out, &self.accounts, PLAN_GROWN_MEMBERS_MAX, |out, one| {
            out.extend_from_slice(&one.account.to_bytes());
            put_list(out, &one.mail, MAIL_MAX, put_pair)
        })?;
        put_list(out, &self.items, PLAN_GROWN_MEMBERS_MAX, |out, one| {
            one.key.put(out)?;
            put_list(out, &one.recipients, MAIL_MAX, |out, recipient| {
                put_varint(out, u64::from(*recipient));
                Some(())
            })
        })?;
        // Nothing of this stands in a plan that forwards nothing, which is most of them.
        if self.forwards() {
            self.put_targets(out)?;
        }
        (out.len() - start <= PLAN_GROWN_BYTES_MAX).then_some(())
    }

    /// Whether anything of it goes on to addresses outside.
    fn forwards(&self) -> bool {
        self.items.iter().any(|item| !item.targets.is_empty())
    }

    fn put_targets(&self, out: &mut Vec<u8>) -> Option<()> {
        let forwarding = self.items.iter().enumerate().filter(|(_, item)| !item.targets.is_empty());
        put_varint(out, forwarding.clone().count() as u64);
        for (number, item) in forwarding {
            put_varint(out, number as u64);
            put_list(out, &item.targets, MAIL_MAX, |out, target| {
                put_text(out, &target.to_string(), ADDRESS_BYTES_MAX)
            })?;
        }
        Some(())
    }

    fn take_targets(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let wrong = Malformed("plan: target");
        for _ in 0..reader.count(PLAN_GROWN_MEMBERS_MAX)? {
            let number = usize::try_from(reader.varint()?).map_err(|_| wrong)?;
            let item = self.items.get_mut(number).ok_or(wrong)?;
            item.targets = take_list(reader, MAIL_MAX, |r| {
                Address::parse(r.str(ADDRESS_BYTES_MAX)?).map_err(|_| wrong)
            })?;
        }
        Ok(())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let accounts = take_list(reader, PLAN_GROWN_MEMBERS_MAX, |r| {
            let account = Account::from_bytes(r.take(20)?).ok_or(Malformed("account"))?;
            let mail = take_list(r, MAIL_MAX, |r| Ok((r.varint32()?, r.varint32()?)))?;
            Ok(PlanAccount { account, mail })
        })?;
        let items = take_list(reader, PLAN_GROWN_MEMBERS_MAX, |r| {
            let key = ItemKey::take(r)?;
            Ok(PlanItem::new(key, take_list(r, MAIL_MAX, |r| r.varint32())?))
        })?;
        Ok(Self { accounts, items })
    }
}

/// Whether every member of the plan has its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// Not yet.
    Open,
    /// All have.
    Done,
}

/// Who delivers a segment, and what it becomes. Lives as long as the segment [E].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Open or done.
    pub state: ClaimState,
    /// The plan.
    pub plan: Plan,
    /// Who works on it.
    pub lease: Lease,
    /// How often it was begun.
    pub tries: u32,
}

impl Claim {
    /// Whether the plan names this item: one that is not named does nothing [O′].
    #[must_use]
    pub fn names_item(&self, key: &ItemKey) -> bool {
        self.plan.items.iter().any(|item| item.key == *key)
    }
}

impl RowValue for Claim {
    const NAME: &'static str = "claim row";
    const VERSION_MAX: u8 = 2;

    fn version(&self) -> u8 {
        1 + u8::from(self.plan.forwards())
    }

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.push(u8::from(self.state == ClaimState::Done));
        self.lease.put(out);
        put_varint(out, u64::from(self.tries));
        self.plan.put(out)
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let state = match reader.byte()? {
            0 => ClaimState::Open,
            1 => ClaimState::Done,
            _ => return Err(Malformed(Self::NAME)),
        };
        let lease = Lease::take(reader)?;
        let tries = reader.varint32()?;
        Ok(Self { state, plan: Plan::take(reader)?, lease, tries })
    }

    fn take_more(mut self, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        self.plan.take_targets(reader)?;
        Ok(self)
    }
}

/// Partition of the fan pages of a writer's segments.
#[must_use]
pub fn fan_pages_partition(writer: WriterId) -> Vec<u8> {
    let mut partition = vec![b'f'];
    partition.extend_from_slice(&writer.0);
    partition
}

/// Key of the first page of an item, put where absent; with a nonce and a number that of a further
/// page of it.
#[must_use]
pub fn fan_page_key(
    writer: WriterId,
    number: u64,
    item: &ItemKey,
    further: Option<(Nonce, u16)>,
) -> Key {
    let mut sort = number.to_be_bytes().to_vec();
    sort.extend(item.to_sort());
    sort.push(u8::from(further.is_some()));
    if let Some((nonce, page)) = further {
        sort.extend_from_slice(&nonce.0);
        sort.extend_from_slice(&page.to_be_bytes());
    }
    Key::new(fan_pages_partition(writer), sort)
}

/// Whom a `fan` or a parked item reaches: fixed before its first effect, used for ever [H, δ].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanPage {
    /// Of the run that made it: names its further pages, which were there before the first.
    pub nonce: Nonce,
    /// Further pages.
    pub further: u16,
    /// Its members.
    pub plan: Plan,
}

impl RowValue for FanPage {
    const NAME: &'static str = "fan page";
    const VERSION_MAX: u8 = 2;

    fn version(&self) -> u8 {
        1 + u8::from(self.plan.forwards())
    }

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&self.nonce.0);
        put_varint(out, u64::from(self.further));
        self.plan.put(out)
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let nonce = Nonce(reader.array()?);
        let further = u16::try_from(reader.varint()?).map_err(|_| Malformed(Self::NAME))?;
        Ok(Self { nonce, further, plan: Plan::take(reader)? })
    }

    fn take_more(mut self, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        self.plan.take_targets(reader)?;
        Ok(self)
    }
}

impl ItemKey {
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(&self.id.to_bytes());
        out.push(self.kind.number());
        put_text(out, &self.destination, 255)?;
        put_varint(out, u64::from(self.k));
        Some(())
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let id = RecordId::from_bytes(reader.take(24)?).ok_or(Malformed("item"))?;
        let kind = ItemKind::from_number(reader.byte()?).ok_or(Malformed("item"))?;
        let destination = reader.str(255)?.to_owned();
        let k = u16::try_from(reader.varint()?).map_err(|_| Malformed("item"))?;
        Ok(Self { id, kind, destination, k })
    }
}

#[cfg(test)]
mod tests {
    use mail::{AccountId, Epoch};

    use super::*;
    use crate::rows::tests::survives;

    fn claim(accounts: usize) -> Claim {
        let account = |i: usize| {
            let mut id = [9; 16];
            id[..8].copy_from_slice(&(i as u64).to_be_bytes());
            Account { id: AccountId(id), epoch: Epoch(1) }
        };
        let accounts = (0..accounts)
            .map(|i| PlanAccount {
                account: account(i),
                mail: vec![(u32::try_from(i % 128).unwrap(), 0)],
            })
            .collect();
        Claim {
            state: ClaimState::Open,
            plan: Plan { accounts, items: Vec::new() },
            lease: Lease { holder: WriterId([4; 16]), until: Timestamp(1 << 41) },
            tries: 2,
        }
    }

    #[test]
    fn writers_and_claims_survive() {
        for state in
            [WriterState::Open, WriterState::Ending, WriterState::Ended { at: Timestamp(9) }]
        {
            let edge = "riga-1".into();
            survives(&WriterRow { edge, started: Timestamp(5), watermark: 300, state, last: 301 });
        }
        let mut one = claim(3);
        let id = RecordId { writer: WriterId([1; 16]), counter: 7 };
        let key = ItemKey { id, kind: ItemKind::Local, destination: "ab.1".into(), k: 0 };
        one.plan.items.push(PlanItem::new(key.clone(), vec![0, 300]));
        assert!(one.names_item(&key));
        assert!(!one.names_item(&ItemKey { k: 1, ..key }));
        survives(&one);
        one.plan.items[0].targets = vec![Address::parse("ana@far.test").unwrap()];
        survives(&one);
        survives(&Claim { state: ClaimState::Done, plan: Plan::default(), ..one });
    }

    #[test]
    fn five_hundred_accounts_fit_and_one_more_does_not() {
        assert!(claim(500).encode().unwrap().len() < 12 * 1024 + 64);
        assert!(!claim(501).plan.fits());
    }

    #[test]
    fn a_plan_that_has_grown_fits_its_row_or_is_refused() {
        // 400 records to one account that cannot take them: an item each.
        let mut one = claim(1);
        one.plan.accounts[0].mail = (0..400).map(|i| (i, 0)).collect();
        let item = |counter| {
            let id = RecordId { writer: WriterId([1; 16]), counter };
            let key = ItemKey { id, kind: ItemKind::Fan, destination: String::new(), k: 0 };
            PlanItem::new(key, vec![0])
        };
        one.plan.items.extend((0..400).map(item));
        assert!(one.plan.fits_row());
        survives(&one);
        one.plan.items.extend((400..600).map(item));
        assert!(!one.plan.fits_row());
        assert!(one.encode().is_err());
    }

    #[test]
    fn fan_pages_lie_by_segment_and_item() {
        let (id, nonce) = (RecordId { writer: WriterId([1; 16]), counter: 7 }, Nonce([3; 8]));
        let item = ItemKey { id, kind: ItemKind::Fan, destination: String::new(), k: 1 };
        let writer = WriterId([2; 16]);
        let first = fan_page_key(writer, 5, &item, None);
        let further = fan_page_key(writer, 5, &item, Some((nonce, 1)));
        assert!(first.sort < further.sort && further.sort[..8] == 5_u64.to_be_bytes());
        assert_eq!(first.partition, fan_pages_partition(writer));
        survives(&FanPage { nonce, further: 300, plan: claim(3).plan });
    }

    #[test]
    fn claims_of_a_writer_sort_by_number() {
        let writer = WriterId([2; 16]);
        assert!(claim_key(writer, 255).sort < claim_key(writer, 256).sort);
        assert_eq!(claim_key(writer, 1).partition, claims_partition(writer));
    }

    // I10.
    #[test]
    fn a_lease_runs_by_a_clock_that_is_a_little_behind_and_not_for_longer_than_two() {
        let longest = Duration::from_secs(60);
        let now = Timestamp(1_000_000);
        for (until, live) in [
            (999_999, false),
            (1_000_000, false),
            (1_000_001, true),
            (1_061_000, true),
            (1_120_001, false),
        ] {
            let lease = Lease { holder: WriterId([1; 16]), until: Timestamp(until) };
            assert_eq!(lease.is_live(now, longest), live, "{until}");
        }
    }
}
