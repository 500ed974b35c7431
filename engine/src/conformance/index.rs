//! The promises of [`Index`](crate::Index).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use mail::Timestamp;

use super::{Region, key, nonces, row};
use crate::dice::Dice;
use crate::{
    Consistency, Engines, Expect, KEY_BYTES_MAX, Key, Nonce, Op, Order, Range, ReadError, Row,
    VALUE_BYTES_MAX, Version, WriteError,
};

async fn get(engines: &Engines, at: &Key) -> Option<Row> {
    engines.index.get(at, Consistency::Strong).await.expect("a get succeeds")
}

async fn put(engines: &Engines, at: &Key, row: &Row, expect: Expect) -> Result<(), WriteError> {
    engines.index.put_if(at, row.clone(), expect).await
}

fn conflict(answer: &Result<(), WriteError>) -> bool {
    matches!(answer, Err(WriteError::Conflict))
}

fn refused(answer: &Result<(), WriteError>) -> bool {
    matches!(answer, Err(WriteError::Refused(_)))
}

const fn version(n: u64) -> Expect {
    Expect::Version(Version(n))
}

/// Promise 1, as far as an ending process goes.
pub async fn p01_ok_survives_the_process(region: &dyn Region) {
    let first = region.process();
    let at = key("l", "1");
    let mut kept = row(&first, 1, "kept");
    kept.expiry = Some(first.index.now().after(Duration::from_secs(3_600)));
    put(&first, &at, &kept, Expect::Absent).await.expect("a put succeeds");
    drop(first);
    assert_eq!(get(&region.process(), &at).await, Some(kept));
}

/// Promise 2.
pub async fn p02_of_concurrent_writes_one_succeeds(region: &dyn Region) {
    let processes = [region.process(), region.process()];
    let at = key("l", "head");
    for step in 0..10_u64 {
        let expect = if step == 0 { Expect::Absent } else { version(step) };
        let mut tries = Vec::new();
        for (engines, nonce) in processes.iter().cycle().zip(nonces(20)) {
            let row = Row { nonce, ..row(engines, step + 1, "x") };
            let (index, at) = (engines.index.clone(), at.clone());
            tries.push(
                engines
                    .tasks
                    .spawn("put", async move { (row.nonce, index.put_if(&at, row, expect).await) }),
            );
        }
        let mut won = Vec::new();
        for one in tries {
            let (nonce, answer) = one.await.expect("the task ends");
            match answer {
                Ok(()) => won.push(nonce),
                answer => assert!(conflict(&answer), "{answer:?}"),
            }
        }
        let [first, second] = &processes;
        let there = get(first, &at).await.expect("a row is there");
        assert_eq!(won, [there.nonce]);
        assert_eq!(get(second, &at).await, Some(there));
    }
}

/// Promise 3 [M].
pub async fn p03_our_own_write_is_no_conflict(region: &dyn Region) {
    let engines = region.process();
    let at = key("l", "own");
    let first = row(&engines, 1, "first");
    for _ in 0..3 {
        put(&engines, &at, &first, Expect::Absent).await.expect("our own put is no conflict");
    }
    let second = row(&engines, 2, "second");
    for _ in 0..3 {
        put(&engines, &at, &second, version(1)).await.expect("our own put is no conflict");
    }
    assert!(conflict(&put(&engines, &at, &first, Expect::Absent).await));
    // The same nonce with another version, and the same version with another nonce, are others'.
    let odd = Row { version: Version(3), ..second.clone() };
    assert!(conflict(&put(&engines, &at, &odd, Expect::Absent).await));
    let odd = Row { nonce: Nonce([9; 8]), ..second.clone() };
    assert!(conflict(&put(&engines, &at, &odd, version(1)).await));
    assert_eq!(get(&engines, &at).await, Some(second));
}

