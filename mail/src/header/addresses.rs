//! Address lists of header fields as ENVELOPE shows them: raw pieces, nothing decoded
//! (RFC 9051 §7.5.2; RFC 5322 §3.4 with the obsolete forms of §4.4, and what is met in the wild).

use crate::header::{Lexer, is_space, unfold};

/// One `address` structure of IMAP. A group begins with one that has no host (its mailbox is the
/// group's name), and ends with one that has neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressItem {
    /// Display name: unquoted, RFC 2047 words not decoded. Without one, the comment behind an old
    /// `addr (Name)`.
    pub name: Option<Vec<u8>>,
    /// Source route (`@a,@b`), obsolete.
    pub route: Option<Vec<u8>>,
    /// Local part, unquoted; or the name of a group.
    pub mailbox: Option<Vec<u8>>,
    /// Domain. Empty for an address that lacks it (as a group would look without one).
    pub host: Option<Vec<u8>>,
}

impl AddressItem {
    /// Whether it begins a group.
    #[must_use]
    pub const fn is_group_start(&self) -> bool {
        self.host.is_none() && self.mailbox.is_some()
    }

    /// Whether it ends a group.
    #[must_use]
    pub const fn is_group_end(&self) -> bool {
        self.host.is_none() && self.mailbox.is_none()
    }
}

/// Longest display name that is kept; a header is ≤ 1 MiB, and words may be joined by it.
const NAME_BYTES_MAX: usize = 64 * 1024;

/// The addresses of a raw value, in order. Linear; every byte is looked at a bounded number of
/// times. What cannot be understood is skipped up to the next comma.
#[must_use]
pub fn addresses(value: &[u8]) -> Vec<AddressItem> {
    let mut list = List { lexer: Lexer::new(value), items: Vec::new(), in_group: false };
    list.read();
    list.items
}

struct List<'a> {
    lexer: Lexer<'a>,
    items: Vec<AddressItem>,
    in_group: bool,
}

/// Words before it is known whether they are a name or a local part.
#[derive(Default)]
struct Words {
    /// Joined by single spaces: as a display name.
    phrase: Vec<u8>,
    /// Joined without spaces: as a local part.
    joined: Vec<u8>,
    some: bool,
}

impl Words {
    fn push(&mut self, word: &[u8], spaced: bool) {
        if spaced && self.some && self.phrase.len() < NAME_BYTES_MAX {
            self.phrase.push(b' ');
        }
        if self.phrase.len() + word.len() <= NAME_BYTES_MAX {
            self.phrase.extend_from_slice(word);
        }
        self.joined.extend_from_slice(word);
        self.some = true;
    }
}

