//! Wake-ups between the processes of a store directory: datagrams to each other's Unix sockets.
//!
//! Publishing puts the event into this process's own queue at once, and into a bounded queue of a
//! thread that tells the others; several events travel in one datagram. A peer that does not
//! read is told later that it lost something. All of it is a hint: a lost one costs a sweep's time.

mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use super::presence::Presence;
use crate::counters::Call;
use crate::events::{Told, listen};
use crate::{Counters, Event, Events, Subscription};

/// Events that a slow listener may be behind before it is told that it lost some.
const WAITING_MAX: usize = 4_096;

/// Events that wait for the sending thread, at most; more are lost.
const SENDING_MAX: usize = 4_096;

/// How long one peer that does not read may hold up the others, once.
const PATIENCE: Duration = Duration::from_millis(50);

/// The engine.
pub(super) struct LocalEvents {
    local: broadcast::Sender<Told>,
    outgoing: Mutex<Option<SyncSender<Event>>>,
    /// The queue was full: the others are told that they missed something.
    lost: Arc<AtomicBool>,
    socket: Arc<UnixDatagram>,
    threads: Vec<JoinHandle<()>>,
    counters: Arc<Counters>,
    /// Held so that this process counts as alive while its socket is there.
    _presence: Arc<Presence>,
}

impl LocalEvents {
    pub(super) fn open(presence: Arc<Presence>, counters: Arc<Counters>) -> io::Result<Self> {
        let directory = Directory::open(presence.run_directory())?;
        let own = format!("{}.sock", presence.name());
        let socket = Arc::new(UnixDatagram::bind(directory.short(&own))?);
        let sender = UnixDatagram::unbound()?;
        sender.set_write_timeout(Some(PATIENCE))?;
        let (outgoing, queue) = sync_channel(SENDING_MAX);
        let local = broadcast::Sender::new(WAITING_MAX);
        let peers = Peers { directory, own, sender, known: BTreeMap::new(), scanned: None };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work)
        };
        let (incoming, told) = (socket.clone(), local.clone());
        let lost = Arc::new(AtomicBool::new(false));
        let overflow = lost.clone();
        let threads = vec![
            spawn("events-out", Box::new(move || send_all(&queue, &overflow, peers)))?,
            spawn("events-in", Box::new(move || receive_all(&incoming, &told)))?,
        ];
        let outgoing = Mutex::new(Some(outgoing));
        Ok(Self { local, outgoing, lost, socket, threads, counters, _presence: presence })
    }
}

impl Events for LocalEvents {
    fn publish(&self, event: Event) {
        self.counters.call(Call::EventPublish);
        let outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        if outgoing.as_ref().is_some_and(|queue| queue.try_send(event.clone()).is_err()) {
            self.lost.store(true, Ordering::Release);
        }
        // Nobody need listen.
        drop(self.local.send(Some(event)));
    }

    fn subscribe(&self) -> Box<dyn Subscription> {
        listen(&self.local)
    }
}

impl Drop for LocalEvents {
    fn drop(&mut self) {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Ends the receiving thread's wait.
        drop(self.socket.shutdown(Shutdown::Both));
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Reads datagrams until the socket is shut down.
fn receive_all(socket: &UnixDatagram, local: &broadcast::Sender<Told>) {
    let mut buffer = vec![0; wire::DATAGRAM_BYTES_MAX];
    // An empty datagram is nobody's: it is how a shutdown shows.
    while let Ok(n @ 1..) = socket.recv(&mut buffer) {
        let (events, whole) = wire::decode(buffer.get(..n).unwrap_or(&buffer));
        events.into_iter().for_each(|event| drop(local.send(Some(event))));
        if !whole {
            // Lost on the way, or not understood: the listeners look at everything.
            drop(local.send(None));
        }
    }
}

/// Tells the other processes what is published here, until the queue's other end is gone.
fn send_all(queue: &Receiver<Event>, lost: &AtomicBool, mut peers: Peers) {
    while let Ok(first) = queue.recv() {
        let mut datagram = wire::Datagram::new();
        let mut next = Some(first);
        while let Some(event) = next.take() {
            match datagram.push(&event) {
                true => next = queue.try_recv().ok(),
                false => {
                    peers.tell(datagram.bytes());
                    datagram = wire::Datagram::new();
                    next = Some(event);
                }
            }
        }
        peers.tell(datagram.bytes());
        if lost.swap(false, Ordering::AcqRel) {
            peers.tell(&wire::all_lost());
        }
    }
}

/// A directory whose files can be named shortly: a socket's address has 108 bytes.
struct Directory {
    path: PathBuf,
    open: File,
}

impl Directory {
    fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { open: File::open(&path)?, path })
    }

    fn short(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.open.as_raw_fd()).into()
    }
}

/// The other processes' sockets.
struct Peers {
    directory: Directory,
    own: String,
    sender: UnixDatagram,
    known: BTreeMap<String, Peer>,
    /// When the directory had last changed as it was last read, if that was long enough before.
    scanned: Option<SystemTime>,
}

#[derive(Default)]
struct Peer {
    /// It did not read, and has lost something since.
    behind: bool,
}

impl Peers {
    fn tell(&mut self, datagram: &[u8]) {
        self.find();
        let (directory, sender) = (&self.directory, &self.sender);
        self.known.retain(|name, peer| {
            let address = directory.short(name);
            if peer.behind {
                // Whoever did not read before is not waited for again.
                drop(sender.set_nonblocking(true));
                let caught_up = sender.send_to(&wire::all_lost(), &address);
                drop(sender.set_nonblocking(false));
                if !gone(&caught_up) {
                    peer.behind = caught_up.is_err();
                }
                return !gone(&caught_up);
            }
            let sent = sender.send_to(datagram, &address);
            peer.behind = sent.is_err();
            !gone(&sent)
        });
    }

    /// Reads the directory again if it may have changed.
    fn find(&mut self) {
        let changed = self.directory.open.metadata().and_then(|about| about.modified()).ok();
        if changed.is_some() && changed == self.scanned {
            return;
        }
        let Ok(entries) = std::fs::read_dir(&self.directory.path) else { return };
        let mut found = BTreeMap::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(".sock") && name != self.own {
                let known = self.known.remove(&name).unwrap_or_default();
                found.insert(name, known);
            }
        }
        self.known = found;
        // The file system's clock is coarse: a change within the same tick as this reading would
        // not show. So the reading counts only if the change was a while ago.
        let age = changed.and_then(|at| self.now().duration_since(at).ok());
        self.scanned = changed.filter(|_| age.is_some_and(|age| age > Duration::from_millis(100)));
    }

    #[expect(clippy::disallowed_methods, reason = "compared with a file's time, kept nowhere")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Whether nobody is at this address any more. Its file is removed by who finds its lock free.
fn gone(sent: &io::Result<usize>) -> bool {
    matches!(sent, Err(error) if matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    ))
}