/// Promise 5.
pub async fn p05_strong_reads_see_what_was_answered(region: &dyn Region) {
    let (one, two) = (region.process(), region.process());
    let at = key("l", "fresh");
    for n in 1..=30 {
        let new = row(&one, n, "x");
        let expect = if n == 1 { Expect::Absent } else { version(n - 1) };
        put(&one, &at, &new, expect).await.expect("a put succeeds");
        assert_eq!(get(&two, &at).await.as_ref(), Some(&new));
        let listed = range(&two, "l", (None, None), Order::Forward, 9).await;
        assert_eq!(listed, [(Bytes::from("fresh"), new)]);
    }
    one.index.delete_if(&at, version(30)).await.expect("a delete succeeds");
    assert_eq!(get(&two, &at).await, None);
}

async fn range(
    engines: &Engines,
    partition: &str,
    (from, to): (Option<&[u8]>, Option<&[u8]>),
    order: Order,
    limit: usize,
) -> Vec<(Bytes, Row)> {
    let asked = Range {
        partition: Bytes::copy_from_slice(partition.as_bytes()),
        from: from.map(Bytes::copy_from_slice),
        to: to.map(Bytes::copy_from_slice),
        order,
        limit,
        consistency: Consistency::Strong,
    };
    engines.index.range(&asked).await.expect("a range succeeds")
}

/// Promise 6.
pub async fn p06_ranges_are_in_order_and_within_bounds(region: &dyn Region) {
    let engines = region.process();
    let sorts: [&[u8]; 8] = [b"\0", b"\0\0", b"\0\xff", b"a", b"a\0", b"ab", b"\x80", b"\xff\xff"];
    for (n, sort) in sorts.iter().enumerate().rev() {
        let at = Key::new("p", Bytes::copy_from_slice(sort));
        put(&engines, &at, &row(&engines, n as u64, "x"), Expect::Any)
            .await
            .expect("a put succeeds");
    }
    for other in ["o", "p\0", "q"] {
        let at = key(other, "a");
        put(&engines, &at, &row(&engines, 99, "x"), Expect::Any).await.expect("a put succeeds");
    }
    let bounds: Vec<Option<&[u8]>> = std::iter::once(None)
        .chain(sorts.iter().map(|s| Some(*s)))
        .chain([Some(&b"b"[..])])
        .collect();
    for from in &bounds {
        for to in &bounds {
            let within = |sort: &&&[u8]| {
                from.is_none_or(|from| **sort >= from) && to.is_none_or(|to| **sort < to)
            };
            let mut expected: Vec<&[u8]> = sorts.iter().filter(within).copied().collect();
            for order in [Order::Forward, Order::Backward] {
                for limit in [0, 1, 3, 100] {
                    let found = range(&engines, "p", (*from, *to), order, limit).await;
                    let found: Vec<&[u8]> = found.iter().map(|(sort, _)| &**sort).collect();
                    let cut = expected.get(..limit.min(expected.len())).unwrap_or_default();
                    assert_eq!(found, cut, "{from:?}..{to:?} {order:?} {limit}");
                }
                expected.reverse();
            }
        }
    }
    assert!(range(&engines, "none", (None, None), Order::Forward, 9).await.is_empty());
}

/// Promise 7 [Q].
pub async fn p07_limits_are_refused(region: &dyn Region) {
    let engines = region.process();
    let value = |n: usize| Row { value: vec![1; n].into(), ..row(&engines, 1, "") };
    let long = |n: usize| Key::new("p", vec![1; n - 1]);
    let good = [(long(KEY_BYTES_MAX), value(VALUE_BYTES_MAX)), (key("p", "s"), value(0))];
    for (at, row) in &good {
        put(&engines, at, row, Expect::Absent).await.expect("a row within the limits is put");
        assert_eq!(get(&engines, at).await.as_ref(), Some(row));
    }
    let large = Row { version: Version(1 << 63), ..value(0) };
    let bad = [
        (long(KEY_BYTES_MAX + 1), value(1)),
        (key("", "s"), value(1)),
        (key("p", ""), value(1)),
        (key("p", "big"), value(VALUE_BYTES_MAX + 1)),
        (key("p", "version"), large),
    ];
    for (at, row) in bad {
        for expect in [Expect::Absent, Expect::Any] {
            let answer = put(&engines, &at, &row, expect).await;
            assert!(refused(&answer), "{answer:?}");
        }
        let op = Op::Put { key: at.clone(), row, expect: Expect::Any };
        let answers = engines.index.batch(vec![op.clone(), op]).await;
        assert!(answers.len() == 2 && answers.iter().all(refused), "{answers:?}");
    }
    for at in [long(KEY_BYTES_MAX + 1), key("", "s"), key("p", "")] {
        let answer = engines.index.get(&at, Consistency::Strong).await;
        assert!(matches!(answer, Err(ReadError::Refused(_))), "{answer:?}");
        assert!(refused(&engines.index.delete_if(&at, Expect::Any).await));
    }
}

