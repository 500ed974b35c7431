//! `postroad report`: what others report about domains of this office.

use std::time::Duration;

use clap::Subcommand;

use super::verbs::{moment, time};
use super::{Json, print};
use crate::admin::{Admin, ReportInfo, ReportSums};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum ReportVerb {
    /// List the reports that came in about a domain, or about all, the newest first
    #[command(after_help = "Example: postroad report list example.org --since 7d\n\n\
        They come by mail to the postmaster of the domain, where its DNS records send them \
        (`postroad domain show`), and are in that mailbox too.")]
    List {
        /// About this domain only
        domain: Option<String>,
        /// Of so long, like 7d
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "30d")]
        since: Duration,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        json: Json,
    },
    /// Show what all reports about a domain say together: who sends mail in its name, whether that
    /// passes, and how TLS to its servers goes
    #[command(after_help = "Example: postroad report show example.org --json")]
    Show {
        /// The domain
        domain: String,
        /// Of so long, like 7d
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "30d")]
        since: Duration,
        #[command(flatten)]
        json: Json,
    },
}

impl ReportVerb {
    pub(super) async fn run(self, admin: &Admin) -> Result<(), Failure> {
        match self {
            Self::List { domain, since, limit, json: Json { json } } => {
                let reports = admin.received_reports(domain.as_deref(), since, limit).await?;
                if json { print::json(&reports) } else { list(reports) }
            }
            Self::Show { domain, since, json: Json { json } } => {
                let sums = admin.report_sums(&domain, since).await?;
                if json { print::json(&sums) } else { show(sums) }
            }
        }
    }
}

fn list(reports: Vec<ReportInfo>) -> Result<(), Failure> {
    let row = |one: ReportInfo| {
        let sender = if one.verified { one.sender } else { format!("{} (not proved)", one.sender) };
        let kind = one.kind.to_uppercase();
        let failed = one.total.saturating_sub(one.passed);
        let day = moment(one.begin.saturating_mul(1_000));
        let (total, failed) = (one.total.to_string(), failed.to_string());
        [one.about, kind, one.organisation, sender, day, total, failed]
    };
    let head = ["DOMAIN", "KIND", "REPORTER", "SENT BY", "FROM", "ALL", "FAILED"];
    print::table(head, reports.into_iter().map(row))
}

fn show(sums: ReportSums) -> Result<(), Failure> {
    print::fields(&[
        ("domain", sums.domain),
        (
            "reports",
            format!("{}, of them {} with a sender that is proved", sums.reports, sums.verified),
        ),
        (
            "not kept",
            format!(
                "{} could not be read, {} were about others, {} were too many",
                sums.malformed, sums.foreign, sums.over
            ),
        ),
    ])?;
    if !sums.sources.is_empty() {
        print::line("\nMail in its name (DMARC):")?;
        let rows = sums.sources.into_iter().map(|one| {
            let source = one.source.map_or("(others)".to_owned(), |source| source.to_string());
            let failed = one.messages.saturating_sub(one.passed);
            let numbers = [
                one.messages,
                one.passed,
                failed,
                one.dkim,
                one.spf,
                one.quarantined,
                one.rejected,
            ];
            let [all, passed, failed, dkim, spf, held, refused] = numbers.map(|n| n.to_string());
            [source, all, passed, failed, dkim, spf, held, refused]
        });
        let head = ["SOURCE", "ALL", "PASSED", "FAILED", "DKIM", "SPF", "HELD", "REFUSED"];
        print::table(head, rows)?;
    }
    if !sums.tls.is_empty() {
        print::line("\nTLS to its servers:")?;
        let rows = sums
            .tls
            .iter()
            .map(|one| [one.policy.clone(), one.succeeded.to_string(), one.failed.to_string()]);
        print::table(["POLICY", "WELL", "FAILED"], rows)?;
        let failures = sums.tls.iter().flat_map(|one| &one.failures);
        let rows = failures.map(|one| [one.kind.clone(), one.host.clone(), one.count.to_string()]);
        print::table(["FAILURE", "SERVER", "TIMES"], rows)?;
    }
    Ok(())
}
