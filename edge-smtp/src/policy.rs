//! What is thought of mail that comes in: SPF, DKIM, DMARC, ARC and the client's reverse name,
//! under one budget of DNS questions and of time per message.
//!
//! Trouble with DNS is `temperror`, and never a reason to refuse: the sender would be punished for
//! what is ours. Verification of signatures is mail-auth's; SPF and DMARC are evaluated here, where
//! every question is counted (F3).

mod blocklists;
mod counted;
mod decide;
mod dmarc;
mod greylist;
mod lookups;
mod milter;
mod options;
mod own;
mod reverse;
mod signatures;
mod spam;
mod spf;
#[cfg(test)]
pub(crate) mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use engine::Clock;
use futures_util::future::join3;
use mail::dmarc::Author;
use mail::report::DmarcSeen;
use mail::{Domain, Path, Timestamp, Verdicts};
use mail_auth::MessageAuthenticator;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use net::dns::Dns;
use proto::smtp::Reply;

pub(crate) use blocklists::Listed;
pub use blocklists::{Blocklist, Blocklists, ListAction};
pub use greylist::{Greylist, GreylistOptions};
use lookups::Lookups;
pub use milter::{MilterFilter, MilterOptions, OnFailure};
pub use options::{Action, PolicyOptions};
pub use own::{OwnSpf, spf_of};
pub use spam::{SpamFilter, SpamOptions};

/// A message, and what is known of how it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// The client.
    pub(crate) peer: IpAddr,
    /// What it said in HELO.
    pub(crate) helo: &'a str,
    /// The envelope's sender.
    pub(crate) sender: Option<&'a Path>,
    /// Our name.
    pub(crate) host: &'a Domain,
    /// Now.
    pub(crate) at: Timestamp,
    /// The whole message.
    pub(crate) message: &'a [u8],
}

/// What was found, and whether the message is refused for it.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    /// For the record.
    pub(crate) verdicts: Verdicts,
    /// Why it is not taken.
    pub(crate) refused: Option<Reply>,
    /// What the owner of its domain wants to be told in a report, and the domain of the record.
    pub(crate) counted: Option<(String, DmarcSeen)>,
}

/// Judges messages; one for all listeners of a process.
pub struct Judge {
    options: PolicyOptions,
    dns: Arc<dyn Dns>,
    clock: Arc<dyn Clock>,
    /// Has no servers: every key it asks for is looked up before.
    verifier: MessageAuthenticator,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The verifier of signatures could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot verify signatures: {0}")]
pub struct NoVerifier(String);

impl Judge {
    /// A judge who asks `dns`.
    /// # Errors
    /// [`NoVerifier`]: the process cannot start with this policy.
    pub fn new(
        options: PolicyOptions,
        dns: Arc<dyn Dns>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoVerifier> {
        let servers = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let verifier = MessageAuthenticator::new(servers, ResolverOpts::default());
        let verifier = verifier.map_err(|error| NoVerifier(error.to_string()))?;
        Ok(Self { options, dns, clock, verifier })
    }

    /// Judges one message. Asks at most `lookups_max` questions, and returns soon after
    /// `deadline` whatever DNS does.
    pub(crate) async fn judge(&self, arrival: &Arrival<'_>) -> Judgement {
        let lookups = Lookups::new(self.dns.as_ref(), &self.clock, &self.options);
        let (spf, signed, reverse) = join3(
            self.spf(&lookups, arrival),
            signatures::verify(&self.verifier, &lookups, &self.options, arrival.message),
            self.reverse(&lookups, arrival),
        )
        .await;
        let signatures::Signed { dkim, arc } = signed;
        let (spf, explanation) = spf.map_or((None, None), |(spf, why)| (Some(spf), why));
        let mut verdicts = Verdicts { spf, dkim, arc, reverse, ..Verdicts::default() };
        let author = Author::of(arrival.message);
        let mut wants_report = false;
        if self.options.dmarc != Action::Off {
            let (dmarc, wanted) = dmarc::check(&lookups, &author, &verdicts).await;
            verdicts.dmarc = Some(dmarc);
            wants_report = wanted;
        }
        let refused = decide::decide(&self.options, &author, explanation, &mut verdicts);
        let counted = match wants_report {
            true => counted::of(&self.options, arrival, &verdicts, refused.is_some()),
            false => None,
        };
        if !self.options.dkim {
            // Looked at for DMARC only.
            verdicts.dkim = None;
        }
        count(&verdicts);
        Judgement { verdicts, refused, counted }
    }

    async fn spf(
        &self,
        lookups: &Lookups<'_>,
        arrival: &Arrival<'_>,
    ) -> Option<(mail::verdicts::SpfVerdict, Option<String>)> {
        // DMARC needs it too.
        if self.options.spf == Action::Off && self.options.dmarc == Action::Off {
            return None;
        }
        Some(spf::check(lookups, arrival, self.options.spf == Action::Honour).await)
    }

    async fn reverse(
        &self,
        lookups: &Lookups<'_>,
        arrival: &Arrival<'_>,
    ) -> Option<mail::verdicts::ReverseVerdict> {
        if self.options.reverse { Some(reverse::check(lookups, arrival.peer).await) } else { None }
    }
}

/// What was found, in numbers.
fn count(verdicts: &Verdicts) {
    let one = |check: &'static str, result: &'static str| {
        metrics::counter!("postroad_smtp_checks_total", "check" => check, "result" => result)
            .increment(1);
    };
    if let Some(spf) = &verdicts.spf {
        one("spf", spf.found.keyword());
    }
    for dkim in verdicts.dkim.iter().flatten() {
        one("dkim", dkim.found.keyword());
    }
    if let Some(dmarc) = &verdicts.dmarc {
        one("dmarc", dmarc.found.keyword());
    }
    if let Some(arc) = &verdicts.arc {
        one("arc", arc.found.keyword());
    }
    if let Some(reverse) = &verdicts.reverse {
        one("iprev", reverse.found.keyword());
    }
}
