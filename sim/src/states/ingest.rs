//! Writers, their segments, and the claims of these.

use bytes::Bytes;
use engine::Row;
use mail::WriterId;
use store::place::SegmentRef;
use store::rows::{Claim, ClaimState, WriterRow, WriterState};
use store::segment::{Tombstone, tombstone};

use super::States;

/// End tombstones in a row that end a writer: as many as it may have numbers in flight [γ].
const ENDS: u64 = 8;

impl States {
    pub(super) fn see_writer(&mut self, writer: WriterId, now: Option<&Row>) {
        let before = self.writers.get(&writer).cloned();
        let Some(row) = now else {
            self.writers.remove(&writer);
            return self.writer_gone(writer, before.map(|(_, row)| row));
        };
        let Some(now) = self.read::<WriterRow>(row) else { return };
        self.counts(before.as_ref().map(|(version, _)| *version), row.version, &writer);
        match before {
            None => {
                let fresh = now.watermark == 0 && now.last == 0 && now.state == WriterState::Open;
                self.rule(fresh, || format!("[K] {writer} begins as {now:?}"));
            }
            Some((_, before)) => self.writer_changed(writer, &before, &now),
        }
        self.writers.insert(writer, (row.version, now));
    }

    fn writer_changed(&mut self, writer: WriterId, before: &WriterRow, now: &WriterRow) {
        let same = (&before.edge, before.started) == (&now.edge, now.started);
        let up = before.watermark <= now.watermark && before.last <= now.last;
        let life = match (before.state, now.state) {
            (WriterState::Open, _) | (WriterState::Ending, WriterState::Ending) => true,
            (WriterState::Ending, after) => after != WriterState::Open,
            (ended @ WriterState::Ended { .. }, after) => ended == after,
        };
        self.rule(same && up && life, || format!("{writer} goes from {before:?} to {now:?}"));
        for number in before.watermark + 1..=now.watermark {
            let is_closed = matches!(self.segments.get(&(writer, number)), Some(Some(_)));
            let claim = self.claims.get(&(writer, number));
            let is_done = claim.is_some_and(|(_, claim)| claim.state == ClaimState::Done);
            self.rule(is_closed || is_done, || {
                format!("[B] I11: the watermark of {writer} passes {number}, which is not done")
            });
        }
        let ends = matches!(now.state, WriterState::Ended { .. }) && before.state != now.state;
        let last = now.last;
        if ends {
            let is_end =
                |number| self.segments.get(&(writer, number)) == Some(&Some(Tombstone::End));
            let all = last >= ENDS && (last - ENDS + 1..=last).all(is_end);
            self.rule(all && now.watermark == last, || {
                format!("[γ] {writer} has ended at {last} without {ENDS} tombstones before that")
            });
        }
    }

    fn writer_gone(&mut self, writer: WriterId, before: Option<WriterRow>) {
        let Some(before) = before else { return };
        let ended = matches!(before.state, WriterState::Ended { .. });
        let of = |(id, _): &(WriterId, u64)| *id == writer;
        let left = self.segments.keys().any(of) || self.claims.keys().any(of);
        self.rule(ended && !left, || format!("[C] {writer} is forgotten as {before:?}"));
    }

    pub(super) fn see_segment(&mut self, writer: WriterId, number: u64, now: Option<&Bytes>) {
        let at = (writer, number);
        let Some(object) = now else {
            let before = self.segments.remove(&at);
            return self.segment_gone(at, before.as_ref());
        };
        let is = tombstone(object);
        let row = self.writers.get(&writer).map(|(_, row)| row.clone());
        match row {
            None => self.wrong(format!("[K] {writer} puts {number} and has no row")),
            // One that comes back, by a put of long ago, is no segment any more.
            Some(row) if is.is_none() && !self.stored.contains(&at) => {
                let open = !matches!(row.state, WriterState::Ended { .. });
                self.rule(open && number > row.watermark, || {
                    format!("[B, C, γ] {writer} puts {number} behind its watermark or its end")
                });
            }
            Some(_) => {}
        }
        self.stored.insert(at);
        let before = self.segments.insert(at, is);
        self.rule(before.is_none(), || format!("{writer} has two segments {number}"));
    }

