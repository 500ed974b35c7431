//! Where both systems send to: an SMTP server that takes everything as fast as it comes, offers no
//! TLS, and can be down. It keeps nothing: it counts.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tests::wait;

use crate::load::fail;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// How long messages that were acknowledged may take to get here.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often is looked whether they have.
const STEP: Duration = Duration::from_millis(1);

/// A sink; it ends when it is dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    messages: AtomicUsize,
    connections: AtomicUsize,
    /// Connections open now on which something was said, and most of them at once.
    open: AtomicUsize,
    open_most: AtomicUsize,
    down: AtomicBool,
    stopped: AtomicBool,
}

impl Sink {
    /// On a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|error| fail("listen", &error));
        let address = listener.local_addr().unwrap_or_else(|error| fail("listen", &error));
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Down: whoever connects, or says something, is hung up on.
    pub(crate) fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// Messages taken so far.
    pub(crate) fn messages(&self) -> usize {
        self.shared.messages.load(Ordering::SeqCst)
    }

    /// Connections on which something was said so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections open now, on which something was said.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Most of them at once since this was asked last.
    pub(crate) fn open_most(&self) -> usize {
        self.shared.open_most.swap(0, Ordering::SeqCst)
    }

    /// Waits until it has taken so many.
    ///
    /// # Panics
    /// If they do not come.
    pub(crate) fn wait_for(&self, messages: usize) {
        let start = wait::now();
        while self.messages() < messages {
            let here = self.messages();
            assert!(start.elapsed() < PATIENCE, "{here} of {messages} messages were sent");
            wait::pause(STEP);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(socket), false) = (socket, shared.down.load(Ordering::SeqCst)) else { continue };
        let shared = shared.clone();
        // What the client does not hear it tries again.
        std::thread::spawn(move || serve(&socket, &shared).ok());
    }
}

/// A connection that counts as open until it is dropped.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.open_most.fetch_max(open, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection: answers are sent when nothing more has come (RFC 2920 §3.2).
fn serve(socket: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut socket = socket;
    socket.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(READ_BYTES, socket);
    let mut out = b"220 sink.test ESMTP\r\n".to_vec();
    let mut line = Vec::new();
    let mut open = None;
    loop {
        if reader.buffer().is_empty() {
            socket.write_all(&out)?;
            out.clear();
        }
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 || shared.down.load(Ordering::SeqCst) {
            return Ok(());
        }
        open.get_or_insert_with(|| Open::new(shared));
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"EHLO" => out.extend_from_slice(
                b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n\
                  250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250 DSN\r\n",
            ),
            b"DATA" => {
                out.extend_from_slice(b"354 go on\r\n");
                socket.write_all(&out)?;
                out.clear();
                if !content(&mut reader, &mut line)? || shared.down.load(Ordering::SeqCst) {
                    return Ok(());
                }
                shared.messages.fetch_add(1, Ordering::SeqCst);
                out.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            b"QUIT" => {
                out.extend_from_slice(b"221 2.0.0 bye\r\n");
                return socket.write_all(&out);
            }
            _ => out.extend_from_slice(b"250 2.0.0 ok\r\n"),
        }
    }
}

/// Up to the final dot; whether it came.
fn content(reader: &mut BufReader<&TcpStream>, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        line.clear();
        if reader.read_until(b'\n', line)? == 0 {
            return Ok(false);
        }
        if line == b".\r\n" {
            return Ok(true);
        }
    }
}
