//! One connection of a destination: items over it, one after the other, as long as there are any.

use std::sync::Arc;
use std::time::Duration;

use mail::Reply;
use store::Announced;
use tokio::sync::watch;

use super::attempt::Left;
use super::dial::{Line, NoLine};
use super::job::Job;
use super::outcome::End;
use super::pace::Pace;
use super::{Shared, outcome};
use crate::egress::{Choice, Egress, Verdict, choose};

/// Connections that one item opens in one round; egresses and reconnections together.
const ROUNDS_MAX: usize = 16;

/// After its end an item is named by pages of due rows for so long.
const NAMED: Duration = Duration::from_secs(2);

/// For the next message's turn a connection is kept for so long.
const KEPT_OPEN: Duration = Duration::from_secs(5);

/// How a worker goes on after an item.
enum Next {
    /// The next item, over the same connection if it is still of use.
    Item,
    /// That one was not to be done now.
    NotNow,
    /// That one is finished.
    Finished,
    /// The destination is left alone.
    Held,
}

/// Sends what waits for one destination.
pub(super) async fn run(shared: Arc<Shared>, destination: String, stopping: watch::Receiver<bool>) {
    recall(&shared, &destination).await;
    let pace = Pace::of(shared.options.rate_of(&destination));
    let mut worker = Worker { shared: &shared, destination: &destination, line: None };
    while !*stopping.borrow() {
        let now = shared.now();
        let pause = shared.queue().pause(&destination, now);
        if let Some(until) = pause {
            metrics::counter!("postroad_relay_pauses_total").increment(1);
            let wait = until.since(now);
            if wait > KEPT_OPEN {
                // The relay begins again when it is time.
                break;
            }
            shared.clock().sleep(wait).await;
            continue;
        }
        let Some(due) = shared.queue().take(&destination, now, pace) else { break };
        let next = worker.one(&due).await;
        let now = shared.now();
        match next {
            Next::NotNow => {
                shared.queue().refund(&destination, pace);
                shared.queue().put_off(&due.item, now, now.after(shared.options.poll));
            }
            // Pages of due rows that were read before its end still name it: to meet it again would
            // cost a read and a write.
            Next::Finished => shared.queue().put_off(&due.item, now, now.after(NAMED)),
            Next::Item | Next::Held => shared.queue().done(&due.item),
        }
        if matches!(next, Next::Held) {
            break;
        }
    }
    worker.hang_up().await;
    if shared.queue().ended(&destination) {
        shared.look.notify_one();
    }
}

