//! A client of milters: mail filters of Sendmail and Postfix (protocol version 6, as libmilter and
//! rspamd speak it; versions from 2 on are understood).
//!
//! A message is shown to the filter when all of it has come, in one conversation of its own, bounded
//! in time and bytes. What the filter says of it is told; what it would change is not changed: text is
//! never rewritten.

mod packet;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::Clock;
use mail::header::{fields, header_length};
use tokio::net::UnixStream;

use crate::BoxStream;
use crate::send::{Reach, connect};
use packet::{Packets, bytes_of};

/// Bytes of the body in one packet: what the protocol allows.
const CHUNK_BYTES: usize = 65_535;

/// Fields that a filter adds, of those that are kept.
const FIELDS_MAX: usize = 64;

/// Steps that a filter may ask us to leave out, and those after which it says nothing.
mod wants {
    pub(super) const NO_CONNECT: u32 = 0x1;
    pub(super) const NO_HELO: u32 = 0x2;
    pub(super) const NO_MAIL: u32 = 0x4;
    pub(super) const NO_RECIPIENT: u32 = 0x8;
    pub(super) const NO_BODY: u32 = 0x10;
    pub(super) const NO_HEADERS: u32 = 0x20;
    pub(super) const NO_END_OF_HEADER: u32 = 0x40;
    pub(super) const SILENT_HEADER: u32 = 0x80;
    pub(super) const NO_DATA: u32 = 0x200;
    pub(super) const SILENT_CONNECT: u32 = 0x1000;
    pub(super) const SILENT_HELO: u32 = 0x2000;
    pub(super) const SILENT_MAIL: u32 = 0x4000;
    pub(super) const SILENT_RECIPIENT: u32 = 0x8000;
    pub(super) const SILENT_DATA: u32 = 0x1_0000;
    pub(super) const SILENT_END_OF_HEADER: u32 = 0x4_0000;
    pub(super) const SILENT_BODY: u32 = 0x8_0000;
    pub(super) const LEADING_SPACE: u32 = 0x10_0000;
    /// All that we can do: every one above, unknown commands, skipping, and rejected recipients.
    pub(super) const OFFERED: u32 = 0x1f_ffff;
}

/// What filters may want to change. All is offered, for many insist; what they say is looked at.
const ACTIONS: u32 = 0x1ff;

/// Where a filter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MilterAddress {
    /// At an address.
    Tcp(SocketAddr),
    /// At a path of this machine.
    Unix(PathBuf),
}

impl MilterAddress {
    /// Reads `inet:ADDRESS:PORT` or `unix:/PATH`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        text.strip_prefix("inet:")?.parse().ok().map(Self::Tcp)
    }
}

/// Asks one filter.
#[derive(Clone)]
pub struct Milter {
    address: MilterAddress,
    clock: Arc<dyn Clock>,
    /// For one whole conversation.
    time: Duration,
}

impl std::fmt::Debug for Milter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Milter").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A message, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Our name.
    pub host: &'a str,
    /// The client.
    pub peer: IpAddr,
    /// Its name that leads back to it.
    pub peer_name: Option<&'a str>,
    /// What it said in HELO.
    pub helo: &'a str,
    /// The envelope's sender, without `<>`; empty for the null sender.
    pub sender: &'a str,
    /// Its recipients, without `<>`.
    pub recipients: &'a [&'a str],
    /// Names it in the filter's log.
    pub id: &'a str,
    /// The whole message.
    pub message: &'a [u8],
}

/// What a filter wants to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is to be taken.
    Accept,
    /// It is to be refused, in these words of a reply if there are any.
    Reject(Option<String>),
    /// It is to come again later.
    Later(Option<String>),
    /// It is to be held; why.
    Quarantine(String),
    /// It is to be taken and thrown away.
    Discard,
}

/// What a filter said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What is to be done.
    pub decision: Decision,
    /// Fields that it would add, or change: name and value.
    pub fields: Vec<(String, String)>,
}

/// How one step was answered.
enum Step {
    Continue,
    /// No more of this kind is wanted.
    Skip,
    Decided(Decision),
}

impl Milter {
    /// A filter at this address.
    #[must_use]
    pub fn new(address: MilterAddress, clock: Arc<dyn Clock>, time: Duration) -> Self {
        Self { address, clock, time }
    }