    /// A segment goes when it is done and everybody has let it go [F]; a tombstone with its writer.
    fn segment_gone(&mut self, at: (WriterId, u64), before: Option<&Option<Tombstone>>) {
        let (writer, number) = at;
        let row = self.writers.get(&writer).map(|(_, row)| row.clone());
        match before {
            None => {}
            Some(Some(_)) => {
                let ended = row.is_some_and(|row| matches!(row.state, WriterState::Ended { .. }));
                self.rule(ended, || format!("[C] the tombstone {number} of {writer} goes"));
            }
            Some(None) => {
                let segment = SegmentRef::Ingest { writer, number };
                let free = match self.claims.get(&at) {
                    Some((_, claim)) if claim.state == ClaimState::Done => {
                        claim.plan.accounts.iter().all(|member| {
                            let log = self.logs.get(&member.account);
                            log.is_some_and(|log| log.has_let_go(segment))
                        })
                    }
                    _ => false,
                };
                let behind = row.as_ref().is_some_and(|row| row.watermark >= number);
                let ended = row.is_some_and(|row| matches!(row.state, WriterState::Ended { .. }));
                // What came back goes with its writer.
                let back = ended && !self.claims.contains_key(&at);
                self.rule(behind && (free || back), || {
                    format!("[F] I5: segment {number} of {writer} goes before all let it go")
                });
            }
        }
    }

    pub(super) fn see_claim(&mut self, at: (WriterId, u64), now: Option<&Row>) {
        let before = self.claims.get(&at).cloned();
        let Some(row) = now else {
            self.claims.remove(&at);
            return self.claim_gone(at, before.map(|(_, claim)| claim));
        };
        let Some(now) = self.read::<Claim>(row) else { return };
        self.counts(before.as_ref().map(|(version, _)| *version), row.version, &at);
        let done = now.state == ClaimState::Done;
        match before {
            None => {
                let there = self.segments.get(&at) == Some(&None) || self.is_passed(at);
                self.rule(there && !done, || format!("[D, E] {at:?} is claimed as {now:?}"));
            }
            Some((_, before)) => {
                let was_done = before.state == ClaimState::Done;
                let items = now.plan.items.starts_with(&before.plan.items);
                let more = now.plan.items.len() > before.plan.items.len();
                let same = before.plan.accounts == now.plan.accounts && items;
                self.rule(same, || format!("[H] the plan of {at:?} is another: {now:?}"));
                self.rule(!was_done || (done && !more), || {
                    format!("[E] {at:?} was done and is {now:?}")
                });
                if done && !was_done {
                    let passed = self.is_passed(at);
                    self.rule(!passed, || format!("[E] {at:?} is done again, long after"));
                    let named = &now.plan.items;
                    let made = named.iter().all(|item| self.items.contains_key(&item.key));
                    self.rule(made, || format!("I11: {at:?} is done, an item of it is not there"));
                }
            }
        }
        self.claims.insert(at, (row.version, now));
    }

    /// A claim goes after its segment [E]; one that was taken too late goes at any time.
    fn claim_gone(&mut self, at: (WriterId, u64), before: Option<Claim>) {
        let Some(before) = before else { return };
        let free = match before.state {
            ClaimState::Done => !self.segments.contains_key(&at),
            ClaimState::Open => self.is_passed(at),
        };
        self.rule(free, || format!("[E] the claim of {at:?} goes as {:?}", before.state));
    }

    fn is_passed(&self, (writer, number): (WriterId, u64)) -> bool {
        self.writers.get(&writer).is_some_and(|(_, row)| row.watermark >= number)
    }
}
