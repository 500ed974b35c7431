//! The documentation of the configuration, made from what [`section!`](super::schema) declares.

use super::Config;
use super::schema::{Entry, Node as _};

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    Config::default().describe("", &[], &mut entries);
    entries
}

const MARKDOWN_HEAD: &str = "\
# Configuration

One TOML file. `postroad --config FILE` names it; without it `$POSTROAD_CONFIG` is used, else
`./postroad-demo/postroad.toml`, else `/etc/postroad/postroad.toml`. `postroad config check` tells
all mistakes at once; `postroad config example` prints a file to begin with.

A key `key` of `[section]` is overridden by the environment variable `POSTROAD_SECTION__KEY` (lists:
separated by commas). Changes are taken at the next start; SIGHUP reads certificates again.

This page is generated from the code.
";

/// `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = MARKDOWN_HEAD.to_owned();
    for Entry { path, docs, kind, default } in entries() {
        let docs: String = docs.concat().trim().to_owned();
        let Some(kind) = kind else {
            text.push_str(&format!("\n## `[{path}]`\n{docs}\n\n"));
            continue;
        };
        let key = path.rsplit_once('.').map_or(path.as_str(), |(_, key)| key);
        let default = match default.as_deref() {
            None => "No default.".to_owned(),
            Some(default) => format!("Default: `{default}`."),
        };
        text.push_str(&format!("- **`{key}`** — {docs} Takes {kind}. {default}\n"));
    }
    text
}

const EXAMPLE_HEAD: &str = "\
# Postroad: a configuration to begin with. Every key is here; a key behind \"# \" has its default.
# Change office.hostname and store.directory, keep the listeners you want, then:
#   postroad config check --config FILE
#   postroad domain add example.org --config FILE
#   postroad account add ana@example.org --config FILE
#   postroad serve --config FILE
";

const EXAMPLE_LISTENERS: &str = "\
[listeners.smtp]
address = [\"0.0.0.0:25\", \"[::]:25\"]

[listeners.submission]
address = [\"0.0.0.0:587\", \"[::]:587\"]

[listeners.submissions]
address = [\"0.0.0.0:465\", \"[::]:465\"]

[listeners.imap]
address = [\"0.0.0.0:143\", \"[::]:143\"]

[listeners.imaps]
address = [\"0.0.0.0:993\", \"[::]:993\"]

[listeners.http]
address = [\"127.0.0.1:8080\", \"[::1]:8080\"]
";

/// `postroad config example`.
#[must_use]
pub fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for Entry { path, docs, kind, default } in entries() {
        let sample = path.contains(".NAME");
        match kind {
            None => {
                text.push('\n');
                if path == "listeners.NAME" {
                    text.push_str(EXAMPLE_LISTENERS);
                    text.push_str("\n# A listener of any other name:\n");
                }
                comment(&mut text, &docs);
                text.push_str(&format!("{}[{path}]\n", if sample { "# " } else { "" }));
            }
            Some(_) => {
                comment(&mut text, &docs);
                let key = path.rsplit_once('.').map_or(path.as_str(), |(_, key)| key);
                let value = default.unwrap_or_else(|| "…".to_owned());
                text.push_str(&format!("# {key} = {value}\n"));
            }
        }
    }
    text
}

fn comment(text: &mut String, docs: &[&'static str]) {
    for line in docs {
        text.push_str(&format!("#{line}\n"));
    }
}
