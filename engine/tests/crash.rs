//! Real processes on one store, killed at any moment: what they had acknowledged is there.
//!
//! A child is this test binary again, running only [`child`] with the store's directory as a
//! further argument; run without one, that test does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use engine::{
    Checksum, Config, Consistency, Engines, Event, Expect, Key, ObjectKey, Put, Row, Version,
    WriteError,
};

/// Rows appended, objects put and events published by a child before it goes on to the next.
const CALLERS: u64 = 8;

/// What marks the store's directory among the arguments.
const MARK: &str = "store-directory=";

fn open(directory: &Path) -> Engines {
    let mut config = Config::new(directory);
    config.ballast_bytes = 0;
    engine::open(&config).expect("the store opens")
}

/// Starts a child on this store.
fn start(directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .arg(format!("{MARK}{}", directory.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child starts")
}

/// The child: writes until it is killed, and says what was acknowledged.
#[test]
fn child() {
    let argument = std::env::args().find_map(|arg| arg.strip_prefix(MARK).map(PathBuf::from));
    let Some(directory) = argument else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let engines = open(&directory);
        let writer = u64::from_be_bytes(engines.random.bytes());
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(write_for_ever(engines.clone(), writer, caller));
        }
        callers.join_all().await;
    });
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // In one piece, so that a kill cuts no line that is believed.
    out.write_all(format!("{line}\n").as_bytes()).expect("the parent reads");
}

async fn write_for_ever(engines: Engines, writer: u64, caller: u64) {
    let own = Key::new("log", (writer ^ caller).to_be_bytes().to_vec());
    let shared = Key::new("shared", "head");
    for n in 1.. {
        let object = format!("ingest/{writer:016x}/{caller}-{n:06}");
        let key = ObjectKey::new(object.clone()).expect("a key");
        let put = if n % 5 == 0 {
            let mut stream = engines.objects.put_streaming(&key).await.expect("a stream starts");
            stream.write(content(&object)).await.expect("a piece is written");
            stream.finish().await.expect("a stream ends")
        } else {
            engines.objects.put(&key, &[content(&object)]).await.expect("a put succeeds")
        };
        assert_eq!(put, Put::Stored);
        say(&format!("object {object}"));
        engines.events.publish(Event::Object(key));

        let expect = if n == 1 { Expect::Absent } else { Expect::Version(Version(n - 1)) };
        engines.index.put_if(&own, row(&engines, n), expect).await.expect("a put succeeds");
        say(&format!("row {:016x} {n}", writer ^ caller));

        if let Some(version) = append(&engines, &shared).await {
            say(&format!("shared {version}"));
        }
    }
}

fn content(name: &str) -> Bytes {
    Bytes::from(name.repeat(1_000))
}

fn row(engines: &Engines, version: u64) -> Row {
    let value = Bytes::from(vec![b'r'; 500]);
    Row { value, version: Version(version), nonce: engines.random.nonce(), expiry: None }
}

/// One step of a log that all processes write; `None` if another was first.
async fn append(engines: &Engines, at: &Key) -> Option<u64> {
    let there = engines.index.get(at, Consistency::Strong).await.expect("a get succeeds");
    let (expect, next) = match there {
        None => (Expect::Absent, 1),
        Some(row) => (Expect::Version(row.version), row.version.0 + 1),
    };
    match engines.index.put_if(at, row(engines, next), expect).await {
        Ok(()) => Some(next),
        Err(WriteError::Conflict) => None,
        Err(error) => {
            assert!(matches!(error, WriteError::Conflict), "{error}");
            None
        }
    }
}

/// All that children acknowledged.
#[derive(Default)]
struct Told {
    objects: BTreeSet<String>,
    rows: BTreeMap<String, u64>,
    shared: BTreeSet<u64>,
}

