use mail::{Account, AccountId, Address, Domain, Epoch, RecordId, Seq, Timestamp, WriterId};

use super::*;
use crate::entry::Totals;
use crate::golden::{Section, check};
use crate::place::{ObjectNonce, SegmentRef, Slot};

/// A value comes back, and every cut of it is refused.
pub(crate) fn survives<V: RowValue + PartialEq + std::fmt::Debug>(value: &V) {
    let bytes = value.encode().unwrap();
    assert_eq!(V::decode(&bytes).as_ref(), Ok(value));
    for cut in 0..bytes.len() {
        assert!(V::decode(&bytes[..cut]).is_err(), "{}: cut at {cut}", V::NAME);
    }
    let mut other = bytes.to_vec();
    other[0] = 99;
    assert!(V::decode(&other).is_err());
}

fn section<V: RowValue + std::fmt::Debug>(value: &V) -> Section {
    Section::new(V::NAME, &value.encode().unwrap(), value)
}

fn meaning<V: RowValue + std::fmt::Debug>(bytes: &[u8]) -> String {
    format!("{:?}", V::decode(bytes).unwrap())
}

const WRITER: WriterId = WriterId([0x11; 16]);
const ID: RecordId = RecordId { writer: WRITER, counter: 5 };
const ACCOUNT: Account = Account { id: AccountId([0xac; 16]), epoch: Epoch(1) };
const LEASE: Lease = Lease { holder: WRITER, until: Timestamp(1_800_000_000_000) };

fn rows_of_logs_and_segments() -> Vec<Section> {
    let key = ItemKey { id: ID, kind: ItemKind::Remote, destination: "example.org".into(), k: 1 };
    let plan = Plan {
        accounts: vec![PlanAccount { account: ACCOUNT, mail: vec![(0, 1), (3, 0)] }],
        items: vec![PlanItem::new(key, vec![2])],
    };
    let pointer = Pointer {
        checkpoint: Some(CheckpointRef { seq: Seq(64), nonce: ObjectNonce([7; 8]) }),
        first: Seq(1),
        totals: Totals { messages: 3, bytes: 4096 },
        phase: Phase::Open,
    };
    let writer = WriterRow {
        edge: "riga-1".into(),
        started: Timestamp(5),
        watermark: 300,
        state: WriterState::Ended { at: Timestamp(9) },
        last: 301,
    };
    let claim = Claim { state: ClaimState::Done, plan, lease: LEASE, tries: 1 };
    let mut forwarding = claim.clone();
    forwarding.plan.items[0].targets = vec![Address::parse("ana@example.org").unwrap()];
    let forwarding = Section { title: "claim row, forwarding".into(), ..section(&forwarding) };
    vec![section(&pointer), section(&writer), section(&claim), forwarding]
}

fn rows_of_work() -> Vec<Section> {
    let place = Slot { segment: SegmentRef::Ingest { writer: WRITER, number: 9 }, index: 3 };
    let item = Item {
        due: Timestamp(77),
        lease: Some(LEASE),
        fence: 4,
        tries: 2,
        history: vec![Attempt { at: Timestamp(71), via: "e1".into(), words: "451 later".into() }],
        ..Item::new(Timestamp(70), place, vec![ItemRecipient::new(2, "bob@example.org")])
    };
    let mut tried = item.clone();
    tried.state = ItemState::Bouncing;
    tried.recipients[0].state = RecipientState::Failed;
    tried.say(0, "550 5.1.1 no such user");
    tried.delay = Delay::Told;
    tried.reports = 1;
    tried.egress = "e1".into();
    tried.forwarder = "ana@example.test".into();
    let sent = Item { origin: 7, ..item.clone() };
    let mut asked = tried.clone();
    asked.recipients[0].state = RecipientState::Taken;
    asked.say(0, "mx.example.org 250 2.0.0 taken");
    asked.expanded = true;
    let health = HealthRow {
        class: "egress".into(),
        scope: "ip".into(),
        rule: "ms-s3140".into(),
        sender: "example.test".into(),
        until: Timestamp(90),
        hold: std::time::Duration::from_secs(60),
        since: Timestamp(50),
        words: "550 blocked".into(),
    };
    let unmatched = Unmatched {
        operator: "far.test".into(),
        host: "mx1.far.test".into(),
        stage: "recipient".into(),
        words: "550 5.7.0 Nope".into(),
        first: Timestamp(50),
        last: Timestamp(60),
    };
    vec![
        section(&item),
        Section { title: "item row, tried".into(), ..section(&tried) },
        Section { title: "item row, sent by an account".into(), ..section(&sent) },
        Section { title: "item row, success to be told".into(), ..section(&asked) },
        section(&health),
        section(&UnmatchedRow { refusals: vec![unmatched] }),
        section(&ShardRow { lease: LEASE }),
        section(&Due { version: 300 }),
        section(&Maintenance { why: MaintenanceWhy::Compact }),
        section(&Parked { why: "poison".into() }),
        section(&Budget::Daily { day: 20_000, count: 17 }),
        section(&Hint { accounts: vec![1, 0xffff_ffff] }),
    ]
}

