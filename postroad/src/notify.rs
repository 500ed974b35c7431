//! Telling systemd what we are at (sd_notify(3)): one datagram, where `$NOTIFY_SOCKET` names a
//! socket.

use std::os::unix::net::UnixDatagram;

/// Says `state`, such as `READY=1`. Nothing happens where nobody asked for it.
pub(crate) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(why) = send(&path, state) {
        tracing::warn!(%why, "cannot tell the service manager {state}");
    }
}

fn send(path: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    let address = match path.as_bytes() {
        // A name in the abstract namespace.
        [b'@', name @ ..] => std::os::unix::net::SocketAddr::from_abstract_name(name)?,
        _ => std::os::unix::net::SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut bytes = [0; 16];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
    }
}