/// Promise 8.
pub async fn p08_batches_answer_each_and_ordered_ones_stop(region: &dyn Region) {
    let engines = region.process();
    let put =
        |sort: &str, expect| Op::Put { key: key("b", sort), row: row(&engines, 1, sort), expect };
    let check = |sort: &str, expect| Op::Check { key: key("b", sort), expect };
    let delete = |sort: &str, expect| Op::Delete { key: key("b", sort), expect };
    let ops = vec![
        put("1", Expect::Absent),
        put("2", version(7)),
        put("3", Expect::Absent),
        check("9", Expect::Absent),
        delete("8", version(1)),
    ];
    let answers = engines.index.batch(ops).await;
    let conflicts: Vec<_> = answers.iter().map(conflict).collect();
    assert_eq!(conflicts, [false, true, false, false, true]);
    assert!(answers.iter().all(|answer| answer.is_ok() || conflict(answer)));
    assert!(get(&engines, &key("b", "2")).await.is_none());

    let ops = vec![
        put("4", Expect::Absent),
        check("4", version(1)),
        delete("1", version(1)),
        check("1", version(1)),
        put("5", Expect::Absent),
    ];
    let answers = engines.index.ordered(ops).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, false]);
    assert!(answers.last().is_some_and(conflict));
    assert!(get(&engines, &key("b", "4")).await.is_some());
    assert!(get(&engines, &key("b", "1")).await.is_none());
    assert!(get(&engines, &key("b", "5")).await.is_none());
    assert!(engines.index.ordered(Vec::new()).await.is_empty());
    assert!(engines.index.batch(Vec::new()).await.is_empty());
}

/// Promise 9.
pub async fn p09_no_row_goes_before_its_expiry(region: &dyn Region) {
    let engines = region.process();
    let until = |at: Timestamp| Row { expiry: Some(at), ..row(&engines, 1, "x") };
    let soon = engines.index.now().after(Duration::from_secs(600));
    let past = until(Timestamp(1));
    for n in 0..40 {
        let (kept, gone) = (key("x", &format!("kept{n}")), key("x", &format!("gone{n}")));
        put(&engines, &kept, &until(soon), Expect::Absent).await.expect("a put succeeds");
        put(&engines, &gone, &past, Expect::Any).await.expect("a put succeeds");
        engines.clock.sleep(Duration::from_millis(1)).await;
    }
    let rows = range(&engines, "x", (Some(b"kept"), None), Order::Forward, 100).await;
    assert_eq!(rows.len(), 40);
    // A row whose expiry was taken away stays.
    let at = key("x", "freed");
    put(&engines, &at, &past, Expect::Any).await.expect("a put succeeds");
    put(&engines, &at, &row(&engines, 2, "x"), Expect::Any).await.expect("a put succeeds");
    for n in 0..10 {
        let other = key("x", &format!("other{n}"));
        put(&engines, &other, &past, Expect::Any).await.expect("a put succeeds");
    }
    assert!(get(&engines, &at).await.is_some());
}

