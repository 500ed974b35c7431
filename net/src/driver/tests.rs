//! The driver with a small line protocol, over in-process pipes and a clock that stands still.

use std::collections::VecDeque;
use std::sync::Mutex;

use engine::Tasks;
use proto::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::tests_support::ManualClock;
use super::*;
use crate::Drain;

/// Lines are echoed by the edge; `TLS`, `QUIT`, `TAKE` (then bytes until `.`) and `PANIC` are
/// commands. Holds one line of 64 bytes.
pub(crate) struct Echo {
    line: Vec<u8>,
    out: Vec<u8>,
    todo: VecDeque<Todo>,
    taking: bool,
    deadline: Instant,
    closing: bool,
    asked: bool,
}

enum Todo {
    Send(String),
    Ask(String),
    Take(Vec<u8>),
    StartTls,
    Close,
}

impl Echo {
    pub(crate) fn new() -> Self {
        Self::greeting("hello\n")
    }

    pub(crate) fn greeting(text: &str) -> Self {
        Self {
            line: Vec::new(),
            out: Vec::new(),
            todo: VecDeque::from([Todo::Send(text.to_owned())]),
            taking: false,
            deadline: Instant::NEVER,
            closing: false,
            asked: false,
        }
    }

    fn answer(&mut self, text: &str) {
        self.asked = false;
        self.todo.push_front(Todo::Send(text.to_owned()));
    }

    fn say_and_close(&mut self, text: &str) {
        self.closing = true;
        self.todo.extend([Todo::Send(text.to_owned()), Todo::Close]);
    }
}

impl Core for Echo {
    type Ask = String;

    fn receive(&mut self, bytes: &[u8]) -> usize {
        if self.closing || !self.todo.is_empty() {
            return 0;
        }
        if self.taking {
            let end = bytes.iter().position(|byte| *byte == b'.');
            self.taking = end.is_none();
            self.todo.push_back(Todo::Take(bytes[..end.unwrap_or(bytes.len())].to_vec()));
            if end.is_some() {
                self.todo.push_back(Todo::Ask("taken".to_owned()));
            }
            return end.map_or(bytes.len(), |at| at + 1);
        }
        let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            return bytes.len();
        };
        self.line.extend_from_slice(&bytes[..at]);
        match &*String::from_utf8(std::mem::take(&mut self.line)).unwrap() {
            "TLS" => self.todo.extend([Todo::Send("go\n".to_owned()), Todo::StartTls]),
            "QUIT" => self.say_and_close("bye\n"),
            "TAKE" => self.taking = true,
            line => self.todo.push_back(Todo::Ask(line.to_owned())),
        }
        at + 1
    }

    fn step(&mut self, _: Instant) -> Step<'_, String> {
        assert!(!self.asked, "a step before the answer");
        match self.todo.pop_front() {
            None => Step::Wait,
            Some(Todo::Send(text)) => {
                self.out = text.into_bytes();
                Step::Send(&self.out)
            }
            Some(Todo::Take(bytes)) => {
                self.out = bytes;
                Step::Take(&self.out)
            }
            Some(Todo::Ask(line)) => {
                self.asked = true;
                Step::Ask(line)
            }
            Some(Todo::StartTls) => Step::StartTls,
            Some(Todo::Close) => Step::Close,
        }
    }

    fn secured(&mut self, _: Tls) {
        self.line.clear();
        self.todo.clear();
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn late(&mut self) {
        self.say_and_close("late\n");
    }

    fn drain(&mut self) {
        self.say_and_close("draining\n");
    }

    fn ended(&mut self) {
        self.closing = true;
        self.todo.push_back(Todo::Close);
    }
}

/// Echoes, slowly where it is told to.
#[derive(Default)]
pub(crate) struct EchoEdge {
    taken: usize,
    /// `SLOW` is answered when this is notified.
    slow: Arc<Notify>,
    wake: Arc<Notify>,
    pub(crate) tls: Arc<Mutex<Option<Tls>>>,
}

