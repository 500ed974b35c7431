//! The promises of [`Objects`](crate::Objects).

use bytes::Bytes;

use super::{Region, object};
use crate::dice::Dice;
use crate::{Checksum, Engines, ObjectKey, Put};

async fn put(engines: &Engines, name: &str, bytes: &[u8]) -> Put {
    let parts = [Bytes::copy_from_slice(bytes)];
    engines.objects.put(&object(name), &parts).await.expect("a put succeeds")
}

async fn get(engines: &Engines, name: &str) -> Option<Bytes> {
    engines.objects.get(&object(name)).await.expect("a get succeeds")
}

async fn list(engines: &Engines, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after: Option<ObjectKey> = after.map(object);
    let listed =
        engines.objects.list(prefix, after.as_ref(), limit).await.expect("a list succeeds");
    listed.into_iter().map(|listed| listed.key.to_string()).collect()
}

/// Promise 1, as far as an ending process goes.
pub async fn p01_stored_survives_the_process(region: &dyn Region) {
    let first = region.process();
    let parts = [Bytes::from("seg"), Bytes::new(), Bytes::from("ment")];
    let stored = first.objects.put(&object("ingest/w/1"), &parts).await.expect("a put succeeds");
    assert_eq!(stored, Put::Stored);
    assert_eq!(put(&first, "empty", b"").await, Put::Stored);
    drop(first);
    let second = region.process();
    assert_eq!(get(&second, "ingest/w/1").await.as_deref(), Some(&b"segment"[..]));
    assert_eq!(get(&second, "empty").await.as_deref(), Some(&b""[..]));
}

/// Promise 2.
pub async fn p02_a_put_never_changes_an_object(region: &dyn Region) {
    let (one, two) = (region.process(), region.process());
    assert_eq!(put(&one, "a/b", b"first").await, Put::Stored);
    let there = Checksum::of(&[Bytes::from("fi"), Bytes::from("rst")]);
    assert_eq!(put(&one, "a/b", b"first").await, Put::Exists(there));
    assert_eq!(put(&two, "a/b", b"second").await, Put::Exists(there));
    let mut stream = two.objects.put_streaming(&object("a/b")).await.expect("a stream starts");
    stream.write(Bytes::from("third")).await.expect("a piece is written");
    assert_eq!(stream.finish().await.expect("a stream ends"), Put::Exists(there));
    assert_eq!(get(&one, "a/b").await.as_deref(), Some(&b"first"[..]));
}

/// Promise 3: readers run beside writers of large objects.
pub async fn p03_a_reader_sees_a_whole_object_or_none(region: &dyn Region) {
    let (writer, reader) = (region.process(), region.process());
    let content = Bytes::from(vec![7; 600_000]);
    for n in 0..10 {
        let name = object(&format!("big/{n}"));
        let parts = [content.clone(), content.clone()];
        let (objects, at) = (writer.objects.clone(), name.clone());
        let put = writer.tasks.spawn("put", async move { objects.put(&at, &parts).await });
        while !put.is_finished() {
            let seen = reader.objects.get(&name).await.expect("a get succeeds");
            assert!(seen.is_none_or(|bytes| bytes.len() == 1_200_000), "a part was seen");
            let sizes = reader.objects.list("big/", None, 100).await.expect("a list succeeds");
            assert!(sizes.iter().all(|listed| listed.size == 1_200_000), "a part was listed");
            tokio::task::yield_now().await;
        }
        let put = put.await.expect("the task ends").expect("a put succeeds");
        assert_eq!(put, Put::Stored);
    }
}

/// Promise 5.
pub async fn p05_reads_see_what_was_answered(region: &dyn Region) {
    let (one, two) = (region.process(), region.process());
    for n in 0..20 {
        let name = format!("x/{n:02}");
        assert_eq!(get(&two, &name).await, None);
        assert_eq!(put(&one, &name, name.as_bytes()).await, Put::Stored);
        assert_eq!(get(&two, &name).await.as_deref(), Some(name.as_bytes()));
        assert_eq!(list(&two, "x/", None, 100).await.len(), n + 1);
        let ranges =
            two.objects.get_ranges(&object(&name), &[0..1, 0..0]).await.expect("ranges are read");
        assert_eq!(ranges, Some(vec![Bytes::from("x"), Bytes::new()]));
    }
}

