//! `postroad queue`.

use clap::{Args, Subcommand};

use super::verbs::moment;
use super::{Json, print};
use crate::admin::{Admin, QueueAct, QueueCount, QueueDetails, QueueFilter, QueueItem};
use crate::failure::Failure;

/// Longest text in one cell of a table.
const CELL_CHARS_MAX: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum QueueVerb {
    /// List what waits and why, the oldest first
    #[command(after_help = "Example: postroad queue list --destination example.net --limit 20\n\n\
        The other side's words are those of the last try; `queue show` has all of them.")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        json: Json,
    },
    /// Count what waits by destination
    #[command(after_help = "Example: postroad queue count --sender ana@example.org")]
    Count {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        json: Json,
    },
    /// Show an item with its history
    #[command(after_help = "Example: postroad queue show ITEM")]
    Show {
        /// Its name, as in the list
        item: String,
        #[command(flatten)]
        json: Json,
    },
    /// Try items again now
    #[command(
        after_help = "Example: postroad queue retry ITEM\n         postroad queue retry --destination example.net"
    )]
    Retry(Which),
    /// Hold items: they are neither tried nor given back until they are released; what is being sent
    /// just now is held when that try has ended, unless it was taken or refused for good
    #[command(after_help = "Example: postroad queue hold --sender robot@example.org")]
    Hold(Which),
    /// Let held items go on
    #[command(after_help = "Example: postroad queue release --state held")]
    Release(Which),
    /// Remove items: their recipients do not get the message, and nobody is told
    #[command(
        after_help = "Example: postroad queue remove ITEM\n         postroad queue remove --sender robot@example.org"
    )]
    Remove(Which),
}

/// Which items.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// To this destination only: a domain
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// From this envelope sender only: an address or a domain
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// In this state only: waiting, held or bouncing
    #[arg(long)]
    state: Option<String>,
    /// Only what needs a person
    #[arg(long)]
    parked: bool,
}

impl From<Filter> for QueueFilter {
    fn from(filter: Filter) -> Self {
        let Filter { destination, sender, state, parked } = filter;
        Self { destination, sender, state, parked }
    }
}

/// One item by its name, or those of a filter.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Its name, as in the list; or a filter
    #[arg(conflicts_with_all = ["destination", "sender", "state", "parked"])]
    item: Option<String>,
    #[command(flatten)]
    filter: Filter,
}

impl QueueVerb {
    pub(super) async fn run(self, admin: &Admin) -> Result<(), Failure> {
        match self {
            Self::List { filter, limit, json: Json { json } } => {
                let (items, total) = admin.queue(&filter.into(), limit).await?;
                if json { print::json(&items) } else { list(items, total) }
            }
            Self::Count { filter, json: Json { json } } => {
                let counts = admin.queue_count(&filter.into()).await?;
                if json { print::json(&counts) } else { count(counts) }
            }
            Self::Show { item, json: Json { json } } => {
                let shown = admin.queue_item(&item).await?;
                if json { print::json(&shown) } else { show(shown) }
            }
            Self::Retry(which) => act(admin, QueueAct::Retry, "retrying", which).await,
            Self::Hold(which) => act(admin, QueueAct::Hold, "holding", which).await,
            Self::Release(which) => act(admin, QueueAct::Release, "released", which).await,
            Self::Remove(which) => act(admin, QueueAct::Remove, "removed", which).await,
        }
    }
}

async fn act(admin: &Admin, act: QueueAct, done: &str, which: Which) -> Result<(), Failure> {
    let Some(item) = which.item else {
        let (count, left) = admin.queue_act(act, &which.filter.into()).await?;
        let left = match left {
            0 => String::new(),
            left => format!("; {left} are being sent just now: try again in a moment"),
        };
        return print::line(&format!("{done} {count} items{left}"));
    };
    match act {
        QueueAct::Retry => admin.retry_item(&item).await?,
        QueueAct::Hold => admin.hold_item(&item).await?,
        QueueAct::Release => admin.release_item(&item).await?,
        QueueAct::Remove => admin.remove_item(&item).await?,
    }
    print::line(&format!("{done} {item}"))
}

fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

fn list(items: Vec<QueueItem>, total: u64) -> Result<(), Failure> {
    let shown = items.len();
    let row = |one: QueueItem| {
        let due = if one.state == "held" { String::new() } else { moment(one.due_ms) };
        let why = one.parked.map(|why| format!("NEEDS A PERSON: {why}")).or(one.words);
        let sender = one.sender.map_or("?".to_owned(), |sender| format!("<{sender}>"));
        let why = cell(&why.unwrap_or_default());
        [one.id, one.state.to_owned(), sender, one.recipients.to_string(), due, why]
    };
    let head = ["ITEM", "STATE", "FROM", "RECIPIENTS", "NEXT TRY", "WHY"];
    print::table(head, items.into_iter().map(row))?;
    if u64::try_from(shown).is_ok_and(|shown| shown < total) {
        print::line(&format!("{shown} of {total}: see --limit, and `postroad queue count`"))?;
    }
    Ok(())
}

fn count(counts: Vec<QueueCount>) -> Result<(), Failure> {
    let row = |one: QueueCount| {
        let (oldest, due) = (moment(one.oldest_ms), moment(one.due_ms));
        let held = cell(&one.held.unwrap_or_default());
        [one.destination, one.items.to_string(), one.recipients.to_string(), oldest, due, held]
    };
    let head = ["DESTINATION", "ITEMS", "RECIPIENTS", "OLDEST", "NEXT TRY", "HELD"];
    print::table(head, counts.into_iter().map(row))
}

fn show(shown: QueueDetails) -> Result<(), Failure> {
    let mut fields = vec![
        ("item", shown.item.id),
        ("record", shown.record),
        ("from", shown.item.sender.map_or("?".to_owned(), |sender| format!("<{sender}>"))),
        ("state", shown.item.state.to_owned()),
        ("made", moment(shown.item.created_ms)),
    ];
    if shown.item.state != "held" {
        fields.push(("next try", moment(shown.item.due_ms)));
    }
    fields.push(("tries", shown.item.tries.to_string()));
    for one in shown.to {
        let said = if one.said.is_empty() { String::new() } else { format!(": {}", one.said) };
        fields.push(("to", format!("{} ({}){said}", one.address, one.state)));
    }
    fields.extend(shown.forwarder.map(|address| ("forwarded by", address)));
    fields.extend(shown.egress.map(|egress| ("only through", egress)));
    fields.extend(shown.item.parked.map(|why| ("needs a person", why)));
    for one in shown.remembered {
        let what = one.egress.unwrap_or_else(|| shown.item.destination.clone());
        let until = moment(one.until_ms);
        fields.push(("remembered", format!("{what} {} until {until}: {}", one.class, one.words)));
    }
    for one in shown.history {
        fields.push(("tried", format!("{} {}: {}", moment(one.at_ms), one.via, one.words)));
    }
    print::fields(&fields)
}