impl Told {
    /// Reads what a child says until it is dead, killing it after so many lines.
    fn listen(&mut self, child: &mut Child, lines: usize) {
        let said = BufReader::new(child.stdout.take().expect("the child's words"));
        for (n, line) in said.lines().enumerate() {
            if n == lines {
                child.kill().expect("SIGKILL");
            }
            let Ok(line) = line else { break };
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["object", name] => assert!(self.objects.insert(name.into())),
                ["row", name, version] => {
                    let version = version.parse().expect("a number");
                    self.rows.insert(name.into(), version);
                }
                ["shared", version] => {
                    let version = version.parse().expect("a number");
                    assert!(
                        self.shared.insert(version),
                        "version {version} was written twice (I2)"
                    );
                }
                // The test harness's own words.
                _ => {}
            }
        }
        child.wait().expect("the child is dead");
    }

    /// Everything acknowledged is there; everything there is whole.
    async fn check(&self, engines: &Engines) {
        let mut found = BTreeSet::new();
        let mut after = None;
        loop {
            let page = engines.objects.list("ingest/", after.as_ref(), 100).await.expect("a list");
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for listed in page {
                let bytes = engines.objects.get(&listed.key).await.expect("a get").expect("listed");
                assert_eq!(bytes, content(listed.key.as_str()), "{} is torn", listed.key);
                found.insert(listed.key.to_string());
            }
        }
        let lost: Vec<_> = self.objects.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and lost (I1): {lost:?}");
        for (name, version) in &self.rows {
            let name = u64::from_str_radix(name, 16).expect("hex");
            let at = Key::new("log", name.to_be_bytes().to_vec());
            let there = engines.index.get(&at, Consistency::Strong).await.expect("a get");
            // One more may have been committed and not told.
            let there = there.map_or(0, |row| row.version.0);
            assert!((*version..=version + 1).contains(&there), "told {version}, is {there}");
        }
        let at = Key::new("shared", "head");
        let head = engines.index.get(&at, Consistency::Strong).await.expect("a get");
        let head = head.map_or(0, |row| row.version.0);
        assert!(self.shared.last().is_none_or(|last| head >= *last), "the head went back");
        let Some(known) = self.objects.first() else { return };
        let key = ObjectKey::new(known.clone()).expect("a key");
        let again = engines.objects.put(&key, &[content(known)]).await.expect("a put succeeds");
        assert_eq!(again, Put::Exists(Checksum::of(&[content(known)])));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_acknowledged_is_read_back() {
    let kept = tempfile::tempdir().expect("a temporary directory");
    let store = kept.path().join("store");
    let mut told = Told::default();
    for lines in [1, 40, 7, 301, 150, 23, 77, 500] {
        let mut child = start(&store);
        told.listen(&mut child, lines);
        told.check(&open(&store)).await;
    }
    assert!(told.objects.len() > 300 && told.shared.len() > 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_share_a_store_while_one_after_the_other_is_killed() {
    let kept = tempfile::tempdir().expect("a temporary directory");
    let store = kept.path().join("store");
    // This process lives through it all, and hears of what the others do.
    let engines = open(&store);
    let mut heard = engines.events.subscribe();
    let told = Arc::new(std::sync::Mutex::new(Told::default()));
    let parents: Vec<_> = [200, 400, 600]
        .map(|lines| {
            let (store, told) = (store.clone(), told.clone());
            std::thread::spawn(move || {
                for _ in 0..3 {
                    let mut mine = Told::default();
                    mine.listen(&mut start(&store), lines);
                    let mut all = told.lock().expect("no other parent failed");
                    all.objects.extend(mine.objects);
                    all.rows.extend(mine.rows);
                    for version in mine.shared {
                        assert!(all.shared.insert(version), "version {version} twice (I2)");
                    }
                }
            })
        })
        .into();
    let first = engines.clock.timeout(std::time::Duration::from_secs(60), heard.next()).await;
    assert!(matches!(first, Ok(Some(Event::Object(_)) | None)), "{first:?}");
    for parent in parents {
        tokio::task::spawn_blocking(move || parent.join()).await.expect("joined").expect("passed");
    }
    let told = Arc::into_inner(told).expect("the parents are gone").into_inner().expect("whole");
    told.check(&engines).await;
    told.check(&open(&store)).await;
    assert!(told.shared.len() > 100);
    // The dead left nothing behind: the next to start has cleaned up.
    drop(open(&store));
    let locks = std::fs::read_dir(store.join("run")).expect("run is listed").flatten();
    let locks = locks.filter(|entry| entry.path().extension().is_some_and(|e| e == "lock"));
    assert_eq!(locks.count(), 1);
}
