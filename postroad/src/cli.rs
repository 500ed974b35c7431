//! The command line: thin over [`crate::admin`], [`crate::serve`] and [`crate::demo`].

mod ask;
mod domain;
mod print;
mod queue;
mod refusals;
mod report;
mod trace;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::failure::Failure;

pub(crate) use print::{line, to_stderr};

/// A mail office: receives, keeps and shows mail, and loses none.
#[derive(Debug, Parser)]
#[command(name = "postroad", version, max_term_width = 100)]
struct Cli {
    /// Configuration file. Without it: $POSTROAD_CONFIG, else ./postroad-demo/postroad.toml, else
    /// /etc/postroad/postroad.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a whole office on this machine to try it: example.test with admin, alice and bob
    #[command(after_help = "Example: postroad demo --data /tmp/office --password try-me-out")]
    Demo(crate::demo::DemoArgs),
    /// Run this process's roles until it is told to end
    #[command(after_help = "Example: postroad serve --config /etc/postroad/postroad.toml\n\n\
        SIGTERM or Ctrl-C ends it with nothing half-acknowledged; SIGHUP reads certificates again.")]
    Serve(ServeArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Domains of the office
    #[command(subcommand)]
    Domain(verbs::DomainVerb),
    /// Accounts: who has mail here
    #[command(subcommand)]
    Account(verbs::AccountVerb),
    /// Aliases: addresses that lead to others
    #[command(subcommand)]
    Alias(verbs::AliasVerb),
    /// Mail that waits
    #[command(subcommand)]
    Queue(queue::QueueVerb),
    /// What other servers refuse, and how that is understood
    #[command(subcommand)]
    Refusals(refusals::RefusalsVerb),
    /// What others report about domains of this office: DMARC and TLS
    #[command(subcommand)]
    Report(report::ReportVerb),
    /// Tell where a message went and why, or what happened in an account: every step with its time
    #[command(after_help = "Example: postroad trace --account ana@example.org --since 2d\n\n\
        A record is traced by the id in `250 2.0.0 stored as ID`, a message by its Message-ID\n\
        within an account: postroad trace --account ana@example.org --message-id '<1@example.net>'")]
    Trace(trace::TraceArgs),
    /// Look whether all is well
    #[command(
        after_help = "Example: postroad doctor --json\n\nThe exit code is 1 if a promise is at stake."
    )]
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Do not ask DNS
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// When ready, print one line of JSON with the address of every listener
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Tell all mistakes in the configuration
    #[command(after_help = "Example: postroad config check --config /etc/postroad/postroad.toml")]
    Check,
    /// Print a configuration to begin with: every key, explained
    #[command(after_help = "Example: postroad config example > /etc/postroad/postroad.toml")]
    Example,
    /// Print docs/configuration.md
    #[command(hide = true)]
    Document,
}

#[derive(Clone, Copy, Debug, Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out the command line; what `main` returns.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Process-wide, so it is done here and nowhere else; it only fails if done twice.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return fail(&Failure { error: "TLS was set up twice".to_owned(), hint: None });
    }
    match carry_out(cli) {
        Ok(code) => code,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    to_stderr(&failure.to_string());
    ExitCode::FAILURE
}

fn carry_out(cli: Cli) -> Result<ExitCode, Failure> {
    let config = cli.config;
    match cli.verb {
        Verb::Demo(args) => crate::demo::run(&args)?,
        Verb::Serve(args) => {
            let config = load(config)?;
            crate::events::start(&config.log)?;
            crate::serve::run(
                &config,
                async |_| Ok(()),
                |started| {
                    if args.json { line(&started.to_json()) } else { Ok(()) }
                },
            )?;
        }
        Verb::Config(ConfigVerb::Check) => {
            let config = load(config)?;
            crate::office::certificates_in_use(&config)
                .map_err(|why| Failure::new(why, "see the section [tls] of the configuration"))?;
            line("ok")?;
        }
        Verb::Config(ConfigVerb::Example) => print::text(&crate::config::example())?,
        Verb::Config(ConfigVerb::Document) => print::text(&crate::config::markdown())?,
        Verb::Domain(verb) => {
            let config = load(config)?;
            if !verbs::run(&config, async |admin| verb.run(&admin, &config).await)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Account(verb) => verbs::run(&load(config)?, async |admin| verb.run(&admin).await)?,
        Verb::Alias(verb) => {
            let config = load(config)?;
            verbs::run(&config, async |admin| verb.run(&admin, &config).await)?;
        }
        Verb::Queue(verb) => verbs::run(&load(config)?, async |admin| verb.run(&admin).await)?,
        Verb::Refusals(verb) => {
            let config = load(config)?;
            verbs::run(&config, async |admin| verb.run(&admin, &config).await)?;
        }
        Verb::Report(verb) => verbs::run(&load(config)?, async |admin| verb.run(&admin).await)?,
        Verb::Trace(verb) => verbs::run(&load(config)?, async |admin| verb.run(&admin).await)?,
        Verb::Doctor(DoctorArgs { offline, json: Json { json } }) => {
            let config = load(config)?;
            let certificates = crate::office::certificates_in_use(&config);
            let report = verbs::run(&config, async |admin| {
                let around = domain::surroundings(&config, &admin, offline).await;
                Ok(admin.doctor_around(certificates, &around).await)
            })?;
            print::report(&report, json)?;
            if report.verdict == crate::admin::Verdict::Failure {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of the file that was named, or of the first that is there.
fn load(named: Option<PathBuf>) -> Result<Config, ConfigError> {
    let named = named.or_else(|| std::env::var_os("POSTROAD_CONFIG").map(PathBuf::from));
    let path = named.unwrap_or_else(|| {
        let demo = PathBuf::from("./postroad-demo/postroad.toml");
        if demo.exists() { demo } else { PathBuf::from("/etc/postroad/postroad.toml") }
    });
    Config::load(&path)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} says nothing about itself");
            let inner: Vec<_> =
                command.get_subcommands().filter(|one| !one.is_hide_set()).collect();
            if inner.is_empty() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains(&format!("Example: {path}")), "{path}: {help}");
            }
            for one in inner {
                check(one, &format!("{path} {}", one.get_name()));
            }
        }
        Cli::command().debug_assert();
        check(&Cli::command(), "postroad");
    }
}