/// What was known of the destination before this process began.
async fn recall(shared: &Shared, destination: &str) {
    let found = shared.sites.open(&shared.store, destination).await;
    if let Some((until, hold)) = found.and_then(|found| found.held)
        && until > shared.now()
    {
        shared.queue().recall(destination, until, hold);
        shared.look.notify_one();
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    destination: &'a str,
    line: Option<Line>,
}

impl Worker<'_> {
    async fn one(&mut self, due: &Announced) -> Next {
        match self.shared.begin(due).await {
            Ok(Some(job)) => Box::pin(self.send(job)).await,
            Ok(None) => Next::NotNow,
            Err(error) => {
                // Its due row brings it again.
                tracing::warn!(item = ?due.item, %error, "an item cannot be begun");
                Next::NotNow
            }
        }
    }

    /// One item, through one egress after the other.
    async fn send(&mut self, mut job: Job) -> Next {
        let mut permanent = false;
        let mut after = None;
        job.passing = self.shared.passing(&job).await;
        for _ in 0..ROUNDS_MAX {
            if job.open.is_empty() {
                break;
            }
            let marks = self.shared.sites.marks(self.destination);
            let egresses = &self.shared.options.egresses;
            let now = self.shared.now();
            let passing = job.passing.clone();
            let allowed = |egress: &Egress| passing.as_ref().is_none_or(|of| of.allows(egress));
            match choose(egresses, &marks, &job.past, now, &allowed) {
                Choice::Use { egress, .. } => {
                    match self.line_through(egress, !is_report(&job)).await {
                        Ok(()) => {
                            let Some(line) = &mut self.line else { break };
                            let left = self.shared.transact(&mut job, line).await;
                            after = after.max(left.after);
                            permanent = left.permanent;
                            self.go_on(&mut job, left).await;
                        }
                        Err(no_line) => {
                            if let Some(next) = self.without(&mut job, egress, no_line).await {
                                self.shared.conclude(job, after).await;
                                return next;
                            }
                        }
                    }
                }
                Choice::Wait { until } => {
                    after = after.max(Some(until.since(now)));
                    break;
                }
                Choice::None => {
                    // Every egress was refused: that is final if the words were.
                    for at in std::mem::take(&mut job.open) {
                        self.give_up(&mut job, at, permanent);
                    }
                }
            }
        }
        match self.shared.conclude(job, after).await {
            End::Finished => Next::Finished,
            End::Report | End::Again => Next::Item,
        }
    }

    /// After a transaction: whom it left to be tried now.
    async fn go_on(&mut self, job: &mut Job, left: Left) {
        if left.broken {
            self.line = None;
        }
        job.open = left.switch;
        job.open.extend(left.reconnect);
        if left.progress && !job.open.is_empty() {
            self.shared.progress(job).await;
        }
    }

    fn give_up(&self, job: &mut Job, at: usize, permanent: bool) {
        if !permanent {
            return;
        }
        let said = job.item.recipients.get(at).map(|one| one.said.clone()).unwrap_or_default();
        outcome::failed(&mut job.item, at, &said);
    }

    /// Sees to a connection through this egress.
    async fn line_through(&mut self, egress: usize, told: bool) -> Result<(), NoLine> {
        let most = self.shared.options.messages_max;
        if self.line.as_ref().is_some_and(|line| line.ends.egress == egress && line.messages < most)
        {
            return Ok(());
        }
        self.hang_up().await;
        let Some(through) = self.shared.options.egresses.get(egress) else {
            return Err(NoLine::Egress("there is no such egress".to_owned()));
        };
        self.line = Some(self.shared.dial(self.destination, egress, through, told).await?);
        Ok(())
    }

    /// No connection through an egress: what that means for the job. `None`: another egress is
    /// tried.
    async fn without(&mut self, job: &mut Job, egress: usize, why: NoLine) -> Option<Next> {
        let shared = self.shared;
        let through = shared.options.egresses.get(egress)?;
        match why {
            NoLine::Never(reply) => {
                self.refuse_all(job, None, &reply, true);
                Some(Next::Item)
            }
            NoLine::Unreachable(why) => {
                let now = shared.now();
                outcome::attempted(&mut job.item, now, &through.name, why.clone());
                for at in std::mem::take(&mut job.open) {
                    job.item.say(at, &format!("- 450 4.4.1 {why}"));
                }
                shared.hold(self.destination, &why).await;
                Some(Next::Held)
            }
            NoLine::Egress(why) => {
                tracing::warn!(egress = %through.name, %why, "an egress cannot be used");
                metrics::counter!("postroad_relay_egress_faults_total").increment(1);
                let now = shared.now();
                outcome::attempted(&mut job.item, now, &through.name, why);
                job.past.refused.insert(through.name.clone(), "egress-fault".into());
                None
            }
            NoLine::Refused { host, stage, reply } => {
                let verdict = shared.judged(job, through, &host, &reply, stage).await;
                let permanent = verdict == Verdict::Fail;
                match verdict {
                    Verdict::Switch => {
                        let words = outcome::said(Some(&host), &reply);
                        job.open.clone().iter().for_each(|at| job.item.say(*at, &words));
                        // Whether it is final is known when there is no other.
                        if job.past.refused.len() + 1 > shared.options.egresses.len()
                            && reply.is_permanent()
                        {
                            self.refuse_all(job, Some(&host), &reply, true);
                            return Some(Next::Item);
                        }
                        None
                    }
                    Verdict::Later { after, same } => {
                        self.refuse_all(job, Some(&host), &reply, false);
                        if same {
                            job.item.egress = through.name.to_string();
                            return Some(Next::Item);
                        }
                        if after.is_none()
                            && shared.sites.marks(self.destination).of(&through.name).is_some()
                        {
                            // The egress is held, not the destination.
                            return Some(Next::Item);
                        }
                        shared.hold(self.destination, &format!("{host}: {reply}")).await;
                        Some(Next::Held)
                    }
                    _ => {
                        self.refuse_all(job, Some(&host), &reply, permanent);
                        Some(Next::Item)
                    }
                }
            }
        }
    }

    fn refuse_all(&self, job: &mut Job, server: Option<&str>, reply: &Reply, fail: bool) {
        let words = outcome::said(server, reply);
        for at in std::mem::take(&mut job.open) {
            match fail {
                true => outcome::failed(&mut job.item, at, &words),
                false => job.item.say(at, &words),
            }
        }
    }

    async fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            line.channel.quit().await;
        }
    }
}

/// RFC 8460 §5.3: of how reports went nothing is reported, or two servers would never end.
fn is_report(job: &Job) -> bool {
    store::cause_of(&job.record).is_some_and(|(cause, _)| cause == job.due.item)
}
