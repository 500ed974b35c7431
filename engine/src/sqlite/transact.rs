//! Single operations inside a transaction.

use mail::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::condition::{Mark, Verdict, check_op, judge};
use crate::{Key, Nonce, Op, Row, Version, WriteError};

/// Expired rows removed at once, at most.
pub(super) const SWEPT_AT_ONCE: usize = 200;

/// A number as `SQLite` keeps it. The limits of the interface keep all below 2^63.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as it was kept.
pub(super) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// How one operation ended, if the transaction can go on.
pub(super) type Ended = Result<bool, WriteError>;

/// Carries out one operation; `Ok(true)`: it changed something.
/// # Errors
/// The outer one ends the transaction: nothing of it has happened.
pub(super) fn operate(connection: &Connection, op: &Op) -> rusqlite::Result<Ended> {
    if let Err(limit) = check_op(op) {
        return Ok(Err(limit.into()));
    }
    let found = find(connection, op.key())?;
    let mark = found.map(|(_, mark)| mark);
    match judge(mark, op.expect(), op.own()) {
        Verdict::Already => return Ok(Ok(false)),
        Verdict::Conflict => return Ok(Err(WriteError::Conflict)),
        Verdict::Go => {}
    }
    match (op, found) {
        (Op::Check { .. }, _) | (Op::Delete { .. }, None) => Ok(Ok(false)),
        (Op::Delete { .. }, Some((id, _))) => {
            connection.prepare_cached("DELETE FROM rows WHERE id = ?1")?.execute([id])?;
            Ok(Ok(true))
        }
        (Op::Put { row, .. }, Some((id, _))) => {
            update(connection, id, row)?;
            Ok(Ok(true))
        }
        (Op::Put { key, row, .. }, None) => {
            insert(connection, key, row)?;
            Ok(Ok(true))
        }
    }
}

fn find(connection: &Connection, key: &Key) -> rusqlite::Result<Option<(i64, Mark)>> {
    connection
        .prepare_cached("SELECT id, n, o FROM rows WHERE p = ?1 AND s = ?2")?
        .query_row(params![&*key.partition, &*key.sort], |row| {
            let mark = (Version(from_sql(row.get(1)?)), Nonce(row.get(2)?));
            Ok((row.get(0)?, mark))
        })
        .optional()
}

fn update(connection: &Connection, id: i64, row: &Row) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE rows SET v = ?2, n = ?3, o = ?4, x = ?5 WHERE id = ?1")?
        .execute(params![id, &*row.value, to_sql(row.version.0), row.nonce.0, expiry(row)])?;
    Ok(())
}

fn insert(connection: &Connection, key: &Key, row: &Row) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO rows (p, s, v, n, o, x) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            &*key.partition,
            &*key.sort,
            &*row.value,
            to_sql(row.version.0),
            row.nonce.0,
            expiry(row)
        ])?;
    Ok(())
}

fn expiry(row: &Row) -> Option<i64> {
    row.expiry.map(|expiry| to_sql(expiry.0))
}

/// Removes some rows whose expiry is past. Returns how many.
pub(super) fn sweep(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM rows WHERE id IN
             (SELECT id FROM rows WHERE x IS NOT NULL AND x < ?1 ORDER BY x LIMIT ?2)",
        )?
        .execute(params![to_sql(now.0), to_sql(SWEPT_AT_ONCE as u64)])
}
