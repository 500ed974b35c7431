use engine::memory::World;
use mail::report::DigestBody;

use super::*;
use crate::rows::TALLY_BUCKETS;
use crate::{Options, Reporting, Store};

fn store(world: &World, name: &str) -> Store {
    let reporting = Reporting { dmarc: true, tls: false, interval: Duration::from_secs(60) };
    Store::new(world.process(name), Options { reporting, ..Options::default() })
}

fn from(store: &Store) -> u64 {
    let now = store.engines().index.now().seconds();
    now - now % 60
}

async fn all(store: &Store, from: u64) -> BTreeMap<(String, Vec<u8>), u64> {
    let mut all = BTreeMap::new();
    for bucket in 0..TALLY_BUCKETS {
        let mut after = None;
        loop {
            let found =
                store.reports().tallies(ReportKind::Dmarc, from, bucket, after.as_deref(), 2);
            let (tallies, last) = found.await.unwrap();
            for one in tallies {
                *all.entry((one.domain, one.seen)).or_default() += one.count;
            }
            after = last;
            if after.is_none() {
                break;
            }
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn counts_of_all_processes_come_together_in_few_rows() {
    let world = World::default();
    let (one, two) = (store(&world, "one"), store(&world, "two"));
    let begin = from(&one);
    let before = one.engines().counters.counts().index_writes;
    for n in 0..2_000_u32 {
        let domain = format!("d{}.test", n % 100);
        one.reports().count(ReportKind::Dmarc, &domain, vec![u8::try_from(n % 4).unwrap(); 40]);
        two.reports().count(ReportKind::Dmarc, &domain, vec![9; 40]);
        // Nobody wants these.
        two.reports().count(ReportKind::Tls, &domain, vec![9; 40]);
    }
    assert_eq!(one.engines().counters.counts().index_writes, before);
    for store in [&one, &two] {
        store.reports().flush().await.unwrap();
        store.reports().flush().await.unwrap();
    }
    let writes = one.engines().counters.counts().index_writes - before;
    assert!(writes <= u64::from(TALLY_BUCKETS) * 3, "{writes}");
    let all = all(&one, begin).await;
    assert_eq!(all.len(), 200);
    assert_eq!(all.values().sum::<u64>(), 4_000);
}

#[tokio::test(start_paused = true)]
async fn memory_of_counts_is_bounded() {
    let world = World::default();
    let one = store(&world, "one");
    for n in 0..u32::try_from(TALLIES_MAX).unwrap() + 500 {
        one.reports().count(ReportKind::Dmarc, "a.test", n.to_be_bytes().to_vec());
    }
    assert_eq!(one.reports().lock().0.len(), TALLIES_MAX);
    one.reports().count(ReportKind::Dmarc, "a.test", vec![0; TALLIES_BYTES_MAX]);
    assert!(one.reports().lock().1 <= TALLIES_BYTES_MAX);
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_works_on_counts_until_they_are_done() {
    let world = World::default();
    let one = store(&world, "one");
    let lease = Duration::from_secs(600);
    let from = from(&one);
    let begin = async |holder: u8| {
        let holder = WriterId([holder; 16]);
        one.reports().begin(ReportKind::Dmarc, from, 3, holder, lease).await.unwrap()
    };
    assert!(begin(1).await.is_some());
    assert!(begin(2).await.is_none());
    one.engines().clock.sleep(lease).await;
    let version = begin(2).await.unwrap();
    one.reports().done(ReportKind::Dmarc, from, 3, WriterId([2; 16]), version).await.unwrap();
    one.engines().clock.sleep(lease * 2).await;
    assert!(begin(1).await.is_none() && begin(2).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn reports_that_come_in_are_kept_once_and_not_without_end() {
    let world = World::default();
    let one = store(&world, "one");
    let domain = Domain::parse("a.test").unwrap();
    let at = one.engines().index.now();
    let row = |id: u32| ReceivedRow {
        at,
        verified: true,
        from: "far.test".to_owned(),
        digest: Digest {
            organisation: "Far".to_owned(),
            id: id.to_string(),
            domain: "a.test".to_owned(),
            body: DigestBody::Tls(Vec::new()),
            ..Digest::default()
        },
    };
    assert_eq!(one.reports().receive(&domain, &row(1)).await.unwrap(), Filed::New);
    assert_eq!(one.reports().receive(&domain, &row(1)).await.unwrap(), Filed::Known);
    let mut over = 0;
    for id in 2..2_000 {
        if one.reports().receive(&domain, &row(id)).await.unwrap() == Filed::Over {
            over += 1;
            one.reports().refuse(&domain, at, |refused| refused.over += 1).await.unwrap();
        }
    }
    let (kept, refused) = one.reports().received(&domain, 0, 10_000).await.unwrap();
    assert!(kept.len() <= usize::from(RECEIVED_SLOTS) && kept.len() > 400, "{}", kept.len());
    assert_eq!((refused.over, u64::try_from(kept.len()).unwrap() + over), (over, 1_999));
    let other = Domain::parse("b.test").unwrap();
    assert!(one.reports().received(&other, 0, 10).await.unwrap().0.is_empty());
}