impl Edge<Echo> for EchoEdge {
    async fn asked(&mut self, ask: String, core: &mut Echo, out: &mut Out<'_>) -> Result<(), Gone> {
        match &*ask {
            "PANIC" => panic!("asked to"),
            "GONE" => return Err(Gone),
            "SLOW" => self.slow.notified().await,
            "MUCH" => out.write(&vec![b'x'; 200_000]).await?,
            "LATE" => core.deadline = Instant(5_000_000_000),
            "taken" => {
                out.write(format!("{} ", self.taken).as_bytes()).await?;
                self.taken = 0;
            }
            _ => {}
        }
        core.answer(&format!("{ask}\n"));
        Ok(())
    }

    async fn taken(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.taken += bytes.len();
        Ok(())
    }

    async fn wake(&mut self) {
        self.wake.notified().await;
    }

    async fn woken(&mut self, _: &mut Echo, out: &mut Out<'_>) -> Result<(), Gone> {
        out.write(b"news\n").await
    }

    fn secured(&mut self, tls: &Tls) {
        *self.tls.lock().unwrap() = Some(tls.clone());
    }
}

struct Test {
    client: DuplexStream,
    clock: Arc<ManualClock>,
    drain: Drain,
    slow: Arc<Notify>,
    wake: Arc<Notify>,
    served: JoinHandle<End>,
    _tasks: Tasks,
}

fn start() -> Test {
    let (client, server) = tokio::io::duplex(1024);
    let clock = Arc::new(ManualClock::default());
    let driver = Driver {
        clock: clock.clone(),
        tls: None,
        protocol: Protocol::Smtp,
        pace: Pace { window_bytes_min: 10, ..Pace::default() },
    };
    let drain = Drain::new();
    let edge = EchoEdge::default();
    let (slow, wake) = (edge.slow.clone(), edge.wake.clone());
    let signal = drain.signal();
    let tasks = Tasks::default();
    let served = tasks.spawn("serve", async move {
        serve(Box::new(server), Echo::new(), edge, Arc::new(driver), signal).await
    });
    Test { client, clock, drain, slow, wake, served, _tasks: tasks }
}

