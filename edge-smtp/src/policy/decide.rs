//! From what was found to what is done: taken, to Junk, or refused.

use mail::dmarc::Author;
use mail::verdicts::{Asked, Found, Verdicts};
use proto::smtp::Reply;

use super::{Action, PolicyOptions, dmarc};
use crate::replies;

/// Puts into Junk what is to go there; answers with a refusal what is not to be taken. A
/// `temperror` does neither.
pub(super) fn decide(
    options: &PolicyOptions,
    author: &Author,
    explanation: Option<String>,
    verdicts: &mut Verdicts,
) -> Option<Reply> {
    if options.dmarc == Action::Honour
        && let Some(refused) = honour_dmarc(options, author, verdicts)
    {
        return Some(refused);
    }
    let passes = verdicts.dmarc.as_ref().is_some_and(|dmarc| dmarc.found == Found::Pass);
    if options.spf == Action::Honour
        && !passes
        && let Some(spf) = verdicts.spf.as_ref().filter(|spf| spf.found == Found::Fail)
    {
        return Some(replies::spf_fails(&spf.domain, explanation.as_deref()));
    }
    None
}

fn honour_dmarc(
    options: &PolicyOptions,
    author: &Author,
    verdicts: &mut Verdicts,
) -> Option<Reply> {
    match author {
        // F1: what people see may not be what was checked.
        Author::Ambiguous => return Some(replies::several_from()),
        Author::Nobody(why) => verdicts.junk(*why),
        Author::Domains(_) => {}
    }
    let failed = dmarc::failed(verdicts)?;
    let (from, asked) = (failed.from.clone(), failed.asked);
    if is_forwarded(options, verdicts) {
        return None;
    }
    match asked {
        Asked::Reject => Some(replies::dmarc_rejects(&from)),
        Asked::Quarantine => {
            verdicts.junk(format!("{from} asks to hold mail that it has not proved to be its own"));
            None
        }
        Asked::None => None,
    }
}

/// RFC 8617 §7.2.1: forwarding by somebody who is believed breaks SPF and DKIM honestly.
pub(super) fn is_forwarded(options: &PolicyOptions, verdicts: &Verdicts) -> bool {
    verdicts.arc.as_ref().is_some_and(|arc| {
        let believed = options.arc_trusted.iter().any(|one| one.as_str() == arc.sealer);
        arc.found == Found::Pass && believed
    })
}
