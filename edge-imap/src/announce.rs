//! Telling a client what happened in its mailbox, at the points where it may be told
//! (RFC 9051 §7.4.1, §7.5.1; RFC 7162 §3.2.10).

use mail::{Seq, Uid, UidSet};
use net::Out;
use proto::imap::response::{Code, FetchData, FetchLine, Response, Style};

use crate::fetch::GROUP;
use crate::flags;
use crate::replies::Stop;
use crate::selection::{Listed, News, Selected, groups, new_keywords};
use crate::session::Session;

/// How a client wants to be spoken to, by what it has enabled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Client {
    pub(crate) style: Style,
    /// CONDSTORE or QRESYNC is enabled: changes are told with their modseq.
    pub(crate) condstore: bool,
    /// QRESYNC is enabled: expunges are told by UID.
    pub(crate) qresync: bool,
}

/// What this session has just changed itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own<'a> {
    /// Messages whose flags are to be told, changed or not.
    pub(crate) show: Option<&'a UidSet>,
    /// The entries whose changes of flags the client does not want to hear of (`.SILENT`).
    pub(crate) silent: &'a [Seq],
    /// The entries whose changes of flags the client has been told already.
    pub(crate) told: &'a [Seq],
}

impl Session {
    /// Tells what the client does not know yet of its mailbox. `may_expunge`: no command is in
    /// progress that counts messages by their numbers.
    pub(crate) async fn announce(
        &mut self,
        may_expunge: bool,
        own: Own<'_>,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<(), Stop> {
        let log = self.log()?;
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let (now, news, keywords) = log
            .view(|state| (state.seq(), News::of(state, selected), new_keywords(state, selected)));
        let News { gone, arrived, mut changed } = news;
        let mut bytes = Vec::new();
        if let Some(keywords) = keywords {
            selected.keywords = keywords;
            tell_flags(selected, client, &mut bytes);
        }
        if may_expunge {
            if !gone.is_empty() {
                tell_gone(selected, &gone, client, &mut bytes, out).await?;
            }
            selected.told_gone = now;
        }
        if !arrived.is_empty() {
            arrived.iter().filter_map(Uid::new).for_each(|uid| selected.view.push(uid));
            Response::Exists(selected.view.len()).encode(client.style, &mut bytes);
        }
        if let Some(show) = own.show {
            changed = changed.union(&selected.view.within(show));
        }
        for group in groups(&changed, GROUP) {
            for listed in log.view(|state| selected.view.listed(state, selected.id, &group)) {
                tell_changed(&listed, own, client, &mut bytes);
            }
            out.write(&std::mem::take(&mut bytes)).await?;
        }
        out.write(&bytes).await?;
        selected.told = now;
        Ok(())
    }
}

/// FLAGS and PERMANENTFLAGS (RFC 9051 §7.3.4, §7.1).
pub(crate) fn tell_flags(selected: &Selected, client: Client, bytes: &mut Vec<u8>) {
    let mut all = flags::system();
    all.extend(selected.keywords.iter().map(flags::keyword));
    Response::Flags(&all).encode(client.style, bytes);
    let (permanent, any) = if selected.read_only { (Vec::new(), false) } else { (all, true) };
    let code = Code::PermanentFlags { flags: permanent, any };
    Response::Ok(Some(code), "flags that are kept".into()).encode(client.style, bytes);
}

/// EXPUNGE or VANISHED; the messages then are gone from the view too.
async fn tell_gone(
    selected: &mut Selected,
    gone: &UidSet,
    client: Client,
    bytes: &mut Vec<u8>,
    out: &mut Out<'_>,
) -> Result<(), Stop> {
    if client.qresync {
        tell_vanished(gone, false, client, bytes);
    } else {
        // From the last to the first: none of these changes the numbers of the others.
        for uid in gone.iter().rev().filter_map(Uid::new) {
            if let Some(msn) = selected.view.msn(uid) {
                Response::Expunge(msn).encode(client.style, bytes);
            }
            if bytes.len() >= 64 * 1024 {
                out.write(&std::mem::take(bytes)).await?;
            }
        }
    }
    selected.view.remove(gone);
    Ok(())
}

/// VANISHED, in lines of at most 8,192 octets, which all clients read (RFC 7162 §4).
pub(crate) fn tell_vanished(gone: &UidSet, earlier: bool, client: Client, bytes: &mut Vec<u8>) {
    const RANGES_MAX: usize = 350;
    let ranges: Vec<_> = gone.ranges().collect();
    for uids in ranges.chunks(RANGES_MAX) {
        Response::Vanished { earlier, uids }.encode(client.style, bytes);
    }
}

/// FETCH with the flags of a message that changed. The UID is always told: QRESYNC and IMAP4rev2
/// want it (RFC 7162 §3.2.4, RFC 9051 §7.5.2), and all clients take it.
fn tell_changed(listed: &Listed, own: Own<'_>, client: Client, bytes: &mut Vec<u8>) {
    let silent = own.silent.contains(&listed.modseq);
    if silent && !client.condstore || own.told.contains(&listed.modseq) {
        return;
    }
    let mut line = FetchLine::begin(listed.msn, client.style, bytes);
    line.item(&FetchData::Uid(listed.uid), bytes);
    if !silent {
        line.item(&FetchData::Flags(&flags::shown(&listed.flags)), bytes);
    }
    // RFC 7162 §3.1.3: after CONDSTORE the new modseq is told, `.SILENT` or not.
    if client.condstore {
        line.item(&FetchData::ModSeq(listed.modseq.0), bytes);
    }
    line.end(bytes);
}
