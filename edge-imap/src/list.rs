//! What LIST and LSUB show (RFC 9051 §6.3.9, RFC 5258, RFC 6154, RFC 3501 §6.3.9): the tree of
//! names, of mailboxes that exist, of parents that do not, and which of them a client wants.
//!
//! Linear in names × patterns (B2); at most 10,000 mailboxes of at most 1,000 bytes.

use std::collections::BTreeMap;

use proto::imap::command::{ListSelect, SpecialUse};

/// One mailbox, as far as LIST is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) name: &'a str,
    pub(crate) special_use: Option<SpecialUse>,
    pub(crate) subscribed: bool,
    /// False for a name that is subscribed only (RFC 9051 §6.3.7: unsubscribing is the client's).
    pub(crate) exists: bool,
}

/// A line of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown<'a> {
    pub(crate) name: &'a str,
    /// Else \NonExistent: there is only something below it, or a subscription.
    pub(crate) exists: bool,
    pub(crate) has_children: bool,
    pub(crate) subscribed: bool,
    pub(crate) special_use: Option<SpecialUse>,
    /// CHILDINFO ("SUBSCRIBED"): something below it is subscribed and not shown itself.
    pub(crate) subscribed_below: bool,
    /// CHILDINFO ("SPECIAL-USE"): likewise.
    pub(crate) special_below: bool,
}

/// The names of an account with the parents they imply.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    nodes: BTreeMap<&'a str, Shown<'a>>,
}

impl<'a> Tree<'a> {
    /// Builds the tree; costs names × depth.
    pub(crate) fn new(mailboxes: impl IntoIterator<Item = Known<'a>>) -> Self {
        let mut tree = Self::default();
        for known in mailboxes {
            let node = tree.node(known.name);
            node.exists |= known.exists;
            node.subscribed |= known.subscribed;
            node.special_use = node.special_use.or(known.special_use);
            let is_child = known.exists;
            for parent in parents(known.name) {
                tree.node(parent).has_children |= is_child;
            }
        }
        tree
    }

    fn node(&mut self, name: &'a str) -> &mut Shown<'a> {
        self.nodes.entry(name).or_insert(Shown {
            name,
            exists: false,
            has_children: false,
            subscribed: false,
            special_use: None,
            subscribed_below: false,
            special_below: false,
        })
    }

    /// The answer to LIST with these selection options, names sorted by bytes with INBOX first.
    pub(crate) fn list(
        &self,
        matches: &dyn Fn(&str) -> bool,
        select: ListSelect,
    ) -> Vec<Shown<'a>> {
        let selecting = select.subscribed || select.special_use;
        let selected = |node: &Shown<'_>| {
            (!select.subscribed || node.subscribed)
                && (!select.special_use || node.special_use.is_some())
        };
        let mut below: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        let mut shown = BTreeMap::new();
        for node in self.nodes.values() {
            let matched = matches(node.name);
            // What merely is above something is shown unless only certain ones are wanted.
            let wanted = if selecting { selected(node) } else { node.exists || node.has_children };
            if matched && wanted {
                shown.insert(node.name, *node);
            } else if select.recursive_match && selecting && selected(node) && !matched {
                // RFC 5258 §3.5: its parents are told of it, for it is not shown itself.
                for parent in parents(node.name) {
                    let (subscribed, special) = below.entry(parent).or_default();
                    *subscribed |= select.subscribed;
                    *special |= select.special_use;
                }
            }
        }
        for (parent, (subscribed_below, special_below)) in below {
            if matches(parent)
                && let Some(node) = self.nodes.get(parent)
            {
                let node = Shown { subscribed_below, special_below, ..*node };
                shown.insert(node.name, node);
            }
        }
        inbox_first(shown.into_values().collect())
    }

    /// The answer to LSUB: subscribed names, and \Noselect parents where the pattern stops above
    /// them (RFC 3501 §6.3.9).
    pub(crate) fn lsub(&self, matches: &dyn Fn(&str) -> bool) -> Vec<Shown<'a>> {
        let select =
            ListSelect { subscribed: true, recursive_match: true, ..ListSelect::default() };
        self.list(matches, select)
    }
}

/// The names above `name`: `a/b/c` gives `a/b` and `a`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.rsplit_once('/'), |(parent, _)| parent.rsplit_once('/'))
        .map(|(parent, _)| parent)
        .filter(|parent| !parent.is_empty())
}

fn inbox_first(mut shown: Vec<Shown<'_>>) -> Vec<Shown<'_>> {
    shown.sort_by_key(|shown| (shown.name != "INBOX", shown.name));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree<'static> {
        let known =
            |name, subscribed, special_use, exists| Known { name, special_use, subscribed, exists };
        Tree::new([
            known("INBOX", true, None, true),
            known("Archive", false, Some(SpecialUse::Archive), true),
            known("Work/2026/May", true, None, true),
            known("Work/2026/June", false, None, true),
            known("Old/Gone", true, None, false),
            known("Play", true, None, true),
            known("Play/Chess", true, None, true),
        ])
    }

    /// `%` at the top level, `*`, or the name itself.
    fn check(pattern: &str, select: ListSelect, expected: &[&str]) {
        let matches = |name: &str| match pattern {
            "*" => true,
            "%" => !name.contains('/'),
            _ => name == pattern,
        };
        let line = |shown: &Shown<'_>| {
            let mut line = shown.name.to_owned();
            let marks = [
                (!shown.exists, " gone"),
                (shown.has_children, " parent"),
                (shown.subscribed, " sub"),
                (shown.subscribed_below, " below"),
                (shown.special_below, " special-below"),
            ];
            marks.iter().filter(|(is, _)| *is).for_each(|(_, mark)| line.push_str(mark));
            line
        };
        let tree = tree();
        let shown: Vec<String> = tree.list(&matches, select).iter().map(line).collect();
        assert_eq!(shown, expected, "{pattern} {select:?}");
    }

    #[test]
    fn parents_without_a_mailbox_are_shown_as_such() {
        let all = ListSelect::default();
        check("%", all, &["INBOX sub", "Archive", "Play parent sub", "Work gone parent"]);
        check("Work/2026", all, &["Work/2026 gone parent"]);
        check("Old", all, &[]);
        check("Nowhere", all, &[]);
    }

    #[test]
    fn subscriptions_are_selected_with_or_without_what_is_below() {
        let subscribed = ListSelect { subscribed: true, ..ListSelect::default() };
        let sub = ["INBOX sub", "Play parent sub"];
        check("%", subscribed, &sub);
        let recursive = ListSelect { recursive_match: true, ..subscribed };
        check(
            "%",
            recursive,
            &["INBOX sub", "Old gone below", "Play parent sub below", "Work gone parent below"],
        );
        let star = [
            "INBOX sub",
            "Old/Gone gone sub",
            "Play parent sub",
            "Play/Chess sub",
            "Work/2026/May sub",
        ];
        check("*", recursive, &star);
    }

    #[test]
    fn special_uses_are_selected() {
        let special = ListSelect { special_use: true, ..ListSelect::default() };
        check("*", special, &["Archive"]);
    }
}
