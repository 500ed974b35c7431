//! Writing how an attempt ended: until it is a fact, and whatever others did meanwhile [c, d].

use std::time::Duration;

use engine::WriteError;
use store::rows::{Item, RecipientState};

use super::Shared;
use super::job::Job;
use super::outcome::{self, End};

/// First and longest wait before a write is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// What a job is after somebody else's write.
enum Merged {
    /// There is nothing left to be written.
    Nothing,
    /// As it was: nobody has begun the item since.
    Ours,
    /// What is there, with what was taken added.
    Taken,
}

impl Shared {
    /// The end of a job for now: finished, put off, or on to whoever tells its sender.
    pub(super) async fn conclude(&self, mut job: Job, after: Option<Duration>) -> End {
        job.item.tries = job.item.tries.saturating_add(1);
        let now = self.now();
        let options = &self.options;
        let end = outcome::conclude(&mut job.item, &job.envelope, now, options, after, |time| {
            self.jitter(time)
        });
        self.write(&mut job, end).await;
        if end == End::Report {
            self.store.engines().events.publish(engine::Event::Items);
        }
        self.begun().remove(&job.due.item);
        end
    }

    /// Recipients were taken while others go on: that is written at once.
    pub(super) async fn progress(&self, job: &mut Job) {
        let mut wait = WAITS.0;
        loop {
            match self.store.items().begin(&job.due.item, &job.item, job.version).await {
                Ok(version) => {
                    job.version = version;
                    return;
                }
                Err(WriteError::Conflict) => match self.merged(job).await {
                    Some(Merged::Ours | Merged::Taken) => continue,
                    Some(Merged::Nothing) => return,
                    None => {}
                },
                Err(error) => tracing::warn!(item = ?job.due.item, %error, "not written yet"),
            }
            if !self.pause(&mut wait, job).await {
                return;
            }
        }
    }

    async fn write(&self, job: &mut Job, mut end: End) {
        let mut wait = WAITS.0;
        loop {
            let items = self.store.items();
            let written = match end {
                End::Finished => items.finish(&job.due, &job.item, job.version).await,
                End::Report | End::Again => {
                    items.put_off(&job.due, &job.item, job.version).await.map(|_| ())
                }
            };
            match written {
                Ok(()) => return,
                Err(WriteError::Conflict) => match self.merged(job).await {
                    Some(Merged::Ours) => {
                        if end == End::Again && job.item.hold {
                            job.item.hold_now(self.now());
                        }
                        continue;
                    }
                    Some(Merged::Taken) if others_go_on(&job.item) => {
                        // Whoever has the rest keeps it.
                        return self.progress(job).await;
                    }
                    Some(Merged::Taken) => {
                        // What others did stands, and what was taken is added to it [d].
                        let (now, options) = (self.now(), &self.options);
                        let envelope = job.envelope.clone();
                        let item = &mut job.item;
                        end = outcome::conclude(item, &envelope, now, options, None, |time| time);
                        continue;
                    }
                    Some(Merged::Nothing) => return,
                    None => {}
                },
                Err(error) => {
                    tracing::warn!(item = ?job.due.item, %error, "how an attempt ended is not written yet");
                }
            }
            if !self.pause(&mut wait, job).await {
                return;
            }
        }
    }

    /// Waits before a write is tried again; not longer than the item is ours in any case: then
    /// whoever takes it over records that nobody knows.
    async fn pause(&self, wait: &mut Duration, job: &Job) -> bool {
        let clock = self.clock();
        clock.sleep(*wait).await;
        *wait = (*wait * 2).min(WAITS.1);
        let delivered = job.item.recipients.iter().any(|one| is_taken(one.state));
        // A 250 is written whatever the fence [d].
        delivered && clock.instant() < job.ours_until.after(self.options.lease)
            || clock.instant() < job.ours_until
    }

    /// Somebody else changed the item, or an answer of ours was lost: what the job is now. `None`:
    /// that cannot be seen.
    async fn merged(&self, job: &mut Job) -> Option<Merged> {
        let there = match self.store.items().get(&job.due.item).await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(item = ?job.due.item, %error, "cannot see what became of an item");
                return None;
            }
        };
        let Some((mut item, version)) = there else { return Some(Merged::Nothing) };
        if item.state.is_finished() {
            // Its due row is met by whoever looks next, and goes.
            return Some(Merged::Nothing);
        }
        if item == job.item {
            // Ours, and the answer was lost: the rest of its batch is hints.
            return Some(Merged::Nothing);
        }
        let ours = item.lease.is_some_and(|lease| lease.holder == self.holder);
        if ours && item.fence == job.item.fence {
            // Nobody has begun it since: it is to be held, or an earlier write of ours was there.
            job.item.hold = item.hold;
            job.version = version;
            return Some(Merged::Ours);
        }
        let taken = add_taken(&mut item, &job.item);
        if !taken {
            // No right to refuse what somebody else has begun.
            return Some(Merged::Nothing);
        }
        job.item = item;
        job.version = version;
        Some(Merged::Taken)
    }
}

/// Whether somebody has begun what is still open of it.
fn others_go_on(item: &Item) -> bool {
    let open = item.recipients.iter().any(|one| one.state == RecipientState::Open);
    item.lease.is_some() && open
}

/// Whether another server has it.
const fn is_taken(state: RecipientState) -> bool {
    matches!(state, RecipientState::Delivered | RecipientState::Taken)
}

/// Adds recipients that `other` knows to be taken; whether there were any.
fn add_taken(item: &mut Item, other: &Item) -> bool {
    let mut any = false;
    for (here, there) in item.recipients.iter_mut().zip(&other.recipients) {
        let same = here.envelope == there.envelope && here.path == there.path;
        let open = matches!(here.state, RecipientState::Open | RecipientState::Failed);
        if same && open && is_taken(there.state) {
            here.state = there.state;
            here.said.clone_from(&there.said);
            any = true;
        }
    }
    any
}
