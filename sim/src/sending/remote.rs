//! The world outside, scripted by chance: servers that refuse, stall, hang up, and take mail without
//! saying so. It remembers what it took.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::Clock;
use mail::{Domain, Reply};
use net::dns::{Answer, Dns, DnsFault, Mx, Tlsa};
use net::send::{Call, Channel, Content, Dialer, Fault, Features, Offer, Offered, Stage, Welcome};

use crate::dice::Dice;

/// What the world outside did.
#[derive(Default)]
pub(crate) struct Done {
    /// How often each (recipient, id) was taken.
    pub(crate) taken: BTreeMap<(String, String), usize>,
    /// How often by a server that tells of success itself.
    pub(crate) told_there: BTreeMap<(String, String), usize>,
    /// Refused for good, at least once.
    pub(crate) refused: BTreeMap<(String, String), usize>,
}

struct State {
    dice: Dice,
    done: Done,
    /// Nobody answers at `away.test`.
    away: bool,
    healed: bool,
}

/// The world outside.
pub(crate) struct Remote(Mutex<State>);

impl Remote {
    pub(crate) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed, "remote");
        Self(Mutex::new(State { dice, done: Done::default(), away: true, healed: false }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `away.test` goes, or comes back.
    pub(crate) fn turn(&self) {
        let mut state = self.state();
        state.away = !state.away;
    }

    /// From now on everybody takes everything.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.away, state.healed) = (false, true);
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&Done) -> T) -> T {
        look(&self.state().done)
    }
}

/// Connections to it from one process.
pub(crate) struct Lines {
    remote: Arc<Remote>,
    clock: Arc<dyn Clock>,
}

impl Lines {
    pub(crate) fn new(remote: Arc<Remote>, clock: Arc<dyn Clock>) -> Self {
        Self { remote, clock }
    }
}

/// What happens next at a server.
enum Turn {
    Well,
    /// Says this.
    Says(&'static str),
    /// Takes so long, and then it is well.
    Slow(Duration),
    HangsUp,
}

impl Lines {
    fn turn(&self, bad: usize, says: &[&'static str]) -> Turn {
        let mut state = self.remote.state();
        if state.healed || !state.dice.percent(bad) {
            return Turn::Well;
        }
        match state.dice.below(4) {
            0 => Turn::HangsUp,
            1 => Turn::Slow(state.dice.millis(100, 9_000)),
            _ => state.dice.one_of(says).map_or(Turn::Well, |says| Turn::Says(says)),
        }
    }
}

fn reply(text: &str) -> Reply {
    Reply::parse(text).unwrap_or_else(|| Reply::new(451, None, text))
}

#[async_trait]
impl Dialer for Lines {
    async fn call(&self, call: Call) -> Result<Box<dyn Channel>, Fault> {
        self.clock.sleep(Duration::from_millis(20)).await;
        let (moody, away) = (call.address.port() == 2, call.address.port() == 3);
        if away && self.remote.state().away {
            return Err(Fault::new(Stage::Connect, "refused"));
        }
        let says = ["421 4.3.2 Too busy", "554 5.7.1 Blocked using bl.example", "450 4.7.1 Later"];
        match self.turn(if moody { 30 } else { 5 }, &says) {
            Turn::Well => {}
            Turn::Says(text) => return Err(Fault::refused(Stage::Greeting, reply(text))),
            Turn::Slow(time) => self.clock.sleep(time).await,
            Turn::HangsUp => return Err(Fault::new(Stage::Greeting, "hung up")),
        }
        let welcome = Welcome {
            banner: reply("220 here"),
            // Some tell of success themselves, if they are asked to.
            features: Features { dsn: self.remote.state().dice.percent(40), ..Features::default() },
            tls: None,
            tls_failure: None,
        };
        let lines = Self { remote: self.remote.clone(), clock: self.clock.clone() };
        Ok(Box::new(Line { lines, welcome, moody, to: Vec::new() }))
    }
}

struct Line {
    lines: Lines,
    welcome: Welcome,
    moody: bool,
    to: Vec<String>,
}

#[async_trait]
impl Channel for Line {
    fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    async fn offer(&mut self, offer: &Offer) -> Result<Offered, Fault> {
        self.lines.clock.sleep(Duration::from_millis(10)).await;
        self.to.clear();
        let mut recipients = Vec::new();
        for one in &offer.recipients {
            let says =
                ["550 5.1.1 No such user", "450 4.2.0 Greylisted, come again", "452 4.2.2 Full"];
            match self.lines.turn(if self.moody { 35 } else { 8 }, &says) {
                Turn::Says(text) => recipients.push(reply(text)),
                Turn::HangsUp => return Err(Fault::new(Stage::Recipient, "hung up")),
                Turn::Slow(time) => {
                    self.lines.clock.sleep(time).await;
                    recipients.push(reply("250 2.1.5 yes"));
                    self.to.push(one.path.text().to_owned());
                }
                Turn::Well => {
                    recipients.push(reply("250 2.1.5 yes"));
                    self.to.push(one.path.text().to_owned());
                }
            }
        }
        Ok(Offered { sender: reply("250 2.1.0 yes"), recipients })
    }

