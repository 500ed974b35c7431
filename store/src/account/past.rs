//! The past of an account, told again entry by entry, as far back as it is kept: what `trace` reads.
//!
//! UIDs are in no entry: they follow from replay. So the oldest state that is kept, or the empty
//! one, is played on through the history of all checkpoints [Y] and the ring. Each chunk of history
//! is read once and let go, so memory is that of one open account.

use std::collections::BTreeSet;

use engine::ObjectKey;
use mail::{Account, Seq};

use super::cleaning::parse_root;
use super::{AccountLog, LogError, checkpoint, open};
use crate::change::Effects;
use crate::checkpoint::{HISTORY_TRAILER_BYTES, decode_history, history_part};
use crate::context::damaged;
use crate::entry::Entry;
use crate::names;
use crate::place::ObjectNonce;
use crate::rows::CheckpointRef;
use crate::state::State;

/// Times that the log may move on, by a whole ring, while its end is read.
const TRIES_MAX: u32 = 8;

/// Names read at once.
const PAGE: usize = 1_000;

/// What is told, in the order of the log.
#[derive(Debug)]
pub enum Told<'a> {
    /// All that is known of what came before: at the beginning (the empty state if nothing is
    /// missing), and again where entries are missing.
    Begin(&'a State),
    /// One entry, what it did, and the state after it.
    Entry {
        /// The entry. Bodies that were inline may be named by a place.
        entry: &'a Entry,
        /// What it did.
        effects: &'a Effects,
        /// The state after it; summaries are in the entries only.
        after: &'a State,
    },
}

impl AccountLog {
    /// Tells the account's past from the oldest entry that is kept (for the restore window) to the
    /// newest. Entries without effect (voided ones) are left out. Costs an object read per
    /// checkpoint and the memory of one open account.
    /// # Errors
    /// [`LogError`]; what was told so far is true.
    pub async fn retell(&self, told: impl FnMut(Told<'_>) + Send) -> Result<(), LogError> {
        let mut teller = Teller { log: self, state: None, read: None, told };
        for _ in 0..TRIES_MAX {
            teller.history().await?;
            if teller.ring().await? {
                return Ok(());
            }
        }
        Err(LogError::Behind)
    }
}

struct Teller<'a, F> {
    log: &'a AccountLog,
    state: Option<State>,
    /// The last chunk object that was read.
    read: Option<ObjectKey>,
    told: F,
}

