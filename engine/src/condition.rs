//! What every index engine decides alike: limits, and whether a condition holds.

use crate::{
    Expect, KEY_BYTES_MAX, Key, Nonce, Op, ReadError, Row, VALUE_BYTES_MAX, Version, WriteError,
};

/// What a conditional operation comes to, given what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The condition holds: carry it out.
    Go,
    /// The condition fails because this very write has already succeeded [M].
    Already,
    /// The condition fails.
    Conflict,
}

/// Version and nonce of a row: all that a condition looks at.
pub(crate) type Mark = (Version, Nonce);

/// Judges `expect` against the row that is there. `own`: what a put would write; a row with that
/// version and nonce is our own earlier write [M].
pub(crate) fn judge(found: Option<Mark>, expect: Expect, own: Option<Mark>) -> Verdict {
    let holds = match expect {
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found.is_some_and(|(there, _)| there == version),
        Expect::Any => true,
    };
    match holds {
        true => Verdict::Go,
        false if found.is_some() && found == own => Verdict::Already,
        false => Verdict::Conflict,
    }
}

/// Why a key or row is refused by every engine alike [Q].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Limit {
    #[error("a part of the key is empty")]
    EmptyKey,
    #[error("key of {0} bytes, at most {KEY_BYTES_MAX}")]
    KeyBytes(usize),
    #[error("value of {0} bytes, at most {VALUE_BYTES_MAX}")]
    ValueBytes(usize),
    #[error("version or expiry of {0}, below 2^63")]
    Number(u64),
}

impl From<Limit> for WriteError {
    fn from(limit: Limit) -> Self {
        Self::Refused(limit.into())
    }
}

impl From<Limit> for ReadError {
    fn from(limit: Limit) -> Self {
        Self::Refused(limit.into())
    }
}

pub(crate) fn check_key(key: &Key) -> Result<(), Limit> {
    if key.partition.is_empty() || key.sort.is_empty() {
        return Err(Limit::EmptyKey);
    }
    match key.partition.len() + key.sort.len() {
        bytes if bytes > KEY_BYTES_MAX => Err(Limit::KeyBytes(bytes)),
        _ => Ok(()),
    }
}

fn check_number(number: u64) -> Result<(), Limit> {
    i64::try_from(number).map(|_| ()).map_err(|_| Limit::Number(number))
}

pub(crate) fn check_row(row: &Row) -> Result<(), Limit> {
    if row.value.len() > VALUE_BYTES_MAX {
        return Err(Limit::ValueBytes(row.value.len()));
    }
    check_number(row.version.0)?;
    row.expiry.map_or(Ok(()), |expiry| check_number(expiry.0))
}

fn check_expect(expect: Expect) -> Result<(), Limit> {
    match expect {
        Expect::Version(version) => check_number(version.0),
        Expect::Absent | Expect::Any => Ok(()),
    }
}

pub(crate) fn check_op(op: &Op) -> Result<(), Limit> {
    check_key(op.key())?;
    check_expect(op.expect())?;
    match op {
        Op::Put { row, .. } => check_row(row),
        Op::Delete { .. } | Op::Check { .. } => Ok(()),
    }
}

/// A range is refused for what no row could have.
pub(crate) fn check_range(range: &crate::Range) -> Result<(), Limit> {
    if range.partition.is_empty() {
        return Err(Limit::EmptyKey);
    }
    let bound = [&range.from, &range.to].into_iter().flatten().map(|b| b.len()).max().unwrap_or(0);
    match range.partition.len() + bound {
        bytes if bytes > KEY_BYTES_MAX => Err(Limit::KeyBytes(bytes)),
        _ => Ok(()),
    }
}

impl Op {
    /// The row it is about.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// Its condition.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } | Self::Check { expect, .. } => {
                *expect
            }
        }
    }

    /// What it is judged as: only a put can find itself already done.
    pub(crate) const fn own(&self) -> Option<Mark> {
        match self {
            Self::Put { row, .. } => Some((row.version, row.nonce)),
            Self::Delete { .. } | Self::Check { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_condition_is_first_compared_with_the_nonce() {
        let mine = (Version(2), Nonce([1; 8]));
        let theirs = (Version(2), Nonce([9; 8]));
        let check = |found, expect, own, verdict| assert_eq!(judge(found, expect, own), verdict);
        check(None, Expect::Absent, Some(mine), Verdict::Go);
        check(Some(mine), Expect::Absent, Some(mine), Verdict::Already);
        check(Some(theirs), Expect::Absent, Some(mine), Verdict::Conflict);
        check(Some(mine), Expect::Version(Version(1)), Some(mine), Verdict::Already);
        check(Some(theirs), Expect::Version(Version(2)), Some(mine), Verdict::Go);
        check(None, Expect::Version(Version(2)), None, Verdict::Conflict);
        check(Some(theirs), Expect::Any, None, Verdict::Go);
    }
}
