//! Our own sockets: listeners, TLS, PROXY protocol, limits, and the one driver that moves bytes
//! for every protocol core.
//!
//! [`serve`] drives any [`proto::Core`] with an [`Edge`] that answers its questions; [`Server`]
//! does so for each connection of a [`Bound`] listener. Nothing here knows a protocol's commands,
//! the store, or what time it is: time comes from [`engine::Clock`], tasks from
//! [`engine::Tasks`]. A [`Peer`] is who really talks to us, which need not be the socket's other
//! end (PROXY protocol, links).

pub mod acme;
pub mod dns;
mod drain;
mod driver;
mod edge;
pub mod http;
mod limits;
mod listener;
pub mod milter;
mod peer;
mod proxy;
mod roots;
pub mod send;
mod server;
pub mod sts;
mod throttle;
mod tls;
mod wire;

pub use drain::{Drain, DrainSignal};
pub use driver::{Driver, End, Pace, serve};
pub use edge::{Edge, Service};
pub use limits::{Limits, LimitsOptions, Permit, Refusal};
pub use listener::{BindError, Bound, Listener, Protocol, TlsMode};
pub use peer::{Network, NetworkSyntax, Peer, Via};
pub use proxy::{Header, ProxyError, parse_proxy_header, read_proxy_header};
pub use roots::Roots;
pub use server::{Incoming, Server};
pub use throttle::{Throttle, ThrottleOptions, Verdict};
pub use tls::{CertificateFiles, CertificateInfo, TlsConfig, TlsError, TlsServer};
pub use wire::{BoxStream, Gone, Out, Stream};
