//! What is sent: messages that differ, and compress about like real mail (to some 41 %).
//!
//! Words come by Zipf's law from a vocabulary of pseudo-words; headers carry ids, addresses and a
//! signature that do not repeat. Seeded, so every run sends the same.

use std::fmt::Write as _;

/// Words that all messages draw from.
const VOCABULARY: usize = 6_000;

/// Writes messages.
pub(crate) struct Author {
    dice: Dice,
    words: Vec<String>,
    written: u64,
}

/// A small generator of pseudo-random numbers (SplitMix64): a benchmark needs no better one.
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(1).max(1);
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    /// A rank by Zipf's law: rank k about as often as 1/k.
    fn rank(&mut self, n: usize) -> usize {
        // Two draws: a power of two, then a place below it; close enough to 1/k.
        let bits = usize::try_from(n.max(2).ilog2()).unwrap_or(1);
        let octave = 1_usize << self.below(bits + 1);
        (octave - 1 + self.below(octave)).min(n - 1)
    }

    fn letters(&mut self, n: usize) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..n).map(|_| char::from(LETTERS[self.below(64)])).collect()
    }
}

impl Author {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let words = (0..VOCABULARY).map(|rank| word(&mut dice, rank)).collect();
        Self { dice, words, written: 0 }
    }

    /// The next message, of about `bytes` bytes with its header, CRLF line ends.
    pub(crate) fn message(&mut self, bytes: usize) -> Vec<u8> {
        let name = self.name();
        self.message_from(&format!("{name}@sender.test"), bytes)
    }

    /// The same from this address.
    pub(crate) fn message_from(&mut self, address: &str, bytes: usize) -> Vec<u8> {
        self.written += 1;
        let mut text = self.header(address);
        while text.len() < bytes {
            let paragraph = 2 + self.dice.below(5);
            for _ in 0..paragraph {
                let line = self.sentence(72);
                text.push_str(&line);
                text.push_str("\r\n");
                if text.len() >= bytes {
                    break;
                }
            }
            if self.dice.below(4) == 0 {
                let token = self.dice.letters(28);
                // Writing to a String does not fail.
                write!(text, "https://www.example.org/n/{token}\r\n").ok();
            }
            text.push_str("\r\n");
        }
        text.into_bytes()
    }

    fn header(&mut self, address: &str) -> String {
        let (from, host) = (self.name(), self.name());
        let (id, token) = (self.dice.next(), self.dice.letters(16));
        let (hash, signature) = (self.dice.letters(43), self.dice.letters(86));
        let subject = self.sentence(40);
        let n = self.written;
        format!(
            "Received: from {host}.sender.test ({host}.sender.test [192.0.2.{}])\r\n\
             \tby mx.sender.test (Postfix) with ESMTPS id {id:016X}\r\n\
             \tfor <list@sender.test>; Tue, 24 Nov 2026 12:{:02}:{:02} +0000 (UTC)\r\n\
             DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=sender.test; s=mail;\r\n\
             \th=From:Date:Subject:To; bh={hash}=;\r\n\tb={signature}==\r\n\
             From: {from} {host} <{address}>\r\nTo: reader@example.test\r\n\
             Subject: {subject}\r\nDate: Tue, 24 Nov 2026 12:{:02}:{:02} +0000\r\n\
             Message-ID: <{token}.{n}@{host}.sender.test>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
            n % 256,
            n / 60 % 60,
            n % 60,
            n / 60 % 60,
            n % 60,
        )
    }

    fn name(&mut self) -> String {
        let rank = 200 + self.dice.below(VOCABULARY - 200);
        self.words.get(rank).cloned().unwrap_or_default()
    }

    /// Words up to about so many bytes.
    fn sentence(&mut self, bytes: usize) -> String {
        let mut line = String::new();
        while line.len() < bytes {
            let rank = self.dice.rank(VOCABULARY);
            line.push_str(self.words.get(rank).map_or("the", String::as_str));
            line.push_str(if self.dice.below(9) == 0 { ", " } else { " " });
        }
        line.trim_end().to_owned()
    }
}

/// A pseudo-word; frequent ones are short.
fn word(dice: &mut Dice, rank: usize) -> String {
    const HEADS: [&str; 16] =
        ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "th"];
    const HEARTS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "ie"];
    const TAILS: [&str; 8] = ["", "n", "r", "s", "t", "nd", "st", "l"];
    let syllables = 1 + usize::try_from((rank + 1).ilog2()).unwrap_or(0) / 5 + dice.below(2);
    (0..syllables)
        .map(|_| {
            let (head, heart, tail) = (dice.below(16), dice.below(8), dice.below(8));
            [HEADS[head], HEARTS[heart], TAILS[tail]].concat()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_differ_and_compress_about_like_real_mail() {
        let mut author = Author::new(1);
        for (bytes, from, to) in [(2_048, 0.5, 0.75), (20_480, 0.36, 0.46)] {
            let messages: Vec<_> = (0..50).map(|_| author.message(bytes)).collect();
            let raw: usize = messages.iter().map(Vec::len).sum();
            let small: usize =
                messages.iter().map(|m| zstd::bulk::compress(m, 1).unwrap().len()).sum();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let ratio = small as f64 / raw as f64;
            assert!(ratio > from && ratio < to, "{bytes} bytes compress to {ratio}");
            let mut different = messages.clone();
            different.sort();
            different.dedup();
            assert_eq!(different.len(), messages.len());
        }
    }
}
