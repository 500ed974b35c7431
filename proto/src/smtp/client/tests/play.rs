//! Plays a transcript against the client.

use super::super::*;
use super::offer;
use crate::Tls;

/// How the server's bytes come.
#[derive(Clone, Copy)]
enum Pieces {
    Whole,
    Bytes,
    /// In two parts: so many bytes of the whole, then the rest.
    Split(usize),
    /// So many bytes of the whole, then the connection breaks.
    Cut(usize),
}

/// In every way.
#[track_caller]
pub(super) fn check(options: &Options, script: &str) {
    check_whole(options, script);
    assert_eq!(play(options, script, Pieces::Bytes), expected(script));
    for at in 0..server_bytes(script) {
        assert_eq!(play(options, script, Pieces::Split(at)), expected(script), "split at {at}");
        let told = play(options, script, Pieces::Cut(at));
        assert_cut(script, &told, at);
    }
}

/// As it stands only; for what a server says out of turn, where the pieces matter.
#[track_caller]
pub(super) fn check_whole(options: &Options, script: &str) {
    assert_eq!(play(options, script, Pieces::Whole), expected(script));
}

/// A cut connection ends in a fault, or after QUIT in peace; it is unknown exactly if the end of
/// the content was said and not answered.
#[track_caller]
fn assert_cut(script: &str, told: &str, at: usize) {
    let whole = expected(script);
    let last = told.lines().last().unwrap();
    let said: Vec<&str> = told.lines().collect();
    let until = said[..said.len() - 1].join("\n");
    assert!(whole.starts_with(&until), "cut at {at}: {told}");
    let after_end = said.iter().rev().skip(1).take_while(|line| !line.starts_with("= done"));
    let after_end: Vec<_> = after_end.collect();
    let ended = after_end.iter().any(|line| ["C: .", "C: BDAT 0 LAST"].contains(line));
    if last == "= closed" {
        assert!(told.contains("C: QUIT"), "cut at {at}: {told}");
    } else {
        assert!(last.starts_with("= fault"), "cut at {at}: {told}");
        assert_eq!(last.contains("(unknown)"), ended, "cut at {at}: {told}");
    }
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
}

fn expected(script: &str) -> String {
    let lines = script.lines().filter(|l| l.starts_with("C: ") || l.starts_with(['=', '[']));
    lines.collect::<Vec<_>>().join("\n")
}

fn server_line(line: &str) -> Option<Vec<u8>> {
    let text = line.strip_prefix("S: ")?;
    Some([unescape(text), b"\r\n".to_vec()].concat())
}

fn server_bytes(script: &str) -> usize {
    script.lines().filter_map(server_line).map(|line| line.len()).sum()
}

/// What the server says, turn by turn, and what the client is told, one after the other.
struct Script {
    turns: std::vec::IntoIter<Vec<u8>>,
    orders: std::vec::IntoIter<String>,
    fed: usize,
}

impl Script {
    fn new(script: &str) -> Self {
        let mut turns: Vec<Vec<u8>> = vec![];
        let mut orders = vec![];
        let mut after_server = false;
        for line in script.lines() {
            if let Some(bytes) = server_line(line) {
                match turns.last_mut().filter(|_| after_server) {
                    Some(turn) => turn.extend(bytes),
                    None => turns.push(bytes),
                }
            }
            after_server = line.starts_with("S: ");
            orders.extend(line.strip_prefix("> ").map(str::to_owned));
        }
        Self { turns: turns.into_iter(), orders: orders.into_iter(), fed: 0 }
    }

    /// The server's next turn in pieces; `None` where the connection breaks.
    fn pieces(&mut self, how: Pieces) -> Vec<Option<Vec<u8>>> {
        let Some(turn) = self.turns.next() else { return vec![None] };
        let from = self.fed;
        self.fed += turn.len();
        let within = |at: usize| at.saturating_sub(from).min(turn.len());
        match how {
            Pieces::Whole => vec![Some(turn)],
            Pieces::Bytes => turn.iter().map(|byte| Some(vec![*byte])).collect(),
            Pieces::Split(at) => {
                let (a, b) = turn.split_at(within(at));
                vec![Some(a.to_vec()), Some(b.to_vec())]
            }
            Pieces::Cut(at) if at < self.fed => {
                vec![Some(turn[..within(at)].to_vec()), None]
            }
            Pieces::Cut(_) => vec![Some(turn)],
        }
    }
}

fn play(options: &Options, script: &str, how: Pieces) -> String {
    let mut client = Client::new(options.clone(), None);
    let mut script = Script::new(script);
    let mut coming = std::collections::VecDeque::new();
    let mut told: Vec<String> = vec![];
    let mut said: Vec<u8> = vec![];
    for _ in 0..100_000 {
        match client.step() {
            Step::Send(bytes) => {
                said.extend_from_slice(bytes);
                continue;
            }
            Step::Wait(_) => {
                let text = String::from_utf8(std::mem::take(&mut said)).unwrap();
                let text = text.strip_suffix("\r\n").unwrap_or(&text);
                if !text.is_empty() {
                    let line = |line: &str| format!("C: {}", line.replace('\n', "\\n"));
                    told.extend(text.split("\r\n").map(line));
                }
                if coming.is_empty() {
                    coming.extend(script.pieces(how));
                }
                match coming.pop_front().flatten() {
                    Some(bytes) => client.receive(&bytes),
                    None => client.broken("connection closed"),
                }
                continue;
            }
            Step::StartTls => {
                told.push("[tls]".into());
                client.secured(Tls::default());
                continue;
            }
            Step::Ready if told.last().is_none_or(|line| !line.starts_with("= ")) => {
                told.push("= ready".into());
                told.extend(client.starttls_failure().map(|why| format!("= no tls: {why}")));
            }
            Step::Ready | Step::GoAhead => {}
            Step::Offered(Offered { sender, recipients }) => {
                let all = std::iter::once(sender).chain(recipients).map(|r| r.to_string());
                told.push(format!("= offered {}", all.collect::<Vec<_>>().join("; ")));
            }
            Step::Done(reply) => told.push(format!("= done {reply}")),
            Step::Closed => {
                told.push("= closed".into());
                return told.join("\n");
            }
            Step::Failed(fault) => {
                let unknown = if fault.unknown { " (unknown)" } else { "" };
                told.push(format!("= fault {fault}{unknown}"));
                return told.join("\n");
            }
        }
        match script.orders.next() {
            Some(order) => obey(&mut client, &order),
            None => {
                told.push("= nothing more to do".into());
                return told.join("\n");
            }
        }
    }
    panic!("no end");
}

fn obey(client: &mut Client, order: &str) {
    match order.split_once(' ').unwrap_or((order, "")) {
        ("offer", rest) => client.offer(&offer(rest)),
        ("begin", _) => client.begin(),
        ("content", rest) => client.content(&unescape(rest)),
        ("end", _) => client.end(),
        ("quit", _) => client.quit(),
        (other, _) => panic!("{other}"),
    }
}
