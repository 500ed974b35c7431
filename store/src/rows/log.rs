//! Rows of an account's log: the pointer to its checkpoint, and the ring of its entries [A].

use engine::Key;
use mail::codec::{Malformed, Reader, put_varint};
use mail::{Account, Seq};

use super::{RowValue, put_text};
use crate::entry::Totals;
use crate::place::ObjectNonce;

/// Rows in the ring: entry seq lies in slot `seq mod RING`.
pub const RING: u64 = 128;

/// Partition of an account's log.
#[must_use]
pub fn log_partition(account: Account) -> Vec<u8> {
    let mut partition = vec![b'l'];
    partition.extend_from_slice(&account.to_bytes());
    partition
}

/// Key of the pointer row. Written by version only (absent: the first checkpoint) [I].
#[must_use]
pub fn pointer_key(account: Account) -> Key {
    Key::new(log_partition(account), vec![0])
}

/// Which row of the ring an entry lies in.
#[must_use]
pub fn entry_slot(seq: Seq) -> u8 {
    u8::try_from(seq.0 % RING).unwrap_or_default()
}

/// Key of the row of an entry. Its version is the seq. Written only where absent (the first
/// [`RING`] of the epoch) or over version `seq - RING`, and only if that one is in a checkpoint [A].
#[must_use]
pub fn entry_key(account: Account, seq: Seq) -> Key {
    Key::new(log_partition(account), vec![1, entry_slot(seq)])
}

/// Names a checkpoint: its root is `names::checkpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRef {
    /// The state it holds is that after this entry.
    pub seq: Seq,
    /// Names its objects.
    pub nonce: ObjectNonce,
}

/// Whether a log takes mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    #[default]
    Open,
    /// Not yet: the log before it is still being copied [n].
    Waiting,
    /// No more: the next log is there [n].
    Fenced {
        /// Its region, at most 63 bytes.
        region: String,
        /// Its epoch.
        epoch: u32,
    },
}

impl Phase {
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Open => out.push(0),
            Self::Waiting => out.push(1),
            Self::Fenced { region, epoch } => {
                out.push(2);
                put_text(out, region, 63)?;
                put_varint(out, u64::from(*epoch));
            }
        }
        Some(())
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.byte()? {
            0 => Self::Open,
            1 => Self::Waiting,
            2 => Self::Fenced { region: reader.str(63)?.to_owned(), epoch: reader.varint32()? },
            _ => return Err(Malformed("phase")),
        })
    }
}

/// The pointer row: where the account's checkpoint is. An account without one has no checkpoint
/// yet: its log is read from the first entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The checkpoint; its seq is C: entries up to C may be overwritten. `None`: C is `first - 1`.
    pub checkpoint: Option<CheckpointRef>,
    /// First seq of this epoch (1, or where a moved account's log goes on).
    pub first: Seq,
    /// Totals at C, for listing accounts without opening them.
    pub totals: Totals,
    /// State of the log.
    pub phase: Phase,
}

impl Pointer {
    /// Seq of the last entry that is in the checkpoint.
    #[must_use]
    pub fn checkpointed(&self) -> Seq {
        self.checkpoint.map_or(Seq(self.first.0.saturating_sub(1)), |checkpoint| checkpoint.seq)
    }
}

impl Default for Pointer {
    fn default() -> Self {
        Self { checkpoint: None, first: Seq(1), totals: Totals::default(), phase: Phase::Open }
    }
}

impl RowValue for Pointer {
    const NAME: &'static str = "pointer row";

    fn put(&self, out: &mut Vec<u8>) -> Option<()> {
        match self.checkpoint {
            None => out.push(0),
            Some(CheckpointRef { seq, nonce }) => {
                out.push(1);
                put_varint(out, seq.0);
                out.extend_from_slice(&nonce.0);
            }
        }
        put_varint(out, self.first.0);
        put_varint(out, self.totals.messages);
        put_varint(out, self.totals.bytes);
        self.phase.put(out)
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let checkpoint = match reader.byte()? {
            0 => None,
            1 => Some(CheckpointRef {
                seq: Seq(reader.varint()?),
                nonce: ObjectNonce(reader.array()?),
            }),
            _ => return Err(Malformed(Self::NAME)),
        };
        let first = Seq(reader.varint()?);
        let totals = Totals { messages: reader.varint()?, bytes: reader.varint()? };
        Ok(Self { checkpoint, first, totals, phase: Phase::take(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use mail::{AccountId, Epoch};

    use super::*;
    use crate::rows::tests::survives;

    #[test]
    fn pointers_survive() {
        survives(&Pointer::default());
        survives(&Pointer {
            checkpoint: Some(CheckpointRef { seq: Seq(640), nonce: ObjectNonce([7; 8]) }),
            first: Seq(513),
            totals: Totals { messages: 3, bytes: 1 << 40 },
            phase: Phase::Fenced { region: "lima".into(), epoch: 4 },
        });
    }

    #[test]
    fn the_ring_is_a_range_behind_the_pointer() {
        let account = Account { id: AccountId([3; 16]), epoch: Epoch(1) };
        let pointer = pointer_key(account);
        let entry = entry_key(account, Seq(129));
        assert_eq!(pointer.partition, entry.partition);
        assert_eq!(pointer.partition.len(), 21);
        assert!(pointer.sort < entry.sort);
        assert_eq!(entry.sort, entry_key(account, Seq(1)).sort);
        assert_eq!(&entry.sort[..], [1, 1]);
        assert!(entry_key(account, Seq(127)).sort > entry_key(account, Seq(126)).sort);
    }
}
