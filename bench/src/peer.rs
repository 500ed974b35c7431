//! Debian's Postfix and Dovecot as they come, in a temporary folder on free ports: Postfix accepts
//! and hands to Dovecot by LMTP; both fsync as their defaults say.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tests::wait;

use crate::load::Target;

/// How often what they left behind is looked for.
const REAP_LOOKS: u32 = 40;

/// How often, and how long, a peer that is to stop is waited for.
const STOP_LOOKS: u32 = 200;
const STOP_STEP: Duration = Duration::from_millis(25);

/// Postfix and Dovecot, stopped on drop.
pub(crate) struct Peer {
    // In the foreground, so that they are our children, and go when we do.
    running: Vec<Child>,
    // Stopped before its folder goes.
    dir: TempDir,
    smtp: SocketAddr,
    imap: SocketAddr,
}

impl Peer {
    /// Starts both.
    ///
    /// # Panics
    /// If one does not start (they need root).
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts Postfix alone, which sends what is not for itself to `sink`, and tries again after
    /// `retry`.
    ///
    /// # Panics
    /// If it does not start (it needs root).
    pub(crate) fn start_sending(sink: SocketAddr, retry: Duration) -> Self {
        let (port, retry) = (sink.port(), retry.as_secs());
        Self::start_with(&format!(
            "default_transport = smtp:[127.0.0.1]:{port}\nqueue_run_delay = {retry}s\n\
             minimal_backoff_time = {retry}s\nmaximal_backoff_time = {retry}s\n"
        ))
    }

    fn start_with(sending: &str) -> Self {
        let dir =
            tempfile::Builder::new().prefix("pd").tempdir().unwrap_or_else(|error| no(&error));
        let (smtp, imap, lmtp) = (free_port(), free_port(), free_port());
        // What their own processes leave behind is reaped here too.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .unwrap_or_else(|error| no(&error));
        let mut peer = Self { running: Vec::new(), smtp, imap, dir };
        peer.prepare(lmtp, sending).unwrap_or_else(|error| no(&error));
        let mut listening = vec![smtp];
        if sending.is_empty() {
            let dovecot = peer.path("dovecot.conf");
            peer.run(Command::new("dovecot").arg("-F").arg("-c").arg(dovecot));
            listening.extend([lmtp, imap]);
        }
        let postfix = peer.path("postfix");
        peer.run(Command::new("postfix").arg("-c").arg(postfix).arg("start-fg"));
        for address in listening {
            wait::until("the peer to listen", || TcpStream::connect(address).ok());
        }
        peer
    }

    /// Where it takes mail.
    pub(crate) const fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    pub(crate) fn target(&self, accounts: Range<usize>) -> Target {
        Target::new(self.smtp, self.imap, "secret", accounts)
    }

    fn run(&mut self, command: &mut Command) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let log = log.unwrap_or_else(|error| no(&error));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running.push(command.spawn().unwrap_or_else(|error| no(&error)));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn prepare(&self, lmtp: SocketAddr, sending: &str) -> std::io::Result<()> {
        let top = self.dir.path();
        run(Command::new("chmod").arg("755").arg(top));
        for folder in ["postfix", "queue", "data", "home", "run", "state"] {
            std::fs::create_dir_all(top.join(folder))?;
        }
        run(Command::new("chown").arg("postfix").arg(top.join("data")));
        run(Command::new("chown").arg("65534:65534").arg(top.join("home")));
        std::fs::write(top.join("dovecot.conf"), dovecot_conf(top, self.imap, lmtp))?;
        std::fs::write(top.join("postfix/main.cf"), main_cf(top, lmtp) + sending)?;
        std::fs::write(top.join("postfix/master.cf"), master_cf(self.smtp))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let stop = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
        };
        stop(Command::new("postfix").arg("-c").arg(self.path("postfix")).arg("abort"));
        stop(Command::new("doveadm").arg("-c").arg(self.path("dovecot.conf")).arg("stop"));
        for child in &mut self.running {
            // Ended by the above; if not, there is nothing more to be asked.
            let ended = (0..STOP_LOOKS).any(|_| {
                let ended = matches!(child.try_wait(), Ok(Some(_)));
                if !ended {
                    wait::pause(STOP_STEP);
                }
                ended
            });
            if !ended {
                child.kill().ok();
                child.wait().ok();
            }
        }
        // What they left behind is ours now; an office that still runs is not asked to end.
        let mut looks = 0;
        while looks < REAP_LOOKS {
            match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    looks += 1;
                    wait::pause(STOP_STEP);
                }
                Err(_) => break,
            }
        }
    }
}

#[expect(clippy::panic, reason = "a benchmark that cannot run has no figures")]
fn no(error: &dyn std::fmt::Display) -> ! {
    panic!("the peer cannot be started: {error}")
}

fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| no(&error));
    assert!(output.success(), "{command:?}: {output}");
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| no(&error));
    listener.local_addr().unwrap_or_else(|error| no(&error))
}

fn dovecot_conf(top: &Path, imap: SocketAddr, lmtp: SocketAddr) -> String {
    let (top, imap, lmtp) = (top.display(), imap.port(), lmtp.port());
    format!(
        "base_dir = {top}/run\nstate_dir = {top}/state\ninstance_name = bench-{imap}\n\
         log_path = {top}/dovecot.log\nprotocols = imap lmtp\nlisten = 127.0.0.1\n\
         default_internal_user = dovecot\ndefault_login_user = dovenull\n\
         disable_plaintext_auth = no\nauth_mechanisms = plain login\nssl = no\n\
         mail_max_userip_connections = 1000\nfirst_valid_uid = 1\n\
         passdb {{\n driver = static\n args = password=secret\n}}\n\
         userdb {{\n driver = static\n args = uid=65534 gid=65534 home={top}/home/%u \
         allow_all_users=yes\n}}\n\
         mail_location = maildir:~/mail\nnamespace inbox {{\n inbox = yes\n}}\n\
         protocol lmtp {{\n postmaster_address = postmaster@localhost\n}}\n\
         service imap-login {{\n inet_listener imap {{\n port = {imap}\n }}\n \
         inet_listener imaps {{\n port = 0\n }}\n}}\n\
         service lmtp {{\n inet_listener lmtp {{\n port = {lmtp}\n }}\n}}\n\
         service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
    )
}

fn main_cf(top: &Path, lmtp: SocketAddr) -> String {
    let (top, lmtp) = (top.display(), lmtp.port());
    format!(
        "compatibility_level = 3.6\nqueue_directory = {top}/queue\ndata_directory = {top}/data\n\
         maillog_file_prefixes = {top}\nmaillog_file = {top}/postfix.log\n\
         multi_instance_name = postfix-bench-{lmtp}\nmyhostname = mx.example.test\n\
         mydestination =\nmynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nalias_maps =\nalias_database =\n\
         virtual_mailbox_domains = example.test\nvirtual_mailbox_maps = static:all/\n\
         virtual_transport = lmtp:inet:127.0.0.1:{lmtp}\nmessage_size_limit = 104857600\n\
         smtp_host_lookup = native\nsmtp_dns_support_level = disabled\nrelayhost =\n"
    )
}

fn master_cf(smtp: SocketAddr) -> String {
    let mut text = format!("127.0.0.1:{} inet n - n - - smtpd\n", smtp.port());
    text.push_str(
        "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 1 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n\
         proxywrite unix - - n - 1 proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
         showq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n\
         discard unix - - n - - discard\nlocal unix - n n - - local\nvirtual unix - n n - - virtual\n\
         lmtp unix - - n - - lmtp\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n",
    );
    text
}
