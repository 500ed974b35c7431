//! What is offered, by state (RFC 9051 §7.2.2), ENABLE and ID.

use super::{Server, Session, State};
use crate::imap::command::Tag;
use crate::imap::response::{Code, status, string_into};
use crate::sasl::Mechanism;

/// Offered in every state.
const ALWAYS: &str = "IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE";

/// Offered after login. LITERAL+ only now: before it, 4 KiB are enough for a stranger.
const LOGGED_IN: &str = "LITERAL+ IDLE NAMESPACE UIDPLUS UNSELECT MOVE CHILDREN SPECIAL-USE \
     CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH SEARCHRES CONDSTORE QRESYNC \
     QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE";

impl Server {
    /// The list of capabilities in this state.
    pub(super) fn capabilities(&self) -> String {
        let mut list = ALWAYS.to_owned();
        if self.session != Session::NotAuthenticated {
            list.push(' ');
            list.push_str(LOGGED_IN);
            list.push_str(&format!(" APPENDLIMIT={}", self.config.append_limit));
            return list;
        }
        list.push_str(" LITERAL-");
        if self.config.starttls && self.tls.is_none() {
            list.push_str(" STARTTLS");
        }
        for mechanism in self.offered() {
            list.push_str(&format!(" AUTH={mechanism}"));
        }
        if !self.may_log_in() {
            list.push_str(" LOGINDISABLED");
        }
        list
    }

    /// Whether passwords and their like may cross this connection: under TLS, or on loopback.
    pub(super) fn may_log_in(&self) -> bool {
        self.tls.is_some() || self.loopback
    }

    /// The mechanisms that this client is offered.
    pub(super) fn offered(&self) -> Vec<Mechanism> {
        let possible = |mechanism: &Mechanism| mechanism.possible(self.tls.as_deref());
        let configured = self.config.mechanisms.iter().copied();
        configured.filter(|_| self.may_log_in()).filter(possible).collect()
    }

    /// The greeting is never PREAUTH: every connection logs in.
    pub(super) fn greet(&mut self) {
        let code = Code::Capability(self.capabilities());
        let text = format!("{} IMAP server ready", self.config.host).into();
        status("* OK ", Some(&code), &text, self.style(), &mut self.out);
        self.state = State::Command;
    }

    pub(super) fn say_capabilities(&mut self, tag: &Tag) {
        let line = format!("* CAPABILITY {}\r\n", self.capabilities());
        self.out.extend_from_slice(line.as_bytes());
        self.tagged(tag, "OK", None, &"CAPABILITY completed".into());
    }

    /// RFC 5161 §3.1: what is not known is left out without an error.
    pub(super) fn enable(&mut self, tag: &Tag, names: &[String]) {
        // RFC 5161 §3.1, RFC 9051 §6.3.1: clients must not when a mailbox is selected.
        if self.session == Session::Selected {
            return self.bad(Some(tag), "ENABLE is for before SELECT");
        }
        let mut line = "* ENABLED".to_owned();
        for name in names {
            match name.as_str() {
                "CONDSTORE" => self.enabled.condstore = true,
                // RFC 7162 §3.2.3: QRESYNC enables CONDSTORE too.
                "QRESYNC" => {
                    self.enabled.qresync = true;
                    self.enabled.condstore = true;
                }
                "IMAP4REV2" => self.enabled.rev2 = true,
                _ => continue,
            }
            line.push(' ');
            line.push_str(if name == "IMAP4REV2" { "IMAP4rev2" } else { name });
        }
        line.push_str("\r\n");
        self.out.extend_from_slice(line.as_bytes());
        self.tagged(tag, "OK", None, &"ENABLE completed".into());
    }

    /// RFC 2971: nothing that the client says of itself changes anything.
    pub(super) fn say_id(&mut self, tag: &Tag) {
        let style = self.style();
        self.out.extend_from_slice(b"* ID ");
        if self.config.id.is_empty() {
            self.out.extend_from_slice(b"NIL");
        } else {
            for (index, (name, value)) in self.config.id.iter().take(30).enumerate() {
                self.out.extend_from_slice(if index == 0 { b"(" } else { b" " });
                string_into(name.as_bytes(), style, &mut self.out);
                self.out.push(b' ');
                string_into(value.as_bytes(), style, &mut self.out);
            }
            self.out.push(b')');
        }
        self.out.extend_from_slice(b"\r\n");
        self.tagged(tag, "OK", None, &"ID completed".into());
    }
}
