//! A long queue for one destination that is dead (H9): mail for others leaves at once, memory stays
//! bounded, and when the destination is back it is not stormed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::office::{Office, PASSWORD};
use tests::sink::{At, Sink};
use tests::smtp::Smtp;
use tests::wait;

/// Messages for the dead destination; `$POSTROAD_BACKLOG` asks for more.
const DEAD: usize = 4_000;

/// Messages for ten others.
const LIVE: usize = 500;

/// Connections to one destination at once.
const CONNECTIONS: usize = 5;

/// Messages that a client hands in before it reads the answers.
const BATCH: usize = 20;

/// Submits so many messages by pipelined BDAT.
fn submit(to: SocketAddr, count: usize, recipient: impl Fn(usize) -> String) {
    let mut smtp = Smtp::connect_tls(to).unwrap();
    smtp.login("alice@example.test", PASSWORD).unwrap();
    let text = "From: alice@example.test\r\nSubject: one of many\r\n\r\nHello!\r\n";
    let all: Vec<String> = (0..count)
        .map(|n| {
            format!(
                "MAIL FROM:<alice@example.test>\r\nRCPT TO:<{}>\r\nBDAT {} LAST\r\n{text}",
                recipient(n),
                text.len()
            )
        })
        .collect();
    for batch in all.chunks(BATCH) {
        smtp.stream.send(batch.concat().as_bytes()).unwrap();
        for _ in 0..batch.len() * 3 {
            let reply = smtp.reply().unwrap();
            assert_eq!(reply.code, 250, "{reply}");
        }
    }
}

/// Waits until the sink has so many messages.
fn wait_for(sink: &Sink, count: usize) {
    wait::until(&format!("{count} messages"), || {
        wait::pause(Duration::from_millis(100));
        (sink.count(At::End) >= count).then_some(())
    });
}

/// Connections that began in each second after `start`.
fn by_second(sink: &Sink, start: Instant) -> BTreeMap<u64, usize> {
    let mut seconds = BTreeMap::new();
    for seen in sink.seen().iter().filter(|seen| seen.step == At::Greeting) {
        *seconds.entry(seen.at.duration_since(start).as_secs()).or_default() += 1;
    }
    seconds
}

#[test]
fn a_dead_destination_holds_nobody_up_and_is_not_stormed_when_it_is_back() {
    let asked = std::env::var_os("POSTROAD_BACKLOG");
    let asked = asked.and_then(|text| text.to_str()?.parse().ok());
    let count: usize = asked.unwrap_or(DEAD);
    let (dead, live) = (Sink::start(), Sink::start());
    dead.set_down(true);
    let names: Vec<String> = (0..10).map(|n| format!("live{n}.test")).collect();
    let mut routes: Vec<_> = names.iter().map(|name| (name.as_str(), live.address())).collect();
    routes.push(("dead.test", dead.address()));
    let mut office = Office::start();
    office.configure(&[(
        "",
        "[submission]\nmessages_per_day = 10000000\nrecipients_per_day = 10000000",
    )]);
    office.send_by(&routes, &[&format!("per_destination_max = {CONNECTIONS}")]);
    let to = office.listener("submissions");
    let before = office.process().resident_bytes();
    let clients = 16;
    std::thread::scope(|scope| {
        for client in 0..clients {
            let own = count / clients;
            scope.spawn(move || submit(to, own, |n| format!("x{client}-{n}@dead.test")));
        }
    });
    let count = count / clients * clients;
    // Mail for others leaves at once: a second try would come after longer than this.
    submit(to, LIVE, |n| format!("x{n}@live{}.test", n % 10));
    let start = wait::now();
    wait_for(&live, LIVE);
    let behind = start.elapsed();
    let grown = office.process().resident_bytes().saturating_sub(before);
    println!("{count} wait: {LIVE} others left {behind:?} after the last; grown by {grown} bytes");
    assert!(behind < Duration::from_secs(10), "{behind:?}");
    assert!(grown < 150 << 20, "{grown} bytes more for {count} messages that wait");
    assert_eq!(dead.count(At::Greeting), 0);
    dead.set_down(false);
    let start = wait::now();
    wait_for(&dead, count);
    let seconds = by_second(&dead, start);
    println!("{count} messages in {:?}; connections in each second: {seconds:?}", start.elapsed());
    // Slow start: one connection until it has had a message taken, then more with each.
    let seen = dead.seen();
    let mut taken = seen.iter().filter(|seen| seen.step == At::End).map(|seen| seen.at);
    let first = taken.next().unwrap();
    let probes = seen.iter().filter(|seen| seen.step == At::Greeting && seen.at < first).count();
    assert_eq!(probes, 1, "connections to a server that is perhaps back");
    // Each connection carries a hundred messages, not one.
    let connections: usize = seconds.values().sum();
    assert!(connections <= count / 50 + 4 * CONNECTIONS, "{seconds:?}");
    // Each has its message once.
    let mut all: Vec<_> = dead.received().into_iter().flat_map(|one| one.recipients).collect();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), dead.received().len()), (count, count));
    office.assert_quiet(&[]);
}
