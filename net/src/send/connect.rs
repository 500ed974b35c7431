//! A socket to a vetted address, from the egress's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use engine::Clock;
use tokio::net::{TcpSocket, TcpStream};

use super::{Fault, Reach, Stage};

/// Connects to `address`, and to no other.
pub(crate) async fn connect(
    clock: &Arc<dyn Clock>,
    source: Option<IpAddr>,
    address: SocketAddr,
    reach: &Reach,
    time: Duration,
) -> Result<TcpStream, Fault> {
    // E3: what is connected to is what was vetted, whatever a name says a moment later.
    if !reach.permits(address.ip()) {
        let why = format!("{} is not an address that mail may be sent to", address.ip());
        return Err(Fault::new(Stage::Connect, why));
    }
    let socket = bound(source, address).map_err(|why| {
        let source = source.map(|source| format!(" from {source}")).unwrap_or_default();
        Fault::new(Stage::Egress, format!("cannot call {}{source}: {why}", address.ip()))
    })?;
    let stream = match clock.timeout(time, socket.connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) => {
            let stage = if is_ours(&why) { Stage::Egress } else { Stage::Connect };
            return Err(Fault::new(stage, format!("cannot connect to {address}: {why}")));
        }
        Err(_) => {
            return Err(Fault::new(Stage::Connect, format!("no connection to {address} in time")));
        }
    };
    // Commands are written whole; nothing is gained by waiting for more.
    drop(stream.set_nodelay(true));
    Ok(stream)
}

fn bound(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source {
        if source.is_ipv4() != address.is_ipv4() {
            return Err(io::Error::other("the egress has no address of that family"));
        }
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

/// Errors that say nothing of the destination: our address is gone, no ports or files are left.
fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse | io::ErrorKind::NetworkDown
    )
}
