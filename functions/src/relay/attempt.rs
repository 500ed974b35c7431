//! One transaction over an open connection, and what its replies mean for each recipient.

use std::sync::PoisonError;
use std::time::Duration;

use mail::Reply;
use net::send::{Fault, Stage};
use store::rows::Unmatched;

use super::content::Leaving;
use super::dial::{Ends, Line};
use super::job::{Job, UNKNOWN};
use super::offer;
use super::{Shared, outcome, seal};
use crate::egress::{Egress, Refusal, Verdict, judge};
use crate::refusals;

/// Unknown refusals that one process remembers to have kept.
const NOTED_MAX: usize = 1_024;

/// What an attempt leaves to be done.
#[derive(Default)]
pub(super) struct Left {
    /// These recipients are tried through the next egress now.
    pub(super) switch: Vec<usize>,
    /// Whether the last of their refusals was permanent.
    pub(super) permanent: bool,
    /// These are tried again over a new connection.
    pub(super) reconnect: Vec<usize>,
    /// Not before this time has passed.
    pub(super) after: Option<Duration>,
    /// The connection is of no further use.
    pub(super) broken: bool,
    /// Something was taken, or the content was refused after it was sent.
    pub(super) progress: bool,
}

impl Shared {
    /// Offers the open recipients of a job, and sends the content if any is taken.
    pub(super) async fn transact(&self, job: &mut Job, line: &mut Line) -> Left {
        let now = self.now();
        let forwarding = self.outside.forwarding.as_ref();
        let offer = offer::offer(&self.store, forwarding, job, now).await;
        line.messages += 1;
        let (ends, is_kept) = (line.ends.clone(), line.messages > 1);
        let offered = match line.channel.offer(&offer).await {
            Ok(offered) => offered,
            Err(fault) => return self.broken(job, &ends, is_kept, &fault).await,
        };
        let mut left = Left::default();
        let asked = std::mem::take(&mut job.open);
        let mut taken = Vec::new();
        for (number, at) in asked.iter().enumerate() {
            let reply = match offered.recipients.get(number) {
                _ if !offered.sender.is_positive() => Some((&offered.sender, Stage::Sender)),
                Some(reply) if !reply.is_positive() => Some((reply, Stage::Recipient)),
                Some(_) => None,
                None => continue,
            };
            match reply {
                Some((reply, stage)) => {
                    self.refused(job, &ends, *at, reply, stage, &mut left).await;
                }
                None => taken.push(*at),
            }
        }
        if taken.is_empty() {
            return left;
        }
        let fields = match offer::forwarder(job) {
            Some(by) => {
                let host = &self.options.egresses[ends.egress].hello;
                seal::fields_of(&self.store, job.item.place, &job.record, &by, host, now).await
            }
            None => String::new(),
        };
        let mut content =
            Leaving::new(self.store.clone(), job.item.place, &job.record.location, fields);
        let (clock, margin) = (self.clock(), self.options.dot_margin);
        let ours_until = job.ours_until;
        // [c]: by our own clock, and with time left for the answer.
        let may_end = move || clock.instant().after(margin) < ours_until;
        let ended = line.channel.content(&mut content, &may_end).await;
        match ended {
            Ok(reply) if reply.is_positive() => {
                left.progress = true;
                // RFC 3461 §5.2.2: who knows DSN tells the sender, else we do.
                let tells = line.channel.welcome().features.dsn;
                self.taken(job, (&ends, tells), &taken, &reply).await;
            }
            Ok(reply) => {
                for at in taken {
                    self.refused(job, &ends, at, &reply, Stage::End, &mut left).await;
                }
            }
            Err(fault) => {
                job.open = taken;
                let more = self.broken(job, &ends, is_kept, &fault).await;
                left.broken = true;
                left.after = left.after.max(more.after);
                left.reconnect.extend(more.reconnect);
                left.switch.extend(more.switch);
                left.permanent |= more.permanent;
            }
        }
        left
    }

    /// These recipients were taken.
    async fn taken(
        &self,
        job: &mut Job,
        (ends, tells): (&Ends, bool),
        taken: &[usize],
        reply: &Reply,
    ) {
        let egress = &self.options.egresses[ends.egress];
        let now = self.now();
        for at in taken {
            let words = outcome::said(Some(&ends.host), reply);
            outcome::taken(&mut job.item, &job.envelope, *at, (!tells).then_some(words.as_str()));
        }
        outcome::attempted(&mut job.item, now, &egress.name, format!("{}: {reply}", ends.host));
        metrics::counter!("postroad_relay_recipients_total", "result" => "taken")
            .increment(taken.len() as u64);
        tracing::info!(record = %job.due.item.id, destination = %job.due.item.destination,
            host = ends.host, egress = %egress.name, recipients = taken.len(), %reply,
            "message sent");
        let destination = &job.due.item.destination;
        self.sites.succeeded(&self.store, destination, &egress.name, now).await;
        let was_held = self.queue().succeeded(destination);
        self.ready.notify_one();
        if was_held {
            self.sites.up(&self.store, destination).await;
        }
    }

