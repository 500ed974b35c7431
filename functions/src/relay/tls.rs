//! How TLS to mail exchangers went, counted for reports (RFC 8460 §4.3).

use mail::report::{ReportKind, TlsOutcome, TlsPolicy, TlsPolicyKind, TlsSeen};
use net::send::{Channel, Fault, Stage};
use store::Store;

use crate::egress::Egress;
use crate::routes::Target;

/// Counts one call, if it came as far as to tell.
pub(super) fn count(
    store: &Store,
    destination: &str,
    egress: &Egress,
    target: &Target,
    called: &Result<Box<dyn Channel>, Fault>,
) {
    let Some(policy) = &target.policy else { return };
    if !store.reports().counts(ReportKind::Tls) {
        return;
    }
    let Some(outcome) = outcome(policy, called) else { return };
    let failed = outcome != TlsOutcome::Success;
    let seen = TlsSeen {
        policy: TlsPolicy::clone(policy),
        outcome,
        from: egress.source.filter(|_| failed),
        host: if failed { target.host.clone() } else { String::new() },
        to: failed.then(|| target.address.ip()),
    };
    store.reports().count(ReportKind::Tls, destination, seen.encode());
}

/// `None`: whether there would have been TLS is not known.
fn outcome(policy: &TlsPolicy, called: &Result<Box<dyn Channel>, Fault>) -> Option<TlsOutcome> {
    match called {
        Ok(channel) => {
            let welcome = channel.welcome();
            Some(match (&welcome.tls, &welcome.tls_failure) {
                (Some(_), _) => TlsOutcome::Success,
                (None, Some(why)) => of_words(policy, why),
                (None, None) => TlsOutcome::NotSupported,
            })
        }
        Err(fault) => match fault.stage {
            Stage::Tls => Some(of_words(policy, &fault.why)),
            Stage::StartTls => Some(TlsOutcome::NotSupported),
            _ => None,
        },
    }
}

/// What our own TLS says of a handshake.
fn of_words(policy: &TlsPolicy, why: &str) -> TlsOutcome {
    let why = why.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| why.contains(part));
    if has(&["expired", "not valid yet", "notvalidyet"]) {
        TlsOutcome::Expired
    } else if has(&["not valid for name", "notvalidforname", "not valid for any"]) {
        TlsOutcome::HostMismatch
    } else if has(&["unknownissuer", "unknown issuer", "selfsigned", "self-signed"]) {
        match policy.kind {
            TlsPolicyKind::Tlsa => TlsOutcome::TlsaInvalid,
            _ => TlsOutcome::NotTrusted,
        }
    } else {
        TlsOutcome::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8460 §4.3.
    #[test]
    fn what_went_wrong_has_the_name_that_reports_give_it() {
        let sts = TlsPolicy { kind: TlsPolicyKind::Sts, ..TlsPolicy::default() };
        let dane = TlsPolicy { kind: TlsPolicyKind::Tlsa, ..TlsPolicy::default() };
        for (policy, why, outcome) in [
            (&sts, "invalid peer certificate: UnknownIssuer", TlsOutcome::NotTrusted),
            (&dane, "invalid peer certificate: UnknownIssuer", TlsOutcome::TlsaInvalid),
            (&sts, "invalid peer certificate: NotValidForName", TlsOutcome::HostMismatch),
            (&sts, "invalid peer certificate: certificate expired: …", TlsOutcome::Expired),
            (&sts, "received fatal alert: HandshakeFailure", TlsOutcome::Failed),
        ] {
            assert_eq!(of_words(policy, why), outcome, "{why}");
        }
        let fault = |stage| outcome(&sts, &Err(Fault::new(stage, "no")));
        assert_eq!(fault(Stage::StartTls), Some(TlsOutcome::NotSupported));
        assert_eq!(fault(Stage::Connect), None);
    }
}
