//! From a configuration to an open store.

use std::path::Path;

use engine::{Consistency, Expect, Key, OpenError, Row, Version, WriteError};
use net::{CertificateInfo, TlsConfig, TlsServer};
use store::{Options, Store, Timing, Upkeep};

use crate::admin::AdminError;
use crate::config::Config;

/// Opens the engines that the configuration names, and the store on them. Other processes may
/// have it open too.
/// # Errors
/// [`OpenError`]: its `hint` says what to do.
pub fn open(config: &Config) -> Result<Store, OpenError> {
    let engines = engine::open(&engine::Config::new(config.store.directory.clone()))?;
    Ok(Store::new(engines, options(config)))
}

/// What the configuration says of the store.
fn options(config: &Config) -> Options {
    let (store, timing) = (&config.store, &config.timing);
    Options {
        region: config.office.region.clone(),
        edge: config.edge(),
        message_bytes_max: config.limits.message_size_max.0,
        spooling_bytes_max: store.receiving_memory.bytes(),
        accounts_bytes_max: store.accounts_memory.bytes(),
        bodies_bytes_max: store.bodies_memory.bytes(),
        free_percent_min: store.free_percent_min,
        timing: Timing {
            sweep: timing.sweep,
            directory_fresh: timing.directory_fresh,
            restore_window: timing.restore_window,
            backup_interval: timing.backup_interval,
            item_retry: timing.retry,
            claim_lease: timing.lease,
            maintain_poll: timing.maintain,
            audit: timing.audit,
            writer_life: timing.writer_life,
            commit_patience: timing.commit,
            compact_after: config.upkeep.compact_after,
            ..Timing::default()
        },
        upkeep: Upkeep {
            checkpoint_entries: config.upkeep.checkpoint_entries,
            compact_records: config.upkeep.compact_messages,
            compact_bytes: config.upkeep.compact_size.0,
            ..Upkeep::default()
        },
        reporting: config.reporting(),
        ..Options::default()
    }
}

/// Key of the region's secret: 32 random bytes that all its processes share and nobody else knows.
fn secret_key() -> Key {
    Key::new(b"r".as_slice(), b"\0secret".as_slice())
}

/// The region's secret, made at the first start. What unknown users are shown is derived from it,
/// so that they look alike at every edge (C1).
/// # Errors
/// [`AdminError`]: the store does not answer.
pub async fn secret(store: &Store) -> Result<Vec<u8>, AdminError> {
    let engines = store.engines();
    let key = secret_key();
    if let Some(row) = engines.index.get(&key, Consistency::Strong).await? {
        return Ok(row.value.to_vec());
    }
    let value = engines.random.bytes::<32>().to_vec().into();
    let row = Row { value, version: Version(1), nonce: engines.random.nonce(), expiry: None };
    match engines.index.put_if(&key, row, Expect::Absent).await {
        Ok(()) | Err(WriteError::Conflict) => {}
        Err(other) => return Err(other.into()),
    }
    // Whoever was first, all use what is there now.
    let made = engines.index.get(&key, Consistency::Strong).await?;
    made.map(|row| row.value.to_vec()).ok_or(AdminError::Unknown)
}

/// The certificates that servers of this configuration use now; none where the self-signed one is
/// still to be made. Makes nothing.
/// # Errors
/// Why they cannot be used.
pub fn certificates_in_use(config: &Config) -> Result<Vec<CertificateInfo>, String> {
    let certificates = config.certificates();
    let to_be_made = |dir: &Path| !dir.join("tls.crt").exists();
    match &certificates {
        TlsConfig::SelfSigned { dir, .. } if to_be_made(dir) => return Ok(Vec::new()),
        TlsConfig::Kept { file, others, dir, .. }
            if !file.exists() && others.is_empty() && to_be_made(dir) =>
        {
            return Ok(Vec::new());
        }
        _ => {}
    }
    TlsServer::open(certificates).map(|tls| tls.certificates()).map_err(|why| why.to_string())
}
