//! What every engine must do: one function per promise of the traits' documentation, numbered as
//! there, and [`conformance!`](crate::conformance!), which makes one test of each for an engine.
//!
//! The functions know no engine. They take a [`Region`], start processes in it, and assert. They
//! hold too where calls are slow, and those of [`hostile`] also where calls fail and lose their
//! answers.

pub mod events;
pub mod hostile;
pub mod index;
pub mod objects;

use std::time::Duration;

use bytes::Bytes;

use crate::{Engines, Expect, Key, Nonce, ObjectKey, Row, Version, WriteError};

/// A store under test, empty at first.
#[async_trait::async_trait]
pub trait Region: Send + Sync {
    /// The engines of a process that starts now. Several may live at the same time.
    fn process(&self) -> Engines;

    /// Ends the faults, if there are any, and waits until all that is under way has landed.
    async fn calm(&self) {}
}

/// How long a wake-up or a retry may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

fn object(name: &str) -> ObjectKey {
    ObjectKey::new(name).expect("a valid object key")
}

fn key(partition: &str, sort: &str) -> Key {
    Key::new(partition.to_owned(), sort.to_owned())
}

fn row(engines: &Engines, version: u64, value: &str) -> Row {
    Row {
        value: Bytes::copy_from_slice(value.as_bytes()),
        version: Version(version),
        nonce: engines.random.nonce(),
        expiry: None,
    }
}

/// Retries `put_if` with the same row until there is an answer that says what happened.
/// `Some(true)`: it is ours. `Some(false)`: it certainly is not. `None`: it may have been, and
/// something newer is there.
async fn settle(engines: &Engines, at: &Key, row: &Row, expect: Expect) -> Option<bool> {
    let mut unknown = false;
    loop {
        match engines.index.put_if(at, row.clone(), expect).await {
            Ok(()) => return Some(true),
            Err(WriteError::Conflict) => return if unknown { None } else { Some(false) },
            Err(WriteError::Unknown(_)) => unknown = true,
            Err(WriteError::Unavailable(_) | WriteError::Full(_)) => {}
            Err(WriteError::Refused(_)) => return Some(false),
        }
        engines.clock.sleep(Duration::from_millis(20)).await;
    }
}

/// Never true; for assertions whose message is all they say.
const fn false_() -> bool {
    false
}

fn nonces(n: u8) -> impl Iterator<Item = Nonce> {
    (0..n).map(|n| Nonce([n; 8]))
}

/// Makes one test per promise for one engine: `conformance!(#[tokio::test] region)`, where
/// `region` is an expression that makes an empty [`Region`].
#[macro_export]
macro_rules! conformance {
    (#[$test:meta] $region:expr) => {
        $crate::conformance!(@each #[$test] $region;
            objects: p01_stored_survives_the_process, p02_a_put_never_changes_an_object,
                p03_a_reader_sees_a_whole_object_or_none, p05_reads_see_what_was_answered,
                p06_list_is_in_order_after_a_key_and_limited, p06_lists_agree_with_a_model, p07_deleting_is_idempotent,
                p08_ranges_are_exact, p09_a_stream_is_seen_whole_or_not_at_all;
            index: p01_ok_survives_the_process, p02_of_concurrent_writes_one_succeeds,
                p03_our_own_write_is_no_conflict, p05_strong_reads_see_what_was_answered,
                p06_ranges_are_in_order_and_within_bounds, p07_limits_are_refused,
                p08_batches_answer_each_and_ordered_ones_stop, p09_no_row_goes_before_its_expiry,
                p10_a_delete_removes_only_what_it_means, p11_time_does_not_go_back, p12_histories_agree_with_a_model;
            events: p01_every_process_is_woken, p02_a_slow_listener_is_told_that_it_lost_some;
        );
        $crate::conformance!(@hostile #[$test] $region);
    };
    (@hostile #[$test:meta] $region:expr) => {
        $crate::conformance!(@each #[$test] $region;
            hostile: p01_a_put_settles_to_one_content_for_all, p02_unavailable_is_not_stored,
                p03_each_version_has_one_writer, p04_answered_rows_are_read_back;
        );
    };
    (@each #[$test:meta] $region:expr; $($module:ident: $($promise:ident),+;)+) => {
        $(mod $module {
            use super::*;
            $(#[$test]
            async fn $promise() {
                let region = $region;
                $crate::conformance::$module::$promise(&region).await;
            })+
        })+
    };
}
