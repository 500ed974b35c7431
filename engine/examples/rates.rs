//! How fast the embedded engines are here, and what they cost: `rates [DIRECTORY]`.
//!
//! Conditional puts of rows by 100, 20 and 1 callers; puts of objects one after the other, as an
//! ingest writer makes them; streams of eight at once. Counts are exact, rates depend on the disk.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use engine::{Config, Consistency, Counts, Engines, Expect, Key, Nonce, ObjectKey, Row, Version};
use tokio::task::JoinSet;

/// How long each measurement runs.
const RUN: Duration = Duration::from_secs(3);

fn main() -> std::io::Result<()> {
    let kept = tempfile::tempdir()?;
    let directory: std::path::PathBuf =
        std::env::args().nth(1).map_or_else(|| kept.path().into(), Into::into);
    let mut config = Config::new(directory);
    config.ballast_bytes = 0;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let engines = engine::open(&config).map_err(std::io::Error::other)?;
        for callers in [100, 20, 1] {
            measure(&engines, callers, &format!("rows put if, {callers} callers"), put_rows)
                .await?;
        }
        for callers in [20, 1] {
            measure(&engines, callers, &format!("rows got, {callers} callers"), get_rows).await?;
        }
        for callers in [1, 8] {
            measure(
                &engines,
                callers,
                &format!("objects of 64 KiB put, {callers} callers"),
                put_objects,
            )
            .await?;
        }
        Ok(())
    })
}

async fn measure<W: Future<Output = u64> + Send + 'static>(
    engines: &Engines,
    callers: u64,
    name: &str,
    work: impl Fn(Engines, u64) -> W,
) -> std::io::Result<()> {
    let before = engines.counters.counts();
    let began = engines.clock.instant();
    let mut set = JoinSet::new();
    for caller in 0..callers {
        set.spawn(work(engines.clone(), caller));
    }
    let done: u64 = set.join_all().await.into_iter().sum();
    let took = engines.clock.instant().since(began);
    let counts = engines.counters.counts().since(before);
    tell(name, done, took, counts)
}

fn tell(name: &str, done: u64, took: Duration, counts: Counts) -> std::io::Result<()> {
    let per = |n: u64| n as f64 / done.max(1) as f64;
    writeln!(
        std::io::stdout(),
        "{name:32} {:8.0}/s  fsyncs {:.3}  transactions {:.3}  index bytes {:.0}  each",
        done as f64 / took.as_secs_f64(),
        per(counts.fsyncs),
        per(counts.index_transactions),
        per(counts.index_bytes),
    )
}

/// Appends to a log of its own: a ring of 128 rows of 700 bytes.
async fn put_rows(engines: Engines, caller: u64) -> u64 {
    let end = engines.clock.instant().after(RUN);
    let mut account = [0; 21];
    engines.random.fill(&mut account);
    account[0] = b'l';
    let mut value = vec![0; 700];
    let mut seq = 0;
    while engines.clock.instant() < end {
        seq += 1;
        engines.random.fill(&mut value);
        let expect = if seq <= 128 { Expect::Absent } else { Expect::Version(Version(seq - 128)) };
        let row = Row {
            value: Bytes::copy_from_slice(&value),
            version: Version(seq),
            nonce: Nonce((caller << 32 | seq).to_be_bytes()),
            expiry: None,
        };
        let slot = [1, (seq % 128).to_be_bytes()[7]];
        let at = Key::new(account.to_vec(), slot.to_vec());
        engines.index.put_if(&at, row, expect).await.expect("a put succeeds");
    }
    seq
}

async fn get_rows(engines: Engines, _: u64) -> u64 {
    let end = engines.clock.instant().after(RUN / 3);
    let mut n = 0_u64;
    while engines.clock.instant() < end {
        n += 1;
        let at = Key::new(n.to_be_bytes().to_vec(), "s");
        engines.index.get(&at, Consistency::Strong).await.expect("a get succeeds");
    }
    n
}

async fn put_objects(engines: Engines, caller: u64) -> u64 {
    let end = engines.clock.instant().after(RUN);
    // All in one folder, as the writers of one edge are: they share its sync.
    let run = engines.index.now().millis() >> 14;
    let content = Bytes::from(vec![b'x'; 64 << 10]);
    let mut n = 0_u64;
    while engines.clock.instant() < end {
        n += 1;
        let at = ObjectKey::new(format!(
            "ingest/{run:08x}/{:016x}-{caller:02x}{n:014x}",
            engines.random.below(u64::MAX)
        ))
        .expect("a key");
        engines.objects.put(&at, std::slice::from_ref(&content)).await.expect("a put succeeds");
    }
    n
}
