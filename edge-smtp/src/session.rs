//! One connection: answers the core's questions, keeps the message under way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mail::{Address, Path};
use net::{Edge, Gone, Out, Peer};
use proto::smtp::{Answer, Ask, Reply, Role, Sender, Server};
use store::Receipt;
use store::directory::Entry;

use crate::message::Message;
use crate::policy::Listed;
use crate::replies;
use crate::service::Shared;

/// The proof that a message is durable; shown as the id of its record.
#[derive(Debug)]
pub struct Stored(pub(crate) Receipt);

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.record().fmt(f)
    }
}

/// One client's connection.
pub struct Session {
    caller: Caller,
    /// Content is under way.
    message: Option<Message>,
}

/// Who is at the other end.
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    /// Who has logged in.
    pub(crate) account: Option<Entry>,
    /// SIZE= of MAIL FROM, or 0.
    pub(crate) declared: u64,
    /// The envelope's sender.
    pub(crate) sender: Option<Path>,
    /// Which lists have the client, once they were asked.
    pub(crate) listed: Option<Listed>,
    /// Recipients of the transaction that are rewritten senders, and whom they stand for.
    pub(crate) returns: BTreeMap<Address, Path>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.caller.peer).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) const fn new(shared: Arc<Shared>, peer: Peer) -> Self {
        let caller = Caller {
            shared,
            peer,
            account: None,
            declared: 0,
            sender: None,
            listed: None,
            returns: BTreeMap::new(),
        };
        Self { caller, message: None }
    }

    async fn commit(&mut self, core: &Server<Stored>) -> Result<Answer<Stored>, Gone> {
        let Some(message) = self.message.take() else {
            return Ok(Answer::Refused(replies::out_of_step()));
        };
        match message.commit(&self.caller, core.session()).await {
            Ok(receipt) => Ok(Answer::Stored(Stored(receipt))),
            Err(refused) => Ok(Answer::Refused(refused?)),
        }
    }
}

impl Caller {
    pub(crate) fn role(&self) -> Role {
        self.shared.options.core.role
    }

    /// Submission does not tell where people are.
    pub(crate) fn hides_client(&self) -> bool {
        self.role() == Role::Submission && self.shared.options.hide_client
    }

    /// Asks the blocklists about the client, once per connection.
    async fn look_for_lists(&mut self) {
        if self.role() == Role::Mx
            && self.listed.is_none()
            && let Some(lists) = &self.shared.options.blocklists
        {
            self.listed = Some(lists.check(self.peer.address).await);
        }
    }

    /// MAIL FROM.
    async fn sender(&mut self, sender: &Sender) -> Result<(), Reply> {
        self.declared = sender.size.unwrap_or(0);
        self.sender = sender.path.clone();
        self.returns.clear();
        if self.shared.store.space().is_full().await {
            return Err(replies::no_room());
        }
        match (&sender.path, &self.account, self.role()) {
            (_, _, Role::Mx) => Ok(()),
            // RFC 6409 §6.1: receipts of messages that were read have no sender (RFC 8098 §2).
            (None, Some(_), Role::Submission) => Ok(()),
            (Some(path), Some(account), Role::Submission) => {
                self.own_address(account, path.address()).await
            }
            // The core says so before it asks.
            (_, None, Role::Submission) => Err(replies::not_your_sender()),
        }
    }
}

fn yes_or_no(answer: Result<(), Reply>) -> Answer<Stored> {
    answer.map_or_else(Answer::Refused, |()| Answer::Accepted)
}

impl Edge<Server<Stored>> for Session {
    async fn asked(
        &mut self,
        ask: Ask,
        core: &mut Server<Stored>,
        out: &mut Out<'_>,
    ) -> Result<(), Gone> {
        let answer = match ask {
            Ask::Connect => Answer::Accepted,
            Ask::Sender(sender) => yes_or_no(self.caller.sender(&sender).await),
            Ask::Recipients(recipients) => {
                self.caller.look_for_lists().await;
                let mut answers = Vec::with_capacity(recipients.len());
                for recipient in &recipients {
                    answers.push(self.caller.recipient(recipient).await);
                }
                Answer::Recipients(answers)
            }
            Ask::Begin(envelope) => match Message::begin(&self.caller, *envelope).await {
                Ok(message) => {
                    self.message = Some(message);
                    Answer::Accepted
                }
                Err(refused) => Answer::Refused(refused?),
            },
            Ask::Commit => {
                // What was acknowledged before is told now, whatever becomes of this message.
                out.flush().await?;
                self.commit(core).await?
            }
            Ask::Abort => {
                self.message = None;
                return Ok(());
            }
            Ask::Verifiers { user } => self.caller.verifiers(&user).await,
            Ask::Login(login) => self.caller.login(login).await,
        };
        core.answer(answer);
        Ok(())
    }

    async fn taken(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if let Some(message) = &mut self.message {
            message.write(bytes).await;
        }
        Ok(())
    }

    fn secured(&mut self, _tls: &proto::Tls) {
        // A2: nothing learnt in the clear is remembered.
        self.caller.account = None;
        self.message = None;
    }
}
