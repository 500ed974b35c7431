//! Asks recursive resolvers over UDP, and TCP where an answer does not fit.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::{Clock, Random};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use mail::{Domain, Instant};
use quick_cache::sync::Cache;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::question::{Found, Meaning, Question, text};
use super::{Answer, Dns, DnsFault, DnsOptions, Mx, Srv, Tlsa};

/// Answers kept.
const CACHED_MAX: usize = 10_000;
/// Questions under way at once; more wait their turn.
const ASKED_MAX: usize = 512;
/// Packets that are not the answer, until a question over UDP is given up.
const FOREIGN_MAX: usize = 64;
/// Largest answer over UDP that is taken; we ask for less.
const DATAGRAM_BYTES: usize = 4_096;

/// A stub resolver. What it learns is kept for as long as it may be, in bounded memory.
pub struct Resolver {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    attempts: u32,
    trusted: bool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    cache: Cache<(String, u16), Arc<Cached>>,
    room: Semaphore,
}

struct Cached {
    until: Instant,
    result: Result<Found, DnsFault>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver; nothing is asked before the first question.
    #[must_use]
    pub fn new(options: &DnsOptions, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (servers, trusted) = options.resolvers();
        Self {
            servers,
            timeout: options.timeout,
            attempts: options.attempts.max(1),
            trusted,
            clock,
            random,
            cache: Cache::new(CACHED_MAX),
            room: Semaphore::new(ASKED_MAX),
        }
    }

