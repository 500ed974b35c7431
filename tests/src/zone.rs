//! A name server of a few records, over UDP on this machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A record's data.
#[derive(Clone, Debug)]
pub enum Data {
    /// Text, cut into strings of 255 bytes.
    Txt(String),
    /// An address.
    Address(IpAddr),
    /// A name that an address leads back to.
    Ptr(String),
}

/// Answers until it is dropped. Names are given and asked for in lower case, without a dot at
/// the end.
#[derive(Debug)]
pub struct Zone {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Zone {
    /// Serves these records.
    ///
    /// # Panics
    /// If there is no socket to be had.
    #[must_use]
    pub fn serve(records: &[(&str, Data)]) -> Self {
        let mut all: BTreeMap<String, Vec<Data>> = BTreeMap::new();
        for (name, data) in records {
            all.entry((*name).to_owned()).or_default().push(data.clone());
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let until = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut question = [0; 1500];
            while !until.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                if let Some(answer) = answer(&all, &question[..length]) {
                    // Who asked may be gone.
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        Self { address, ends, thread: Some(thread) }
    }

    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The answer to one question (RFC 1035 §4).
fn answer(all: &BTreeMap<String, Vec<Data>>, message: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    let end = at + 4;
    let name = labels.join(".");
    let found = all.get(&name);
    let answers: Vec<(u16, Vec<u8>)> =
        found.into_iter().flatten().map(wire).filter(|(of, _)| *of == kind).collect();
    // A name above one that is there is there too (RFC 8020).
    let below = format!(".{name}");
    let exists = found.is_some() || all.keys().any(|one| one.ends_with(&below));
    let code = if exists { 0 } else { 3 };
    let mut out = message.get(..2)?.to_vec();
    out.extend([0x85, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(answers.len()).ok()?.to_be_bytes());
    out.extend([0; 4]);
    out.extend(message.get(12..end)?);
    for (of, data) in answers {
        out.extend([0xc0, 12]);
        out.extend(of.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

fn wire(data: &Data) -> (u16, Vec<u8>) {
    match data {
        Data::Txt(text) => {
            let strings = text.as_bytes().chunks(255);
            let length = |string: &[u8]| u8::try_from(string.len()).unwrap_or(u8::MAX);
            (16, strings.flat_map(|string| [&[length(string)], string].concat()).collect())
        }
        Data::Address(IpAddr::V4(v4)) => (1, v4.octets().to_vec()),
        Data::Address(IpAddr::V6(v6)) => (28, v6.octets().to_vec()),
        Data::Ptr(name) => {
            let labels = name.split('.').map(|label| {
                let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
                [&[length], label.as_bytes()].concat()
            });
            (12, labels.flatten().chain([0]).collect())
        }
    }
}
