//! Which command is allowed when, and who answers it (RFC 9051 §6).

use super::{Asked, Effect, Server, Session, State};
use crate::imap::Ask;
use crate::imap::command::{Body, Command, FetchItem, SearchKey, StatusItem, Tag};

impl Server {
    /// A whole command: answers it here or asks.
    pub(super) fn dispatch(&mut self, command: Command) {
        let tag = command.tag.clone();
        if let Some(why) = self.not_now(&command.body) {
            return self.bad(Some(&tag), why);
        }
        self.bad = 0;
        match command.body {
            Body::Capability => self.say_capabilities(&tag),
            Body::Logout => self.logout(&tag),
            Body::Id(_) => self.say_id(&tag),
            Body::Enable(names) => self.enable(&tag, &names),
            Body::StartTls => self.start_tls(&tag),
            Body::Login { user, password } => self.login(tag, user, password),
            Body::Authenticate { mechanism, initial } => {
                self.authenticate(tag, &mechanism, initial.as_deref());
            }
            Body::Noop if self.session == Session::NotAuthenticated => {
                self.tagged(&tag, "OK", None, &"NOOP completed".into());
            }
            Body::Idle => self.ask(Ask::IdleStart, Asked::IdleStart(tag)),
            // Only the beginning of a command is parsed to this: see `append`.
            Body::Append(_) => self.bad(Some(&tag), "expected a message"),
            body => {
                let effect = match &body {
                    Body::Select(_) => Effect::Selects,
                    Body::Close | Body::Unselect => Effect::Deselects,
                    _ => Effect::None,
                };
                self.enabled.condstore |= enables_condstore(&body);
                let command = Box::new(Command { tag: tag.clone(), body });
                self.ask(Ask::Command(command), Asked::Command(tag, effect));
            }
        }
    }

    /// Why this command is an error in this state, if it is one.
    pub(super) fn not_now(&self, body: &Body) -> Option<&'static str> {
        match body {
            Body::Capability | Body::Noop | Body::Logout | Body::Id(_) => None,
            Body::StartTls | Body::Login { .. } | Body::Authenticate { .. } => {
                self.is_logged_in().then_some("already logged in")
            }
            // I9: a stranger reads nothing and learns of no mailbox.
            _ if !self.is_logged_in() => Some("log in first"),
            Body::Check
            | Body::Close
            | Body::Unselect
            | Body::Expunge { .. }
            | Body::Search(_)
            | Body::Store(_)
            | Body::Copy(_)
                if self.session != Session::Selected =>
            {
                Some("select a mailbox first")
            }
            Body::Fetch(_) if self.session != Session::Selected => Some("select a mailbox first"),
            // RFC 7162 §3.2.5, §3.2.6: BAD without ENABLE QRESYNC.
            Body::Fetch(fetch) if fetch.vanished && !self.enabled.qresync => {
                Some("ENABLE QRESYNC first")
            }
            Body::Select(select) if select.qresync.is_some() && !self.enabled.qresync => {
                Some("ENABLE QRESYNC first")
            }
            _ => None,
        }
    }

    fn logout(&mut self, tag: &Tag) {
        self.bye(None, "logging out");
        self.tagged(tag, "OK", None, &"LOGOUT completed".into());
    }

    /// RFC 9051 §6.2.1.
    fn start_tls(&mut self, tag: &Tag) {
        if self.tls.is_some() {
            self.bad(Some(tag), "TLS is up already");
        } else if self.config.starttls {
            self.tagged(tag, "OK", None, &"begin TLS now".into());
            self.state = State::Secure;
        } else {
            self.bad(Some(tag), "TLS is not available");
        }
    }
}

/// RFC 7162 §3.1: commands that tell that the client knows CONDSTORE.
fn enables_condstore(body: &Body) -> bool {
    match body {
        Body::Select(select) => select.condstore || select.qresync.is_some(),
        Body::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
        Body::List(list) => list.told.status.contains(&StatusItem::HighestModSeq),
        Body::Fetch(fetch) => {
            fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq)
        }
        Body::Search(search) => search.keys.iter().any(SearchKey::asks_modseq),
        Body::Store(store) => store.unchanged_since.is_some(),
        _ => false,
    }
}
