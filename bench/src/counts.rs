//! What a running office has done so far: its own metrics, and the kernel's accounting.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tests::office::Office;
use tests::wait;

/// Nothing written for so long: what had to be done has been done.
const QUIET: Duration = Duration::from_millis(300);

/// Looks for a quiet moment, at most.
const LOOKS_MAX: usize = 10;

/// Sums since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Counts {
    /// Objects put.
    pub(crate) object_puts: f64,
    /// Object reads.
    pub(crate) object_gets: f64,
    /// Index reads.
    pub(crate) index_reads: f64,
    /// Index writes.
    pub(crate) index_writes: f64,
    /// Syncs of files and directories.
    pub(crate) fsyncs: f64,
    /// Bytes of objects put.
    pub(crate) object_bytes: f64,
    /// Bytes written to the index's files: its log, and pages copied back.
    pub(crate) index_bytes: f64,
    /// Bytes that the kernel was made to write for the process, whole pages counted.
    pub(crate) kernel_bytes: f64,
    /// Seconds of CPU, user and system.
    pub(crate) cpu_seconds: f64,
}

impl Counts {
    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        self.each(before, |now, before| now - before)
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.each(other, |one, other| one + other)
    }

    /// The part of each of `n`.
    pub(crate) fn divided(&self, n: f64) -> Self {
        let n = Self::all(n);
        self.each(&n, |sum, n| sum / n)
    }

    const fn all(n: f64) -> Self {
        Self {
            object_puts: n,
            object_gets: n,
            index_reads: n,
            index_writes: n,
            fsyncs: n,
            object_bytes: n,
            index_bytes: n,
            kernel_bytes: n,
            cpu_seconds: n,
        }
    }

    fn each(&self, other: &Self, of: fn(f64, f64) -> f64) -> Self {
        Self {
            object_puts: of(self.object_puts, other.object_puts),
            object_gets: of(self.object_gets, other.object_gets),
            index_reads: of(self.index_reads, other.index_reads),
            index_writes: of(self.index_writes, other.index_writes),
            fsyncs: of(self.fsyncs, other.fsyncs),
            object_bytes: of(self.object_bytes, other.object_bytes),
            index_bytes: of(self.index_bytes, other.index_bytes),
            kernel_bytes: of(self.kernel_bytes, other.kernel_bytes),
            cpu_seconds: of(self.cpu_seconds, other.cpu_seconds),
        }
    }

    /// Bytes that the engines wrote.
    pub(crate) const fn bytes(&self) -> f64 {
        self.object_bytes + self.index_bytes
    }
}

/// An office's counts once it writes nothing more: what a delivery leaves for later counts too.
///
/// # Panics
/// If its metrics cannot be read.
pub(crate) fn when_quiet(office: &Office) -> Counts {
    let mut counts = read(office);
    for _ in 0..LOOKS_MAX {
        wait::pause(QUIET);
        let now = read(office);
        if now.index_writes <= counts.index_writes && now.object_puts <= counts.object_puts {
            return now;
        }
        counts = now;
    }
    counts
}

/// Reads an office's counts now.
///
/// # Panics
/// If its metrics cannot be read.
pub(crate) fn read(office: &Office) -> Counts {
    let metrics = metrics(office).unwrap_or_default();
    let sum = |name: &str, labels: &[(&str, &str)]| {
        let has = |key: &str| {
            key.starts_with(name)
                && labels.iter().all(|(label, value)| key.contains(&format!("{label}=\"{value}\"")))
        };
        metrics.iter().filter(|(key, _)| has(key)).map(|(_, value)| value).sum()
    };
    let calls = |seam, call| sum("postroad_engine_calls_total", &[("seam", seam), ("call", call)]);
    let bytes = |seam| sum("postroad_engine_bytes_total", &[("seam", seam)]);
    let pid = office.pid();
    let counts = Counts {
        object_puts: calls("objects", "put"),
        object_gets: calls("objects", "get"),
        index_reads: calls("index", "read"),
        index_writes: calls("index", "write"),
        fsyncs: sum("postroad_engine_fsyncs_total", &[]),
        object_bytes: bytes("objects"),
        index_bytes: bytes("index"),
        kernel_bytes: kernel_bytes(pid).unwrap_or_default(),
        cpu_seconds: cpu(pid).unwrap_or_default(),
    };
    assert!(
        counts.index_reads > 0.0 && counts.index_bytes > 0.0,
        "the office's metrics tell no counts: {metrics:?}"
    );
    counts
}

fn metrics(office: &Office) -> std::io::Result<BTreeMap<String, f64>> {
    let mut stream = TcpStream::connect(office.listener("http"))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect())
}

fn kernel_bytes(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

/// CPU seconds of a process; the kernel counts hundredths.
fn cpu(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}
