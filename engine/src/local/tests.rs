use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::{Checksum, ObjectKey, Put, ReadError, WriteError};

fn config(directory: &Path) -> Config {
    Config { ballast_bytes: 256 << 10, ..Config::new(directory.join("store")) }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

/// An engine for objects alone.
fn objects(config: &Config) -> (LocalObjects, Arc<Counters>) {
    for part in ["objects", "run", "tmp"] {
        disk::make_directory(&config.directory.join(part)).unwrap();
    }
    let counters = Arc::new(Counters::default());
    let presence = Arc::new(Presence::announce(&config.directory).unwrap());
    (LocalObjects::open(config, presence, counters.clone()).unwrap(), counters)
}

async fn put(objects: &dyn crate::Objects, name: &str) -> Result<Put, WriteError> {
    objects.put(&key(name), &[Bytes::from("content")]).await
}

#[tokio::test]
async fn a_failed_sync_is_never_followed_by_a_success() {
    let kept = tempfile::tempdir().unwrap();
    let config = config(kept.path());
    let (engine, _) = objects(&config);
    let store: &dyn crate::Objects = &engine;
    assert_eq!(put(store, "f/before").await.unwrap(), Put::Stored);
    engine.break_syncs_of("f");

    // It has its name, but nobody can say whether that lasts.
    assert!(!store.is_closed());
    assert!(matches!(put(store, "f/1").await, Err(WriteError::Unknown(_))));
    assert!(store.is_closed());
    // Not tried at all: certainly not stored.
    assert!(matches!(put(store, "f/2").await, Err(WriteError::Unavailable(_))));
    assert!(matches!(put(store, "g/1").await, Err(WriteError::Unavailable(_))));
    assert!(matches!(store.list("f/", None, 9).await, Err(ReadError::Unavailable(_))));
    assert_eq!(store.get(&key("f/2")).await.unwrap(), None);
    assert!(store.get(&key("f/before")).await.unwrap().is_some());

    drop(engine);
    let (again, _) = objects(&config);
    let there = Checksum::of(&[Bytes::from("content")]);
    assert_eq!(put(&again, "f/1").await.unwrap(), Put::Exists(there));
    assert_eq!(put(&again, "f/2").await.unwrap(), Put::Stored);
}

#[tokio::test]
async fn a_name_is_synced_before_it_is_listed_for_the_first_time() {
    let kept = tempfile::tempdir().unwrap();
    let config = config(kept.path());
    let (one, counted_by_one) = objects(&config);
    let (two, counted_by_two) = objects(&config);
    let syncs_of = async |engine: &LocalObjects, counters: &Counters| {
        let before = counters.counts().fsyncs;
        let listed = crate::Objects::list(engine, "w/", None, 9).await.unwrap().len();
        (listed, counters.counts().fsyncs - before)
    };
    put(&one, "w/1").await.unwrap();
    put(&one, "w/2").await.unwrap();
    // Its own puts it knows of; another's it makes sure of, once for all of a folder.
    assert_eq!(syncs_of(&one, &counted_by_one).await, (2, 0));
    assert_eq!(syncs_of(&two, &counted_by_two).await, (2, 1));
    assert_eq!(syncs_of(&two, &counted_by_two).await, (2, 0));
    put(&one, "w/3").await.unwrap();
    assert_eq!(syncs_of(&two, &counted_by_two).await, (3, 1));
    // Deleted and put again it is another file.
    crate::Objects::delete(&one, &key("w/3")).await.unwrap();
    let held = std::fs::File::open(config.directory.join("objects/w/2")).unwrap();
    crate::Objects::delete(&one, &key("w/2")).await.unwrap();
    put(&one, "w/2").await.unwrap();
    assert_eq!(syncs_of(&two, &counted_by_two).await, (2, 1));
    drop(held);
}

#[tokio::test]
async fn a_put_costs_two_syncs_and_its_folder_is_made_durable_first() {
    let kept = tempfile::tempdir().unwrap();
    let (engine, counters) = objects(&config(kept.path()));
    put(&engine, "a/b/c").await.unwrap();
    // The file, its folder, and the names of the two new folders.
    assert_eq!(counters.counts().fsyncs, 4);
    put(&engine, "a/b/d").await.unwrap();
    assert_eq!(counters.counts().fsyncs, 6);
}

#[tokio::test]
async fn an_object_is_never_the_folder_of_another() {
    let kept = tempfile::tempdir().unwrap();
    let (engine, _) = objects(&config(kept.path()));
    put(&engine, "a").await.unwrap();
    put(&engine, "b/c").await.unwrap();
    assert!(matches!(put(&engine, "a/b").await, Err(WriteError::Refused(_))));
    assert!(matches!(put(&engine, "b").await, Err(WriteError::Refused(_))));
    assert_eq!(crate::Objects::get(&engine, &key("a/b")).await.unwrap(), None);
    assert_eq!(crate::Objects::get(&engine, &key("b")).await.unwrap(), None);
    crate::Objects::delete(&engine, &key("b")).await.unwrap();
    crate::Objects::delete(&engine, &key("a/b")).await.unwrap();
    assert!(crate::Objects::get(&engine, &key("b/c")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_folder_may_be_removed_by_somebody_else() {
    let kept = tempfile::tempdir().unwrap();
    let config = config(kept.path());
    let (engine, _) = objects(&config);
    put(&engine, "w/1").await.unwrap();
    std::fs::remove_dir_all(config.directory.join("objects/w")).unwrap();
    assert_eq!(put(&engine, "w/2").await.unwrap(), Put::Stored);
}

#[tokio::test]
async fn the_ballast_is_given_up_and_made_again() {
    let kept = tempfile::tempdir().unwrap();
    let config = config(kept.path());
    let engines = open(&config).unwrap();
    let ballast = config.directory.join("ballast");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), config.ballast_bytes);
    for _ in 0..2 {
        engines.objects.release_ballast(true).await.unwrap();
        assert!(!ballast.exists());
    }
    for _ in 0..2 {
        engines.objects.release_ballast(false).await.unwrap();
        assert_eq!(std::fs::metadata(&ballast).unwrap().len(), config.ballast_bytes);
    }
    let space = engines.objects.space().await.unwrap().unwrap();
    assert!(space.free > 0 && space.free < space.total);
}

#[tokio::test]
async fn the_room_of_a_ballast_that_is_not_there_is_no_room_for_mail() {
    let kept = tempfile::tempdir().unwrap();
    let config = Config { ballast_bytes: 1 << 60, ..config(kept.path()) };
    let engines = open(&config).unwrap();
    assert!(!config.directory.join("ballast").exists());
    assert_eq!(engines.objects.space().await.unwrap().unwrap().free, 0);
}

#[test]
fn a_directory_of_another_format_is_refused() {
    let kept = tempfile::tempdir().unwrap();
    let config = config(kept.path());
    drop(open(&config).unwrap());
    std::fs::write(config.directory.join("format"), "postroad store 2\n").unwrap();
    let refused = open(&config).unwrap_err();
    assert!(matches!(refused, OpenError::Format { .. }), "{refused}");
    assert!(!refused.hint().is_empty());
}

#[test]
fn a_file_in_the_way_is_told_by_its_name() {
    let kept = tempfile::tempdir().unwrap();
    std::fs::write(kept.path().join("store"), "not a directory").unwrap();
    let refused = open(&config(kept.path())).unwrap_err();
    assert!(matches!(refused, OpenError::Directory { .. }));
    assert!(refused.to_string().contains("store"), "{refused}");
}

#[tokio::test]
async fn long_paths_have_sockets_too() {
    let kept = tempfile::tempdir().unwrap();
    let deep = kept.path().join("d".repeat(120)).join("e".repeat(120));
    let (one, two) = (open(&config(&deep)).unwrap(), open(&config(&deep)).unwrap());
    let mut heard = two.events.subscribe();
    one.events.publish(crate::Event::Items);
    let first = two.clock.timeout(std::time::Duration::from_secs(20), heard.next()).await;
    assert_eq!(first, Ok(Some(crate::Event::Items)));
}
