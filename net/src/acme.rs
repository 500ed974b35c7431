//! Certificates from an authority that speaks ACME (RFC 8555), proved over HTTP (http-01, §8.3),
//! renewed in time, and used without a restart.

mod challenges;
mod client;
mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Random};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy,
};
use mail::Timestamp;

use crate::TlsServer;
use crate::http::Http;

pub use challenges::Challenges;

/// How often it is looked whether a certificate is due.
const LOOK: Duration = Duration::from_hours(1);
/// After a failure it is tried again after so long; the wait doubles with each more.
const RETRY: Duration = Duration::from_mins(1);
/// Longest such wait: authorities count failures too.
const RETRY_MAX: Duration = Duration::from_hours(12);
/// For all of one order.
const ORDER_TIME: Duration = Duration::from_mins(10);
/// The authority looks at the challenges, and signs, within this time.
const POLL_TIME: Duration = Duration::from_mins(2);

/// Which certificate is wanted, and from whom.
#[derive(Clone, Debug)]
pub struct AcmeOptions {
    /// The authority's directory, `https://…`.
    pub directory: String,
    /// Where it may write to, `mailto:…`.
    pub contact: Vec<String>,
    /// Host names that the certificate is for; at least one.
    pub names: Vec<String>,
    /// Where the certificate and the account are kept.
    pub folder: PathBuf,
}

impl AcmeOptions {
    /// The file with chain and key, PEM; there once the first certificate is.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        files::certificate(&self.folder)
    }
}

/// Why there is no new certificate, in one lower-case line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AcmeError(String);

fn failed(why: impl std::fmt::Display) -> AcmeError {
    AcmeError(why.to_string())
}

/// Keeps one certificate valid.
pub struct Acme {
    options: AcmeOptions,
    http: Http,
    challenges: Challenges,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acme").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Acme {
    /// Nothing is asked before [`Self::keep`]. What the authority will look for is put into
    /// `challenges`, which an HTTP listener must serve.
    #[must_use]
    pub const fn new(
        options: AcmeOptions,
        http: Http,
        challenges: Challenges,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { options, http, challenges, clock, random }
    }

    /// Gets a certificate when there is none, when the names have changed, and when a third of
    /// its life is left; then has `tls`, if this process has any, use it. Never returns. Of several processes with the same
    /// folder one does the work at a time, the others use what it gets.
    pub async fn keep(self, tls: Option<Arc<TlsServer>>, now: impl Fn() -> Timestamp + Send) {
        let mut failures = 0_u32;
        loop {
            let mut wait = LOOK;
            match self.renew_if_due(now()).await {
                Ok(false) => failures = 0,
                Ok(true) => {
                    failures = 0;
                    tracing::info!(names = ?self.options.names, "a new certificate");
                }
                Err(why) => {
                    wait = (RETRY * 2_u32.saturating_pow(failures.min(16))).min(RETRY_MAX);
                    failures = failures.saturating_add(1);
                    tracing::warn!(%why, again_in = ?wait, "no new certificate");
                }
            }
            if let Some(Err(why)) = tls.as_ref().map(|tls| tls.refresh()) {
                tracing::warn!(%why, "certificates are not read again");
            }
            // Not at the same moment as everybody else's.
            let spread = u64::try_from(wait.as_millis() / 10).unwrap_or(0);
            let jitter = Duration::from_millis(self.random.below(spread + 1));
            self.clock.sleep(wait + jitter).await;
        }
    }

    async fn renew_if_due(&self, now: Timestamp) -> Result<bool, AcmeError> {
        let Some(_lock) = files::lock(&self.options.folder)? else { return Ok(false) };
        if !files::is_due(&self.options, now) {
            return Ok(false);
        }
        match self.clock.timeout(ORDER_TIME, self.obtain()).await {
            Ok(done) => done.map(|()| true),
            Err(_) => Err(failed("the authority was not done in time")),
        }
    }

    async fn obtain(&self) -> Result<(), AcmeError> {
        let account = self.account().await?;
        let names: Vec<Identifier> =
            self.options.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(failed)?;
        let mut shown = Vec::new();
        let proved = self.prove(&mut order, &mut shown).await;
        // F5: nothing is shown longer than it is asked for.
        shown.iter().for_each(|token| self.challenges.remove(token));
        proved?;
        let (request, key) = files::request(&self.options.names)?;
        order.finalize_csr(&request).await.map_err(failed)?;
        let chain = order.poll_certificate(&patience()).await.map_err(failed)?;
        files::keep(&self.options.folder, &chain, &key)
    }

    async fn prove(
        &self,
        order: &mut instant_acme::Order,
        shown: &mut Vec<String>,
    ) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                ref other => return Err(failed(format!("an authorization is {other:?}"))),
            }
            let mut challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or_else(|| failed("the authority offers no http-01"))?;
            let answer = challenge.key_authorization().as_str().to_owned();
            let token = challenge.token.clone();
            self.challenges.put(&token, answer)?;
            shown.push(token);
            challenge.set_ready().await.map_err(failed)?;
        }
        match order.poll_ready(&patience()).await.map_err(failed)? {
            OrderStatus::Ready | OrderStatus::Valid => Ok(()),
            other => Err(failed(format!("the authority could not see the proof: {other:?}"))),
        }
    }

    /// The account of this authority, made at the first time.
    async fn account(&self) -> Result<Account, AcmeError> {
        let options = &self.options;
        let builder = Account::builder_with_http(Box::new(client::Bridge(self.http.clone())));
        if let Some(credentials) = files::account(options) {
            return builder.from_credentials(credentials).await.map_err(failed);
        }
        let contact: Vec<&str> = options.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) =
            builder.create(&new, options.directory.clone(), None).await.map_err(failed)?;
        files::keep_account(options, &credentials)?;
        // F5: a CAA record with this `accounturi` (RFC 8657) keeps others from getting one.
        tracing::info!(account = account.id(), "a new account at the authority of certificates");
        Ok(account)
    }
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().timeout(POLL_TIME)
}
