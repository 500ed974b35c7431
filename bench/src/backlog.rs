//! A long queue for a destination that is dead (H9): what it takes to make, what it holds of memory
//! and disk, whether mail for others leaves at once meanwhile, before and after a kill; and how many
//! connections the dead one gets when it is back.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tests::office::{Office, PASSWORD};
use tests::smtp::Smtp;
use tests::wait;

use crate::counts;
use crate::load::{address, fail};
use crate::payload::Author;
use crate::report::count;
use crate::single::{Line, mebibytes, memory};
use crate::sink::Sink;

/// The destination that is dead.
const DEAD: &str = "dead.test";

/// Other destinations.
const OTHERS: usize = 10;

/// Submitters.
const SENDERS: usize = 20;

/// Bytes of a message.
const BYTES: usize = 2_048;

/// Messages that differ; each is sent many times.
const DIFFERENT: usize = 200;

/// Messages that a submitter hands in before it reads the answers, and over one connection.
const BATCH: usize = 20;
const CONNECTION: usize = 1_000;

/// How long the office gets to come to rest.
const REST: Duration = Duration::from_secs(10);

/// The whole backlog may take so long to leave.
const PATIENCE: Duration = Duration::from_secs(900);

/// A destination that does not answer is left alone for so long at most, in seconds.
const HOLD: u64 = 10;

/// What was seen.
#[derive(Default)]
pub(crate) struct Backlog {
    lines: Vec<Line>,
    /// Of each second after the dead one was up: most connections open at once, messages taken.
    seconds: Vec<(usize, usize)>,
}

/// Fills it, sends to others, kills, sends to others, drains it.
///
/// # Panics
/// If a message is refused, or does not get there.
pub(crate) fn run(dead: usize, live: usize) -> Backlog {
    let (gone, others) = (Sink::start(), Sink::start());
    gone.set_down(true);
    let mut office = office(&gone, &others);
    let mut seen = Backlog::default();
    seen.fill(&office, dead);
    seen.others(&office, &others, live, "with the backlog");
    office.kill();
    let start = wait::now();
    office.restart();
    seen.line("killed: from start to ready", start.elapsed().as_secs_f64(), "s");
    seen.others(&office, &others, live, "after a kill");
    wait::pause(REST);
    seen.size(&office, "after a kill, at rest");
    seen.drain(&office, &gone, dead);
    seen
}

fn office(dead: &Sink, others: &Sink) -> Office {
    let mut office = Office::start();
    crate::accounts(&office, SENDERS);
    let mut routes = format!("[routes.\"{DEAD}\"]\nhosts = [\"{}\"]\n", dead.address());
    for number in 0..OTHERS {
        // A String takes what is written to it.
        write!(routes, "\n[routes.\"{}\"]\nhosts = [\"{}\"]\n", other(number), others.address())
            .ok();
    }
    let submission = "[submission]\nmessages_per_day = 0\nrecipients_per_day = 0\n";
    // What a killed process had begun, or was the first to have, is left to it for the lease.
    let retry = format!(
        "retry = \"1s\"\nretry_max = \"{HOLD}s\"\nlease = \"30s\"\nmargin = \"10s\"\n\
         shard_lease = \"5s\""
    );
    office.configure(&[("mx = false", &retry), ("", &routes), ("", submission)]);
    office
}

fn other(number: usize) -> String {
    format!("live{}.test", number % OTHERS)
}

/// Submits messages `from` to `to`, by pipelined BDAT; number n is for `recipient(n)`.
fn submit(
    office: &Office,
    (from, to): (usize, usize),
    recipient: &(impl Fn(usize) -> String + Sync),
) {
    let mut author = Author::new(1);
    let address_of = |n: usize| address(n % SENDERS);
    let texts: Vec<Vec<u8>> =
        (0..DIFFERENT).map(|n| author.message_from(&address_of(n), BYTES)).collect();
    let texts = &texts;
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let own: Vec<usize> = (from..to).filter(|n| n % SENDERS == sender).collect();
                for part in own.chunks(CONNECTION) {
                    let mut smtp = Smtp::connect(office.listener("submission"))
                        .unwrap_or_else(|error| fail("connect", &error));
                    smtp.login(&address_of(sender), PASSWORD)
                        .unwrap_or_else(|error| fail("log in", &error));
                    for batch in part.chunks(BATCH) {
                        hand_in(&mut smtp, batch, texts, recipient)
                            .unwrap_or_else(|error| fail("submit", &error));
                    }
                }
            });
        }
    });
}

fn hand_in(
    smtp: &mut Smtp,
    batch: &[usize],
    texts: &[Vec<u8>],
    recipient: &impl Fn(usize) -> String,
) -> std::io::Result<()> {
    let mut all = Vec::new();
    for n in batch {
        let text = &texts[n % DIFFERENT];
        let (from, to) = (address(n % SENDERS), recipient(*n));
        let said = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nBDAT {} LAST\r\n", text.len());
        all.extend_from_slice(said.as_bytes());
        all.extend_from_slice(text);
    }
    smtp.stream.send(&all)?;
    for _ in 0..batch.len() * 3 {
        smtp.reply()?.expect(250)?;
    }
    Ok(())
}

impl Backlog {
    fn line(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.lines.push(Line::without_budget(name, value, unit));
    }

