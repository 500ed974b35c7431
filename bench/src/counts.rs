//! What a running office has done so far: its own metrics, and the kernel's accounting.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tests::office::Office;

/// Sums since the process started.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
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
    /// Bytes that the process wrote to the medium.
    pub(crate) bytes: f64,
    /// Seconds of CPU, user and system.
    pub(crate) cpu_seconds: f64,
}

impl Counts {
    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            object_puts: self.object_puts - before.object_puts,
            object_gets: self.object_gets - before.object_gets,
            index_reads: self.index_reads - before.index_reads,
            index_writes: self.index_writes - before.index_writes,
            fsyncs: self.fsyncs - before.fsyncs,
            bytes: self.bytes - before.bytes,
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
        }
    }
}

/// Reads an office's counts now.
///
/// # Panics
/// If its metrics cannot be read.
pub(crate) fn read(office: &Office) -> Counts {
    let metrics = metrics(office).unwrap_or_default();
    let calls = |seam: &str, call: &str| {
        let labels = [format!("seam=\"{seam}\""), format!("call=\"{call}\"")];
        let has = |key: &str| labels.iter().all(|label| key.contains(label));
        let calls =
            metrics.iter().filter(|(key, _)| key.starts_with("postroad_engine_calls_total"));
        calls.filter(|(key, _)| has(key)).map(|(_, value)| value).sum()
    };
    let sum = |name: &str| {
        metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
    };
    let pid = office.pid();
    let counts = Counts {
        object_puts: calls("objects", "put"),
        object_gets: calls("objects", "get"),
        index_reads: calls("index", "read"),
        index_writes: calls("index", "write"),
        fsyncs: sum("postroad_engine_fsyncs_total"),
        bytes: written(pid).unwrap_or_default(),
        cpu_seconds: cpu(pid).unwrap_or_default(),
    };
    assert!(counts.index_reads > 0.0, "the office's metrics tell no counts: {metrics:?}");
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

/// Bytes that the kernel was made to write for this process.
fn written(pid: u32) -> Option<f64> {
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