/// Promise 6.
pub async fn p06_list_is_in_order_after_a_key_and_limited(region: &dyn Region) {
    let engines = region.process();
    // In this order: '-' and '.' sort before '/', digits and letters after it.
    let keys = ["a", "b-c", "b.c/d", "b/0", "b/0-1/x", "b/0.1", "b/00/y", "b/1/2/3/4", "b0", "c/d"];
    for name in keys.iter().rev() {
        assert_eq!(put(&engines, name, b"content").await, Put::Stored);
    }
    assert_eq!(list(&engines, "", None, 100).await, keys);
    let sizes = engines.objects.list("", None, 100).await.expect("a list succeeds");
    assert!(sizes.iter().all(|listed| listed.size == 7));
    for (n, name) in keys.iter().enumerate() {
        let rest = keys.get(n + 1..).unwrap_or_default();
        assert_eq!(list(&engines, "", Some(name), 100).await, rest, "after {name}");
        let two = rest.get(..rest.len().min(2)).unwrap_or_default();
        assert_eq!(list(&engines, "", Some(name), 2).await, two, "two after {name}");
    }
    // After keys that are not there.
    assert_eq!(list(&engines, "", Some("b/zz"), 100).await, ["b0", "c/d"]);
    assert_eq!(list(&engines, "b/0", Some("b/0"), 100).await, ["b/0-1/x", "b/0.1", "b/00/y"]);
    assert_eq!(list(&engines, "b/", None, 3).await, ["b/0", "b/0-1/x", "b/0.1"]);
    assert_eq!(list(&engines, "b/1/2", None, 9).await, ["b/1/2/3/4"]);
    assert!(list(&engines, "zz/", None, 9).await.is_empty());
    assert!(list(&engines, "c", Some("d"), 9).await.is_empty());
    assert!(list(&engines, "", None, 0).await.is_empty());
}

/// Promise 6, against a sorted list of names that try every order of `-`, `.`, `/` and letters.
pub async fn p06_lists_agree_with_a_model(region: &dyn Region) {
    let engines = region.process();
    let mut dice = Dice::new(6);
    let parts = ["a", "b", "a.b", "a-b", "0", "a0", "-", "b.", "_"];
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..120 {
        let depth = 1 + dice.below(3);
        let name: Vec<&str> = (0..depth).filter_map(|_| dice.choose(&parts).copied()).collect();
        let name = name.join("/");
        let folder_of = |one: &str, other: &str| other.starts_with(&format!("{one}/"));
        let clash = |key: &String| *key == name || folder_of(key, &name) || folder_of(&name, key);
        if !keys.iter().any(clash) {
            assert_eq!(put(&engines, &name, b"x").await, Put::Stored);
            keys.push(name);
        }
    }
    keys.sort();
    for _ in 0..400 {
        let some = dice.choose(&keys).map_or("", String::as_str);
        let length = usize::try_from(dice.below(some.len() as u64 + 1)).unwrap_or(0);
        let prefix = some.get(..length).unwrap_or("");
        let after = dice.choose(&keys).filter(|_| dice.chance(700)).map(String::as_str);
        let limit = usize::try_from(dice.below(12)).unwrap_or(0);
        let wanted = |key: &&String| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        };
        let expected: Vec<_> = keys.iter().filter(wanted).take(limit).cloned().collect();
        let listed = list(&engines, prefix, after, limit).await;
        assert_eq!(listed, expected, "prefix {prefix:?} after {after:?} limit {limit}");
    }
}

/// Promise 7.
pub async fn p07_deleting_is_idempotent(region: &dyn Region) {
    let engines = region.process();
    assert_eq!(put(&engines, "d/1", b"1").await, Put::Stored);
    for _ in 0..3 {
        engines.objects.delete(&object("d/1")).await.expect("a delete succeeds");
    }
    engines.objects.delete(&object("never/was")).await.expect("a delete succeeds");
    assert_eq!(get(&engines, "d/1").await, None);
    assert!(list(&engines, "d/", None, 9).await.is_empty());
    // The key is free again.
    assert_eq!(put(&engines, "d/1", b"2").await, Put::Stored);
    assert_eq!(list(&engines, "d/", None, 9).await, ["d/1"]);
}

/// Promise 8.
pub async fn p08_ranges_are_exact(region: &dyn Region) {
    let engines = region.process();
    assert_eq!(put(&engines, "r", b"0123456789").await, Put::Stored);
    let ranges = [0..4, 4..4, 9..10, 8..100, 10..20, 50..60, 0..u64::MAX];
    let read = engines.objects.get_ranges(&object("r"), &ranges).await.expect("ranges are read");
    let expected = ["0123", "", "9", "89", "", "", "0123456789"].map(Bytes::from);
    assert_eq!(read, Some(expected.to_vec()));
    let none = engines.objects.get_ranges(&object("no"), &ranges).await.expect("ranges are read");
    assert_eq!(none, None);
}

/// Promise 9.
pub async fn p09_a_stream_is_seen_whole_or_not_at_all(region: &dyn Region) {
    let (one, two) = (region.process(), region.process());
    let mut kept = one.objects.put_streaming(&object("s/kept")).await.expect("a stream starts");
    let mut left = one.objects.put_streaming(&object("s/left")).await.expect("a stream starts");
    for n in 0..30_u8 {
        kept.write(Bytes::from(vec![n; 50_000])).await.expect("a piece is written");
        left.write(Bytes::from(vec![n; 50_000])).await.expect("a piece is written");
        assert!(list(&two, "", None, 9).await.is_empty());
        assert_eq!(get(&two, "s/kept").await, None);
    }
    drop(left);
    assert_eq!(kept.finish().await.expect("a stream ends"), Put::Stored);
    assert_eq!(list(&two, "", None, 9).await, ["s/kept"]);
    let whole = get(&two, "s/kept").await.expect("it is there");
    assert!(
        whole.len() == 1_500_000 && whole.chunks(50_000).zip(0..).all(|(c, n)| c == [n; 50_000])
    );
}