impl Test {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn expect(&mut self, text: &str) {
        let mut bytes = vec![0; text.len()];
        self.client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), text);
    }

    /// All that comes until the server closes, and how it ended.
    async fn rest(mut self) -> (String, End) {
        let mut text = String::new();
        self.client.read_to_string(&mut text).await.unwrap();
        drop(self.client);
        (text, self.served.await.unwrap())
    }

    /// Lets the server run until it waits.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn pipelined_lines_are_answered_in_order() {
    let mut test = start();
    test.send("a\nTAKE\n12345.b\nc").await;
    test.expect("hello\na\n5 taken\nb\n").await;
    test.send("\nQUIT\nnever\n").await;
    assert_eq!(test.rest().await, ("c\nbye\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let mut test = start();
    for byte in "one\nTAKE\n123.two\nQUIT\n".chars() {
        test.send(&byte.to_string()).await;
        test.settle().await;
    }
    assert_eq!(test.rest().await, ("hello\none\n3 taken\ntwo\nbye\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn a_closed_sending_side_is_answered_first() {
    let mut test = start();
    test.send("a\nb\n").await;
    test.client.shutdown().await.unwrap();
    assert_eq!(test.rest().await, ("hello\na\nb\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_with_a_last_line() {
    let mut test = start();
    let mut other = start();
    test.send("PANIC\n").await;
    let (text, end) = test.rest().await;
    assert_eq!(text, "hello\n421 4.3.2 internal error, try again later\r\n");
    assert_eq!(end, End::Panicked);
    other.send("a\n").await;
    other.expect("hello\na\n").await;
}

#[tokio::test]
async fn an_edge_that_may_say_nothing_closes_without_a_word() {
    let mut test = start();
    test.send("GONE\n").await;
    assert_eq!(test.rest().await, ("hello\n".to_owned(), End::Gone));
}

#[tokio::test]
async fn the_cores_deadline_is_kept() {
    let mut test = start();
    test.send("LATE\n").await;
    test.expect("hello\nLATE\n").await;
    test.settle().await;
    test.clock.advance(Duration::from_secs(4));
    test.send("a\n").await;
    test.expect("a\n").await;
    test.settle().await;
    test.clock.advance(Duration::from_secs(1));
    assert_eq!(test.rest().await, ("late\n".to_owned(), End::Closed));
}

/// B3: a byte a minute is not content.
#[tokio::test]
async fn content_that_drips_is_ended() {
    let mut test = start();
    test.send("TAKE\n").await;
    test.expect("hello\n").await;
    for _ in 0..4 {
        test.send("x").await;
        test.settle().await;
        test.clock.advance(Duration::from_secs(30));
        test.settle().await;
    }
    assert_eq!(test.rest().await, ("late\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn slow_but_steady_content_is_taken() {
    let mut test = start();
    test.send("TAKE\n").await;
    test.expect("hello\n").await;
    for _ in 0..40 {
        test.send("xxxxx").await;
        test.settle().await;
        test.clock.advance(Duration::from_secs(30));
        test.settle().await;
    }
    test.send(".QUIT\n").await;
    assert_eq!(test.rest().await, ("200 taken\nbye\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_gone() {
    let mut test = start();
    test.send("MUCH\n").await;
    test.settle().await;
    test.clock.advance(Duration::from_secs(61));
    assert_eq!(test.served.await.unwrap(), End::Gone);
}

#[tokio::test]
async fn news_are_pushed_to_a_waiting_peer() {
    let mut test = start();
    test.expect("hello\n").await;
    test.wake.notify_one();
    test.expect("news\n").await;
    test.send("a\n").await;
    test.expect("a\n").await;
}

#[tokio::test]
async fn a_drain_lets_the_answer_out_first() {
    let mut test = start();
    test.send("SLOW\n").await;
    test.expect("hello\n").await;
    test.settle().await;
    test.drain.begin();
    test.settle().await;
    test.slow.notify_one();
    assert_eq!(test.rest().await, ("SLOW\ndraining\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn a_drain_waits_until_all_are_done() {
    let test = start();
    let (drain, clock) = (test.drain.clone(), test.clock.clone());
    let (finished, rest) =
        tokio::join!(drain.finish(&*clock, Duration::from_secs(10)), test.rest());
    assert!(finished);
    assert_eq!(rest, ("hello\ndraining\n".to_owned(), End::Closed));
}

#[tokio::test]
async fn a_drain_cuts_who_does_not_end() {
    let mut test = start();
    test.send("SLOW\n").await;
    test.settle().await;
    let (drain, clock) = (test.drain.clone(), test.clock.clone());
    let advance = async {
        test.settle().await;
        clock.advance(Duration::from_secs(10));
    };
    let (finished, ()) = tokio::join!(drain.finish(&*clock, Duration::from_secs(10)), advance);
    assert!(!finished);
    assert_eq!(test.rest().await, ("hello\n".to_owned(), End::Cut));
}

/// docs/rules.md, *Budgets*: an idle connection is small. Grows here before it is seen in a process.
#[tokio::test]
async fn an_idle_connection_is_small() {
    let (_client, server) = tokio::io::duplex(16);
    let clock = Arc::new(ManualClock::default());
    let driver = Driver { clock, tls: None, protocol: Protocol::Smtp, pace: Pace::default() };
    let signal = Drain::new().signal();
    let serving =
        serve(Box::new(server), Echo::new(), EchoEdge::default(), Arc::new(driver), signal);
    assert!(size_of_val(&serving) <= 1024, "{} bytes to wait with", size_of_val(&serving));
    let connection = size_of::<Connection<Echo, EchoEdge>>();
    let own = connection - size_of::<Echo>() - size_of::<EchoEdge>();
    assert!(own <= 320, "{own} bytes besides core and edge");
}
