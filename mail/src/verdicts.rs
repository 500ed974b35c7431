//! What was found of an incoming message by the checks of mail exchange: kept with its record, for
//! the functions (Junk), for `trace`, for reports; and shown to readers as
//! Authentication-Results (RFC 8601).

mod field;
#[cfg(test)]
mod tests;

use crate::codec::{Malformed, Reader, put_bytes, put_varint};

pub use field::AuthenticationResults;

/// Longest encoded form: what a record keeps.
pub const VERDICTS_BYTES_MAX: usize = 4096;

/// Most signatures that are considered (F2).
pub const SIGNATURES_MAX: usize = 10;

/// Most lists and most reasons that are told.
const TOLD_MAX: usize = 8;
/// Longest name, and longest reason.
const NAME_BYTES_MAX: usize = 255;

/// The result of one check, by the words of RFC 8601 §2.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// There was nothing to check.
    #[default]
    None,
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It does not hold, and its owner does not insist (SPF `~all`).
    SoftFail,
    /// Nothing can be said.
    Neutral,
    /// DNS gave no answer: ask again, or let it be. Never a reason to refuse.
    TempError,
    /// What was published or written cannot be understood.
    PermError,
}

impl Found {
    const ALL: [Self; 7] = [
        Self::None,
        Self::Pass,
        Self::Fail,
        Self::SoftFail,
        Self::Neutral,
        Self::TempError,
        Self::PermError,
    ];

    /// Its keyword in Authentication-Results.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }

    /// The result of that keyword.
    #[must_use]
    pub fn of_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.keyword() == keyword)
    }

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        let at = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        out.push(u8::try_from(at).unwrap_or(0));
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let at = usize::from(reader.byte()?);
        Self::ALL.get(at).copied().ok_or(Malformed("verdict"))
    }
}

/// What SPF said (RFC 7208).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpfVerdict {
    /// The result.
    pub found: Found,
    /// The domain whose record was read.
    pub domain: String,
    /// It is the name of HELO, for there was no sender (RFC 7208 §2.4).
    pub helo: bool,
}

/// What one DKIM signature is worth (RFC 6376).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DkimVerdict {
    /// The result.
    pub found: Found,
    /// Who signed (`d=`).
    pub domain: String,
    /// With which key (`s=`).
    pub selector: String,
    /// Begin of the signature, which tells it from others (RFC 6008).
    pub signature: String,
}

/// What a domain asks to be done with mail that fails (RFC 9989 §4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Nothing.
    #[default]
    None,
    /// To hold it as suspicious.
    Quarantine,
    /// Not to take it.
    Reject,
}

impl Asked {
    /// Its value in a DMARC record.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// What DMARC said (RFC 9989).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmarcVerdict {
    /// The result.
    pub found: Found,
    /// The domain of From.
    pub from: String,
    /// The domain whose record applies; empty without one.
    pub record: String,
    /// What it asks for.
    pub asked: Asked,
    /// SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// A DKIM signature of an aligned domain passed.
    pub dkim_aligned: bool,
}

/// What the ARC chain is worth (RFC 8617).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArcVerdict {
    /// The result: `cv=` of whoever seals next.
    pub found: Found,
    /// The domain of the last seal.
    pub sealer: String,
    /// How many sets there are, at most 50.
    pub sets: u8,
}

/// What the client's reverse name says (RFC 8601 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReverseVerdict {
    /// The result.
    pub found: Found,
    /// The name that leads back to the address.
    pub name: String,
}

/// All that was found. `None`: not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// SPF.
    pub spf: Option<SpfVerdict>,
    /// DKIM, one per signature; [`SIGNATURES_MAX`] at most.
    pub dkim: Option<Vec<DkimVerdict>>,
    /// DMARC.
    pub dmarc: Option<DmarcVerdict>,
    /// ARC.
    pub arc: Option<ArcVerdict>,
    /// The reverse name.
    pub reverse: Option<ReverseVerdict>,
    /// Names of the blocklists that list the client.
    pub listed: Vec<String>,
    /// Points of the spam filter, in hundredths.
    pub spam: Option<i64>,
    /// It goes to Junk, not to the inbox.
    pub junk: bool,
    /// Why it does; for people.
    pub reasons: Vec<String>,
}

impl Verdicts {
    /// Puts the message into Junk, and says why.
    pub fn junk(&mut self, reason: impl Into<String>) {
        self.junk = true;
        if self.reasons.len() < TOLD_MAX {
            self.reasons.push(reason.into());
        }
    }

