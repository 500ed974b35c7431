//! Teaches the spam filter what people put into Junk, and take out of it: rspamd's controller is
//! told by HTTP, one message after the other, best effort.

use std::sync::Arc;

use edge_imap::Taught;
use net::http::{Asked, Http};
use store::Store;
use tokio::sync::mpsc;

use crate::config::Config;

/// Messages that may wait; what is more is not taught.
const WAITING_MAX: usize = 256;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Starts the teacher, if the configuration names whom to teach.
pub(super) fn start(
    config: &Config,
    store: &Store,
    http: impl FnOnce() -> Http,
) -> Option<mpsc::Sender<Taught>> {
    let url = config.spam.learn_url.clone()?;
    let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
    let teacher = Arc::new(Teacher {
        url: url.trim_end_matches('/').to_owned(),
        time: config.spam.time,
        message_bytes_max: config.spam.message_size_max.0,
        http: http(),
    });
    store.engines().tasks.spawn("teacher", async move {
        while let Some(taught) = waiting.recv().await {
            let result = match teacher.teach(&taught).await {
                Ok(true) => "taught",
                Ok(false) => "passed over",
                Err(why) => {
                    tracing::warn!(why, "the spam filter did not learn");
                    "no answer"
                }
            };
            metrics::counter!("postroad_spam_taught_total", "result" => result).increment(1);
        }
    });
    Some(sender)
}

struct Teacher {
    url: String,
    time: std::time::Duration,
    message_bytes_max: u64,
    http: Http,
}

impl Teacher {
    /// Whether it was taught: not if it is gone, or too large.
    async fn teach(&self, taught: &Taught) -> Result<bool, String> {
        let size = taught.log.view(|state| {
            let message = state.mailbox(taught.mailbox)?.message(taught.uid.get())?;
            Some(message.size)
        });
        if size.is_none_or(|size| size > self.message_bytes_max) {
            return Ok(false);
        }
        let read = taught.log.read(taught.mailbox, taught.uid, 0..u64::MAX).await;
        let Some(body) = read.map_err(|error| error.to_string())? else { return Ok(false) };
        let what = if taught.spam { "learnspam" } else { "learnham" };
        let mut asked = Asked::get(&format!("{}/{what}", self.url), self.time, ANSWER_BYTES_MAX);
        asked.method = http::Method::POST;
        asked.body = body;
        let answered = self.http.ask(asked).await.map_err(|fault| fault.to_string())?;
        match answered.response.status().as_u16() {
            // 208: it knew that already.
            200..=299 => Ok(true),
            status => Err(format!("status {status}")),
        }
    }
}
