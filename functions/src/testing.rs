//! A region for tests: processes on one in-memory world, accounts, mail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::memory::World;
use mail::{Account, Address, Domain, Envelope, Path, Recipient, RecordId, Uid};
use store::change::MailboxId;
use store::rows::{AccountRow, AddressRow, DirectoryChange, DkimKey, DomainRow, KeyUse};
use store::{Accept, AcceptError, AccountLog, Options, Receipt, Store, Timing};

use crate::deliver::Deliver;
use crate::handler::{Handler, Outcome};

/// Options with short times.
pub(crate) fn options() -> Options {
    Options {
        timing: Timing {
            retry_min: Duration::from_millis(5),
            retry_max: Duration::from_millis(50),
            claim_lease: Duration::from_millis(500),
            sweep: Duration::from_millis(500),
            deliver_retry: Duration::from_millis(50),
            item_retry: Duration::from_millis(500),
            unavailable_patience: Duration::from_millis(100),
            commit_patience: Duration::from_secs(5),
            ..Timing::default()
        },
        ..Options::default()
    }
}

/// A process on this world.
pub(crate) fn process(world: &World, name: &str) -> Store {
    Store::new(world.process(name), options())
}

/// Gives `example.test` a key to sign with.
pub(crate) async fn give_key(store: &Store) {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let private_key = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    let dkim = vec![DkimKey { selector: "s1".into(), private_key, used: KeyUse::Signing }];
    let row = DomainRow { dkim, ..DomainRow::new() };
    let change = DirectoryChange::Domain(Domain::parse("example.test").unwrap(), row);
    store.directory().change(vec![change]).await.unwrap();
    store.directory().refresh();
}

/// Makes accounts of these names at `example.test`, and returns their logs' names.
pub(crate) async fn accounts(store: &Store, names: &[&str]) -> Vec<Account> {
    let domain = Domain::parse("example.test").unwrap();
    let mut changes = vec![DirectoryChange::Domain(domain, DomainRow::new())];
    let mut made = Vec::new();
    for name in names {
        let address = Address::parse(&format!("{name}@example.test")).unwrap();
        let id = store.directory().fresh_account();
        let row = AccountRow::new("home", 1, address.clone());
        changes.push(DirectoryChange::Account(id, Box::new(row)));
        changes.push(DirectoryChange::Address(address, AddressRow::Account(id)));
        made.push(Account { id, epoch: mail::Epoch(1) });
    }
    for some in changes.chunks(50) {
        store.directory().change(some.to_vec()).await.unwrap();
    }
    made
}

/// An envelope to these local parts at `example.test`.
pub(crate) fn envelope(to: &[&str]) -> Envelope {
    let path = |name: &str| Path::parse(&format!("{name}@example.test")).unwrap();
    let recipients = to.iter().map(|name| Recipient::new(path(name))).collect();
    Envelope::new(Some(path("sender")), recipients)
}

/// Accepts a message with this body.
pub(crate) async fn accept(
    store: &Store,
    to: &[&str],
    body: &[u8],
) -> Result<Receipt, AcceptError> {
    accept_as(store, to, body, Bytes::new()).await
}

/// Accepts a message of which the checks said this.
pub(crate) async fn accept_as(
    store: &Store,
    to: &[&str],
    body: &[u8],
    verdicts: Bytes,
) -> Result<Receipt, AcceptError> {
    let mut incoming = store.ingest().begin().await?;
    for chunk in body.chunks(10_000) {
        incoming.write(chunk).await?;
    }
    let prefix = Bytes::from_static(b"Received: from x by y\r\n");
    let accept = Accept { envelope: envelope(to), prefix, verdicts };
    incoming.commit(accept).await
}

/// A message of this subject.
pub(crate) fn message(subject: &str) -> Vec<u8> {
    format!("From: a@b.test\r\nSubject: {subject}\r\n\r\nHello {subject}\r\n").into_bytes()
}

/// Records in the inbox, read strongly.
pub(crate) async fn inbox(log: &AccountLog) -> Vec<(Uid, RecordId)> {
    log.fresh().await.unwrap();
    log.view(|state| {
        let inbox = state.mailbox(MailboxId::INBOX).unwrap();
        inbox.messages().map(|message| (message.uid, message.record)).collect()
    })
}

/// Opens a log as a process that has never seen it would.
pub(crate) async fn fresh_log(world: &World, account: Account) -> Arc<AccountLog> {
    process(world, "reader").account(account).await.unwrap()
}

/// Delivers every segment there is, until all claims are done.
pub(crate) async fn deliver_all(world: &World, store: &Store) {
    let deliver = Deliver::new(store.clone());
    for _ in 0..100 {
        let keys = world.object_keys();
        let keys = keys.into_iter().filter(|key| store::names::parse_ingest(key).is_some());
        let outcomes = deliver.handle(keys.collect()).await;
        deliver.flush().await;
        if outcomes.iter().all(Outcome::is_done) {
            return;
        }
        store.engines().clock.sleep(Duration::from_millis(100)).await;
    }
    panic!("not delivered");
}

/// Bytes that do not compress.
pub(crate) fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
