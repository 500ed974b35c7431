//! The file of rules: what may stand in it, and how it is told what is wrong with it.

use std::time::Duration;

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::{Class, Finding, Next, Rule, Scope};

/// Most rules of one file.
const RULES_MAX: usize = 5_000;

/// Memory that the compiled patterns may take.
const COMPILED_BYTES_MAX: usize = 64 << 20;

/// Longest hold that a rule may ask for.
const HOLD_MAX: Duration = Duration::from_secs(30 * 86_400);

/// A file of rules is not right.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is no TOML of `[[rule]]` tables with the known keys.
    #[error("not a file of rules: {0}")]
    Syntax(String),
    /// One rule says something that is not known.
    #[error("rule {rule}: {problem}")]
    Rule {
        /// Its id.
        rule: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
struct File {
    version: Option<u64>,
    #[serde(default)]
    rule: Vec<Written>,
}

/// A rule as it is written. What is for people only is read and left.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys for people are allowed, and checked to be text")]
struct Written {
    id: String,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    mx: Vec<String>,
    pattern: String,
    class: String,
    #[serde(default)]
    cause: String,
    scope: String,
    next: Option<String>,
    hold: Option<String>,
    #[serde(default)]
    doubt: bool,
    #[serde(default)]
    sample: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    evidence: String,
    #[serde(default)]
    note: String,
}

/// Reads a file of rules.
pub(super) fn read(text: &str) -> Result<Vec<Rule>, RulesError> {
    let file: File = toml::from_str(text).map_err(|why| RulesError::Syntax(why.to_string()))?;
    if file.version.is_some_and(|version| version != 1) {
        return Err(RulesError::Syntax("a version that is not known; write version = 1".into()));
    }
    if file.rule.len() > RULES_MAX {
        return Err(RulesError::Syntax(format!("more than {RULES_MAX} rules")));
    }
    file.rule.into_iter().map(rule).collect()
}

fn rule(written: Written) -> Result<Rule, RulesError> {
    let wrong = |problem: String| RulesError::Rule { rule: written.id.clone(), problem };
    let class = Class::ALL.into_iter().find(|class| class.name() == written.class);
    let class = class.ok_or_else(|| wrong(format!("no class is called {:?}", written.class)))?;
    let scope = Scope::ALL.into_iter().find(|scope| scope.name() == written.scope);
    let scope = scope.ok_or_else(|| wrong(format!("no scope is called {:?}", written.scope)))?;
    let next = match &written.next {
        None => None,
        Some(text) => {
            let next = Next::ALL.into_iter().find(|next| next.name() == text);
            Some(next.ok_or_else(|| wrong(format!("nothing is called next = {text:?}")))?)
        }
    };
    let hold = match &written.hold {
        None => None,
        Some(text) => {
            Some(duration(text).ok_or_else(|| wrong(format!("{text:?} is no time like \"6h\"")))?)
        }
    };
    let finding = Finding {
        rule: written.id.as_str().into(),
        class,
        cause: written.cause.as_str().into(),
        scope,
        next,
        hold,
        doubt: written.doubt,
    };
    let mx = written.mx.iter().map(|name| name.trim_matches('.').to_ascii_lowercase()).collect();
    Ok(Rule { finding, mx, pattern: written.pattern, sample: written.sample })
}

fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(at)?;
    let number: u64 = number.parse().ok()?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let time = Duration::from_secs(number.checked_mul(factor)?);
    (time <= HOLD_MAX).then_some(time)
}

/// What an admin's rule must be besides readable: its pattern compiles, and matches its sample.
pub(super) fn check(rule: &Rule) -> Result<(), RulesError> {
    let wrong = |problem: String| RulesError::Rule { rule: rule.finding.rule.to_string(), problem };
    let set =
        build(std::iter::once(rule.pattern.as_str())).map_err(|why| wrong(why.to_string()))?;
    if !rule.sample.is_empty() && !set.is_match(rule.sample.as_bytes()) {
        return Err(wrong("its pattern does not match its own sample".to_owned()));
    }
    Ok(())
}

/// All patterns as one automaton; `None` if they are more than it may hold.
pub(super) fn compile(rules: &[Rule]) -> Option<RegexSet> {
    match build(rules.iter().map(|rule| rule.pattern.as_str())) {
        Ok(set) => Some(set),
        Err(error) => {
            tracing::error!(%error, "the rules for refusals cannot be used: only codes count");
            None
        }
    }
}

/// Bytes, not letters: replies may hold anything, and ASCII is all that patterns are about.
fn build<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<RegexSet, regex::Error> {
    let mut builder = RegexSetBuilder::new(patterns);
    builder.case_insensitive(true).unicode(false).size_limit(COMPILED_BYTES_MAX).build()
}
