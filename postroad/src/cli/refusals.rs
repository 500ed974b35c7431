//! `postroad refusals`.

use clap::{Args, Subcommand};

use super::verbs::moment;
use super::{Json, print};
use crate::admin::{self, Admin, RuleInfo, UnmatchedInfo};
use crate::config::Config;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum RefusalsVerb {
    /// List the rules by which refusals of other servers are understood, own ones first
    #[command(after_help = "Example: postroad refusals list --unmatched\n\n\
        --unmatched lists what was refused within 30 days in words that no rule knows: put a rule \
        for it\ninto the file of relay.refusals, see docs/refusals.md.")]
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Words that no rule knows, instead of the rules
    #[arg(long)]
    unmatched: bool,
    #[command(flatten)]
    json: Json,
}

impl RefusalsVerb {
    pub(super) async fn run(self, admin: &Admin, config: &Config) -> Result<(), Failure> {
        let Self::List(ListArgs { unmatched, json: Json { json } }) = self;
        let rules = crate::serve::rules(config)?;
        if unmatched {
            let found = admin.unmatched(&rules).await?;
            return if json { print::json(&found) } else { unknown(found) };
        }
        let all = admin::rules(&rules);
        if json {
            return print::json(&all);
        }
        let row = |rule: RuleInfo| {
            [rule.id, rule.class.to_owned(), rule.cause, rule.scope.to_owned(), rule.mx.join(" ")]
        };
        print::table(["RULE", "CLASS", "CAUSE", "SCOPE", "FOR"], all.into_iter().map(row))
    }
}

fn unknown(found: Vec<UnmatchedInfo>) -> Result<(), Failure> {
    let row = |one: UnmatchedInfo| [moment(one.last_ms), one.host, one.stage, one.words];
    print::table(["LAST", "HOST", "STAGE", "WORDS"], found.into_iter().map(row))
}
