//! Comments that cite an RFC, and the item of the source that each belongs to.

/// One citation of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Citation {
    /// The RFC's number.
    pub(super) rfc: u32,
    /// The section, like `4.5.2`; empty if the comment names the RFC only.
    pub(super) section: String,
    /// What the comment says there: the sentence, or what follows the colon.
    pub(super) words: String,
    /// Whether the comment states the rule after a colon: `RFC 5321 §4.5.2: a line …`.
    pub(super) stated: bool,
    /// The function, type or constant; empty for a whole file.
    pub(super) item: String,
    /// Whether it stands in tests.
    pub(super) test: bool,
}

/// All citations of a Rust file. `test`: all of it is tests.
pub(super) fn of_source(text: &str, test: bool) -> Vec<Citation> {
    let lines: Vec<&str> = text.lines().collect();
    let tests_from = tests_from(&lines);
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some((mark, _)) = comment(lines[at]) else {
            at += 1;
            continue;
        };
        let mut words = String::new();
        let first = at;
        let whole_line = lines[at].trim_start().starts_with("//");
        while let Some((_, said)) = lines.get(at).copied().and_then(comment).filter(|(m, _)| {
            *m == mark && (at == first || whole_line && lines[at].trim_start().starts_with("//"))
        }) {
            words.push_str(said.trim());
            words.push(' ');
            at += 1;
            if !whole_line {
                break;
            }
        }
        let cited = citations(&words);
        if cited.is_empty() {
            continue;
        }
        let item = if mark == "//!" { String::new() } else { item_of(&lines, first, at) };
        let test = test || tests_from.is_some_and(|from| first > from);
        found.extend(cited.into_iter().map(|(rfc, section, words, stated)| Citation {
            rfc,
            section,
            words,
            stated,
            item: item.clone(),
            test,
        }));
    }
    found
}

/// The line where the tests of a file begin: `#[cfg(test)]` before a module that stands there.
pub(super) fn tests_from(lines: &[&str]) -> Option<usize> {
    let begins = |pair: &[&str]| {
        pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    lines.windows(2).position(begins)
}

/// All citations of a transcript, whose comments begin with `#`.
pub(super) fn of_transcript(text: &str) -> Vec<Citation> {
    let said: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim).collect();
    let cited = citations(&said.join(" "));
    let citation = |(rfc, section, words, stated)| Citation {
        rfc,
        section,
        words,
        stated,
        item: String::new(),
        test: true,
    };
    cited.into_iter().map(citation).collect()
}

/// The mark and the text of the comment that a line is, or ends with.
fn comment(line: &str) -> Option<(&'static str, &str)> {
    let trimmed = line.trim_start();
    for mark in ["//!", "///", "//"] {
        if let Some(said) = trimmed.strip_prefix(mark) {
            return Some((mark, said));
        }
    }
    line.split_once(" // ").filter(|(_, said)| said.contains("RFC ")).map(|(_, said)| ("//", said))
}

/// The item on the comment's own line, else the one that follows at once, else the one that it stands in.
fn item_of(lines: &[&str], first: usize, after: usize) -> String {
    if let Some(name) = declared(lines[first]) {
        return name;
    }
    let next = lines.iter().skip(after).find(|line| !line.trim_start().starts_with("#["));
    if let Some(name) = next.and_then(|line| declared(line)) {
        return name;
    }
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut inside = depth(lines[first]);
    for line in lines[..first].iter().rev().filter(|line| !line.trim().is_empty()) {
        if depth(line) < inside {
            if let Some(name) = declared(line).filter(|name| name != "tests") {
                return name;
            }
            inside = depth(line).max(1);
        }
    }
    String::new()
}

/// The name of the item that a line declares.
fn declared(line: &str) -> Option<String> {
    const BEFORE: &[&str] = &["pub", "async", "unsafe", "extern", "default"];
    const KINDS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "const",
        "static",
        "type",
        "mod",
        "impl",
        "macro_rules!",
    ];
    let mut words = line.split_whitespace().peekable();
    while words.next_if(|word| BEFORE.contains(word) || word.starts_with("pub(")).is_some() {}
    let mut kind = words.next()?;
    if kind == "const" && words.peek() == Some(&"fn") {
        kind = words.next()?;
    }
    let generic = |kind: &str| kind.starts_with("impl<");
    if !KINDS.contains(&kind) && !generic(kind) {
        return None;
    }
    let name = if kind == "impl" || generic(kind) {
        // The type: what follows `for`, if anything does.
        let rest: Vec<&str> = words.collect();
        let of = rest.iter().position(|word| *word == "for").map_or(0, |at| at + 1);
        (*rest.get(of)?).to_owned()
    } else {
        words.next()?.to_owned()
    };
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    let name = &name[..end];
    (!name.is_empty()).then(|| name.to_owned())
}

