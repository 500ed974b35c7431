//! What is configured of the checks.

use std::time::Duration;

use mail::Domain;

/// What is done with the result of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It is not made.
    Off,
    /// It is noted in Authentication-Results, and does nothing.
    #[default]
    Note,
    /// What the domain's owner asks for is done.
    Honour,
}

/// Which checks are made of incoming mail.
#[derive(Clone, Debug)]
pub struct PolicyOptions {
    /// SPF. Honoured: `-all` is refused, unless DMARC passes.
    pub spf: Action,
    /// DKIM.
    pub dkim: bool,
    /// DMARC. Honoured: `reject` is refused, `quarantine` goes to Junk.
    pub dmarc: Action,
    /// ARC.
    pub arc: bool,
    /// Domains whose ARC seals are believed: what DMARC fails for their forwarding is taken.
    pub arc_trusted: Vec<Domain>,
    /// The client's reverse name.
    pub reverse: bool,
    /// Questions to DNS per message (F3).
    pub lookups_max: u32,
    /// All questions of a message are over by then.
    pub deadline: Duration,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self {
            spf: Action::Note,
            dkim: true,
            dmarc: Action::Honour,
            arc: true,
            arc_trusted: Vec::new(),
            reverse: true,
            lookups_max: 100,
            deadline: Duration::from_secs(20),
        }
    }
}

impl PolicyOptions {
    /// Whether nothing is checked at all, and no question asked.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.spf == Action::Off
            && !self.dkim
            && self.dmarc == Action::Off
            && !self.arc
            && !self.reverse
    }
}
