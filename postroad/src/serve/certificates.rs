//! Certificates that change while the process runs.

use std::sync::Arc;
use std::time::Duration;

use net::acme::{Acme, Challenges};
use net::dns::Resolver;
use net::http::Http;
use net::send::Reach;
use net::{Roots, Server};
use store::Store;

use crate::config::{ACME, Config};
use crate::failure::Failure;

/// How soon a certificate that another process got is used.
const LOOK: Duration = Duration::from_secs(30);

/// Gets certificates by ACME where that is configured: by a process with the listener that the
/// authority looks at. The others use what it gets.
/// # Errors
/// The file of authorities cannot be used.
pub(super) fn keep(
    config: &Config,
    store: &Store,
    server: &Server,
    challenges: Challenges,
) -> Result<(), Failure> {
    let Some(options) = config.acme() else { return Ok(()) };
    let engines = store.engines();
    if let Some(watched) = server.tls.clone() {
        let clock = engines.clock.clone();
        drop(engines.tasks.spawn("certificates", async move {
            loop {
                clock.sleep(LOOK).await;
                if let Err(why) = watched.refresh() {
                    tracing::warn!(%why, "certificates are not read again");
                }
            }
        }));
    }
    if !config.listening().iter().any(|(name, _)| name == ACME) {
        return Ok(());
    }
    let roots = match &config.acme.authorities {
        Some(path) => Roots::read(path)?,
        None => config.authorities()?,
    };
    let (clock, random) = (engines.clock.clone(), engines.random.clone());
    let dns = Arc::new(Resolver::new(&config.resolvers(), clock.clone(), random.clone()));
    // Where the authority is, an admin says.
    let http = Http::new(clock.clone(), engines.tasks.clone(), dns, roots, Reach::Anywhere);
    let acme = Acme::new(options, http, challenges, clock, random);
    let index = engines.index.clone();
    drop(engines.tasks.spawn("acme", acme.keep(server.tls.clone(), move || index.now())));
    Ok(())
}
