//! What the configuration says of reports to other domains.

use functions::host::local::Local;
use functions::reports::{Around, Reporter};
use store::Store;

use super::sending;
use crate::config::{Config, Role};
use crate::failure::Failure;

/// Counts where there is something to count, and makes reports where this process maintains.
/// # Errors
/// A file that the configuration names cannot be used.
pub(super) fn start(config: &Config, store: &Store, local: &mut Local) -> Result<(), Failure> {
    let reporting = config.reporting();
    if !reporting.dmarc && !reporting.tls {
        return Ok(());
    }
    local.count_for_reports(store);
    if !config.has(Role::Maintain) {
        return Ok(());
    }
    let hint = "see reports.from in the configuration";
    let from = config.reporter().ok_or_else(|| Failure::new("reports.from is no address", hint))?;
    let organisation = config.reports.organisation.clone();
    let reporter = Reporter {
        host: config.hostname(),
        organisation: organisation.unwrap_or_else(|| from.domain().to_unicode()),
        from,
    };
    let (routes, http, dns) = sending::ways(config, store)?;
    local.reports(store, reporter, Around { dns, routes, http });
    Ok(())
}
