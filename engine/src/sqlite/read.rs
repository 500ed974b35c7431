//! The threads that read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mail::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::connection::connect;
use super::transact::from_sql;
use super::{Closed, Health};
use crate::{Key, Nonce, Order, Range, ReadError, Row, Version};

/// What somebody wants to know.
pub(super) enum Question {
    Get(Key, oneshot::Sender<Result<Option<Row>, ReadError>>),
    Range(Range, oneshot::Sender<Result<Vec<(Bytes, Row)>, ReadError>>),
}

pub(super) struct Reader {
    connection: Connection,
    questions: Arc<Mutex<mpsc::Receiver<Question>>>,
    health: Arc<Health>,
}

impl Reader {
    pub(super) fn open(
        path: &Path,
        questions: Arc<Mutex<mpsc::Receiver<Question>>>,
        health: Arc<Health>,
    ) -> rusqlite::Result<Self> {
        let connection = connect(path, 2_048)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection, questions, health })
    }

    /// Answers until nobody can ask any more.
    pub(super) fn run(self) {
        while let Some(question) = self.next() {
            // Nobody may wait any more.
            match question {
                Question::Get(key, answer) => drop(answer.send(self.checked(self.get(&key)))),
                Question::Range(range, answer) => {
                    drop(answer.send(self.checked(self.range(&range))));
                }
            }
        }
    }

    /// Waits for the next question; the other readers wait for this one to have it.
    fn next(&self) -> Option<Question> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }

    fn checked<T>(&self, found: rusqlite::Result<T>) -> Result<T, ReadError> {
        // Looked at after the read: what was seen while a commit failed is not told.
        if self.health.poisoned() {
            return Err(ReadError::Unavailable(Closed::Poisoned.into()));
        }
        found.map_err(|error| {
            let damaged = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            );
            if damaged {
                self.health.poison(&error);
                return ReadError::Damaged(error.into());
            }
            match error {
                // A column that is not of its type.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..) => ReadError::Damaged(error.into()),
                error => ReadError::Unavailable(error.into()),
            }
        })
    }

    fn get(&self, key: &Key) -> rusqlite::Result<Option<Row>> {
        self.connection
            .prepare_cached("SELECT v, n, o, x FROM rows WHERE p = ?1 AND s = ?2")?
            .query_row(params![&*key.partition, &*key.sort], |row| to_row(row, 0))
            .optional()
    }

    fn range(&self, range: &Range) -> rusqlite::Result<Vec<(Bytes, Row)>> {
        let from = range.from.as_deref().unwrap_or_default();
        let to = range.to.as_deref();
        let statement = match (range.order, to) {
            (Order::Forward, None) => {
                "SELECT s, v, n, o, x FROM rows WHERE p = ?1 AND s >= ?2 AND ?3 IS NULL
                 ORDER BY s LIMIT ?4"
            }
            (Order::Forward, Some(_)) => {
                "SELECT s, v, n, o, x FROM rows WHERE p = ?1 AND s >= ?2 AND s < ?3
                 ORDER BY s LIMIT ?4"
            }
            (Order::Backward, None) => {
                "SELECT s, v, n, o, x FROM rows WHERE p = ?1 AND s >= ?2 AND ?3 IS NULL
                 ORDER BY s DESC LIMIT ?4"
            }
            (Order::Backward, Some(_)) => {
                "SELECT s, v, n, o, x FROM rows WHERE p = ?1 AND s >= ?2 AND s < ?3
                 ORDER BY s DESC LIMIT ?4"
            }
        };
        let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(statement)?;
        let rows = statement.query_map(params![&*range.partition, from, to, limit], |row| {
            Ok((bytes(row, 0)?, to_row(row, 1)?))
        })?;
        rows.collect()
    }
}

fn bytes(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    match row.get_ref(column)? {
        ValueRef::Blob(blob) => Ok(Bytes::copy_from_slice(blob)),
        other => {
            let kind = other.data_type();
            Err(rusqlite::Error::InvalidColumnType(column, "blob".into(), kind))
        }
    }
}

fn to_row(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Row> {
    let expiry: Option<i64> = row.get(first + 3)?;
    Ok(Row {
        value: bytes(row, first)?,
        version: Version(from_sql(row.get(first + 1)?)),
        nonce: Nonce(row.get(first + 2)?),
        expiry: expiry.map(|expiry| Timestamp(from_sql(expiry))),
    })
}
