//! Debian's exim, unpacked beside Postfix, with which it cannot be installed.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Setup, maildir};
use crate::wait;
use crate::zones::{free_port, open_to_all};

/// Who it runs as: built into it.
const USER: &str = "Debian-exim";

/// One instance; stopped on drop.
#[derive(Debug)]
pub struct Exim {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

/// Where `cargo xtask test` unpacks it.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join(".corpus/exim/usr/sbin/exim4")
}

impl Exim {
    /// Starts one.
    /// # Panics
    /// If it does not start (it needs root, and `cargo xtask test` must have unpacked it).
    #[must_use]
    pub fn start(setup: &Setup<'_>) -> Self {
        let dir = tempfile::Builder::new().prefix("exim-").tempdir().unwrap();
        let top = dir.path();
        open_to_all(top);
        for folder in ["spool", "log", "mail"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        std::fs::copy(program(), top.join("exim4")).unwrap();
        std::fs::copy(&setup.certificate.chain, top.join("certificate")).unwrap();
        std::fs::copy(&setup.certificate.key, top.join("key")).unwrap();
        let address = setup.at.unwrap_or_else(free_port);
        std::fs::write(top.join("conf"), conf(top, setup, address)).unwrap();
        let status = Command::new("chown")
            .arg(USER)
            .args(["spool", "log", "mail", "key"])
            .current_dir(top)
            .status();
        assert!(status.unwrap().success());
        let log = std::fs::File::create(top.join("stderr")).unwrap();
        // Not as root: it would give up the rights it needs for a configuration that is not its own.
        let mut child = Command::new("setpriv")
            .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
            .arg(top.join("exim4"))
            .arg("-C")
            .arg(top.join("conf"))
            .args(["-bdf", "-q1s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait::until("exim to listen", || {
            let said = || std::fs::read_to_string(top.join("stderr")).unwrap_or_default();
            assert!(matches!(child.try_wait(), Ok(None)), "exim ended: {}", said());
            TcpStream::connect(address).ok()
        });
        Self { child, dir, address }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has delivered, with CRLF line ends.
    #[must_use]
    pub fn mail(&self) -> Vec<Vec<u8>> {
        maildir(&self.dir.path().join("mail"))
    }

    /// Waits until it has delivered so many messages.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Vec<u8>> {
        wait::until(&format!("{count} messages at exim; it says:\n{}", self.log()), || {
            Some(self.mail()).filter(|all| all.len() >= count)
        })
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name: &str| {
            std::fs::read_to_string(self.dir.path().join("log").join(name)).unwrap_or_default()
        };
        read("main") + &read("panic")
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            super::tell(&self.log());
        }
        crate::zones::stop(&mut self.child);
    }
}

fn conf(top: &Path, setup: &Setup<'_>, address: SocketAddr) -> String {
    let Setup { domain, next, .. } = setup;
    let (top, ip, port) = (top.display(), address.ip(), address.port());
    let next = next.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 1)));
    format!(
        "primary_hostname = mx.{domain}\nspool_directory = {top}/spool\n\
         log_file_path = {top}/log/%s\npid_file_path = {top}/pid\nexim_path = {top}/exim4\n\
         local_interfaces = {ip}.{port}\ndaemon_smtp_ports = {port}\n\
         domainlist local_domains = {domain}\ndeliver_drop_privilege = true\n\
         tls_advertise_hosts = *\ntls_certificate = {top}/certificate\ntls_privatekey = {top}/key\n\
         smtputf8_advertise_hosts = *\nkeep_environment =\nhost_lookup =\nrfc1413_hosts =\n\
         message_size_limit = 100M\n\
         smtp_accept_max = 50\n\
         acl_smtp_rcpt = everybody\nacl_smtp_data = everybody\n\
         begin acl\neverybody:\n  accept\n\
         begin routers\nhere:\n  driver = accept\n  domains = +local_domains\n  \
         transport = maildir\nout:\n  driver = manualroute\n  route_list = * {next_ip}\n  \
         self = send\n  transport = remote\n\
         begin transports\nmaildir:\n  driver = appendfile\n  maildir_format\n  \
         directory = {top}/mail\n  create_directory\n  delivery_date_add\n  envelope_to_add\n  \
         return_path_add\nremote:\n  driver = smtp\n  port = {next_port}\n  allow_localhost\n  \
         hosts_require_tls = *\n  message_linelength_limit = 100000\n\
         begin retry\n* * F,1h,1s\n",
        next_ip = next.ip(),
        next_port = next.port(),
    )
}