    /// Shows a message to the filter.
    /// # Errors
    /// Why it gave no answer, in one line: it is not there, too slow, or speaks another language.
    pub async fn ask(&self, shown: &Shown<'_>) -> Result<Said, String> {
        match self.clock.timeout(self.time, Box::pin(self.converse(shown))).await {
            Ok(said) => said,
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn open(&self) -> Result<BoxStream, String> {
        match &self.address {
            MilterAddress::Tcp(address) => {
                let reach = Reach::Anywhere;
                let stream = connect(&self.clock, None, *address, &reach, self.time).await;
                Ok(Box::new(stream.map_err(|fault| fault.why)?))
            }
            MilterAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                Ok(Box::new(stream.map_err(|why| format!("{}: {why}", path.display()))?))
            }
        }
    }

    async fn converse(&self, shown: &Shown<'_>) -> Result<Said, String> {
        let mut talk = Talk { packets: Packets::new(self.open().await?), wants: 0 };
        talk.negotiate().await?;
        let mut said = Said { decision: Decision::Accept, fields: Vec::new() };
        match talk.show(shown).await? {
            Some(decision) => said.decision = decision,
            None => talk.end(shown, &mut said).await?,
        }
        // Nothing depends on whether it hears this.
        drop(talk.packets.send(b'Q', &[]).await);
        Ok(said)
    }
}

struct Talk {
    packets: Packets,
    wants: u32,
}

impl Talk {
    async fn negotiate(&mut self) -> Result<(), String> {
        let mut offer = 6_u32.to_be_bytes().to_vec();
        offer.extend_from_slice(&ACTIONS.to_be_bytes());
        offer.extend_from_slice(&wants::OFFERED.to_be_bytes());
        self.packets.send(b'O', &offer).await?;
        let (command, answer) = self.packets.receive().await?;
        let number = |at: usize| {
            let bytes = answer.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        let version = number(0).filter(|version| command == b'O' && (2..=6).contains(version));
        let (Some(_), Some(wants)) = (version, number(8)) else {
            return Err("it speaks another protocol".to_owned());
        };
        self.wants = wants;
        Ok(())
    }

    const fn is(&self, flag: u32) -> bool {
        self.wants & flag != 0
    }

    /// A step that may be left out, and may be one that the filter says nothing to.
    async fn step(
        &mut self,
        command: u8,
        data: &[u8],
        (left_out, silent): (u32, u32),
    ) -> Result<Step, String> {
        if self.is(left_out) {
            return Ok(Step::Continue);
        }
        self.packets.send(command, data).await?;
        if self.is(silent) { Ok(Step::Continue) } else { self.answer().await }
    }

    async fn answer(&mut self) -> Result<Step, String> {
        loop {
            let (command, data) = self.packets.receive().await?;
            return Ok(match command {
                b'c' => Step::Continue,
                b's' => Step::Skip,
                // It is still at work.
                b'p' => continue,
                other => Step::Decided(decided(other, &data)?),
            });
        }
    }

    /// All but the end of the body; `Some`: it has decided already.
    async fn show(&mut self, shown: &Shown<'_>) -> Result<Option<Decision>, String> {
        use wants::*;
        let peer = shown.peer.to_canonical();
        self.packets.macros(b'C', &[("j", shown.host), ("{daemon_name}", "postroad")]).await?;
        let named = shown.peer_name.map_or_else(|| format!("[{peer}]"), str::to_owned);
        let mut connect = bytes_of(&named);
        connect.push(if peer.is_ipv4() { b'4' } else { b'6' });
        // The client's port is of no use to anybody.
        connect.extend_from_slice(&0_u16.to_be_bytes());
        // As Postfix and sendmail write it.
        let prefix = if peer.is_ipv4() { "" } else { "IPv6:" };
        connect.extend_from_slice(&bytes_of(&format!("{prefix}{peer}")));
        let sender = format!("<{}>", shown.sender);
        for (command, data, flags) in [
            (b'C', connect, (NO_CONNECT, SILENT_CONNECT)),
            (b'H', bytes_of(shown.helo), (NO_HELO, SILENT_HELO)),
            (b'M', bytes_of(&sender), (NO_MAIL, SILENT_MAIL)),
        ] {
            if command == b'M' {
                let macros = [("i", shown.id), ("{mail_addr}", shown.sender)];
                self.packets.macros(b'M', &macros).await?;
            }
            if let Step::Decided(decision) = self.step(command, &data, flags).await? {
                return Ok(Some(decision));
            }
        }
        if let Some(decision) = self.recipients(shown.recipients).await? {
            return Ok(Some(decision));
        }
        if let Step::Decided(decision) = self.step(b'T', &[], (NO_DATA, SILENT_DATA)).await? {
            return Ok(Some(decision));
        }
        self.content(shown).await
    }

    /// A recipient that the filter does not want was taken long ago: only if it wants none of
    /// them, the message is refused.
    async fn recipients(&mut self, recipients: &[&str]) -> Result<Option<Decision>, String> {
        use wants::{NO_RECIPIENT, SILENT_RECIPIENT};
        let (mut wanted, mut unwanted) = (false, None);
        for recipient in recipients {
            let flags = (NO_RECIPIENT, SILENT_RECIPIENT);
            self.packets.macros(b'R', &[("{rcpt_addr}", recipient)]).await?;
            match self.step(b'R', &bytes_of(&format!("<{recipient}>")), flags).await? {
                Step::Decided(decision @ (Decision::Reject(_) | Decision::Later(_))) => {
                    unwanted = Some(decision);
                }
                Step::Decided(decision) => return Ok(Some(decision)),
                Step::Continue | Step::Skip => wanted = true,
            }
        }
        Ok(unwanted.filter(|_| !wanted))
    }

    async fn content(&mut self, shown: &Shown<'_>) -> Result<Option<Decision>, String> {
        use wants::*;
        let length = header_length(shown.message);
        let (header, body) = shown.message.split_at_checked(length).unwrap_or((shown.message, &[]));
        if !self.is(NO_HEADERS) {
            for field in fields(header).filter(|field| !field.name.is_empty()) {
                let mut data = without_nul(field.name);
                data.push(0);
                data.extend(self.value(field.value));
                data.push(0);
                match self.step(b'L', &data, (NO_HEADERS, SILENT_HEADER)).await? {
                    Step::Decided(decision) => return Ok(Some(decision)),
                    Step::Skip => break,
                    Step::Continue => {}
                }
            }
        }
        let flags = (NO_END_OF_HEADER, SILENT_END_OF_HEADER);
        if let Step::Decided(decision) = self.step(b'N', &[], flags).await? {
            return Ok(Some(decision));
        }
        if !self.is(NO_BODY) {
            for chunk in body.chunks(CHUNK_BYTES) {
                match self.step(b'B', chunk, (NO_BODY, SILENT_BODY)).await? {
                    Step::Decided(decision) => return Ok(Some(decision)),
                    Step::Skip => break,
                    Step::Continue => {}
                }
            }
        }
        Ok(None)
    }

    /// Folds are LF, and one space behind the colon goes unless the filter wants it.
    fn value(&self, value: &[u8]) -> Vec<u8> {
        let value = match value.strip_prefix(b" ") {
            Some(rest) if !self.is(wants::LEADING_SPACE) => rest,
            _ => value,
        };
        let mut out = without_nul(value);
        out.retain(|byte| *byte != b'\r');
        out
    }

    /// The end: what the filter would change comes before what it decides.
    async fn end(&mut self, shown: &Shown<'_>, said: &mut Said) -> Result<(), String> {
        self.packets.macros(b'E', &[("i", shown.id)]).await?;
        self.packets.send(b'E', &[]).await?;
        let mut held = None;
        loop {
            let (command, data) = self.packets.receive().await?;
            match command {
                b'p' => {}
                b'h' => keep(said, &data),
                // Both begin with a number.
                b'i' | b'm' => keep(said, data.get(4..).unwrap_or_default()),
                b'q' => held = Some(text(&data)),
                // Text and recipients stay as they are.
                b'b' | b'e' | b'+' | b'2' | b'-' => {
                    tracing::debug!(command = %char::from(command), "a filter's change is not made");
                }
                b'c' | b'a' => break,
                other => {
                    said.decision = decided(other, &data)?;
                    break;
                }
            }
        }
        if let (Decision::Accept, Some(why)) = (&said.decision, held) {
            said.decision = Decision::Quarantine(why);
        }
        Ok(())
    }
}

fn keep(said: &mut Said, data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    if let (Some(name), Some(value)) = (parts.next(), parts.next())
        && said.fields.len() < FIELDS_MAX
    {
        said.fields.push((text(name), text(value)));
    }
}

fn decided(command: u8, data: &[u8]) -> Result<Decision, String> {
    Ok(match command {
        b'a' => Decision::Accept,
        b'r' => Decision::Reject(None),
        b't' | b'f' => Decision::Later(None),
        b'd' => Decision::Discard,
        b'q' => Decision::Quarantine(text(data)),
        b'y' => {
            let words = Some(text(data));
            match data.first() {
                Some(b'4') => Decision::Later(words),
                Some(b'5') => Decision::Reject(words),
                _ => return Err("a reply that is none".to_owned()),
            }
        }
        other => return Err(format!("it says {:?}", char::from(other))),
    })
}

/// Words of a filter as one line.
fn text(data: &[u8]) -> String {
    let data = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let data = String::from_utf8_lossy(data.get(..1_000).unwrap_or(data));
    data.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

fn without_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| *byte != 0).collect()
}
