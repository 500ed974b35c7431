//! DMARC's aggregate reports (RFC 9990; RFC 7489 Appendix C where others still write so).

mod read;
mod write;

use std::net::IpAddr;

use super::{WORD_BYTES_MAX, word};
use crate::codec::{Malformed, Reader, put_str, put_varint};
use crate::dmarc::{Alignment, DmarcRecord};
use crate::verdicts::{Asked, Found, SIGNATURES_MAX};

/// Most rows that are read of a report, or written into one; the messages of the rest are counted.
pub const DMARC_ROWS_MAX: usize = 20_000;

/// What was done with messages (RFC 9990 §3.1.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// They failed, and nothing was done for that.
    #[default]
    None,
    /// They passed.
    Pass,
    /// They went to Junk.
    Quarantine,
    /// They were refused.
    Reject,
}

impl Disposition {
    const ALL: [Self; 4] = [Self::None, Self::Pass, Self::Quarantine, Self::Reject];

    /// Its word in a report.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.keyword().eq_ignore_ascii_case(text))
    }
}

/// A signature of the messages of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenSignature {
    /// Who signed.
    pub domain: String,
    /// With which key.
    pub selector: String,
    /// The result.
    pub found: Found,
}

/// What SPF said of the messages of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenSpf {
    /// Whose record was read.
    pub domain: String,
    /// It was the name of HELO.
    pub helo: bool,
    /// The result.
    pub found: Found,
}

/// What was seen of a message in a domain's name: messages alike are one row of a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DmarcSeen {
    /// The client.
    pub source: IpAddr,
    /// What was done.
    pub disposition: Disposition,
    /// A signature of an aligned domain passed.
    pub dkim_aligned: bool,
    /// SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// It was forwarded by somebody who is believed, so that the policy was not kept to.
    pub forwarded: bool,
    /// The domain of From.
    pub header_from: String,
    /// The domain of the envelope's sender; empty for the null sender.
    pub envelope_from: String,
    /// Its signatures, at most [`SIGNATURES_MAX`].
    pub signatures: Vec<SeenSignature>,
    /// What SPF said.
    pub spf: Option<SeenSpf>,
}

impl DmarcSeen {
    /// As it is kept until the report is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        match self.source.to_canonical() {
            IpAddr::V4(v4) => {
                out.push(4);
                out.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                out.push(6);
                out.extend_from_slice(&v6.octets());
            }
        }
        let done = Disposition::ALL.iter().position(|one| *one == self.disposition).unwrap_or(0);
        out.push(u8::try_from(done).unwrap_or(0));
        let bits = [self.dkim_aligned, self.spf_aligned, self.forwarded, self.spf.is_some()];
        out.push(bits.iter().rev().fold(0, |all, bit| all << 1 | u8::from(*bit)));
        put_str(&mut out, &word(&self.header_from));
        put_str(&mut out, &word(&self.envelope_from));
        let signatures = self.signatures.iter().take(SIGNATURES_MAX);
        put_varint(&mut out, signatures.len() as u64);
        for one in signatures {
            put_str(&mut out, &word(&one.domain));
            put_str(&mut out, &word(&one.selector));
            one.found.put(&mut out);
        }
        if let Some(spf) = &self.spf {
            put_str(&mut out, &word(&spf.domain));
            out.push(u8::from(spf.helo));
            spf.found.put(&mut out);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("what was seen of a message");
        let mut reader = Reader::new(bytes);
        if reader.byte()? != 1 {
            return Err(BAD);
        }
        let source = match reader.byte()? {
            4 => IpAddr::from(reader.array::<4>()?),
            6 => IpAddr::from(reader.array::<16>()?),
            _ => return Err(BAD),
        };
        let done = usize::from(reader.byte()?);
        let disposition = *Disposition::ALL.get(done).ok_or(BAD)?;
        let bits = reader.byte()?;
        let header_from = reader.str(WORD_BYTES_MAX)?.to_owned();
        let envelope_from = reader.str(WORD_BYTES_MAX)?.to_owned();
        let mut signatures = Vec::new();
        for _ in 0..reader.count(SIGNATURES_MAX)? {
            let domain = reader.str(WORD_BYTES_MAX)?.to_owned();
            let selector = reader.str(WORD_BYTES_MAX)?.to_owned();
            signatures.push(SeenSignature { domain, selector, found: Found::take(&mut reader)? });
        }
        let spf = match bits & 8 != 0 {
            true => Some(SeenSpf {
                domain: reader.str(WORD_BYTES_MAX)?.to_owned(),
                helo: reader.byte()? != 0,
                found: Found::take(&mut reader)?,
            }),
            false => None,
        };
        reader.end()?;
        Ok(Self {
            source,
            disposition,
            dkim_aligned: bits & 1 != 0,
            spf_aligned: bits & 2 != 0,
            forwarded: bits & 4 != 0,
            header_from,
            envelope_from,
            signatures,
            spf,
        })
    }

    /// Whether DMARC passed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.dkim_aligned || self.spf_aligned
    }
}

/// One row of a report: messages alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateRow {
    /// How many.
    pub count: u64,
    /// What was seen of them.
    pub seen: DmarcSeen,
}

/// The policy that a report says was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedPolicy {
    /// Whose record it is.
    pub domain: String,
    /// `p`.
    pub asked: Option<Asked>,
    /// `sp`.
    pub below: Option<Asked>,
    /// `np`.
    pub missing: Option<Asked>,
    /// `adkim`.
    pub dkim: Alignment,
    /// `aspf`.
    pub spf: Alignment,
    /// `t`.
    pub testing: bool,
}

impl PublishedPolicy {
    /// What a record of `domain` says.
    #[must_use]
    pub fn of(domain: &str, record: &DmarcRecord) -> Self {
        Self {
            domain: domain.to_owned(),
            asked: record.policy,
            below: record.below,
            missing: record.missing,
            dkim: record.dkim,
            spf: record.spf,
            testing: record.testing,
        }
    }
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateReport {
    /// Who reports, for people.
    pub organisation: String,
    /// Where they can be asked.
    pub email: String,
    /// Its id, unique among those of who reports.
    pub id: String,
    /// First second.
    pub begin: u64,
    /// Last second.
    pub end: u64,
    /// The policy that was found.
    pub policy: PublishedPolicy,
    /// At most [`DMARC_ROWS_MAX`].
    pub rows: Vec<AggregateRow>,
    /// Messages of rows beyond.
    pub cut: u64,
}
