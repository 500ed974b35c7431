//! IDLE (RFC 2177): the client is told as soon as this process knows.

use std::sync::Arc;

use engine::Clock;
use mail::{Instant, Seq};
use net::Out;
use proto::imap::Answer;
use tokio::sync::watch;

use crate::announce::{Client, Own};
use crate::replies::Stop;
use crate::session::Session;

/// What wakes an idle session: the log of its account grew, or it was not looked at for long.
pub(crate) struct Idle {
    grown: watch::Receiver<Seq>,
    clock: Arc<dyn Clock>,
    /// Hints are best effort: then the log is read again anyhow [y].
    reread: Instant,
}

impl Idle {
    /// Resolves when there may be something to tell. Loses nothing when dropped.
    pub(crate) async fn wake(&mut self) {
        let late = self.clock.sleep_until(self.reread);
        tokio::select! {
            biased;
            grown = self.grown.changed() => {
                if grown.is_err() {
                    // The log lives as long as this session; without it only time wakes.
                    self.clock.sleep_until(self.reread).await;
                }
            }
            () = late => {}
        }
    }
}

impl Session {
    pub(crate) async fn idle_start(
        &mut self,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        let log = self.log()?;
        let mut grown = log.watch();
        // What comes after this look wakes; what came before it is told below.
        grown.mark_unchanged();
        log.fresh().await?;
        let clock = self.shared.clock().clone();
        let reread = clock.instant().after(self.shared.options.idle_reread);
        self.idle = Some(Idle { grown, clock, reread });
        self.announce(true, Own::default(), client, out).await?;
        Ok(Answer::Go)
    }

    pub(crate) async fn idle_woken(
        &mut self,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<(), Stop> {
        let Some(idle) = &mut self.idle else { return Ok(()) };
        let now = idle.clock.instant();
        if now >= idle.reread {
            idle.reread = now.after(self.shared.options.idle_reread);
            self.still_welcome().await?;
            self.log()?.fresh().await?;
        }
        self.announce(true, Own::default(), client, out).await
    }

    pub(crate) async fn idle_end(
        &mut self,
        client: Client,
        out: &mut Out<'_>,
    ) -> Result<Answer, Stop> {
        self.idle = None;
        self.announce(true, Own::default(), client, out).await?;
        Ok(Answer::Ok(None, "IDLE done".into()))
    }
}
