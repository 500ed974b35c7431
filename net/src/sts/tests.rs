//! Policies that come, change, hide and end.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::dns::{Answer, DnsFault, Mx, Tlsa};
use crate::driver::tests_support::ManualClock;

/// A domain whose record and policy file can be changed.
#[derive(Default)]
struct Scene {
    record: Mutex<Option<&'static str>>,
    file: Mutex<Option<String>>,
    fetched: Mutex<usize>,
}

#[async_trait]
impl Policies for Scene {
    async fn fetch(&self, _: &Domain) -> Result<String, String> {
        *self.fetched.lock().unwrap() += 1;
        self.file.lock().unwrap().clone().ok_or_else(|| "hidden".to_owned())
    }
}

#[async_trait]
impl Dns for Scene {
    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsFault> {
        assert_eq!(name, "_mta-sts.example.net");
        let record = self.record.lock().unwrap().ok_or(DnsFault::NoSuchName)?;
        let records = record.split('|').map(str::to_owned).collect();
        Ok(Answer { records, secure: false, ttl: Duration::ZERO, canonical: None })
    }
    async fn mx(&self, _: &Domain) -> Result<Answer<Mx>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn addresses(&self, _: &str) -> Result<Answer<IpAddr>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn tlsa(&self, _: &str, _: u16) -> Result<Answer<Tlsa>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn ptr(&self, _: IpAddr) -> Result<Answer<String>, DnsFault> {
        Err(DnsFault::NoData)
    }
    async fn listed(&self, _: &str) -> Result<Answer<Ipv4Addr>, DnsFault> {
        Err(DnsFault::NoData)
    }
}

impl Scene {
    fn record(&self, text: Option<&'static str>) {
        *self.record.lock().unwrap() = text;
    }
    fn file(&self, mode: Option<&str>) {
        let text =
            |mode| format!("version: STSv1\nmode: {mode}\nmx: mx.example.net\nmax_age: 86400\n");
        *self.file.lock().unwrap() = mode.map(text);
    }
}

// RFC 8461 §3.3, §5.1, §10.2.
#[tokio::test]
async fn a_policy_is_kept_whatever_becomes_of_record_and_file() {
    let scene = Arc::new(Scene::default());
    let clock = Arc::new(ManualClock::default());
    let sts = Sts::new(scene.clone(), scene.clone(), clock.clone());
    let domain = Domain::parse("example.net").unwrap();
    let mode = async || sts.policy(&domain).await.map(|policy| policy.mode);
    let fetched = || *scene.fetched.lock().unwrap();
    // Without a record nothing is fetched.
    assert_eq!((mode().await, fetched()), (None, 0));
    // A file that cannot be had: no policy, and it is left alone for a while.
    scene.record(Some("v=STSv1; id=1"));
    assert_eq!((mode().await, mode().await, fetched()), (None, None, 1));
    scene.file(Some("enforce"));
    assert_eq!((mode().await, fetched()), (None, 1));
    clock.advance(FETCH_PAUSE);
    assert_eq!(
        (mode().await, mode().await, fetched()),
        (Some(Mode::Enforce), Some(Mode::Enforce), 2)
    );
    // F4: hidden, twice or changed without success: the old one stays.
    for (record, file) in [(None, Some("none")), (Some("v=STSv1; id=1|v=STSv1; id=2"), None)] {
        scene.record(record);
        scene.file(file);
        assert_eq!((mode().await, fetched()), (Some(Mode::Enforce), 2));
    }
    scene.record(Some("v=STSv1; id=2"));
    assert_eq!(
        (mode().await, mode().await, fetched()),
        (Some(Mode::Enforce), Some(Mode::Enforce), 3)
    );
    // Changed by who may.
    scene.file(Some("testing"));
    clock.advance(FETCH_PAUSE);
    assert_eq!((mode().await, fetched()), (Some(Mode::Testing), 4));
    scene.record(Some("v=STSv1; id=3"));
    scene.file(Some("none"));
    assert_eq!((mode().await, mode().await, fetched()), (None, None, 5));
    // It ends with its time.
    scene.record(Some("v=STSv1; id=4"));
    scene.file(Some("enforce"));
    assert_eq!(mode().await, Some(Mode::Enforce));
    scene.file(None);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(mode().await, None);
}

/// What outlives a process; to look there takes time.
struct Kept(Mutex<BTreeMap<Domain, Remembered>>, Arc<ManualClock>);

#[async_trait]
impl Memory for Kept {
    async fn recall(&self, domain: &Domain) -> Option<Remembered> {
        self.1.advance(Duration::from_millis(1));
        self.0.lock().unwrap().get(domain).cloned()
    }
    async fn remember(&self, domain: &Domain, policy: Remembered) {
        self.0.lock().unwrap().insert(domain.clone(), policy);
    }
}

#[tokio::test]
async fn a_policy_outlives_the_process_that_fetched_it() {
    let scene = Arc::new(Scene::default());
    let clock = Arc::new(ManualClock::default());
    let kept = Arc::new(Kept(Mutex::default(), clock.clone()));
    let process =
        || Sts::new(scene.clone(), scene.clone(), clock.clone()).remembering(kept.clone());
    let domain = Domain::parse("example.net").unwrap();
    let mode = async |sts: &Sts| sts.policy(&domain).await.map(|policy| policy.mode);
    let fetched = || *scene.fetched.lock().unwrap();
    scene.record(Some("v=STSv1; id=1"));
    scene.file(Some("enforce"));
    assert_eq!((mode(&process()).await, fetched()), (Some(Mode::Enforce), 1));
    // F4: record and server hidden at a restart.
    for record in [Some("v=STSv1; id=1"), None, Some("v=STSv1; id=2")] {
        scene.record(record);
        scene.file(None);
        assert_eq!(mode(&process()).await, Some(Mode::Enforce), "{record:?}");
    }
    // Anew at half of its time, and without success it stays until its end.
    let sts = process();
    scene.record(Some("v=STSv1; id=1"));
    let before = fetched();
    assert_eq!((mode(&sts).await, fetched()), (Some(Mode::Enforce), before));
    clock.advance(Duration::from_secs(43_201));
    assert_eq!((mode(&sts).await, fetched()), (Some(Mode::Enforce), before + 1));
    clock.advance(Duration::from_secs(43_200));
    assert_eq!(mode(&sts).await, None);
}
