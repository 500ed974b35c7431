//! Debian's Postfix in a folder of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Setup, maildir};
use crate::wait;
use crate::zones::{free_port, open_to_all};

/// One instance; stopped on drop.
#[derive(Debug)]
pub struct Postfix {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Postfix {
    /// Starts one.
    /// # Panics
    /// If it does not start (it needs root).
    #[must_use]
    pub fn start(setup: &Setup<'_>) -> Self {
        let dir = tempfile::Builder::new().prefix("postfix-").tempdir().unwrap();
        let address = setup.at.unwrap_or_else(free_port);
        open_to_all(dir.path());
        for folder in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for (owner, folder) in [("postfix", "data"), ("nobody", "mail")] {
            let status = Command::new("chown").arg(owner).arg(dir.path().join(folder)).status();
            assert!(status.unwrap().success());
        }
        std::fs::write(dir.path().join("etc/main.cf"), main_cf(dir.path(), setup, address))
            .unwrap();
        std::fs::write(dir.path().join("etc/master.cf"), master_cf(address)).unwrap();
        let log = std::fs::File::create(dir.path().join("stderr")).unwrap();
        let child = Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(dir.path().join("etc"))
            .arg("start-fg")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait::until("postfix to listen", || TcpStream::connect(address).ok());
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
        maildir(&self.dir.path().join("mail/all"))
    }

    /// The files that it has delivered, one a recipient.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.dir.path().join("mail/all/new"));
        folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    /// Waits until it has delivered so many messages.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Vec<u8>> {
        wait::until(&format!("{count} messages at postfix; it says:\n{}", self.log()), || {
            Some(self.mail()).filter(|all| all.len() >= count)
        })
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            super::tell(&self.log());
        }
        let mut stop = Command::new("/usr/sbin/postfix");
        stop.arg("-c").arg(self.dir.path().join("etc")).arg("abort");
        stop.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
        crate::zones::stop(&mut self.child);
    }
}

fn main_cf(top: &Path, setup: &Setup<'_>, address: SocketAddr) -> String {
    let Setup { domain, next, certificate, .. } = setup;
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    let relay = next.map_or_else(String::new, |to| format!("[{}]:{}", to.ip(), to.port()));
    let name = address.to_string().replace([':', '.'], "-");
    format!(
        "compatibility_level = 3.6\nqueue_directory = {top}/queue\ndata_directory = {top}/data\n\
         maillog_file_prefixes = {top}\nmaillog_file = {top}/log\n\
         multi_instance_name = postfix-{name}\nmyhostname = mx.{domain}\nmydestination =\n\
         mynetworks = 127.0.0.0/8\ninet_interfaces = {ip}\ninet_protocols = ipv4\n\
         smtp_bind_address = 127.0.0.1\nalias_maps =\nalias_database =\n\
         virtual_mailbox_domains = {domain}\nvirtual_mailbox_base = {top}/mail\n\
         virtual_mailbox_maps = regexp:{{{{!/^(no-such.*)?@/ all/}}}}\nvirtual_uid_maps = static:65534\n\
         virtual_gid_maps = static:65534\nvirtual_mailbox_limit = 0\n\
         message_size_limit = 104857600\nsmtputf8_enable = yes\n\
         smtpd_tls_cert_file = {chain}\nsmtpd_tls_key_file = {key}\n\
         smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\n\
         smtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1\nsmtp_host_lookup = native\n\
         smtp_dns_support_level = disabled\nrelayhost = {relay}\n\
         minimal_backoff_time = 1s\nmaximal_backoff_time = 4s\nqueue_run_delay = 1s\n",
        top = top.display(),
        ip = address.ip(),
    )
}

fn master_cf(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\nqmgr unix n - n 1 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\n\
         error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n\
         local unix - n n - - local\nvirtual unix - n n - - virtual\nlmtp unix - - n - - lmtp\n\
         anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}