impl<F: FnMut(Told<'_>) + Send> Teller<'_, F> {
    const fn account(&self) -> Account {
        self.log.account
    }

    fn seq(&self) -> Option<Seq> {
        self.state.as_ref().map(State::seq)
    }

    /// Reads every chunk of history behind the last one read. That of a checkpoint which failed
    /// has true entries too, so all of them serve.
    async fn history(&mut self) -> Result<(), LogError> {
        let prefix = names::chunk_prefix(self.account());
        loop {
            let objects = &self.log.cx.engines.objects;
            let page = objects.list(&prefix, self.read.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let last = last.key.clone();
            for object in &page {
                let known = object.key.as_str().strip_suffix("-00").and_then(parse_chunk);
                let Some((seq, nonce)) = known else { continue };
                if self.seq().is_some_and(|told| told >= seq) {
                    continue;
                }
                let entries = self.entries(&object.key, object.size, seq, nonce).await?;
                self.play(&entries, seq).await?;
            }
            self.read = Some(last);
        }
    }

    /// The entries in one chunk object; none if it is gone, or has none.
    async fn entries(
        &self,
        key: &ObjectKey,
        size: u64,
        seq: Seq,
        nonce: ObjectNonce,
    ) -> Result<Vec<Entry>, LogError> {
        let objects = &self.log.cx.engines.objects;
        let trailer = size.saturating_sub(HISTORY_TRAILER_BYTES)..size;
        let get = async |range| {
            let got = objects.get_ranges(key, &[range]).await?;
            Ok::<_, LogError>(got.and_then(|mut ranges| ranges.pop()))
        };
        let Some(trailer) = get(trailer).await? else { return Ok(Vec::new()) };
        let Some(part) = history_part(seq, nonce, size, &trailer) else { return Ok(Vec::new()) };
        let Some(bytes) = get(part.range()).await? else { return Ok(Vec::new()) };
        Ok(decode_history(&part, &bytes).map_err(damaged)?)
    }

    /// Plays entries on; what is missing between them up to `until` was voided.
    async fn play(&mut self, entries: &[Entry], until: Seq) -> Result<(), LogError> {
        let Some(first) = entries.first() else { return Ok(()) };
        let next = self.seq().map(Seq::next);
        if next.is_none_or(|next| next < first.seq) {
            self.begin(first.seq, until).await?;
        }
        let Some(state) = &mut self.state else { return Ok(()) };
        for entry in entries {
            if entry.seq <= state.seq() {
                continue;
            }
            while state.seq().next() < entry.seq {
                state.skip(state.seq().next())?;
            }
            match state.apply(entry) {
                Ok(effects) => {
                    (self.told)(Told::Entry { entry, effects: &effects, after: state });
                }
                // [U]: voided by a later entry, else the account would not have gone on.
                Err(_) => state.skip(entry.seq)?,
            }
        }
        while state.seq() < until {
            state.skip(state.seq().next())?;
        }
        // I8: they pile up for the next checkpoint only.
        state.summaries.clear();
        Ok(())
    }

    /// Finds the oldest state from which the entries `first` to `until` can be played.
    async fn begin(&mut self, first: Seq, until: Seq) -> Result<(), LogError> {
        if first == Seq(1) {
            return self.begin_with(State::new(self.account()));
        }
        let prefix = names::checkpoint_prefix(self.account());
        let mut after = None;
        loop {
            let objects = &self.log.cx.engines.objects;
            let page = objects.list(&prefix, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                // Perhaps there is one behind.
                self.state = None;
                return Ok(());
            };
            for object in &page {
                let Some((seq, nonce)) = parse_root(&object.key) else { continue };
                if seq.next() < first || seq > until {
                    continue;
                }
                let root = CheckpointRef { seq, nonce };
                let state = checkpoint::read_at(&self.log.cx, self.account(), root).await?;
                if let Some(state) = state {
                    return self.begin_with(state);
                }
            }
            after = Some(last.key.clone());
        }
    }

    fn begin_with(&mut self, mut state: State) -> Result<(), LogError> {
        (self.told)(Told::Begin(&state));
        state.summaries.clear();
        self.state = Some(state);
        Ok(())
    }

    /// Plays the ring on; `false`: the log moved on meanwhile.
    async fn ring(&mut self) -> Result<bool, LogError> {
        let log = self.log;
        let (pointer, _) = open::pointer(&log.cx, self.account()).await?;
        if self.seq().is_none_or(|seq| seq < pointer.checkpointed()) {
            let Some(state) = checkpoint::read(&log.cx, self.account(), &pointer).await? else {
                return Ok(false);
            };
            self.begin_with(state)?;
        }
        let rows = log.ring.rows().await?;
        let told = self.seq().unwrap_or_default();
        let (mut entries, mut seqs) = (Vec::new(), BTreeSet::new());
        for (seq, row) in rows.range(told.next()..) {
            seqs.insert(*seq);
            match log.ring.decode(*seq, row).await {
                Ok(entry) => entries.push(entry),
                // [U]: it may be voided; nothing is told of it.
                Err(LogError::Broken { .. }) => {}
                Err(LogError::Behind) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let Some(newest) = seqs.last().copied() else { return Ok(true) };
        let whole = seqs.first() == Some(&told.next())
            && newest.0 - told.0 == u64::try_from(seqs.len()).unwrap_or(u64::MAX);
        if whole {
            self.play(&entries, newest).await?;
        }
        Ok(whole)
    }
}

/// Seq and nonce in a chunk object's key, without its number.
fn parse_chunk(key: &str) -> Option<(Seq, ObjectNonce)> {
    let (_, last) = key.rsplit_once('/')?;
    let (seq, nonce) = last.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((Seq(number(seq)?), ObjectNonce(number(nonce)?.to_be_bytes())))
}

#[cfg(test)]
mod tests;
