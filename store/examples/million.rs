//! Measures a mailbox of many messages: checkpoint bytes and memory per message, time to write and
//! to open. `cargo run --release -p store --example million [messages]`.
#![expect(clippy::print_stdout, reason = "prints its figures")]
#![expect(clippy::disallowed_methods, reason = "measures real time, outside of any simulation")]

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use engine::Nonce;
use mail::flags::{FlagSet, Keyword, SystemFlags};
use mail::{Account, AccountId, Epoch, RecordId, Timestamp, WriterId};
use store::change::{Arrival, ArrivalPlace, Change, MailboxId};
use store::checkpoint::{Planner, Root, Wanted};
use store::place::{ObjectNonce, SegmentRef, Slot};
use store::rows::Pointer;
use store::state::State;

/// splitmix64.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// Mail of 14 years, 200 a day: a writer a day per edge (three edges), records of an account spread over the
/// writers' counters, compacted by 64 into account segments that were merged to 2,048; sizes and
/// gaps without order; most read, some flagged.
fn arrival(n: u64) -> Arrival {
    let random = mix(n);
    let day = n / 200;
    let mut writer = [0; 16];
    writer[..8].copy_from_slice(&mix(day * 3 + random % 3).to_be_bytes());
    writer[8..].copy_from_slice(&mix(day * 3 + random % 3 + 1_000_000_007).to_be_bytes());
    let system = match random >> 8 & 15 {
        0 => SystemFlags::NONE,
        1 | 2 => SystemFlags::SEEN.with(SystemFlags::ANSWERED),
        3 => SystemFlags::SEEN.with(SystemFlags::FLAGGED),
        _ => SystemFlags::SEEN,
    };
    let forwarded = Keyword::parse("$Forwarded").into_iter().filter(|_| random >> 16 & 31 == 0);
    let segment = SegmentRef::Account { nonce: ObjectNonce(mix(n / 2048).to_be_bytes()) };
    Arrival {
        record: RecordId {
            writer: WriterId(writer),
            counter: (n % 200) * 1_000 + (random >> 24) % 1_000,
        },
        again: false,
        mailbox: MailboxId::INBOX,
        flags: FlagSet::new(system, forwarded),
        date: Timestamp::from_seconds(1_500_000_000 + n * 432 + (random >> 32) % 432),
        size: 2_000 + (random >> 40) % (1 << (11 + n % 7)),
        place: ArrivalPlace::Slot(Slot { segment, index: u32::try_from(n % 2048).unwrap_or(0) }),
        summary: Bytes::new(),
    }
}

type Objects = BTreeMap<String, Bytes>;

fn get(objects: &Objects, wanted: &[Wanted]) -> Vec<Vec<Bytes>> {
    let one = |wanted: &Wanted| {
        let object = objects.get(wanted.key.as_str()).cloned().unwrap_or_default();
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        wanted.ranges.iter().map(|range| object.slice(at(range.start)..at(range.end))).collect()
    };
    wanted.iter().map(one).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages: u64 =
        std::env::args().nth(1).map_or(Ok(1_000_000), |argument| argument.parse())?;
    let account = Account { id: AccountId([1; 16]), epoch: Epoch(1) };
    let (mut state, mut objects, mut pointer) =
        (State::new(account), Objects::new(), Pointer::default());
    let (mut tail, mut n, mut nonce) = (Vec::new(), 0, 0_u64);
    let started = Instant::now();
    let mut checkpoints = 0;
    while n < messages {
        let end = (n + 1024).min(messages);
        let change = Change::Append((n..end).map(arrival).collect());
        let entry = state.entry(change, Nonce(n.to_be_bytes()), Timestamp(n))?;
        state.apply(&entry)?;
        tail.push(entry);
        n = end;
        if tail.len() == 64 || n == messages {
            nonce += 2;
            let planner = Planner::new(&state, &pointer, std::mem::take(&mut tail))?;
            let got = get(&objects, planner.wanted());
            let name = |nonce: u64| ObjectNonce(nonce.to_be_bytes());
            let plan = planner.finish(&got, name(nonce), name(nonce + 1))?;
            for (key, parts) in plan.objects {
                objects.insert(key.as_str().to_owned(), Bytes::from(parts.concat()));
            }
            pointer = plan.pointer;
            assert!(state.adopt(&plan.written), "made of this state");
            checkpoints += 1;
        }
    }
    let written: usize = objects.values().map(Bytes::len).sum();
    println!("{messages} messages, {checkpoints} checkpoints in {:?}", started.elapsed());
    let checkpoint = pointer.checkpoint.ok_or("no checkpoint")?;
    let key = store::names::checkpoint(account, checkpoint.seq, checkpoint.nonce);
    let object = objects.get(key.as_str()).ok_or("no root")?;
    let opening = Instant::now();
    let root = Root::decode(account, checkpoint, object)?;
    let (requests, root_bytes) = (root.wanted().len() + 1, object.len());
    let chunk_bytes: u64 =
        root.wanted().iter().flat_map(|w| &w.ranges).map(|range| range.end - range.start).sum();
    let got = get(&objects, root.wanted());
    let opened = root.finish(&got)?;
    let opening = opening.elapsed();
    let per = |bytes: u64| {
        let hundredths = bytes * 100 / messages.max(1);
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    };
    println!("root {root_bytes} bytes, blocks {chunk_bytes} bytes, requests {requests}");
    println!("checkpoint bytes a message {}", per(root_bytes as u64 + chunk_bytes));
    println!("memory bytes a message {}", per(opened.memory_bytes() as u64));
    println!("bytes written in all, per message {}", per(written as u64));
    println!("opened in {opening:?}, {} messages", opened.totals().messages);
    Ok(())
}