impl List<'_> {
    fn read(&mut self) {
        let mut words = Words::default();
        let mut comment = None;
        loop {
            let before = self.lexer.clone();
            if let Some(text) = self.lexer.skip_comments() {
                comment = Some(text);
            }
            let spaced = before.peek() != self.lexer.peek() || before.peek().is_some_and(is_space);
            match self.lexer.peek() {
                None => break,
                Some(b',') => {
                    self.lexer.next();
                    self.bare(std::mem::take(&mut words), comment.take());
                }
                Some(b';') => {
                    self.lexer.next();
                    self.bare(std::mem::take(&mut words), comment.take());
                    self.end_group();
                }
                Some(b':') => {
                    self.lexer.next();
                    self.start_group(std::mem::take(&mut words));
                    comment = None;
                }
                Some(b'<') => {
                    self.lexer.next();
                    self.angle(&std::mem::take(&mut words));
                    comment = None;
                }
                Some(b'@') => {
                    self.lexer.next();
                    let host = self.domain();
                    let words = std::mem::take(&mut words);
                    let name = self.lexer.skip_comments().or(comment.take());
                    self.push(name, None, words.joined, host);
                    self.skip_to_separator();
                }
                Some(b'"') => {
                    self.lexer.next();
                    let mut text = Vec::new();
                    self.lexer.quoted(&mut text);
                    words.push(&text, spaced);
                }
                Some(_) => {
                    let atom = self.lexer.take_while(is_word);
                    if atom.is_empty() {
                        // A special that has no place here, such as ">" or "]".
                        self.lexer.next();
                    } else {
                        words.push(atom, spaced);
                    }
                }
            }
        }
        self.bare(words, comment);
        self.end_group();
    }

    fn start_group(&mut self, words: Words) {
        self.end_group();
        self.in_group = true;
        self.items.push(AddressItem { mailbox: Some(words.phrase), ..AddressItem::default() });
    }

    fn end_group(&mut self) {
        if self.in_group {
            self.items.push(AddressItem::default());
        }
        self.in_group = false;
    }

    /// Words without "@": a local part alone (`root`), as old systems send it.
    fn bare(&mut self, words: Words, comment: Option<&[u8]>) {
        if words.some {
            self.push(comment, None, words.phrase, Vec::new());
        }
    }

    /// After "<": optional route, local part, "@", domain, ">".
    fn angle(&mut self, name: &Words) {
        let name = Some(&*name.phrase).filter(|phrase| !phrase.is_empty());
        let mut route = None;
        self.lexer.skip_comments();
        if self.lexer.peek() == Some(b'@') {
            let hops = self.lexer.take_while(|byte| !matches!(byte, b':' | b'>'));
            if self.lexer.eat(b':') {
                route = Some(unfold(hops).into_owned());
            }
        }
        let mut local = Words::default();
        loop {
            self.lexer.skip_comments();
            if self.lexer.eat(b'"') {
                let mut text = Vec::new();
                self.lexer.quoted(&mut text);
                local.push(&text, false);
                continue;
            }
            let atom = self.lexer.take_while(|byte| is_word(byte) || matches!(byte, b':' | b';'));
            if atom.is_empty() {
                break;
            }
            local.push(atom, false);
        }
        let host = if self.lexer.eat(b'@') { self.domain() } else { Vec::new() };
        // The null address `<>` says nothing but its name.
        if local.some || !host.is_empty() || name.is_some() {
            self.push(name, route, local.joined, host);
        }
        self.lexer.take_while(|byte| !matches!(byte, b'>' | b','));
        self.lexer.eat(b'>');
        self.skip_to_separator();
    }

    /// After "@": dot-atom with white space and comments around the dots, or a literal.
    fn domain(&mut self) -> Vec<u8> {
        let mut host = Vec::new();
        self.lexer.skip_comments();
        if self.lexer.peek() == Some(b'[') {
            host.extend_from_slice(
                self.lexer.take_while(|byte| !matches!(byte, b']' | b'>' | b',')),
            );
            if self.lexer.eat(b']') {
                host.push(b']');
            }
            return unfold(&host).into_owned();
        }
        loop {
            let atom = self.lexer.take_while(|byte| is_word(byte) || byte == b'@');
            host.extend_from_slice(atom);
            let mut ahead = self.lexer.clone();
            ahead.skip_space();
            // RFC 5322 §4.4: obsolete domains have space around their dots.
            let goes_on = ahead.peek() == Some(b'.') || (host.ends_with(b".") && !atom.is_empty());
            if !goes_on || !ahead.peek().is_some_and(is_word) {
                return host;
            }
            self.lexer = ahead;
        }
    }

    fn push(
        &mut self,
        name: Option<&[u8]>,
        route: Option<Vec<u8>>,
        mailbox: Vec<u8>,
        host: Vec<u8>,
    ) {
        let name = name.map(|name| unfold(name).into_owned()).filter(|name| !name.is_empty());
        self.items.push(AddressItem { name, route, mailbox: Some(mailbox), host: Some(host) });
    }

    /// Past what stands between an address and the comma, semicolon or end after it.
    fn skip_to_separator(&mut self) {
        loop {
            self.lexer.skip_comments();
            match self.lexer.peek() {
                None | Some(b',') => {
                    self.lexer.eat(b',');
                    return;
                }
                // The semicolon ends the group and is read there; "<" and '"' begin an address
                // whose comma is missing.
                Some(b';' | b'<' | b'"') => return,
                Some(_) => {
                    self.lexer.next();
                    self.lexer.take_while(|byte| !b",;<\"( \t\r\n\0".contains(&byte));
                }
            }
        }
    }
}

/// A byte of an atom or of dots between them, generously: 8-bit bytes too.
fn is_word(byte: u8) -> bool {
    !is_space(byte) && !b"()<>,;:@\"".contains(&byte)
}