    /// Memory and disk now.
    fn size(&mut self, office: &Office, when: &str) {
        self.line(format!("{when}: resident"), mebibytes(memory(office, "VmRSS:")), "MiB");
        self.line(
            format!("{when}: most resident so far"),
            mebibytes(memory(office, "VmHWM:")),
            "MiB",
        );
        let disk = disk_bytes(&office.data().join("store"));
        self.line(format!("{when}: on disk"), mebibytes(disk), "MiB");
    }

    /// Makes the items, in four parts, so that what grows is seen.
    fn fill(&mut self, office: &Office, dead: usize) {
        self.size(office, "empty");
        let before = counts::when_quiet(office);
        let start = wait::now();
        for quarter in 0..4 {
            let part = (dead * quarter / 4, dead * (quarter + 1) / 4);
            submit(office, part, &|n| format!("x{n}@{DEAD}"));
            self.size(office, &format!("{} submitted", part.1));
        }
        let submitted = start.elapsed().as_secs_f64();
        self.line("all submitted after", submitted, "s");
        while waiting(office) < dead {
            assert!(start.elapsed() < PATIENCE, "{} of {dead} items were made", waiting(office));
            wait::pause(Duration::from_secs(1));
        }
        self.line("all items made after", start.elapsed().as_secs_f64(), "s");
        let cost = counts::when_quiet(office).since(&before).divided(count(dead));
        self.line("per item made: index reads", cost.index_reads, "");
        self.line("per item made: index writes", cost.index_writes, "");
        self.line("per 1,000 items made: CPU", cost.cpu_seconds * 1000.0, "s");
        wait::pause(REST);
        self.size(office, "all made, at rest");
    }

    /// Mail for others.
    fn others(&mut self, office: &Office, sink: &Sink, live: usize, when: &str) {
        let before = sink.messages();
        let start = wait::now();
        submit(office, (0, live), &|n| format!("x{n}@{}", other(n)));
        let accepted = wait::now();
        sink.wait_for(before + live);
        let name = |what: &str| format!("{live} for others, {when}: {what}");
        self.line(name("all submitted and there"), start.elapsed().as_secs_f64(), "s");
        self.line(name("from the last 250 on"), accepted.elapsed().as_secs_f64(), "s");
    }

    /// The dead one is back.
    fn drain(&mut self, office: &Office, sink: &Sink, dead: usize) {
        let before = counts::when_quiet(office);
        sink.open_most();
        let (start, dialled) = (wait::now(), sink.connections());
        sink.set_down(false);
        let mut first = None;
        while sink.messages() < dead {
            let here = sink.messages();
            assert!(start.elapsed() < PATIENCE, "{here} of {dead} messages were sent");
            wait::pause(Duration::from_millis(20));
            if here > 0 {
                first.get_or_insert_with(|| start.elapsed());
            }
            let second = usize::try_from(start.elapsed().as_secs()).unwrap_or(usize::MAX);
            if self.seconds.len() <= second {
                self.seconds.push((0, 0));
            }
            let most = sink.open_most().max(sink.open());
            if let Some(last) = self.seconds.last_mut() {
                *last = (last.0.max(most), here);
            }
        }
        let all = start.elapsed();
        let first = first.unwrap_or(all);
        self.line("back: until its first message", first.as_secs_f64(), "s");
        self.line("back: until it has all", all.as_secs_f64(), "s");
        let rate = count(dead) / (all - first).as_secs_f64().max(0.001);
        self.line("back: messages a second", rate, "");
        let most = self.seconds.iter().map(|(open, _)| *open).max().unwrap_or_default();
        self.line("back: most connections at once", count(most), "");
        let dialled = sink.connections() - dialled;
        self.line("back: messages a connection", count(dead) / count(dialled.max(1)), "");
        let cost = counts::when_quiet(office).since(&before).divided(count(dead));
        self.line("per message sent of it: index reads", cost.index_reads, "");
        self.line("per message sent of it: index writes", cost.index_writes, "");
        self.line("per 1,000 messages sent of it: CPU", cost.cpu_seconds * 1000.0, "s");
        wait::pause(REST);
        self.size(office, "all sent, at rest");
        // Everything was sent once.
        assert_eq!((sink.messages(), waiting(office)), (dead, 0), "messages taken, and waiting");
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("A queue for a destination that is dead\n");
        self.lines.iter().for_each(|line| text.push_str(&crate::report::line_of(line)));
        text.push_str("\nSeconds after it is back: most connections at once, messages it has\n");
        for (second, (open, taken)) in self.seconds.iter().enumerate() {
            // The beginning second by second, then less and less.
            if second < 20 || second % 10 == 0 {
                writeln!(text, "{second:>7} {open:>6} {taken:>8}").ok();
            }
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "single": self.lines, "open_and_taken_by_second": self.seconds })
    }
}

/// Items that wait.
fn waiting(office: &Office) -> usize {
    let said = office.admin(&["queue", "count", "--json"], "");
    let counted: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    let items = |one: &serde_json::Value| one["items"].as_u64().unwrap_or_default();
    let all: u64 = counted.as_array().into_iter().flatten().map(items).sum();
    usize::try_from(all).unwrap_or(usize::MAX)
}

/// What the files below a folder take; those that go meanwhile do not count.
fn disk_bytes(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => usize::try_from(meta.blocks()).unwrap_or_default() * 512,
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}