    /// As it is kept: at most [`VERDICTS_BYTES_MAX`] bytes. What does not fit is left off, from
    /// the last signature on.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut shorter = self.clone();
        loop {
            let mut out = Vec::new();
            shorter.put(&mut out);
            if out.len() <= VERDICTS_BYTES_MAX {
                return out;
            }
            let dropped = shorter.dkim.as_mut().is_some_and(|dkim| dkim.pop().is_some());
            if !dropped && shorter.reasons.pop().is_none() && shorter.listed.pop().is_none() {
                // Fixed parts are far below the limit.
                return out;
            }
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(1);
        out.push(u8::from(self.junk));
        put_some(out, self.spf.as_ref(), |out, spf| {
            spf.found.put(out);
            put_name(out, &spf.domain);
            out.push(u8::from(spf.helo));
        });
        put_some(out, self.dkim.as_ref(), |out, dkim| {
            put_each(out, dkim, SIGNATURES_MAX, |out, one| {
                one.found.put(out);
                put_name(out, &one.domain);
                put_name(out, &one.selector);
                put_name(out, &one.signature);
            });
        });
        put_some(out, self.dmarc.as_ref(), |out, dmarc| {
            dmarc.found.put(out);
            put_name(out, &dmarc.from);
            put_name(out, &dmarc.record);
            let asked = match dmarc.asked {
                Asked::None => 0,
                Asked::Quarantine => 1,
                Asked::Reject => 2,
            };
            out.push(asked | u8::from(dmarc.spf_aligned) << 4 | u8::from(dmarc.dkim_aligned) << 5);
        });
        put_some(out, self.arc.as_ref(), |out, arc| {
            arc.found.put(out);
            put_name(out, &arc.sealer);
            out.push(arc.sets);
        });
        put_some(out, self.reverse.as_ref(), |out, reverse| {
            reverse.found.put(out);
            put_name(out, &reverse.name);
        });
        put_each(out, &self.listed, TOLD_MAX, |out, name| put_name(out, name));
        put_some(out, self.spam.as_ref(), |out, points| crate::codec::put_signed(out, *points));
        put_each(out, &self.reasons, TOLD_MAX, |out, reason| put_name(out, reason));
    }

    /// Reads what [`Self::encode`] wrote. No bytes at all: nothing was looked at.
    /// # Errors
    /// [`Malformed`]: it is damaged, or of a version that is not known here.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        if reader.byte()? != 1 {
            return Err(Malformed("version of verdicts"));
        }
        let junk = take_flag(&mut reader)?;
        let spf = take_some(&mut reader, |reader| {
            let found = Found::take(reader)?;
            Ok(SpfVerdict { found, domain: take_name(reader)?, helo: take_flag(reader)? })
        })?;
        let dkim = take_some(&mut reader, |reader| take_each(reader, SIGNATURES_MAX, take_dkim))?;
        let dmarc = take_some(&mut reader, take_dmarc)?;
        let arc = take_some(&mut reader, |reader| {
            let found = Found::take(reader)?;
            Ok(ArcVerdict { found, sealer: take_name(reader)?, sets: reader.byte()? })
        })?;
        let reverse = take_some(&mut reader, |reader| {
            Ok(ReverseVerdict { found: Found::take(reader)?, name: take_name(reader)? })
        })?;
        let listed = take_each(&mut reader, TOLD_MAX, take_name)?;
        let spam = take_some(&mut reader, Reader::signed)?;
        let reasons = take_each(&mut reader, TOLD_MAX, take_name)?;
        reader.end()?;
        Ok(Self { spf, dkim, dmarc, arc, reverse, listed, spam, junk, reasons })
    }
}

fn take_dkim(reader: &mut Reader<'_>) -> Result<DkimVerdict, Malformed> {
    Ok(DkimVerdict {
        found: Found::take(reader)?,
        domain: take_name(reader)?,
        selector: take_name(reader)?,
        signature: take_name(reader)?,
    })
}

fn take_dmarc(reader: &mut Reader<'_>) -> Result<DmarcVerdict, Malformed> {
    let found = Found::take(reader)?;
    let (from, record) = (take_name(reader)?, take_name(reader)?);
    let flags = reader.byte()?;
    let asked = match flags & 0x0f {
        0 => Asked::None,
        1 => Asked::Quarantine,
        2 => Asked::Reject,
        _ => return Err(Malformed("policy")),
    };
    let (spf_aligned, dkim_aligned) = (flags & 0x10 != 0, flags & 0x20 != 0);
    Ok(DmarcVerdict { found, from, record, asked, spf_aligned, dkim_aligned })
}

fn put_some<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn take_some<'a, T>(
    reader: &mut Reader<'a>,
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if take_flag(reader)? { take(reader).map(Some) } else { Ok(None) }
}

fn put_each<T>(out: &mut Vec<u8>, all: &[T], most: usize, put: impl Fn(&mut Vec<u8>, &T)) {
    let some = all.get(..most).unwrap_or(all);
    put_varint(out, some.len() as u64);
    some.iter().for_each(|one| put(out, one));
}

fn take_each<'a, T>(
    reader: &mut Reader<'a>,
    most: usize,
    take: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(most)?;
    (0..count).map(|_| take(reader)).collect()
}

fn take_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("flag")),
    }
}

/// A name, cut to its bound at a character's end.
fn put_name(out: &mut Vec<u8>, name: &str) {
    let end = name.floor_char_boundary(NAME_BYTES_MAX.min(name.len()));
    put_bytes(out, name.get(..end).unwrap_or_default().as_bytes());
}

fn take_name(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(reader.str(NAME_BYTES_MAX)?.to_owned())
}
