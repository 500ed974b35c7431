//! One client's session: answers what the protocol core asks, one question at a time.
//!
//! It keeps the account's log, the selected mailbox as the client knows it, and nothing else
//! while it waits (an idle connection has no buffers).

use std::sync::Arc;

use net::{Edge, Gone, Out, Peer};
use proto::imap::command::{Body, Command};
use proto::imap::response::{Code, Response};
use proto::imap::{Answer, Ask, Server};
use store::AccountLog;

use crate::announce::{Client, Own};
use crate::append::Appending;
use crate::counts;
use crate::idle::Idle;
use crate::quota::Quota;
use crate::replies::{Refusal, Stop};
use crate::selection::Selected;
use crate::service::Shared;

/// The edge's side of one IMAP connection.
pub struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    pub(crate) login: Option<Login>,
    pub(crate) selected: Option<Selected>,
    pub(crate) appending: Option<Box<Appending>>,
    pub(crate) idle: Option<Idle>,
    /// CONDSTORE was enabled when the last command came.
    condstore: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Who is logged in.
pub(crate) struct Login {
    /// What the directory allowed it then. Not its whole row, which an idle client would keep in
    /// memory.
    pub(crate) quota: Quota,
    pub(crate) log: Arc<AccountLog>,
}

impl Session {
    pub(crate) const fn new(shared: Arc<Shared>, peer: Peer) -> Self {
        Self {
            shared,
            peer,
            login: None,
            selected: None,
            appending: None,
            idle: None,
            condstore: false,
        }
    }

    /// The log of the account that is logged in.
    pub(crate) fn log(&self) -> Result<Arc<AccountLog>, Stop> {
        // The core asks nothing that needs it before login.
        self.login.as_ref().map(|login| login.log.clone()).ok_or(Stop::Gone)
    }

    /// The mailbox that is selected.
    pub(crate) fn selected(&self) -> Result<&Selected, Stop> {
        self.selected.as_ref().ok_or_else(|| Refusal::NotSelected.into())
    }

    /// The mailbox that is selected, to be changed.
    pub(crate) fn writable(&self) -> Result<&Selected, Stop> {
        let selected = self.selected()?;
        if selected.read_only { Err(Refusal::ReadOnly.into()) } else { Ok(selected) }
    }

    async fn answer(
        &mut self,
        ask: Ask,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        match ask {
            Ask::Password { user, authzid, password } => {
                self.check_password(&user, authzid.as_deref(), &password).await
            }
            Ask::Verifiers { user } => self.verifiers(&user).await,
            Ask::Proved { user, authzid, .. } => self.proved(&user, authzid.as_deref()).await,
            Ask::Refused { user } => self.refused(&user).await,
            Ask::Command(command) => self.command(*command, client, out).await,
            Ask::AppendBegin(append) => self.append_begin(*append).await,
            Ask::AppendEnd => {
                let answer = self.append_end().await;
                self.announce_after(true, client, out).await?;
                answer
            }
            Ask::AppendAbort => {
                self.appending = None;
                Ok(Answer::Go)
            }
            Ask::IdleStart => self.idle_start(client, out).await,
            Ask::IdleEnd => self.idle_end(client, out).await,
        }
    }

    async fn command(
        &mut self,
        command: Command,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let Command { tag, body } = command;
        self.tell_modseq(client, out).await?;
        // RFC 9051 §7.5.1: no EXPUNGE in answers to FETCH, STORE and SEARCH by number.
        let may_expunge = match &body {
            Body::Fetch(fetch) => fetch.uid,
            Body::Store(store) => store.uid,
            Body::Search(search) => search.uid,
            _ => true,
        };
        let answer = match body {
            Body::Noop | Body::Check => self.noop().await,
            Body::Select(select) => return self.select(&select, client, out).await,
            Body::Close => return self.close().await,
            Body::Unselect => {
                self.selected = None;
                return Ok(Answer::Ok(None, "UNSELECT done".into()));
            }
            Body::Create { mailbox, special_use } => self.create(&mailbox, &special_use).await,
            Body::Delete(mailbox) => self.delete(&mailbox).await,
            Body::Rename { from, to } => self.rename(&from, &to).await,
            Body::Subscribe(mailbox) => self.subscribe(&mailbox, true).await,
            Body::Unsubscribe(mailbox) => self.subscribe(&mailbox, false).await,
            Body::List(list) => self.list(&list, client, out).await,
            Body::Lsub { reference, pattern } => self.lsub(&reference, &pattern, client, out).await,
            Body::Status { mailbox, items } => self.status(&mailbox, &items, client, out).await,
            Body::Namespace => self.namespace(client, out).await,
            Body::GetQuota(root) => self.get_quota(&root, client, out).await,
            Body::GetQuotaRoot(mailbox) => self.get_quota_root(&mailbox, client, out).await,
            Body::Expunge { uids } => self.expunge(uids.as_ref(), client, out).await,
            Body::Search(search) => self.search(&tag, &search, client, out).await,
            Body::Fetch(fetch) => self.fetch(&fetch, client, out).await,
            Body::Store(store) => self.store(&store, client, out).await,
            Body::Copy(copy) => self.copy(&copy, client, out).await,
            // These are the core's own.
            Body::Capability
            | Body::Logout
            | Body::StartTls
            | Body::Id(_)
            | Body::Enable(_)
            | Body::Authenticate { .. }
            | Body::Login { .. }
            | Body::Idle
            | Body::Append(_) => Ok(Answer::Bad(None, "not now".into())),
        };
        if let Err(Stop::Gone) = answer {
            return Err(Stop::Gone);
        }
        self.announce_after(may_expunge, client, out).await?;
        answer
    }

