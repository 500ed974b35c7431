//! Whom to call, through what, and how sure to be of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proto::sasl::Password;

use super::Reach;
use crate::dns::Tlsa;

/// From where: an egress of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Source address; `None` leaves it to the system.
    pub source: Option<IpAddr>,
    /// What EHLO says: a host name that leads to the address, or an address literal.
    pub hello: String,
}

/// One try of one address.
#[derive(Clone, Debug)]
pub struct Call {
    /// From where.
    pub from: From,
    /// The host's name, for SNI, certificates and events; an address literal has none.
    pub host: String,
    /// Its address and port.
    pub address: SocketAddr,
    /// Which addresses may be called at all (E3).
    pub reach: Reach,
    /// What TLS must be.
    pub security: Security,
    /// To log in with (smarthosts). Never said without TLS unless security is
    /// [`Security::Never`].
    pub login: Option<Login>,
    /// Times.
    pub limits: CallLimits,
}

/// What TLS must be on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// No TLS, even if offered.
    Never,
    /// STARTTLS where it is offered, without verification (RFC 7435); where it fails, in clear on
    /// a new connection.
    #[default]
    Opportunistic,
    /// STARTTLS, or nothing is sent (F4).
    Require(Verify),
    /// TLS from the first byte (RFC 8314 §3.3), or nothing is sent.
    Implicit(Verify),
}

/// Whose certificate it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Anybody's.
    Nobody,
    /// Of a trusted certificate authority, for one of these names; `*.` stands for exactly one
    /// label (RFC 8461 §4.1).
    Names(Vec<String>),
    /// What these TLSA records say (RFC 7671, RFC 7672); the names are for DANE-TA(2): the MX
    /// host, and the next-hop domain. With no usable record, TLS is still needed, nobody's
    /// certificate in particular (RFC 7672 §2.2).
    Dane(Vec<Tlsa>, Vec<String>),
}

/// Credentials for AUTH (RFC 4954).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Its password; never shown.
    pub password: Password,
}

/// How long each step may take. Defaults are those of RFC 5321 §4.5.3.2, but for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// To be connected.
    pub connect: Duration,
    /// TLS handshake.
    pub tls: Duration,
    /// Until the greeting.
    pub greeting: Duration,
    /// Reply to EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET.
    pub command: Duration,
    /// Reply to DATA.
    pub data: Duration,
    /// Each block of content to be taken.
    pub block: Duration,
    /// Reply to the final dot.
    pub end: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            tls: Duration::from_secs(60),
            greeting: Duration::from_mins(5),
            command: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            end: Duration::from_mins(10),
        }
    }
}
