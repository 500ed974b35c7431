//! Sans-io protocol cores: state machines over bytes and the time given to them.
//!
//! No I/O, no async, no clock, no store. A core *asks* ([`Step::Ask`]), an edge *answers* through
//! the core's own `answer`, and one driver (in `net`) moves the bytes for all of them.
#![warn(clippy::indexing_slicing, clippy::string_slice)]

pub mod imap;
pub mod sasl;
pub mod smtp;

use mail::Instant;

/// What a core wants done next.
#[derive(Debug)]
pub enum Step<'a, Ask> {
    /// Write these bytes to the peer, all of them, before the next step.
    Send(&'a [u8]),
    /// Content for the edge (of a message, an APPEND literal), in order; with back-pressure: the
    /// next step is taken when the edge has it.
    Take(&'a [u8]),
    /// A question for the edge; no step until it is answered.
    Ask(Ask),
    /// Nothing to do before more bytes, a wake-up or the deadline.
    Wait,
    /// Send what is buffered, then start TLS; bytes received but not consumed are discarded
    /// (RFC 3207 §4.2). Then [`Core::secured`].
    StartTls,
    /// Send what is buffered and close.
    Close,
}

/// What is known of the TLS session under a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3` or `TLSv1.2`, for trace headers.
    pub version: &'static str,
    /// Cipher suite's IANA name.
    pub cipher: String,
    /// `tls-exporter` channel binding (RFC 9266), where the version has it.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` channel binding (RFC 5929): hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
    /// Name the client asked for (SNI).
    pub server_name: Option<String>,
}

/// A server's side of a protocol, driven by `net::serve`.
///
/// The driver's loop: while there is a step, take it; else read bytes, give them to
/// [`Core::receive`] until all are taken, or the deadline passes and it calls [`Core::late`].
pub trait Core: Send {
    /// Questions of this protocol.
    type Ask: Send;

    /// Offers received bytes; returns how many were taken. What is not taken is offered again
    /// after the next steps. Keeps no more than its documented bound.
    fn receive(&mut self, bytes: &[u8]) -> usize;

    /// The next step. Bytes lent by the step before are gone.
    fn step(&mut self, now: Instant) -> Step<'_, Self::Ask>;

    /// TLS is up: forget everything learnt before it.
    fn secured(&mut self, tls: Tls);

    /// When [`Core::late`] is to be called if no step happened; moves as the dialogue goes on.
    fn deadline(&self) -> Instant;

    /// The deadline passed: the core says good-bye in its next steps.
    fn late(&mut self);

    /// The process drains: the core says good-bye (421, BYE) at the next point where nothing is
    /// half-acknowledged.
    fn drain(&mut self);

    /// The peer closed its side: what is buffered is still answered, then close.
    fn ended(&mut self);
}