/// Promise 10.
pub async fn p10_a_delete_removes_only_what_it_means(region: &dyn Region) {
    let engines = region.process();
    let at = key("d", "1");
    let delete = async |expect| engines.index.delete_if(&at, expect).await;
    delete(Expect::Any).await.expect("nothing to delete is success");
    delete(Expect::Absent).await.expect("nothing to delete is success");
    assert!(conflict(&delete(version(1)).await));
    put(&engines, &at, &row(&engines, 5, "x"), Expect::Absent).await.expect("a put succeeds");
    assert!(conflict(&delete(version(4)).await));
    assert!(conflict(&delete(Expect::Absent).await));
    assert!(get(&engines, &at).await.is_some());
    delete(version(5)).await.expect("a delete succeeds");
    assert!(get(&engines, &at).await.is_none());
    put(&engines, &at, &row(&engines, 6, "x"), Expect::Absent).await.expect("a put succeeds");
    delete(Expect::Any).await.expect("a delete succeeds");
    assert!(get(&engines, &at).await.is_none());
}

/// Promises 2, 3, 8 and 10, against a model: thousands of operations on a few rows, alone, in
/// batches and in ordered ones, with versions and nonces that repeat.
pub async fn p12_histories_agree_with_a_model(region: &dyn Region) {
    let engines = region.process();
    let mut dice = Dice::new(12);
    let mut model: BTreeMap<Key, Row> = BTreeMap::new();
    for _ in 0..300 {
        let ordered = dice.chance(500);
        let mut ops: Vec<Op> = (0..1 + dice.below(6)).map(|_| random_op(&mut dice)).collect();
        if !ordered {
            // Independent operations have no order among them: one for each row.
            let mut rows = BTreeSet::new();
            ops.retain(|op| rows.insert(op.key().clone()));
        }
        let mut expected = Vec::new();
        for op in &ops {
            let done = apply(&mut model, op);
            expected.push(done);
            if ordered && !done {
                break;
            }
        }
        let shown = format!("{ops:?}");
        let answers = match ordered {
            true => engines.index.ordered(ops).await,
            false => engines.index.batch(ops).await,
        };
        assert!(answers.iter().all(|answer| answer.is_ok() || conflict(answer)), "{answers:?}");
        let done: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(done, expected, "{shown}");
    }
    let rows = range(&engines, "m", (None, None), Order::Forward, 100).await;
    let expected: Vec<_> = model.into_iter().map(|(key, row)| (key.sort, row)).collect();
    assert_eq!(rows, expected);
}

fn random_op(dice: &mut Dice) -> Op {
    let at = key("m", &format!("{}", dice.below(4)));
    let expect = match dice.below(4) {
        0 => Expect::Absent,
        1 => Expect::Any,
        _ => version(dice.below(4)),
    };
    match dice.below(4) {
        0 => Op::Check { key: at, expect },
        1 => Op::Delete { key: at, expect },
        _ => {
            let value = Bytes::from(format!("{}", dice.below(1_000)));
            let nonce = Nonce(dice.below(3).to_be_bytes());
            let row = Row { value, version: Version(dice.below(4)), nonce, expiry: None };
            Op::Put { key: at, row, expect }
        }
    }
}

/// What an operation does to the model; whether it succeeds.
fn apply(model: &mut BTreeMap<Key, Row>, op: &Op) -> bool {
    let found = model.get(op.key());
    let holds = match op.expect() {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found.is_some_and(|row| row.version == version),
    };
    match op {
        Op::Put { key, row, .. } if holds => {
            model.insert(key.clone(), row.clone());
            true
        }
        Op::Put { row, .. } => {
            found.is_some_and(|found| found.nonce == row.nonce && found.version == row.version)
        }
        Op::Delete { key, .. } if holds => {
            model.remove(key);
            true
        }
        Op::Delete { .. } | Op::Check { .. } => holds,
    }
}

/// `now` never goes back, and goes on (I10).
pub async fn p11_time_does_not_go_back(region: &dyn Region) {
    let engines = region.process();
    let first = engines.index.now();
    assert!(first.millis() > 1_600_000_000_000, "the store's time is wall time");
    let mut last = first;
    for _ in 0..20 {
        engines.clock.sleep(Duration::from_millis(2)).await;
        let now = engines.index.now();
        assert!(now >= last);
        last = now;
    }
    assert!(last > first);
}
