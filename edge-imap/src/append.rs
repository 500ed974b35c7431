//! APPEND (RFC 9051 §6.3.12): the message streams in, is scanned for its summary on the way, and
//! is durable before OK. A small one rides in the entry itself; a larger one goes to an account
//! segment first, then the entry, then OK [ζ].

use std::sync::{Mutex, PoisonError};

use mail::{FlagSet, Timestamp};
use proto::imap::response::Code;
use proto::imap::{Answer, Append};
use store::change::{Change, MailboxId};
use store::state::State;
use store::{AcceptError, AppendBody};

use crate::alter::keywords_fit;
use crate::copy::uids_left;
use crate::flags;
use crate::names::canonical;
use crate::quota::Quota;
use crate::replies::{Refusal, Stop};
use crate::session::Session;

/// A message that is coming in.
pub(crate) struct Appending {
    mailbox: String,
    flags: FlagSet,
    date: Option<Timestamp>,
    quota: Quota,
    /// In a lock that is never locked, so that a session may be shared between threads.
    body: Mutex<AppendBody>,
    /// Why it cannot be kept; the rest of it is passed over.
    failed: Option<AcceptError>,
}

impl Session {
    /// Refuses what cannot be kept before it is sent; what is true only then is decided again
    /// when it is whole.
    pub(crate) async fn append_begin(&mut self, append: Append) -> Result<Answer, Stop> {
        let mailbox = canonical(&append.mailbox).map_err(|_| Refusal::TryCreate)?;
        let flags = flags::taken(&append.flags)?;
        let log = self.log()?;
        // [X]: another session may just have created the mailbox.
        log.fresh().await?;
        let quota = self.quota().await?;
        log.view(|state| admit(state, &mailbox, &flags, quota, append.size).map(drop))?;
        let body = Mutex::new(log.append_body());
        let date = append.date.map(|date| date.at);
        let appending = Appending { mailbox, flags, date, quota, body, failed: None };
        self.appending = Some(Box::new(appending));
        Ok(Answer::Go)
    }

    /// The next bytes of the message.
    pub(crate) async fn append_take(&mut self, bytes: &[u8]) {
        let Some(appending) = &mut self.appending else { return };
        if appending.failed.is_none() {
            appending.failed = appending
                .body
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .write(bytes)
                .await
                .err();
        }
    }

    /// The message is whole: makes it durable. OK and APPENDUID only come after its entry is (R5).
    pub(crate) async fn append_end(&mut self) -> Result<Answer, Stop> {
        let log = self.log()?;
        let Some(appending) = self.appending.take() else { return Err(Stop::Gone) };
        let Appending { mailbox, flags, date, quota, body, failed } = *appending;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let appended = body.end().await?;
        if appended.scanned().header_too_large {
            return Err(Refusal::Limit("a message header has at most 1 MiB").into());
        }
        let date = date.unwrap_or_else(|| self.shared.store.engines().index.now());
        let decide = |state: &State| {
            let id = admit(state, &mailbox, &flags, quota, appended.size())?;
            Ok(Change::Append(vec![appended.arrival(id, flags.clone(), date)]))
        };
        let changed = log.change::<Refusal>(decide).await?;
        let assigned = changed.effects.arrived.first().copied().flatten();
        let code = assigned.map(|assigned| Code::AppendUid(assigned.uid_validity, assigned.uid));
        Ok(Answer::Ok(code, "APPEND done".into()))
    }
}

/// Whether the mailbox takes a message of this size now.
fn admit(
    state: &State,
    name: &str,
    flags: &FlagSet,
    quota: Quota,
    size: u64,
) -> Result<MailboxId, Refusal> {
    let mailbox = state.by_name(name).ok_or(Refusal::TryCreate)?;
    keywords_fit(mailbox, flags)?;
    uids_left(mailbox, 1)?;
    quota.room(state, 1, size)?;
    Ok(mailbox.id())
}
