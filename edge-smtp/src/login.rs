//! AUTH: who a client is. Known and unknown users, right and wrong passwords up to the last byte,
//! look and cost the same (C1): an unknown user is checked against verifiers that nothing fits.

use std::time::Duration;

use engine::Random;
use mail::Address;
use net::Verdict;
use proto::sasl::{Nonce, Verifier, Verifiers};
use proto::smtp::{Answer, Login, Reply};
use store::directory::Entry;

use crate::replies;
use crate::session::{Caller, Stored};

impl Caller {
    /// SCRAM: what the client's proof is to be checked against.
    pub(crate) async fn verifiers(&mut self, user: &str) -> Answer<Stored> {
        // Who is refused goes through the dialogue all the same.
        let entry = if self.wait_turn(user).await { self.known(user).await } else { Ok(None) };
        match entry {
            Ok(entry) => {
                let verifiers = self.verifiers_of(user, entry.as_ref());
                let random: &dyn Random = &*self.shared.store.engines().random;
                Answer::Verifiers(Box::new(verifiers), Nonce(random.bytes()))
            }
            Err(reply) => Answer::Refused(reply),
        }
    }

    /// The end of an exchange.
    pub(crate) async fn login(&mut self, login: Login) -> Answer<Stored> {
        let outcome = match login {
            Login::Check { user, authzid, password } => {
                let allowed = self.wait_turn(&user).await;
                match self.known(&user).await {
                    Err(reply) => Err(reply),
                    Ok(entry) => {
                        let verifiers = self.verifiers_of(&user, entry.as_ref());
                        // Milliseconds of CPU: not where all connections are served, and no more
                        // than there are cores for.
                        let work = &self.shared.store.engines().work;
                        let check = move || verifiers.check(password.reveal()).is_some();
                        match work.run(check).await {
                            Err(busy) => Err(replies::no_login(&busy)),
                            Ok(right) => {
                                let entry = entry.filter(|_| right && allowed);
                                self.enter(&user, authzid.as_deref(), entry)
                            }
                        }
                    }
                }
            }
            Login::Proved { user, authzid, .. } => match self.known(&user).await {
                Err(reply) => Err(reply),
                Ok(entry) => self.enter(&user, authzid.as_deref(), entry),
            },
            Login::Disproved { user } => self.enter(&user, None, None),
        };
        outcome.map_or_else(Answer::Refused, |()| Answer::Accepted)
    }

    /// `entry` has proved who it is; `None`: it has not.
    fn enter(
        &mut self,
        user: &str,
        authzid: Option<&str>,
        entry: Option<Entry>,
    ) -> Result<(), Reply> {
        let name = counted(user);
        // RFC 4616 §2: nobody acts as somebody else here.
        let entry = entry.filter(|_| authzid.is_none_or(|authzid| counted(authzid) == name));
        let Some(entry) = entry else {
            self.shared.throttle.failed(self.peer.address, &name);
            tracing::info!(peer = %self.peer, "login failed");
            return Err(replies::wrong_password());
        };
        self.shared.throttle.succeeded(self.peer.address, &name);
        tracing::info!(peer = %self.peer, account = %entry.id, "logged in");
        self.account = Some(entry);
        Ok(())
    }

    /// Waits as the throttle says; false if this client is refused for now.
    async fn wait_turn(&self, user: &str) -> bool {
        let verdict = self.shared.throttle.before(self.peer.address, &counted(user));
        let (wait, allowed) = match verdict {
            Verdict::After(wait) => (wait, true),
            Verdict::Refuse(wait) => (wait, false),
        };
        if wait > Duration::ZERO {
            self.shared.store.engines().clock.sleep(wait).await;
        }
        allowed
    }

    async fn known(&self, user: &str) -> Result<Option<Entry>, Reply> {
        let Ok(address) = Address::parse(user) else { return Ok(None) };
        let entry = self.shared.store.directory().login(&address).await;
        let entry = entry.map_err(|error| replies::no_login(&error))?;
        Ok(entry.filter(|entry| !entry.row.disabled))
    }

    /// Always costs one verifier's work, whoever it is.
    fn verifiers_of(&self, user: &str, entry: Option<&Entry>) -> Verifiers {
        entry.and_then(usable).unwrap_or_else(|| {
            let options = &self.shared.options;
            Verifiers::fake(&options.secret, &counted(user), options.iterations)
        })
    }
}

/// The account's verifiers; `None` if it has none that can be used.
fn usable(entry: &Entry) -> Option<Verifiers> {
    let credentials = &entry.row.credentials;
    let parts = |one: &store::rows::Verifier| {
        let (stored, server) = (one.stored_key, one.server_key);
        Verifier::from_keys(&credentials.salt, credentials.iterations, stored, server)
    };
    let verifiers = credentials.verifiers.iter().map(parts).collect::<Result<_, _>>();
    Verifiers::new(verifiers.ok()?).ok()
}

/// The name given, as failures of it are counted: canonical where it can be.
fn counted(user: &str) -> String {
    Address::parse(user).map_or_else(|_| user.to_lowercase(), |address| address.to_string())
}
