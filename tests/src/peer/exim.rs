//! Debian's exim, unpacked beside Postfix, with which it cannot be installed.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Place, Setup};

/// Who it runs as: built into it.
const USER: &str = "Debian-exim";

/// One instance; stopped on drop.
#[derive(Debug)]
pub struct Exim(Peer);

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
        let place = Place::new("exim", setup, &["spool", "log", "mail"]);
        std::fs::copy(program(), place.path("exim4")).unwrap();
        std::fs::copy(&setup.certificate.chain, place.path("certificate")).unwrap();
        std::fs::copy(&setup.certificate.key, place.path("key")).unwrap();
        std::fs::write(place.path("conf"), conf(place.dir.path(), setup, place.address)).unwrap();
        place.give(USER, &["spool", "log", "mail", "key"]);
        // Not as root: it would give up the rights it needs for a configuration that is not its own.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
        command.arg(place.path("exim4")).arg("-C").arg(place.path("conf")).args(["-bdf", "-q1s"]);
        Self(place.start(&mut command, "mail", &["log/main", "log/panic"]))
    }
}

impl Deref for Exim {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
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
