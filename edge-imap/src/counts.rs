//! Metrics of sessions. Labels are closed sets.

use proto::imap::command::Body;
use proto::imap::{Answer, Ask};

use crate::replies::Stop;

/// What is counted of a question, before it is answered.
pub(crate) const fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Password { .. } | Ask::Verifiers { .. } | Ask::Proved { .. } => "login",
        Ask::Refused { .. } => "refused",
        Ask::AppendBegin(_) => "append_begin",
        Ask::AppendEnd => "append",
        Ask::AppendAbort => "append_abort",
        Ask::IdleStart => "idle",
        Ask::IdleEnd => "done",
        Ask::Command(command) => body(&command.body),
    }
}

const fn body(body: &Body) -> &'static str {
    match body {
        Body::Noop => "noop",
        Body::Check => "check",
        Body::Select(select) => {
            if select.read_only {
                "examine"
            } else {
                "select"
            }
        }
        Body::Create { .. } => "create",
        Body::Delete(_) => "delete",
        Body::Rename { .. } => "rename",
        Body::Subscribe(_) => "subscribe",
        Body::Unsubscribe(_) => "unsubscribe",
        Body::List(_) => "list",
        Body::Lsub { .. } => "lsub",
        Body::Status { .. } => "status",
        Body::Namespace => "namespace",
        Body::GetQuota(_) => "getquota",
        Body::GetQuotaRoot(_) => "getquotaroot",
        Body::Close => "close",
        Body::Unselect => "unselect",
        Body::Expunge { .. } => "expunge",
        Body::Search(_) => "search",
        Body::Fetch(_) => "fetch",
        Body::Store(_) => "store",
        Body::Copy(copy) => {
            if copy.and_expunge {
                "move"
            } else {
                "copy"
            }
        }
        _ => "other",
    }
}

/// Counts an answer.
pub(crate) fn answered(command: &'static str, answer: &Result<Answer, Stop>) {
    let answer = match answer {
        Ok(answer) => Some(answer),
        Err(Stop::Answer(answer)) => Some(&**answer),
        Err(Stop::Gone) => None,
    };
    let result = match answer {
        Some(Answer::Ok(..) | Answer::Go | Answer::Verifiers(..)) => "ok",
        Some(Answer::No(..)) => "no",
        Some(Answer::Bad(..)) => "bad",
        Some(Answer::Bye(..)) => "bye",
        None => "gone",
    };
    // command: see above; result: ok, no, bad, bye, gone (closed without a reply).
    let labels = [("command", command), ("result", result)];
    metrics::counter!("postroad_imap_commands_total", &labels).increment(1);
}
