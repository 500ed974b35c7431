//! Calls over TCP, from an address of this machine.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Clock, Random};
use proto::Tls;
use proto::sasl::Nonce;
use proto::smtp::client::{Client, Credentials, Options, StartTls};

use super::channel::{Identity, TcpChannel};
use super::{Call, Channel, Dialer, Fault, Security, Stage, TlsInfo, Verify, connect, tls};
use crate::{BoxStream, Roots};

/// The dialer of this machine's own addresses.
pub struct Tcp {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    roots: Roots,
}

impl std::fmt::Debug for Tcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tcp").finish_non_exhaustive()
    }
}

impl Tcp {
    /// A dialer that verifies names by these `roots`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, roots: Roots) -> Self {
        Self { clock, random, roots }
    }

    /// One connection; `starttls` may be less than the call's security on a second try.
    async fn connect(&self, call: &Call, starttls: StartTls) -> Result<TcpChannel, Fault> {
        let Call { from, address, reach, limits, .. } = call;
        let clock = &self.clock;
        let stream = connect(clock, from.source, *address, reach, limits.connect).await?;
        let mut stream: BoxStream = Box::new(stream);
        let (mut session, mut info) = (None, None);
        if let Security::Implicit(verify) = &call.security {
            let (secured, tls, about) = self.implicit(call, stream, verify).await?;
            (stream, session, info) = (secured, Some(tls), Some(about));
        }
        let options = self.options(call, starttls);
        let client = Client::new(options, session);
        let verify = match &call.security {
            Security::Require(verify) | Security::Implicit(verify) => verify.clone(),
            Security::Never | Security::Opportunistic => Verify::Nobody,
        };
        let identity = Identity { host: call.host.clone(), verify, roots: self.roots.clone() };
        let clock = self.clock.clone();
        TcpChannel::new(stream, client, clock, limits.clone(), identity, info).greet().await
    }

    async fn implicit(
        &self,
        call: &Call,
        stream: BoxStream,
        verify: &Verify,
    ) -> Result<(BoxStream, Tls, TlsInfo), Fault> {
        let handshake = tls::connect(stream, &call.host, verify, &self.roots, &[]);
        match self.clock.timeout(call.limits.tls, handshake).await {
            Ok(done) => done.map_err(|why| Fault::new(Stage::Tls, why)),
            Err(_) => Err(Fault::new(Stage::Tls, "no handshake in time")),
        }
    }

    fn options(&self, call: &Call, starttls: StartTls) -> Options {
        let login = call.login.as_ref().map(|login| Credentials {
            user: login.user.clone(),
            password: login.password.clone(),
            nonce: Nonce(self.random.bytes()),
        });
        Options {
            hello: call.from.hello.clone(),
            starttls,
            login,
            clear_login: call.security == Security::Never,
            chunking: false,
        }
    }
}

#[async_trait]
impl Dialer for Tcp {
    async fn call(&self, call: Call) -> Result<Box<dyn Channel>, Fault> {
        let starttls = match &call.security {
            Security::Never | Security::Implicit(_) => StartTls::Never,
            Security::Opportunistic => StartTls::Offered,
            Security::Require(_) => StartTls::Required,
        };
        match self.connect(&call, starttls).await {
            Ok(channel) => Ok(Box::new(channel)),
            // RFC 7435 §3: as good as it gets. Never where TLS is demanded (F4).
            Err(fault) if fault.stage == Stage::Tls && call.security == Security::Opportunistic => {
                let channel = self.connect(&call, StartTls::Never).await?;
                Ok(Box::new(channel.after_tls_failure(fault.why)))
            }
            Err(fault) => Err(fault),
        }
    }
}