/// RFC, section (or nothing), words and whether they state the rule, for each section named.
fn citations(said: &str) -> Vec<(u32, String, String, bool)> {
    let mut found = Vec::new();
    for (at, _) in said.match_indices("RFC ") {
        let rest = &said[at + "RFC ".len()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(rfc) = rest[..digits].parse::<u32>() else { continue };
        let mut rest = &rest[digits..];
        let mut sections = Vec::new();
        loop {
            let next =
                if sections.is_empty() { &[" §"][..] } else { &[", §", " and §", "; §"] };
            let Some(more) = next.iter().find_map(|begin| rest.strip_prefix(begin)) else { break };
            let end =
                more.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(more.len());
            let section = more[..end].trim_end_matches('.');
            sections.push(section.to_owned());
            rest = &more[section.len()..];
        }
        let bracketed = said[..at].matches('(').count() > said[..at].matches(')').count();
        let stated = !bracketed && rest.starts_with(": ");
        let words = if stated { until_stop(&rest[2..]) } else { sentence(said, at) };
        if sections.is_empty() {
            sections.push(String::new());
        }
        found.extend(sections.into_iter().map(|section| (rfc, section, words.clone(), stated)));
    }
    found
}

/// Up to the end of the sentence, or to the next citation.
fn until_stop(text: &str) -> String {
    let stop = text.find(". ").unwrap_or(text.len());
    let next = text.find("; RFC ").unwrap_or(text.len());
    tidied(&text[..stop.min(next)])
}

/// The sentence around the place, without what stands in brackets about RFCs.
fn sentence(text: &str, at: usize) -> String {
    let begin = text[..at].rfind(". ").map_or(0, |stop| stop + 2);
    let end = text[at..].find(". ").map_or(text.len(), |stop| at + stop);
    let mut sentence = text[begin..end].to_owned();
    while let Some(open) = sentence.find('(').filter(|open| sentence[*open..].contains("RFC ")) {
        let Some(close) = sentence[open..].find(')') else { break };
        let inner = &sentence[open..=open + close];
        if !inner.contains("RFC ") {
            break;
        }
        sentence.replace_range(open..=open + close, "");
    }
    let words = tidied(&sentence);
    // Nothing but citations says nothing.
    let told = words.split_whitespace().any(|word| {
        word.chars().any(char::is_lowercase)
            && word.chars().filter(|c| c.is_alphabetic()).count() > 1
    });
    if told { words } else { String::new() }
}

/// For a cell of a table: one line, no bars, no dangling punctuation.
fn tidied(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ").replace('|', "\\|");
    let line = [",", ".", ";", ":", "?"]
        .iter()
        .fold(line, |line, mark| line.replace(&format!(" {mark}"), mark));
    line.trim_matches(|c: char| c == '.' || c == ',' || c == ';' || c == ':' || c == ' ').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, &str, &str, &str)]) {
        let found = of_source(text, false);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.rfc, one.section.as_str(), one.words.as_str(), one.item.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comment_belongs_to_what_follows_or_to_what_it_stands_in() {
        check(
            "/// Ends it (RFC 5321 §4.1.4).\n#[must_use]\npub(crate) async fn hello() {\n    if true {\n        // RFC 9422 §4: told here,\n        // and there. Not this.\n        x();\n    }\n}\n",
            &[(5321, "4.1.4", "Ends it", "hello"), (9422, "4", "told here, and there", "hello")],
        );
        check(
            "impl<T> Server<T> {\n    /// One (RFC 1 §2, §3.1; RFC 4).\n    field: u8,\n}\n",
            &[(1, "2", "One", "Server"), (1, "3.1", "One", "Server"), (4, "", "One", "Server")],
        );
        check(
            "//! All (RFC 7 §1).\n\nfn f() {} // RFC 8 §2: so\n",
            &[(7, "1", "All", ""), (8, "2", "so", "f")],
        );
    }

    #[test]
    fn what_stands_below_the_tests_begin_is_a_test() {
        let found = of_source(
            "// RFC 1 §1: a\nfn a() {}\n#[cfg(test)]\nmod tests {\n    // RFC 1 §1\n    #[test]\n    fn b() {}\n}\n",
            false,
        );
        assert_eq!(found.iter().map(|one| one.test).collect::<Vec<_>>(), [false, true]);
        assert_eq!(found[1].item, "b");
        assert!(of_transcript("# RFC 2920 §3.2: in groups.\nC: NOOP\n")[0].test);
    }
}
