//! Sections about what is thought of incoming mail.

use std::time::Duration;

use super::schema::section;
use super::values::{BlockAction, ByteSize, CheckAction, FailureAction};

section! {
    /// Checks of mail from other servers. What they find stands in Authentication-Results. All off:
    /// no question is asked of DNS.
    pub struct PolicySection {
        /// SPF. `honour` refuses what a domain's record says `-all` to, unless DMARC passes.
        pub spf: CheckAction = CheckAction::Note,
        /// Verify DKIM signatures.
        pub dkim: bool = true,
        /// DMARC. `honour` refuses where the domain's policy says so, or puts the mail into Junk.
        pub dmarc: CheckAction = CheckAction::Honour,
        /// Verify ARC chains.
        pub arc: bool = true,
        /// Domains of forwarders and lists whose ARC seals are believed: what DMARC fails for
        /// their forwarding is taken.
        pub arc_trusted: Vec<String> = Vec::new(),
        /// Look up the client's name.
        pub reverse: bool = true,
        /// Questions to DNS about one message.
        pub lookups_max: u32 = 100,
        /// Time for them all. What has no answer by then is never a reason to refuse.
        pub deadline: Duration = Duration::from_secs(20),
    }
}

section! {
    /// One DNS blocklist, `[blocklists.NAME]`. The name is for you.
    pub struct BlocklistSection {
        /// Its zone, such as zen.example.org.
        pub zone: Option<String> = None,
        /// What is done with mail from addresses on it.
        pub action: BlockAction = BlockAction::Reject,
    }
}

section! {
    /// Greylisting: mail from who is not known is taken when it comes again. Kept in memory.
    pub struct GreylistSection {
        /// Whether it is done.
        pub on: bool = false,
        /// How long who is new has to wait.
        pub wait: Duration = Duration::from_secs(5 * 60),
        /// Who does not come again within this time is new again.
        pub again_within: Duration = Duration::from_secs(24 * 60 * 60),
        /// How long who came again is known.
        pub known_for: Duration = Duration::from_secs(36 * 24 * 60 * 60),
    }
}

section! {
    /// Spam filters beside this server, asked about every message from outside: rspamd by HTTP, or any
    /// that speaks the milter protocol. When rspamd does not answer, mail is taken without it.
    pub struct SpamSection {
        /// Its normal worker, such as http://127.0.0.1:11333. Without it, nobody is asked.
        pub url: Option<String> = None,
        /// Its controller, such as http://127.0.0.1:11334: told what people put into Junk, and take
        /// out of it. Without it, nobody is told.
        pub learn_url: Option<String> = None,
        /// A filter that speaks the milter protocol: `inet:127.0.0.1:11332` or `unix:/run/filter.sock`.
        /// It sees whole messages; of its answer only the verdict counts, nothing is changed. Without
        /// it, none is asked.
        pub milter: Option<String> = None,
        /// What is done when the milter does not answer.
        pub on_failure: FailureAction = FailureAction::Accept,
        /// Time for one answer.
        pub time: Duration = Duration::from_secs(10),
        /// Larger messages are not shown to it.
        pub message_size_max: ByteSize = ByteSize(10 << 20),
        /// Refuse what it rejects; else that goes to Junk.
        pub reject: bool = true,
        /// Ask what it wants to see again to come again; else that is taken.
        pub greylist: bool = false,
    }
}

section! {
    /// Reports to other domains: how mail in their name fared here (DMARC), and how TLS to their
    /// servers went (TLS-RPT). Only to those who ask for them in DNS, once a day, by mail without a
    /// sender. None are made where mail cannot leave.
    pub struct ReportsSection {
        /// Report what was found of mail in a domain's name.
        pub dmarc: bool = true,
        /// Report how TLS to a domain's servers went.
        pub tls: bool = true,
        /// Who writes them: an address of a domain of this office, whose keys sign them. Without one,
        /// the postmaster's.
        pub from: Option<String> = None,
        /// Name of the organisation, for people. Without one, the domain of `from`.
        pub organisation: Option<String> = None,
        /// What one report is about: a day. Less is for trying it out.
        pub interval: Duration = Duration::from_secs(24 * 60 * 60),
    }
}
