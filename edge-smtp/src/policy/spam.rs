//! A spam filter beside us: rspamd, asked by HTTP (`/checkv2`).
//!
//! A filter that does not answer, or answers nonsense, is no reason to refuse or to hide mail.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use mail::{Envelope, Verdicts};
use net::http::{Asked, Http};
use proto::smtp::Reply;
use serde::Deserialize;

use super::Arrival;
use crate::replies;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Recipients that the filter is told.
const RECIPIENTS_MAX: usize = 50;

/// How the filter is asked, and what is done with its word.
#[derive(Clone, Debug)]
pub struct SpamOptions {
    /// `http://host:port`, rspamd's normal worker.
    pub url: String,
    /// For one answer.
    pub time: Duration,
    /// Larger messages are not shown to it.
    pub message_bytes_max: u64,
    /// What it rejects is refused; else it goes to Junk.
    pub reject: bool,
    /// What it wants to see again later is asked to come again; else it is taken.
    pub greylist: bool,
}

/// Asks the filter; one for all listeners of a process.
#[derive(Debug)]
pub struct SpamFilter {
    options: SpamOptions,
    http: Http,
}

/// What the filter says.
#[derive(Debug, Deserialize, PartialEq)]
struct Answer {
    #[serde(default)]
    action: String,
    #[serde(default)]
    score: f64,
}

impl SpamFilter {
    /// Asks at that URL by this client.
    #[must_use]
    pub const fn new(options: SpamOptions, http: Http) -> Self {
        Self { options, http }
    }

    /// Notes the filter's word, and answers with a refusal if it asks for one.
    pub(crate) async fn ask(
        &self,
        arrival: &Arrival<'_>,
        envelope: &Envelope,
        verdicts: &mut Verdicts,
    ) -> Option<Reply> {
        let size = u64::try_from(arrival.message.len()).unwrap_or(u64::MAX);
        if size > self.options.message_bytes_max {
            count("too large");
            return None;
        }
        let answer = match self.answer(arrival, envelope, verdicts).await {
            Ok(answer) => answer,
            Err(why) => {
                tracing::warn!(why, "the spam filter gave no answer");
                count("no answer");
                return None;
            }
        };
        verdicts.spam = Some(hundredths(answer.score));
        let (result, refused) = self.obey(&answer, verdicts);
        count(result);
        refused
    }

    fn obey(&self, answer: &Answer, verdicts: &mut Verdicts) -> (&'static str, Option<Reply>) {
        let points = answer.score;
        match answer.action.as_str() {
            "reject" if self.options.reject => ("reject", Some(replies::spam())),
            "reject" | "add header" | "rewrite subject" | "quarantine" => {
                verdicts.junk(format!("the spam filter gives it {points:.1} points"));
                ("junk", None)
            }
            "soft reject" | "greylist" if self.options.greylist => {
                ("later", Some(replies::spam_later()))
            }
            _ => ("no action", None),
        }
    }

    async fn answer(
        &self,
        arrival: &Arrival<'_>,
        envelope: &Envelope,
        verdicts: &Verdicts,
    ) -> Result<Answer, String> {
        let mut headers = vec![
            ("IP".to_owned(), arrival.peer.to_canonical().to_string()),
            ("Helo".to_owned(), plain(arrival.helo)),
            ("From".to_owned(), plain(arrival.sender.map_or("", mail::Path::text))),
            ("MTA-Name".to_owned(), arrival.host.to_string()),
        ];
        if let Some(reverse) = verdicts.reverse.as_ref().filter(|one| !one.name.is_empty()) {
            headers.push(("Hostname".to_owned(), plain(&reverse.name)));
        }
        let recipients = envelope.recipients.iter().take(RECIPIENTS_MAX);
        headers.extend(recipients.map(|one| ("Rcpt".to_owned(), plain(one.path.text()))));
        let asked = Asked {
            method: Method::POST,
            url: format!("{}/checkv2", self.options.url.trim_end_matches('/')),
            headers,
            body: Bytes::copy_from_slice(arrival.message),
            time: self.options.time,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answered = self.http.ask(asked).await.map_err(|fault| fault.to_string())?.response;
        if answered.status() != StatusCode::OK {
            return Err(format!("status {}", answered.status().as_u16()));
        }
        read(answered.body())
    }
}

fn read(body: &[u8]) -> Result<Answer, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if answer.action.is_empty() { Err("no action in the answer".to_owned()) } else { Ok(answer) }
}

/// What may stand in a header field of HTTP; of anything else "?" is told.
fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// Points as they are kept, within bounds.
#[expect(clippy::cast_possible_truncation, reason = "clamped, and NaN becomes 0")]
fn hundredths(points: f64) -> i64 {
    (points * 100.0).clamp(-1e9, 1e9) as i64
}

fn count(result: &'static str) {
    metrics::counter!("postroad_smtp_spam_answers_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_or_not_believed() {
        let text = br#"{"is_skipped":false,"score":7.25,"action":"add header","symbols":{"X":{}}}"#;
        let answer = read(text).unwrap();
        assert_eq!((answer.action.as_str(), hundredths(answer.score)), ("add header", 725));
        for bad in ["", "{}", "[]", "{\"action\":7}", "<html>", "{\"action\":\"\",\"score\":1}"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!((hundredths(f64::NAN), hundredths(1e300)), (0, 1_000_000_000));
        assert_eq!(plain("a\r\nX: y\u{e9}"), "a??X: y?");
    }
}