    /// Tells what else has happened, at the end of a command.
    async fn announce_after(
        &mut self,
        may_expunge: bool,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<(), Stop> {
        self.announce(may_expunge, Own::default(), client, out).await
    }

    /// RFC 7162 §3.1: when CONDSTORE comes to be enabled while a mailbox is selected, the client
    /// is told its HIGHESTMODSEQ.
    async fn tell_modseq(&mut self, client: Client, out: &mut Out<'_>) -> Result<(), Stop> {
        let new = client.condstore && !std::mem::replace(&mut self.condstore, client.condstore);
        let Some(selected) = self.selected.as_ref().filter(|_| new) else { return Ok(()) };
        let modseq = self.log()?.view(|state| {
            let mailbox = state.mailbox(selected.id);
            // No more than the client has been told of, or it would miss the rest (I4).
            mailbox.map_or(selected.told, |mailbox| mailbox.highest_modseq().min(selected.told))
        });
        let code = Code::HighestModSeq(modseq.0.max(1));
        let mut bytes = Vec::new();
        Response::Ok(Some(code), "CONDSTORE is enabled".into()).encode(client.style, &mut bytes);
        out.write(&bytes).await?;
        Ok(())
    }

    /// Ends the session of an account that was removed, disabled, or whose log goes on elsewhere.
    /// A directory that does not answer ends none.
    pub(crate) async fn still_welcome(&self) -> Result<(), Stop> {
        let login = self.login.as_ref().ok_or(Stop::Gone)?;
        let account = login.log.account();
        let welcome = match self.shared.store.directory().account(account.id).await {
            Ok(Some(entry)) => !entry.row.disabled && entry.account() == account,
            Ok(None) => false,
            Err(_) => true,
        };
        if welcome {
            return Ok(());
        }
        let text = "the account was closed or moved";
        Err(Stop::Answer(Box::new(Answer::Bye(Some(Code::Unavailable), text.into()))))
    }

    /// RFC 9051 §6.1.2: the client polls, so it gets what is there now [X].
    async fn noop(&self) -> Result<Answer, Stop> {
        self.still_welcome().await?;
        self.log()?.fresh().await?;
        Ok(Answer::Ok(None, "done".into()))
    }
}

/// How this client is spoken to.
fn client(core: &Server) -> Client {
    let enabled = core.enabled();
    Client { style: core.style(), condstore: enabled.condstore, qresync: enabled.qresync }
}

impl Edge<Server> for Session {
    async fn asked(&mut self, ask: Ask, core: &mut Server, out: &mut Out<'_>) -> Result<(), Gone> {
        let client = client(core);
        let command = counts::name(&ask);
        let answer = self.answer(ask, client, out).await;
        counts::answered(command, &answer);
        match answer {
            Ok(answer) => core.answer(answer),
            Err(Stop::Answer(answer)) => core.answer(*answer),
            Err(Stop::Gone) => return Err(Gone),
        }
        Ok(())
    }

    async fn taken(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.append_take(bytes).await;
        Ok(())
    }

    async fn wake(&mut self) {
        match &mut self.idle {
            Some(idle) => idle.wake().await,
            None => std::future::pending().await,
        }
    }

    async fn woken(&mut self, core: &mut Server, out: &mut Out<'_>) -> Result<(), Gone> {
        let client = client(core);
        match self.idle_woken(client, out).await {
            Ok(()) => {}
            Err(Stop::Answer(answer)) => {
                // Else the store does not answer now; the next wake-up tells more.
                if let Answer::Bye(code, text) = *answer {
                    core.bye(code, text);
                }
            }
            Err(Stop::Gone) => return Err(Gone),
        }
        Ok(())
    }
}
