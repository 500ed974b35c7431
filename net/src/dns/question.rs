//! Questions and answers as bytes.

use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::DnsFault;

/// RFC 9715: fits through any path without fragments.
const PAYLOAD_BYTES: u16 = 1_232;
/// Aliases followed within an answer.
const ALIASES_MAX: usize = 16;
/// Records taken from an answer.
const RECORDS_MAX: usize = 256;
/// No answer is kept longer, whatever it says.
const TTL_MAX: Duration = Duration::from_hours(24);
/// RFC 2308 §5 allows hours; new records should be seen sooner.
const NEGATIVE_TTL_MAX: Duration = Duration::from_mins(5);

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: RecordType,
}

/// What was found, as it came.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) records: Vec<RData>,
    pub(super) secure: bool,
    pub(super) canonical: Option<String>,
}

/// What an answer means.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// An answer, positive or negative, and how long it may be kept.
    Settled(Result<Found, DnsFault>, Duration),
    /// SERVFAIL, REFUSED or the like: another server may know.
    Failed(ResponseCode),
    /// It did not fit: ask over TCP.
    Truncated,
    /// It is not the answer to this question.
    Foreign,
}

impl Question {
    /// `name` may have a dot at its end.
    pub(super) fn new(name: &str, kind: RecordType) -> Result<Self, DnsFault> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let labels = name.split('.').map(str::as_bytes);
        // No such name can be written, so none exists.
        let name = Name::from_labels(labels).map_err(|_| DnsFault::NoSuchName)?;
        Ok(Self { name, kind })
    }

    /// The packet. `validate`: the server shall say whether it validated (RFC 6840 §5.7);
    /// `unchecked`: it shall not check at all (RFC 4035 §3.2.2).
    pub(super) fn packet(
        &self,
        id: u16,
        validate: bool,
        unchecked: bool,
    ) -> Result<Vec<u8>, DnsFault> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.authentic_data = validate;
        message.metadata.checking_disabled = unchecked;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_BYTES).set_version(0);
        message.set_edns(edns);
        message.to_vec().map_err(|why| DnsFault::Temporary(why.to_string()))
    }

    /// What these bytes say. `trusted`: the server is trusted to validate.
    pub(super) fn read(&self, bytes: &[u8], id: u16, trusted: bool) -> Meaning {
        let Ok(message) = Message::from_vec(bytes) else { return Meaning::Foreign };
        let asked = message.queries.first().is_some_and(|query| {
            query.name().eq_ignore_root(&self.name) && query.query_type() == self.kind
        });
        let head = &message.metadata;
        if head.id != id || head.message_type != MessageType::Response || !asked {
            return Meaning::Foreign;
        }
        if head.truncation {
            return Meaning::Truncated;
        }
        let secure = trusted && head.authentic_data;
        match head.response_code {
            ResponseCode::NoError => self.found(&message, secure),
            ResponseCode::NXDomain => {
                Meaning::Settled(Err(DnsFault::NoSuchName), negative_ttl(&message))
            }
            other => Meaning::Failed(other),
        }
    }

    fn found(&self, message: &Message, secure: bool) -> Meaning {
        let mut name = self.name.clone();
        let mut ttl = u32::MAX;
        // Only what the question leads to: other records in the answer are nobody's word.
        for _ in 0..ALIASES_MAX {
            let alias = message.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name.eq_ignore_root(&name) => {
                    Some((target.0.clone(), record.ttl))
                }
                _ => None,
            });
            let Some((target, of_alias)) = alias else { break };
            name = target;
            ttl = ttl.min(of_alias);
        }
        let mut records = Vec::new();
        for record in &message.answers {
            if record.record_type() == self.kind && record.name.eq_ignore_root(&name) {
                ttl = ttl.min(record.ttl);
                records.push(record.data.clone());
            }
        }
        records.truncate(RECORDS_MAX);
        if records.is_empty() {
            return Meaning::Settled(Err(DnsFault::NoData), negative_ttl(message));
        }
        let canonical = (!name.eq_ignore_root(&self.name)).then(|| text(&name));
        let ttl = Duration::from_secs(u64::from(ttl)).min(TTL_MAX);
        Meaning::Settled(Ok(Found { records, secure, canonical }), ttl)
    }
}

/// RFC 2308 §5: the SOA's own TTL or its minimum, whichever is less.
fn negative_ttl(message: &Message) -> Duration {
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
        _ => None,
    });
    Duration::from_secs(u64::from(soa.unwrap_or(0))).min(NEGATIVE_TTL_MAX)
}

/// A name as we write it: lower case, no dot at the end; empty for the root.
pub(super) fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