fn rows_of_the_directory() -> Vec<Section> {
    let address = Address::parse("ana@example.org").unwrap();
    let number = DirectoryNumber { epoch: 1, n: 300 };
    let verifier = Verifier {
        label: "password".into(),
        set: Timestamp(9),
        stored_key: [1; 32],
        server_key: [2; 32],
    };
    let credentials = Credentials {
        salt: vec![3; 16],
        iterations: 4096,
        verifiers: vec![verifier],
        imported: vec!["{SSHA}x".into()],
    };
    let domain = DomainRow {
        egress_pools: vec!["west".into()],
        policies: vec![("mta-sts".into(), "enforce".into())],
        ..DomainRow::new()
    };
    let changes = vec![
        DirectoryChange::Domain(Domain::parse("b.test").unwrap(), DomainRow::new()),
        DirectoryChange::Address(address.clone(), AddressRow::Account(ACCOUNT.id)),
    ];
    vec![
        section(&AddressRow::Alias(vec![address.clone()])),
        section(&MemberRow::Present(Some(ACCOUNT.id))),
        section(&domain),
        section(&AccountRow { credentials, ..AccountRow::new("riga", 1, address) }),
        section(&ChangeRow { changes }),
        section(&Applied { number, snapshot: Some(number), set_aside: vec![number] }),
    ]
}

#[test]
fn stored_rows_are_read_for_ever() {
    let mut sections = rows_of_logs_and_segments();
    sections.extend(rows_of_work());
    sections.extend(rows_of_the_directory());
    check("rows.txt", &sections, |title, bytes| match title {
        Pointer::NAME => meaning::<Pointer>(bytes),
        WriterRow::NAME => meaning::<WriterRow>(bytes),
        Claim::NAME | "claim row, forwarding" => meaning::<Claim>(bytes),
        Item::NAME
        | "item row, tried"
        | "item row, sent by an account"
        | "item row, success to be told" => meaning::<Item>(bytes),
        HealthRow::NAME => meaning::<HealthRow>(bytes),
        UnmatchedRow::NAME => meaning::<UnmatchedRow>(bytes),
        ShardRow::NAME => meaning::<ShardRow>(bytes),
        Due::NAME => meaning::<Due>(bytes),
        Maintenance::NAME => meaning::<Maintenance>(bytes),
        Parked::NAME => meaning::<Parked>(bytes),
        Budget::NAME => meaning::<Budget>(bytes),
        Hint::NAME => meaning::<Hint>(bytes),
        AddressRow::NAME => meaning::<AddressRow>(bytes),
        MemberRow::NAME => meaning::<MemberRow>(bytes),
        DomainRow::NAME => meaning::<DomainRow>(bytes),
        AccountRow::NAME => meaning::<AccountRow>(bytes),
        ChangeRow::NAME => meaning::<ChangeRow>(bytes),
        Applied::NAME => meaning::<Applied>(bytes),
        other => panic!("no row is called {other}"),
    });
}