    /// SRV records (RFC 2782), in no order: only administrators ask for them.
    /// # Errors
    /// [`DnsFault`].
    pub async fn srv(&self, name: &str) -> Result<Answer<Srv>, DnsFault> {
        self.ask(Question::new(name, RecordType::SRV), |record| match record {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: text(&srv.target),
            }),
            _ => None,
        })
        .await
    }

    /// Asks, or remembers.
    async fn ask<T>(
        &self,
        question: Result<Question, DnsFault>,
        take: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsFault> {
        let question = question?;
        let key = (text(&question.name), u16::from(question.kind));
        let now = self.clock.instant();
        let cached = self.cache.get(&key).filter(|cached| cached.until > now);
        let cached = match cached {
            Some(cached) => cached,
            None => {
                let (result, ttl) = self.ask_servers(&question).await?;
                let cached = Arc::new(Cached { until: self.clock.instant().after(ttl), result });
                if !ttl.is_zero() {
                    self.cache.insert(key, cached.clone());
                }
                cached
            }
        };
        let found = cached.result.as_ref().map_err(Clone::clone)?;
        let records: Vec<T> = found.records.iter().filter_map(take).collect();
        if records.is_empty() {
            return Err(DnsFault::NoData);
        }
        let ttl = cached.until.since(self.clock.instant());
        let canonical = found.canonical.clone();
        Ok(Answer { records, secure: found.secure, ttl, canonical })
    }

    /// Each server in turn, as often as the options say.
    async fn ask_servers(
        &self,
        question: &Question,
    ) -> Result<(Result<Found, DnsFault>, Duration), DnsFault> {
        // The semaphore is never closed, so this never fails.
        let _turn = self.room.acquire().await;
        let mut last = DnsFault::Temporary("no server".to_owned());
        for _ in 0..self.attempts {
            for server in &self.servers {
                match self.ask_one(*server, question, false).await {
                    Ok(Meaning::Settled(result, ttl)) => return Ok((result, ttl)),
                    Ok(Meaning::Failed(code)) => {
                        if code == ResponseCode::ServFail && self.is_bogus(*server, question).await
                        {
                            return Err(DnsFault::Bogus);
                        }
                        last = DnsFault::Temporary(format!("{server}: {code}"));
                    }
                    Ok(Meaning::Truncated | Meaning::Foreign) => {
                        last = DnsFault::Temporary(format!("{server}: no usable answer"));
                    }
                    Err(why) => last = DnsFault::Temporary(format!("{server}: {why}")),
                }
            }
        }
        Err(last)
    }

    /// Whether a server that fails has an answer when told not to validate: then it is the
    /// signatures that are wrong (RFC 4035 §4.7, §5.5).
    async fn is_bogus(&self, server: SocketAddr, question: &Question) -> bool {
        self.trusted
            && matches!(self.ask_one(server, question, true).await, Ok(Meaning::Settled(..)))
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        question: &Question,
        unchecked: bool,
    ) -> Result<Meaning, String> {
        let id = u16::from_be_bytes(self.random.bytes());
        let packet = question.packet(id, self.trusted, unchecked).map_err(|why| why.to_string())?;
        let read = |bytes: &[u8]| question.read(bytes, id, self.trusted);
        let exchange = async {
            match udp(server, &packet, &read).await? {
                Meaning::Truncated => tcp(server, &packet, &read).await,
                other => Ok(other),
            }
        };
        match self.clock.timeout(self.timeout, exchange).await {
            Ok(result) => result.map_err(|why: std::io::Error| why.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// A socket of its own for each question: a port that cannot be guessed (RFC 5452 §9.2).
async fn udp(
    server: SocketAddr,
    packet: &[u8],
    read: &(impl Fn(&[u8]) -> Meaning + Sync),
) -> std::io::Result<Meaning> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    for _ in 0..FOREIGN_MAX {
        let count = socket.recv(&mut buffer).await?;
        match read(buffer.get(..count).unwrap_or_default()) {
            Meaning::Foreign => {}
            other => return Ok(other),
        }
    }
    Ok(Meaning::Foreign)
}

/// RFC 1035 §4.2.2: two bytes of length before each message.
async fn tcp(
    server: SocketAddr,
    packet: &[u8],
    read: &(impl Fn(&[u8]) -> Meaning + Sync),
) -> std::io::Result<Meaning> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(packet.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), packet].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(read(&answer))
}

#[async_trait]
impl Dns for Resolver {
    async fn mx(&self, domain: &Domain) -> Result<Answer<Mx>, DnsFault> {
        self.ask(Question::new(domain.as_str(), RecordType::MX), |record| match record {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: text(&mx.exchange) }),
            _ => None,
        })
        .await
    }

    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsFault> {
        let v4 = self.ask(Question::new(host, RecordType::A), |record| match record {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        });
        let v6 = self.ask(Question::new(host, RecordType::AAAA), |record| match record {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        let (v4, v6) = futures_util::future::join(v4, v6).await;
        both(v4, v6)
    }

    async fn tlsa(&self, host: &str, port: u16) -> Result<Answer<Tlsa>, DnsFault> {
        let name = format!("_{port}._tcp.{host}");
        self.ask(Question::new(&name, RecordType::TLSA), |record| match record {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.clone(),
            }),
            _ => None,
        })
        .await
    }

    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsFault> {
        self.ask(Question::new(name, RecordType::TXT), |record| match record {
            RData::TXT(txt) => {
                let bytes = txt.txt_data.concat();
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        })
        .await
    }

    async fn ptr(&self, address: IpAddr) -> Result<Answer<String>, DnsFault> {
        let name = Name::from(address.to_canonical());
        self.ask(Ok(Question { name, kind: RecordType::PTR }), |record| match record {
            RData::PTR(name) => Some(text(&name.0)),
            _ => None,
        })
        .await
    }

    async fn listed(&self, name: &str) -> Result<Answer<Ipv4Addr>, DnsFault> {
        self.ask(Question::new(name, RecordType::A), |record| match record {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .await
    }
}

/// Addresses of both families; one that cannot be had does not hide the other, but for what is
/// bogus.
fn both(
    v4: Result<Answer<IpAddr>, DnsFault>,
    v6: Result<Answer<IpAddr>, DnsFault>,
) -> Result<Answer<IpAddr>, DnsFault> {
    match (v4, v6) {
        (Err(DnsFault::Bogus), _) | (_, Err(DnsFault::Bogus)) => Err(DnsFault::Bogus),
        (Ok(mut v4), Ok(v6)) => {
            v4.records.extend(v6.records);
            v4.secure &= v6.secure;
            v4.ttl = v4.ttl.min(v6.ttl);
            Ok(v4)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        // A temporary fault of one family leaves it open whether there are addresses.
        (Err(fault @ DnsFault::Temporary(_)), _) | (_, Err(fault)) => Err(fault),
    }
}

#[cfg(test)]
mod tests;
