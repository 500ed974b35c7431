//! An item as it is offered to another server; what changes when an address of ours forwards it.

use mail::{Address, Notify, Path, Timestamp, dsn, srs};
use net::send::{Offer, OfferedRecipient};
use store::Store;

use super::job::Job;

/// How mail that is forwarded outside is rewritten.
#[derive(Clone)]
pub struct Forwarding {
    /// HMAC-SHA-256 with a secret of the region.
    pub mac: srs::Key,
}

impl std::fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarding").finish_non_exhaustive()
    }
}

/// The offer of the recipients `open` of a job.
pub(super) async fn offer(
    store: &Store,
    forwarding: Option<&Forwarding>,
    job: &Job,
    now: Timestamp,
) -> Offer {
    let forwarder = forwarder(job);
    let sender = match (&job.envelope.sender, &forwarder, forwarding) {
        (Some(sender), Some(by), Some(forwarding)) => {
            Some(rewritten(store, forwarding, sender, by, now).await)
        }
        (sender, ..) => sender.clone(),
    };
    let recipients = job.open.iter().filter_map(|at| {
        let to = job.item.recipients.get(*at)?;
        let number = usize::try_from(to.envelope).unwrap_or(usize::MAX);
        let given = job.envelope.recipients.get(number)?;
        let path = match &forwarder {
            // The address of a directory may be longer than RFC 5321 lets one write.
            Some(_) => Path::from(Address::parse(&to.path).ok()?),
            None => given.path.clone(),
        };
        // RFC 3461 §5.2.1 (d): whoever gets it now did not choose the address.
        let orcpt = given.orcpt.clone().or_else(|| {
            let original = given.path.text();
            original.is_ascii().then(|| format!("rfc822;{}", dsn::to_xtext(original)))
        });
        let notify = notify_on(given.notify, job.item.expanded);
        Some(OfferedRecipient { path, notify, orcpt })
    });
    Offer {
        sender,
        recipients: recipients.collect(),
        ret: job.envelope.ret,
        envid: job.envelope.envid.clone(),
        size: Some(job.record.location.size()),
        body: job.envelope.body,
        smtputf8: job.envelope.smtputf8,
    }
}

/// RFC 3461 §5.2.7.3 (c): of several who get it in the place of one, none tells of success; and who
/// asked for nothing else wants to hear of nothing else.
const fn notify_on(given: Notify, expanded: bool) -> Notify {
    if !expanded || !given.contains(Notify::SUCCESS) {
        return given;
    }
    let rest = Notify(given.0 & !Notify::SUCCESS.0);
    if rest.0 == 0 { Notify::NEVER } else { rest }
}

/// The address of ours that forwards it, if one does.
pub(super) fn forwarder(job: &Job) -> Option<Address> {
    (!job.item.forwarder.is_empty()).then(|| Address::parse(&job.item.forwarder).ok()).flatten()
}

/// A sender whose domain is ours stays: SPF passes for it here, and a bounce finds it.
async fn rewritten(
    store: &Store,
    forwarding: &Forwarding,
    sender: &Path,
    by: &Address,
    now: Timestamp,
) -> Path {
    let domain = sender.address().domain();
    let ours = store.directory().domain(domain).await.is_ok_and(|row| row.is_some());
    if ours {
        return sender.clone();
    }
    let mac = &*forwarding.mac;
    match srs::forward(sender.address(), by.domain(), srs::day(now), &|bytes| mac(bytes)) {
        Some(address) => address.into(),
        // Longer than a local part may be: as it came; SPF may fail, nothing is lost.
        None => sender.clone(),
    }
}
