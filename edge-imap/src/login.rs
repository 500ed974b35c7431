//! Who a client is. Known and unknown users, right and wrong passwords up to the last byte, look
//! and cost the same (C1): an unknown user is checked against a verifier that nothing fits.

use std::time::Duration;

use mail::Address;
use net::Verdict;
use proto::imap::Answer;
use proto::imap::response::Code;
use proto::sasl::{Nonce, Password, Verifier, Verifiers};
use store::directory::Entry;

use crate::quota::Quota;
use crate::replies::Stop;
use crate::session::{Login, Session};

/// The one answer to all that is wrong.
fn failed() -> Answer {
    Answer::No(Some(Code::AuthenticationFailed), "wrong user or password".into())
}

fn unavailable(error: &dyn std::error::Error) -> Stop {
    tracing::warn!(%error, "login not possible");
    let text = "login is not possible now, try again later";
    Stop::Answer(Box::new(Answer::No(Some(Code::Unavailable), text.into())))
}

/// The name given, as failures of it are counted: canonical where it can be.
fn counted(user: &str) -> String {
    Address::parse(user).map_or_else(|_| user.to_lowercase(), |address| address.to_string())
}

/// The account's verifiers; `None` if it has none that can be used.
fn verifiers_of(entry: &Entry) -> Option<Verifiers> {
    let credentials = &entry.row.credentials;
    let verifiers: Result<Vec<Verifier>, _> = credentials
        .verifiers
        .iter()
        .map(|one| {
            let (stored, server) = (one.stored_key, one.server_key);
            Verifier::from_keys(&credentials.salt, credentials.iterations, stored, server)
        })
        .collect();
    Verifiers::new(verifiers.ok()?).ok()
}

impl Session {
    /// LOGIN, PLAIN: checks a password.
    pub(crate) async fn check_password(
        &mut self,
        user: &str,
        authzid: Option<&str>,
        password: &Password,
    ) -> Result<Answer, Stop> {
        if !self.wait_turn(user).await {
            return Ok(failed());
        }
        let entry = self.look_up(user).await?;
        let verifiers = self.verifiers_for(user, entry.as_ref());
        let password = password.clone();
        // Milliseconds of CPU: not where all connections are served, and no more than there are
        // cores for.
        let checked = self
            .shared
            .store
            .engines()
            .work
            .run(move || verifiers.check(password.reveal()).is_some());
        let right = checked.await.map_err(|error| unavailable(&error))?;
        match entry.filter(|_| right) {
            Some(entry) => self.enter(user, authzid, entry).await,
            None => self.refused(user).await,
        }
    }

    /// SCRAM: what the client's proof is checked against.
    pub(crate) async fn verifiers(&mut self, user: &str) -> Result<Answer, Stop> {
        // Who is refused goes through the dialogue all the same, against a verifier nothing fits.
        let entry = if self.wait_turn(user).await { self.look_up(user).await? } else { None };
        let verifiers = self.verifiers_for(user, entry.as_ref());
        Ok(Answer::Verifiers(verifiers, Nonce(self.shared.random().bytes())))
    }

    /// SCRAM: the proof was right.
    pub(crate) async fn proved(
        &mut self,
        user: &str,
        authzid: Option<&str>,
    ) -> Result<Answer, Stop> {
        match self.look_up(user).await? {
            Some(entry) => self.enter(user, authzid, entry).await,
            None => self.refused(user).await,
        }
    }

    /// Wrong: counted, and answered as late as the throttle wants the next attempt to be.
    pub(crate) async fn refused(&mut self, user: &str) -> Result<Answer, Stop> {
        let name = counted(user);
        self.shared.throttle.failed(self.peer.address, &name);
        tracing::info!(peer = %self.peer, "login failed");
        Ok(failed())
    }

    /// Waits as the throttle says; false if this client is refused for now.
    async fn wait_turn(&self, user: &str) -> bool {
        let (wait, allowed) = match self.shared.throttle.before(self.peer.address, &counted(user)) {
            Verdict::After(wait) => (wait, true),
            Verdict::Refuse(wait) => (wait, false),
        };
        if wait > Duration::ZERO {
            self.shared.clock().sleep(wait).await;
        }
        allowed
    }

    async fn look_up(&self, user: &str) -> Result<Option<Entry>, Stop> {
        let Ok(address) = Address::parse(user) else { return Ok(None) };
        let directory = self.shared.store.directory();
        let entry = directory.login(&address).await.map_err(|error| unavailable(&error))?;
        Ok(entry.filter(|entry| !entry.row.disabled))
    }

    /// Always costs one verifier's work, whoever it is.
    fn verifiers_for(&self, user: &str, entry: Option<&Entry>) -> Verifiers {
        entry.and_then(verifiers_of).unwrap_or_else(|| {
            let options = &self.shared.options;
            Verifiers::fake(&options.secret, &counted(user), options.iterations)
        })
    }

    /// The client is who it says it is: opens the account.
    async fn enter(
        &mut self,
        user: &str,
        authzid: Option<&str>,
        entry: Entry,
    ) -> Result<Answer, Stop> {
        // RFC 4616 §2: acting as somebody else is not allowed to anybody here.
        if authzid.is_some_and(|authzid| counted(authzid) != counted(user)) {
            return self.refused(user).await;
        }
        let account = entry.account();
        let log = self.shared.store.account(account).await?;
        self.shared.throttle.succeeded(self.peer.address, &counted(user));
        tracing::info!(peer = %self.peer, account = %account.id, "logged in");
        let quota = Quota::of(&entry, &self.shared.options);
        self.login = Some(Login { quota, log });
        Ok(Answer::Ok(None, "logged in".into()))
    }
}