    /// One recipient was refused.
    async fn refused(
        &self,
        job: &mut Job,
        ends: &Ends,
        at: usize,
        reply: &Reply,
        stage: Stage,
        left: &mut Left,
    ) {
        let egress = &self.options.egresses[ends.egress];
        let verdict = self.judged(job, egress, &ends.host, reply, stage).await;
        let words = outcome::said(Some(&ends.host), reply);
        match verdict {
            Verdict::Fail => outcome::failed(&mut job.item, at, &words),
            Verdict::Later { after, same } => {
                job.item.say(at, &words);
                left.after = left.after.max(after);
                if same {
                    job.item.egress = egress.name.to_string();
                }
            }
            Verdict::Switch => {
                job.item.say(at, &words);
                left.switch.push(at);
                left.permanent = reply.is_permanent();
            }
            Verdict::Reconnect | Verdict::Split => {
                job.item.say(at, &words);
                // What is not taken now is offered again with fewer others, or anew.
                left.reconnect.push(at);
                left.broken |= verdict == Verdict::Reconnect;
            }
        }
    }

    /// What a refusal means; what is to be remembered of the egress is.
    pub(super) async fn judged(
        &self,
        job: &mut Job,
        egress: &Egress,
        host: &str,
        reply: &Reply,
        stage: Stage,
    ) -> Verdict {
        let finding = self.options.rules.classify(reply, stage, host);
        let destination = job.due.item.destination.clone();
        metrics::counter!("postroad_relay_refusals_total", "class" => finding.class.name())
            .increment(1);
        if &*finding.rule == refusals::UNMATCHED {
            tracing::warn!(destination, host, %reply, stage = stage.name(),
                "no rule knows this refusal");
            metrics::counter!("postroad_relay_refusals_unmatched_total").increment(1);
            self.note_unmatched(host, reply, stage).await;
        }
        let refusal = Refusal {
            finding: &finding,
            permanent: reply.is_permanent(),
            egress,
            sender: job.sender_domain(),
            spf_elsewhere: job.passing.as_ref().is_some_and(|passing| {
                passing.elsewhere(egress, |name| job.past.refused.contains_key(name))
            }),
            now: self.now(),
        };
        let marks = self.sites.marks(&destination);
        let judged = judge(&refusal, &self.options.egresses, &job.past, &marks);
        tracing::info!(record = %job.due.item.id, destination, host, egress = %egress.name,
            stage = stage.name(), %reply, rule = %finding.rule, class = finding.class.name(),
            verdict = ?judged.verdict, "refused");
        job.past.note(egress, &finding, judged.avoid);
        let now = self.now();
        outcome::attempted(&mut job.item, now, &egress.name, format!("{host}: {reply}"));
        if let Some(health) = judged.mark {
            let words = reply.to_string();
            self.sites.mark(&self.store, &destination, &egress.name, health, &words).await;
            if finding.class == refusals::Class::Rate {
                // What this egress had goes to the others: not faster than they can be seen to bear.
                self.queue().slow(&destination);
            }
        }
        judged.verdict
    }

    /// Keeps words that no rule knows for whoever writes the rule. Each is written once by this
    /// process, while it remembers it.
    async fn note_unmatched(&self, host: &str, reply: &Reply, stage: Stage) {
        let words = reply.to_string();
        let (operator, shape) = (refusals::operator(host), refusals::shape(&words));
        {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.len() >= NOTED_MAX {
                noted.clear();
            }
            if !noted.insert((operator.clone(), shape.clone())) {
                return;
            }
        }
        let now = self.now();
        let refusal = Unmatched {
            operator: operator.clone(),
            host: host.to_owned(),
            stage: stage.name().to_owned(),
            words,
            first: now,
            last: now,
        };
        let refusal = refusal.within_limits();
        let shape = refusals::shape(&refusal.words);
        let same = |known: &Unmatched| {
            known.operator == refusal.operator && refusals::shape(&known.words) == shape
        };
        if let Err(error) = self.store.items().note_unmatched(&refusal, same).await {
            tracing::info!(%error, "an unknown refusal is not kept");
        }
    }

    /// The connection ended before its time.
    async fn broken(&self, job: &mut Job, ends: &Ends, is_kept: bool, fault: &Fault) -> Left {
        let mut left = Left { broken: true, ..Left::default() };
        let open = std::mem::take(&mut job.open);
        let egress = &self.options.egresses[ends.egress];
        if fault.unknown {
            // [c], [g′]: recorded before the next try, which goes through the same egress.
            let now = self.now();
            let words = format!("{UNKNOWN}: {}: {fault}", ends.host);
            outcome::attempted(&mut job.item, now, &egress.name, words);
            job.item.egress = egress.name.to_string();
            metrics::counter!("postroad_relay_unknown_total").increment(1);
            tracing::warn!(record = %job.due.item.id, host = ends.host, %fault,
                "whether a message was taken is not known");
            return left;
        }
        if let Some(reply) = &fault.reply {
            for at in open {
                self.refused(job, ends, at, reply, fault.stage, &mut left).await;
            }
            return left;
        }
        tracing::info!(record = %job.due.item.id, host = ends.host, %fault, "a connection ended");
        if is_kept {
            // It was kept open for this one; a new one may do.
            left.reconnect = open;
            return left;
        }
        let now = self.now();
        let words = format!("{}: {fault}", ends.host);
        outcome::attempted(&mut job.item, now, &egress.name, words);
        for at in open {
            job.item.say(at, &format!("- 450 4.4.2 {fault}"));
        }
        left
    }
}
