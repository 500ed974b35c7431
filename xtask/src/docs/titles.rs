//! The RFCs that code cites, by what they are about.

/// Number, short title, and what a server of ours tells its clients of it: an EHLO keyword, a
/// capability, a DNS record.
pub(super) type Title = (u32, &'static str, &'static str);

/// Rules that no test shows yet. One that a test cites must go from here; let none come.
pub(super) const UNTESTED: &[(u32, &str)] = &[
    // Posting to an HTTPS server needs one with a public name.
    (8460, "5.4"),
];

/// All of them, in the order of the document.
pub(super) const GROUPS: &[(&str, &[Title])] = &[
    ("SMTP and submission", SMTP),
    ("Bounces", BOUNCES),
    ("Judging mail", JUDGING),
    ("Finding and trusting other servers", SERVERS),
    ("Login", LOGIN),
    ("IMAP", IMAP),
    ("Messages", MESSAGES),
];

const SMTP: &[Title] = &[
    (5321, "Simple Mail Transfer Protocol", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"),
    (1870, "message size declaration", "SIZE"),
    (2034, "enhanced error codes", "ENHANCEDSTATUSCODES"),
    (2920, "command pipelining", "PIPELINING"),
    (3030, "large and binary messages", "CHUNKING BINARYMIME"),
    (3207, "SMTP over TLS", "STARTTLS"),
    (3848, "ESMTP transmission types", ""),
    (4954, "authentication", "AUTH"),
    (6152, "8-bit MIME transport", "8BITMIME"),
    (6409, "message submission", ""),
    (6531, "internationalised mail", "SMTPUTF8"),
    (8314, "implicit TLS", ""),
    (9422, "limits", "LIMITS"),
];

const BOUNCES: &[Title] = &[
    (3461, "delivery status notifications", "DSN"),
    (3463, "enhanced status codes", ""),
    (3464, "the form of a report", ""),
    (6522, "multipart/report", ""),
    (6533, "reports with internationalised addresses", ""),
];

const JUDGING: &[Title] = &[
    (5782, "DNS blocklists", ""),
    (6008, "the begin of a signature", ""),
    (6376, "DKIM", "_domainkey"),
    (6647, "greylisting", ""),
    (7208, "SPF", "v=spf1"),
    (7489, "DMARC as it was", ""),
    (7372, "codes of refusals by authentication", ""),
    (8301, "DKIM's algorithms", ""),
    (8463, "Ed25519 in DKIM", ""),
    (8601, "Authentication-Results", ""),
    (8617, "ARC", ""),
    (9989, "DMARC", "v=DMARC1"),
];

const SERVERS: &[Title] = &[
    (1035, "domain names", ""),
    (2181, "clarifications of DNS", ""),
    (2308, "negative caching", ""),
    (4035, "DNSSEC", ""),
    (5452, "forged answers", ""),
    (6840, "clarifications of DNSSEC", ""),
    (2782, "SRV records", "_submission._tcp _imap._tcp"),
    (6186, "finding submission and mailbox access", ""),
    (6761, "special names", ""),
    (6890, "special addresses", ""),
    (7505, "null MX", ""),
    (7435, "opportunistic security", ""),
    (6698, "TLSA records", "_25._tcp"),
    (7671, "DANE in operation", ""),
    (7672, "DANE for SMTP", ""),
    (8461, "MTA-STS", "_mta-sts"),
    (8460, "TLS-RPT", "_smtp._tls"),
    (6125, "names in certificates, as they were", ""),
    (9990, "reports of DMARC", ""),
    (8689, "TLS that is required, or not", ""),
    (9525, "names in certificates", ""),
    (8555, "ACME", ""),
    (9110, "HTTP", ""),
];

const LOGIN: &[Title] = &[
    (4422, "SASL", ""),
    (4616, "PLAIN", "AUTH=PLAIN"),
    (5802, "SCRAM", ""),
    (5803, "SCRAM verifiers as text", ""),
    (7677, "SCRAM-SHA-256", "AUTH=SCRAM-SHA-256"),
    (9266, "channel binding of TLS 1.3", "AUTH=SCRAM-SHA-256-PLUS"),
    (5929, "channel bindings of TLS", ""),
    (4013, "SASLprep", ""),
    (3454, "stringprep", ""),
];

const IMAP: &[Title] = &[
    (
        9051,
        "IMAP4rev2",
        "IMAP4rev2 CAPABILITY LOGOUT LOGIN AUTHENTICATE STATUS APPEND FETCH STORE COPY",
    ),
    (3501, "IMAP4rev1", "IMAP4rev1 LOGINDISABLED CHECK LSUB"),
    (2177, "waiting for news", "IDLE"),
    (2180, "a mailbox that others change", ""),
    (2342, "namespaces", "NAMESPACE"),
    (2971, "who speaks", "ID"),
    (3348, "mailboxes below mailboxes", "CHILDREN"),
    (3516, "decoded parts", "BINARY in FETCH"),
    (3691, "leaving a mailbox", "UNSELECT"),
    (4315, "UIDs in answers", "UIDPLUS"),
    (4731, "short answers to SEARCH", "ESEARCH"),
    (4959, "a first response with AUTHENTICATE", "SASL-IR"),
    (5161, "asking for extensions", "ENABLE"),
    (5182, "the last result of SEARCH", "SEARCHRES"),
    (5258, "LIST with options", "LIST-EXTENDED"),
    (5530, "response codes", ""),
    (5788, "keywords", ""),
    (5819, "STATUS in LIST", "LIST-STATUS"),
    (6154, "what mailboxes are for", "SPECIAL-USE CREATE-SPECIAL-USE"),
    (6851, "moving messages", "MOVE"),
    (7162, "quick resynchronisation", "CONDSTORE QRESYNC"),
    (7888, "literals that do not wait", "LITERAL+ LITERAL-"),
    (7889, "largest message", "APPENDLIMIT"),
    (8438, "sizes of mailboxes", "STATUS=SIZE"),
    (8970, "previews", ""),
    (9208, "quotas", "QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE"),
];

const MESSAGES: &[Title] = &[
    (5322, "message format", ""),
    (2045, "MIME", ""),
    (2046, "media types", ""),
    (2047, "text other than ASCII in fields", ""),
    (2183, "Content-Disposition", ""),
    (2231, "parameters of MIME", ""),
    (3986, "percent encoding", ""),
    (1939, "POP3: its lock", ""),
    (2142, "names of people in charge", ""),
    (5233, "+detail", ""),
    (3834, "automatic answers", ""),
    (8098, "receipts of reading", ""),
    (2152, "UTF-7", ""),
    (1557, "ISO-2022-KR", ""),
    (1843, "HZ", ""),
    (8878, "zstd", ""),
];
