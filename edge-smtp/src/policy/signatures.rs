//! DKIM (RFC 6376) and ARC (RFC 8617): mail-auth verifies, with keys that were asked for before.

mod keys;

use std::collections::BTreeSet;

use mail::Domain;
use mail::verdicts::{ArcVerdict, DkimVerdict, Found, SIGNATURES_MAX};
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, Error, MessageAuthenticator, Parameters,
};

use super::lookups::Lookups;
use super::{Action, PolicyOptions};
use keys::Keys;

/// Begin of a signature that is shown (RFC 6008 §3).
const SHOWN_BYTES: usize = 8;

/// What is said of a message's signatures.
#[derive(Debug, Default)]
pub(super) struct Signed {
    pub(super) dkim: Option<Vec<DkimVerdict>>,
    pub(super) arc: Option<ArcVerdict>,
}

pub(super) async fn verify(
    verifier: &MessageAuthenticator,
    lookups: &Lookups<'_>,
    options: &PolicyOptions,
    message: &[u8],
) -> Signed {
    let dkim = options.dkim || options.dmarc != Action::Off;
    if !dkim && !options.arc {
        return Signed::default();
    }
    // Strict: `l=` is refused (F2).
    let Some(mut message) = AuthenticatedMessage::parse_with_opts(message, None, true) else {
        return Signed { dkim: dkim.then(Vec::new), arc: options.arc.then(ArcVerdict::default) };
    };
    let (broken, mut unfit) = bound(&mut message);
    let mut names = BTreeSet::new();
    if dkim {
        names.extend(message.dkim_headers.iter().map(|one| one.header.domain_key()));
    }
    let sets = message.as_headers.len();
    let consistent = !message.has_arc_errors && sets <= ARC_SETS_MAX;
    if options.arc && consistent {
        names.extend(message.as_headers.iter().map(|one| one.header.domain_key()));
        names.extend(message.ams_headers.last().map(|one| one.header.domain_key()));
    }
    let keys = Keys::ask(lookups, names).await;
    let dkim = if dkim {
        let parameters = Parameters::new(&message).with_txt_cache(&keys);
        let outputs = verifier.verify_dkim(parameters).await;
        let mut all: Vec<_> = outputs.iter().map(of).collect();
        all.append(&mut unfit);
        all.extend(std::iter::repeat_n(unreadable(), broken));
        all.truncate(SIGNATURES_MAX);
        Some(all)
    } else {
        None
    };
    let arc = if options.arc {
        let parameters = Parameters::new(&message).with_txt_cache(&keys);
        let output = verifier.verify_arc(parameters).await;
        let found = match output.result() {
            DkimResult::Pass => Found::Pass,
            DkimResult::None => Found::None,
            DkimResult::TempError(_) => Found::TempError,
            DkimResult::Neutral(_) | DkimResult::Fail(_) | DkimResult::PermError(_) => Found::Fail,
        };
        let sealer = output.sets().last().map(|set| set.seal.header.d.clone());
        let sets = u8::try_from(output.sets().len()).unwrap_or(u8::MAX);
        Some(ArcVerdict { found, sealer: sealer.unwrap_or_default(), sets })
    } else {
        None
    };
    Signed { dkim, arc }
}

/// RFC 8617 §5.1: sets beyond which a chain has failed.
const ARC_SETS_MAX: usize = 50;

/// Leaves the first signatures that may be verified at all, and tells how many cannot be read, and
/// what is said of those that are unfit.
fn bound(message: &mut AuthenticatedMessage<'_>) -> (usize, Vec<DkimVerdict>) {
    let before = message.errors.len();
    message.errors.retain(|error| !matches!(error.header, Error::Dkim(_)));
    let broken = (before - message.errors.len()).min(SIGNATURES_MAX);
    message.dkim_headers.truncate(SIGNATURES_MAX);
    let mut unfit = Vec::new();
    message.dkim_headers.retain(|one| {
        let fit = is_fit(&one.header);
        if !fit {
            unfit.push(DkimVerdict { found: Found::PermError, ..named(&one.header) });
        }
        fit
    });
    (broken, unfit)
}

/// F2: names that are none, From not signed (RFC 6376 §5.4), SHA-1 (RFC 8301 §3.1).
fn is_fit(signature: &Signature) -> bool {
    let has_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
    let names = is_name(&signature.d) && is_name(&signature.s);
    has_from && names && signature.a != Algorithm::RsaSha1
}

fn is_name(text: &str) -> bool {
    text.len() <= 253 && Domain::parse(text).is_ok_and(|name| !name.is_literal())
        || (text.bytes().all(|byte| byte.is_ascii_digit()) && (1..=63).contains(&text.len()))
}

fn unreadable() -> DkimVerdict {
    DkimVerdict { found: Found::PermError, ..DkimVerdict::default() }
}

fn named(signature: &Signature) -> DkimVerdict {
    use base64::Engine as _;
    let begin = signature.b.get(..SHOWN_BYTES).unwrap_or(&signature.b);
    let shown = base64::engine::general_purpose::STANDARD.encode(begin);
    DkimVerdict {
        found: Found::None,
        domain: signature.d.clone(),
        selector: signature.s.clone(),
        signature: shown.get(..SHOWN_BYTES).unwrap_or(&shown).to_owned(),
    }
}

fn of(output: &DkimOutput<'_>) -> DkimVerdict {
    let found = match output.result() {
        DkimResult::Pass => Found::Pass,
        DkimResult::None => Found::None,
        // RFC 8601 §2.7.1: a signature over another body failed; it is no mistake in writing.
        DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch)) | DkimResult::Fail(_) => {
            Found::Fail
        }
        DkimResult::Neutral(_) => Found::Neutral,
        DkimResult::PermError(_) => Found::PermError,
        DkimResult::TempError(_) => Found::TempError,
    };
    let named = output.signature().map(named).unwrap_or_default();
    DkimVerdict { found, ..named }
}
