//! What the owner of a domain is told in DMARC's aggregate reports (RFC 9990 §3.1): what was found
//! of a message, and what was done.

use mail::report::{Disposition, DmarcSeen, SeenSignature, SeenSpf};
use mail::verdicts::{Asked, Found, Verdicts};

use super::decide::is_forwarded;
use super::{Action, Arrival, PolicyOptions, dmarc};

/// With the domain whose record applies. `None`: there is nothing to tell, or DNS kept it unknown.
pub(super) fn of(
    options: &PolicyOptions,
    arrival: &Arrival<'_>,
    verdicts: &Verdicts,
    refused: bool,
) -> Option<(String, DmarcSeen)> {
    let dmarc = verdicts.dmarc.as_ref()?;
    let is_known = matches!(dmarc.found, Found::Pass | Found::Fail) && !dmarc.record.is_empty();
    if !is_known {
        return None;
    }
    let honoured = options.dmarc == Action::Honour;
    let failed = dmarc::failed(verdicts).filter(|_| honoured);
    let forwarded = failed.is_some() && is_forwarded(options, verdicts);
    let disposition = match failed.filter(|_| !forwarded).map(|failed| failed.asked) {
        _ if refused => Disposition::Reject,
        Some(Asked::Quarantine) => Disposition::Quarantine,
        _ if dmarc.found == Found::Pass => Disposition::Pass,
        _ => Disposition::None,
    };
    let signatures = verdicts.dkim.iter().flatten().filter(|one| !one.domain.is_empty());
    let seen = DmarcSeen {
        source: arrival.peer,
        disposition,
        dkim_aligned: dmarc.dkim_aligned,
        spf_aligned: dmarc.spf_aligned,
        forwarded,
        header_from: dmarc.from.clone(),
        envelope_from: arrival
            .sender
            .map_or_else(String::new, |path| path.address().domain().as_str().to_owned()),
        signatures: signatures
            .map(|one| SeenSignature {
                domain: one.domain.clone(),
                selector: one.selector.clone(),
                found: one.found,
            })
            .collect(),
        spf: verdicts.spf.as_ref().map(|spf| SeenSpf {
            domain: spf.domain.clone(),
            helo: spf.helo,
            found: spf.found,
        }),
    };
    Some((dmarc.record.clone(), seen))
}
