//! A DNS of the test's own: nsd serves its zones, signed if wanted, and unbound resolves and
//! validates them. Every other name fails at once: no question leaves the machine.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait;

/// The servers; stopped on drop.
#[derive(Debug)]
pub struct Zones {
    dir: TempDir,
    servers: Vec<Child>,
    authority: SocketAddr,
    resolver: SocketAddr,
    zones: Vec<(String, bool)>,
}

impl Zones {
    /// Serves these zones: name, records as a zone file has them (without SOA and NS), and whether
    /// it is signed.
    /// # Panics
    /// If nsd, unbound or ldnsutils are not there.
    #[must_use]
    pub fn start(zones: &[(&str, &str, bool)]) -> Self {
        Self::start_forged(zones, &[])
    }

    /// The same, but in these zones this text is replaced after they were signed: what it belongs
    /// to is bogus.
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_forged(zones: &[(&str, &str, bool)], forged: &[(&str, &str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("zones-").tempdir().unwrap();
        let (authority, resolver) = (free_port(), free_port());
        let names = zones.iter().map(|(name, _, signed)| ((*name).to_owned(), *signed)).collect();
        let mut all = Self { dir, servers: Vec::new(), authority, resolver, zones: names };
        for (name, records, signed) in zones {
            all.write(name, records, *signed);
        }
        for (name, from, to) in forged {
            let path = all.dir.path().join(format!("{name}.zone"));
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "no {from} in {text}");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
        std::fs::write(all.dir.path().join("nsd.conf"), all.nsd_conf()).unwrap();
        std::fs::write(all.dir.path().join("unbound.conf"), all.unbound_conf()).unwrap();
        all.run("nsd");
        all.run("unbound");
        all
    }

    /// Where the resolver answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.resolver
    }

    /// Lines of `[dns]` for a server under test: asks this resolver, and believes it.
    #[must_use]
    pub fn configuration(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\nvalidates = true", self.resolver)
    }

    fn write(&self, name: &str, records: &str, signed: bool) {
        let folder = self.dir.path();
        let zone = format!(
            "$TTL 1\n@ IN SOA ns hostmaster 1 3600 600 86400 1\n@ IN NS ns\nns A 127.0.0.1\n{records}\n"
        );
        std::fs::write(folder.join(format!("{name}.zone")), zone).unwrap();
        if !signed {
            return;
        }
        let script = "set -e; k=$(ldns-keygen -a ECDSAP256SHA256 -k \"$1\")\n\
                      ldns-signzone -n -o \"$1\" -f \"$1.signed\" \"$1.zone\" \"$k\"\n\
                      mv \"$1.signed\" \"$1.zone\"; cat \"$k.key\" >> anchors";
        let output =
            Command::new("sh").args(["-c", script, "sh", name]).current_dir(folder).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn nsd_conf(&self) -> String {
        let top = self.dir.path().display();
        let mut text = format!(
            "server:\n ip-address: 127.0.0.1@{}\n username: \"\"\n chroot: \"\"\n \
             zonesdir: \"{top}\"\n database: \"\"\n zonelistfile: \"{top}/zone.list\"\n \
             xfrdfile: \"{top}/xfrd\"\n xfrdir: \"{top}\"\n pidfile: \"{top}/nsd.pid\"\n \
             server-count: 1\nremote-control:\n control-enable: no\n",
            self.authority.port()
        );
        for (name, _) in &self.zones {
            write!(text, "zone:\n name: \"{name}\"\n zonefile: \"{name}.zone\"\n").unwrap();
        }
        text
    }

    fn unbound_conf(&self) -> String {
        let top = self.dir.path().display();
        let mut text = format!(
            "server:\n interface: 127.0.0.1@{}\n access-control: 127.0.0.0/8 allow\n \
             username: \"\"\n chroot: \"\"\n directory: \"{top}\"\n pidfile: \"{top}/unbound.pid\"\n \
             use-syslog: no\n do-not-query-localhost: no\n do-ip6: no\n num-threads: 1\n \
             cache-max-ttl: 1\n cache-max-negative-ttl: 1\n infra-host-ttl: 1\n \
             module-config: \"validator iterator\"\n local-zone: \".\" transparent\n",
            self.resolver.port()
        );
        // Names that unbound answers itself unless told not to.
        for name in ["test.", "127.in-addr.arpa."] {
            writeln!(text, " local-zone: \"{name}\" nodefault").unwrap();
        }
        if self.zones.iter().any(|(_, signed)| *signed) {
            writeln!(text, " trust-anchor-file: \"{top}/anchors\"").unwrap();
        }
        for (name, signed) in &self.zones {
            if !signed {
                writeln!(text, " domain-insecure: \"{name}\"").unwrap();
            }
        }
        let authority = self.authority.port();
        for (name, _) in &self.zones {
            write!(text, "stub-zone:\n name: \"{name}\"\n stub-addr: 127.0.0.1@{authority}\n")
                .unwrap();
        }
        write!(text, "forward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{authority}\n")
            .unwrap();
        text
    }

    fn run(&mut self, program: &str) {
        let log = std::fs::File::create(self.dir.path().join(format!("{program}.log"))).unwrap();
        let config = self.dir.path().join(format!("{program}.conf"));
        let child = Command::new(format!("/usr/sbin/{program}"))
            .args(["-d", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.servers.push(child);
        let address = if program == "nsd" { self.authority } else { self.resolver };
        wait::until(&format!("{program} to listen"), || TcpStream::connect(address).ok());
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        for server in &mut self.servers {
            stop(server);
        }
    }
}

/// Asks a child to end, and waits until it has.
pub(crate) fn stop(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
    for _ in 0..400 {
        if child.try_wait().ok().flatten().is_some() {
            return;
        }
        wait::pause(std::time::Duration::from_millis(5));
    }
    child.kill().ok();
    child.wait().ok();
}

/// A port that is free for TCP and UDP; another could take it before its user does.
pub(crate) fn free_port() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// An address of this machine that no other test uses, so that servers have the ports that mail and
/// policies have.
#[must_use]
pub fn loopback(number: u8) -> Ipv4Addr {
    let [high, middle, low, last] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + ((high ^ middle) & 63), low, last.wrapping_add(number))
}

/// Lets everybody read a folder: servers give up their privileges.
pub(crate) fn open_to_all(folder: &Path) {
    let status = Command::new("chmod").arg("755").arg(folder).status().unwrap();
    assert!(status.success());
}