    async fn content(
        &mut self,
        content: &mut dyn Content,
        may_end: &(dyn Fn() -> bool + Sync),
    ) -> Result<Reply, Fault> {
        let mut text = Vec::new();
        loop {
            match content.next().await {
                Ok(Some(bytes)) => text.extend_from_slice(&bytes),
                Ok(None) => break,
                Err(why) => return Err(Fault::new(Stage::Content, why)),
            }
        }
        let bad = if self.moody { 40 } else { 12 };
        let before = self.lines.turn(bad, &[]);
        if let Turn::Slow(time) = before {
            self.lines.clock.sleep(time).await;
        }
        if !may_end() {
            return Err(Fault::new(Stage::Content, "too late to end it"));
        }
        let id = tests::message::id_of(&text).unwrap_or_default();
        let after = self.lines.turn(bad, &["451 4.3.0 Not now", "550 5.7.1 Spam", "554 5.6.0 Odd"]);
        let lost = self.lines.remote.state().dice.percent(50);
        let dsn = self.welcome.features.dsn;
        let take = |taken: bool| {
            let mut state = self.lines.remote.state();
            for to in &self.to {
                let pair = (to.clone(), id.clone());
                let counts = if taken { &mut state.done.taken } else { &mut state.done.refused };
                *counts.entry(pair.clone()).or_default() += 1;
                if taken && dsn {
                    *state.done.told_there.entry(pair).or_default() += 1;
                }
            }
        };
        match after {
            Turn::Well => {
                take(true);
                Ok(reply("250 2.0.0 taken"))
            }
            Turn::Slow(time) => {
                take(true);
                self.lines.clock.sleep(time).await;
                Ok(reply("250 2.0.0 taken"))
            }
            Turn::Says(text) => {
                if text.starts_with('5') {
                    take(false);
                }
                Ok(reply(text))
            }
            // The final dot was sent: taken or not, nobody says so.
            Turn::HangsUp => {
                if lost {
                    take(true);
                }
                let fault = Fault::new(Stage::End, "hung up after the final dot");
                Err(Fault { unknown: true, ..fault })
            }
        }
    }

    async fn quit(self: Box<Self>) {}
}

/// No domain name system: routes name addresses.
pub(crate) struct NoNames;

fn none<T>() -> Result<Answer<T>, DnsFault> {
    Err(DnsFault::NoSuchName)
}

#[async_trait]
impl Dns for NoNames {
    async fn mx(&self, _domain: &Domain) -> Result<Answer<Mx>, DnsFault> {
        none()
    }

    async fn addresses(&self, _host: &str) -> Result<Answer<IpAddr>, DnsFault> {
        none()
    }

    async fn tlsa(&self, _host: &str, _port: u16) -> Result<Answer<Tlsa>, DnsFault> {
        none()
    }

    async fn txt(&self, _name: &str) -> Result<Answer<String>, DnsFault> {
        none()
    }

    async fn ptr(&self, _address: IpAddr) -> Result<Answer<String>, DnsFault> {
        none()
    }

    async fn listed(&self, _name: &str) -> Result<Answer<Ipv4Addr>, DnsFault> {
        none()
    }
}
