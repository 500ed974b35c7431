//! Debian's Postfix in a folder of its own.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Peer, Place, Setup};

/// One instance; stopped on drop.
#[derive(Debug)]
pub struct Postfix(Peer);

impl Postfix {
    /// Starts one.
    /// # Panics
    /// If it does not start (it needs root).
    #[must_use]
    pub fn start(setup: &Setup<'_>) -> Self {
        let place = Place::new("postfix", setup, &["etc", "queue", "data", "mail"]);
        place.give("postfix", &["data"]);
        place.give("nobody", &["mail"]);
        let main = main_cf(place.dir.path(), setup, place.address);
        std::fs::write(place.path("etc/main.cf"), main).unwrap();
        std::fs::write(place.path("etc/master.cf"), master_cf(place.address)).unwrap();
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(place.path("etc")).arg("start-fg");
        Self(place.start(&mut command, "mail/all", &["log"]))
    }
}

impl Deref for Postfix {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let mut stop = Command::new("/usr/sbin/postfix");
        stop.arg("-c").arg(self.0.dir.path().join("etc")).arg("abort");
        stop.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
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
