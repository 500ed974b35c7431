//! SELECT, EXAMINE, CLOSE (RFC 9051 §6.3.2, §6.4.1) and what a client that comes back is told
//! (QRESYNC, RFC 7162 §3.2.5).

use mail::flags::SystemFlags;
use mail::{Seq, UidSet, UidValidity};
use net::Out;
use proto::imap::Answer;
use proto::imap::command::{Msn, Qresync, Select};
use proto::imap::response::{Code, FetchData, FetchLine, Listed, Response};
use store::AccountLog;
use store::state::State;

use crate::announce::{Client, tell_flags, tell_vanished};
use crate::fetch::GROUP;
use crate::flags;
use crate::names::canonical;
use crate::replies::{Refusal, Stop};
use crate::selection::{Selected, View, groups, vanished};
use crate::session::Session;

/// What SELECT tells of a mailbox.
struct Told {
    selected: Selected,
    name: String,
    exists: u32,
    unseen: Option<Msn>,
    validity: UidValidity,
    uid_next: mail::Uid,
    modseq: u64,
}

impl Session {
    pub(crate) async fn select(
        &mut self,
        select: &Select,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let log = self.log()?;
        let mut bytes = Vec::new();
        if self.selected.take().is_some() {
            // RFC 9051 §7.1: what comes next is no longer about the mailbox before, found or not.
            let text = "the mailbox selected before is closed";
            Response::Ok(Some(Code::Closed), text.into()).encode(client.style, &mut bytes);
        }
        out.write(&bytes).await?;
        let name = canonical(&select.mailbox).map_err(|_| Refusal::NoMailbox)?;
        self.still_welcome().await?;
        // [X]: never older than what any other session was told.
        log.fresh().await?;
        // I4: no modseq is told that a change still to come could have.
        log.begin().await?;
        let Some(told) = log.view(|state| look(state, &name, select.read_only)) else {
            return Err(Refusal::NoMailbox.into());
        };
        tell(&told, client, out).await?;
        if let Some(known) = select.qresync.as_ref().filter(|it| it.uid_validity == told.validity) {
            resynchronise(&log, &told.selected, known, client, out).await?;
        }
        self.selected = Some(told.selected);
        let (code, text) = if select.read_only {
            (Code::ReadOnly, "EXAMINE done")
        } else {
            (Code::ReadWrite, "SELECT done")
        };
        Ok(Answer::Ok(Some(code), text.into()))
    }

    /// RFC 9051 §6.4.1: what is \Deleted goes, and nothing is told of it.
    pub(crate) async fn close(&mut self) -> Result<Answer, Stop> {
        let selected = self.selected()?;
        if !selected.read_only {
            self.remove_deleted(None).await?;
        }
        self.selected = None;
        Ok(Answer::Ok(None, "CLOSE done".into()))
    }
}

fn look(state: &State, name: &str, read_only: bool) -> Option<Told> {
    let mailbox = state.by_name(name)?;
    let selected = Selected {
        id: mailbox.id(),
        read_only,
        view: View::from(&mailbox.uids()),
        told: state.seq(),
        told_gone: state.seq(),
        keywords: mailbox.keywords().cloned().collect(),
        saved: UidSet::new(),
    };
    let unseen = |flags: &mail::FlagSet| !flags.system.contains(SystemFlags::SEEN);
    let first = mailbox.messages().find(|m| mailbox.unseen() > 0 && unseen(m.flags));
    Some(Told {
        name: mailbox.name().to_owned(),
        exists: selected.view.len(),
        unseen: first.and_then(|message| selected.view.msn(message.uid)),
        validity: mailbox.uid_validity(),
        uid_next: mailbox.uid_next(),
        modseq: mailbox.highest_modseq().0,
        selected,
    })
}

/// RFC 9051 §6.3.2, and what RFC 3501 wants besides.
async fn tell(told: &Told, client: Client, out: &mut Out<'_>) -> Result<(), Stop> {
    let mut bytes = Vec::new();
    tell_flags(&told.selected, client, &mut bytes);
    let mut put = |response: Response<'_>| response.encode(client.style, &mut bytes);
    put(Response::Exists(told.exists));
    put(Response::Recent(0));
    put(Response::Ok(Some(Code::UidValidity(told.validity)), "UIDs are valid".into()));
    put(Response::Ok(Some(Code::UidNext(told.uid_next)), "predicted next UID".into()));
    put(Response::Ok(Some(Code::HighestModSeq(told.modseq)), "highest modseq".into()));
    match told.unseen {
        Some(msn) if !client.style.rev2 => {
            put(Response::Ok(Some(Code::Unseen(msn)), "first unseen".into()));
        }
        _ => {}
    }
    if client.style.rev2 {
        // RFC 9051 §6.3.2: the name as it is listed.
        let listed = Listed { attributes: &[], name: &told.name, child_subscribed: false };
        put(Response::List(listed));
    }
    out.write(&bytes).await?;
    Ok(())
}

/// What happened since the client was here, in two parts: what vanished, what changed
/// (RFC 7162 §3.2.5). Misses nothing (I4).
async fn resynchronise(
    log: &AccountLog,
    selected: &Selected,
    known: &Qresync,
    client: Client,
    out: &mut Out<'_>,
) -> Result<(), Stop> {
    let since = Seq(known.modseq);
    let (gone, changed) = log.view(|state| {
        let Some(mailbox) = state.mailbox(selected.id) else { return Default::default() };
        let given = mailbox.uid_next().get().saturating_sub(1);
        let all = UidSet::from_ranges([(1, given)]);
        let uids = match known.known_uids.as_ref().and_then(|set| set.resolve(given)) {
            Some(ranges) => UidSet::from_ranges(ranges.iter().map(|r| (*r.start(), *r.end()))),
            None => all,
        };
        let gone = vanished(mailbox, since, &uids);
        let changed = mailbox.changed_since(since).map(|message| message.uid.get());
        (gone, changed.collect::<UidSet>().intersection(&uids))
    });
    let mut bytes = Vec::new();
    tell_vanished(&gone, true, client, &mut bytes);
    for group in groups(&changed, GROUP) {
        for listed in log.view(|state| selected.view.listed(state, selected.id, &group)) {
            let mut line = FetchLine::begin(listed.msn, client.style, &mut bytes);
            line.item(&FetchData::Uid(listed.uid), &mut bytes);
            line.item(&FetchData::Flags(&flags::shown(&listed.flags)), &mut bytes);
            line.item(&FetchData::ModSeq(listed.modseq.0), &mut bytes);
            line.end(&mut bytes);
        }
        out.write(&std::mem::take(&mut bytes)).await?;
    }
    out.write(&bytes).await?;
    Ok(())
}
