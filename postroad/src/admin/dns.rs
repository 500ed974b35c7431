//! The DNS records that a domain of ours has to publish, and whether they are there.

mod check;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use mail::Domain;
use mail::dkim::SigningKey;
use mail::sts::{StsMode, StsPolicy};
use serde::Serialize;
use store::rows::{DirectoryChange, DomainRow, KeyUse};

use super::{Admin, AdminError, Verdict, domain_name};

pub use check::Looker;

/// Longest string in a TXT record (RFC 1035 §3.3); longer texts are several.
const TXT_STRING_BYTES_MAX: usize = 255;

/// What of this office's configuration is published for each of its domains.
#[derive(Clone, Debug, Default)]
pub struct Publishing {
    /// Name of the mail exchanger: the office's host name.
    pub host: String,
    /// Services for mail programs (RFC 6186, RFC 8314), as `_imaps`, and their ports.
    pub services: Vec<(&'static str, u16)>,
    /// Whether the listener `https` serves pages of the domains.
    pub web: bool,
    /// Addresses that mail is sent from and what they say in EHLO, if they are configured and
    /// public; else the host's.
    pub egresses: Vec<(IpAddr, String)>,
}

/// One record to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// Its name, without a dot at the end.
    pub name: String,
    /// Its type; `POLICY` is no record, but a file to be served by HTTPS.
    pub kind: &'static str,
    /// Its data, as in a zone file; text not in quotes.
    pub value: String,
    /// What it is for: one line.
    pub why: &'static str,
    /// What was found, if it was looked for.
    #[serde(flatten)]
    pub check: Option<DnsCheck>,
    #[serde(skip)]
    wants: Wants,
}

/// What was found of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsCheck {
    /// How it is.
    pub verdict: Verdict,
    /// What is published.
    pub found: Vec<String>,
    /// What is wrong, or worth knowing.
    pub note: Option<String>,
}

/// How a record is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    Mx,
    Host,
    Spf,
    /// How bad it is if it is missing: not at all for a key that signs no more.
    Dkim(Verdict),
    Dmarc,
    Sts,
    StsHost,
    TlsRpt,
    Srv(u16),
    Policy(String),
}

impl DnsRecord {
    /// Whether it is the MTA-STS policy, a file that the host of its name serves.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        matches!(self.wants, Wants::Policy(_))
    }

    /// Whether it stands in a zone file as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(self.wants, Wants::Host | Wants::Policy(_))
    }

    /// The line of a zone file.
    #[must_use]
    pub fn line(&self) -> String {
        match self.kind {
            "TXT" => txt_line(&self.name, &self.value),
            kind => format!("{}. IN {kind} {}", self.name, self.value),
        }
    }
}

/// A TXT record as a line of a zone file.
#[must_use]
pub fn txt_line(name: &str, value: &str) -> String {
    format!("{name}. IN TXT {}", quoted(value))
}

/// A text as strings of a zone file (RFC 1035 §5.1).
fn quoted(text: &str) -> String {
    let mut strings = vec![String::new()];
    for letter in text.chars() {
        if strings.last().is_some_and(|one| one.len() + letter.len_utf8() > TXT_STRING_BYTES_MAX) {
            strings.push(String::new());
        }
        strings.iter_mut().last().into_iter().for_each(|one| one.push(letter));
    }
    let strings: Vec<_> = strings
        .into_iter()
        .map(|one| format!("\"{}\"", one.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    strings.join(" ")
}

/// Names and values of a domain's policies that can be set.
const POLICIES: [(&str, &[&str]); 2] =
    [("mta-sts", &["none", "testing", "enforce"]), ("dmarc", &["none", "quarantine", "reject"])];

impl Admin {
    /// Every DNS record that a domain has to publish.
    /// # Errors
    /// [`AdminError::NotFound`], or as [`AdminError`] says.
    pub async fn domain_records(
        &self,
        name: &str,
        publishing: &Publishing,
    ) -> Result<Vec<DnsRecord>, AdminError> {
        let domain = domain_name(name)?;
        let row = self.look().await?.domain(&domain).await?;
        let row =
            row.ok_or_else(|| AdminError::NotFound { what: "domain", name: domain.to_string() })?;
        records(&domain, &row, publishing)
    }

    /// Sets a policy of a domain: `mta-sts` (none, testing, enforce) or `dmarc` (none, quarantine,
    /// reject), which its DNS records tell.
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`], or as [`AdminError`] says.
    pub async fn set_domain_policy(
        &self,
        name: &str,
        policy: &str,
        value: &str,
    ) -> Result<(), AdminError> {
        let domain = domain_name(name)?;
        let known = POLICIES.iter().find(|(known, _)| *known == policy);
        let (_, values) = known.ok_or_else(|| {
            AdminError::invalid(format!("no such policy: {policy}"), "it is mta-sts or dmarc")
        })?;
        if !values.contains(&value) {
            return Err(AdminError::invalid(
                format!("{policy} cannot be {value}: it is one of {}", values.join(", ")),
                "begin with the mildest, and read the reports",
            ));
        }
        self.change(async |directory| {
            let Some(row) = directory.domain(&domain).await? else {
                return Err(AdminError::NotFound { what: "domain", name: domain.to_string() });
            };
            let mut row = DomainRow::clone(&row);
            row.policies.retain(|(known, _)| known != policy);
            row.policies.push((policy.to_owned(), value.to_owned()));
            Ok((vec![DirectoryChange::Domain(domain.clone(), row)], ()))
        })
        .await
    }
}

fn records(
    domain: &Domain,
    row: &DomainRow,
    publishing: &Publishing,
) -> Result<Vec<DnsRecord>, AdminError> {
    let host = &publishing.host;
    let record = |name: String, kind, value: String, why, wants| DnsRecord {
        name,
        kind,
        value,
        why,
        check: None,
        wants,
    };
    let mut all = vec![
        record(domain.to_string(), "MX", format!("10 {host}."), "where its mail goes", Wants::Mx),
        record(host.clone(), "A", "(its address)".to_owned(), "where that is", Wants::Host),
        record(
            domain.to_string(),
            "TXT",
            spf(publishing),
            "SPF: which addresses send its mail",
            Wants::Spf,
        ),
    ];
    for key in &row.dkim {
        let name = format!("{}._domainkey.{domain}", key.selector);
        let public = SigningKey::from_pkcs8(&key.private_key).and_then(|key| key.record());
        let public = public.map_err(|why| AdminError::Damaged(format!("{name}: {why}")))?;
        let (why, missing) = match key.used {
            KeyUse::Signing => ("DKIM: its signatures are checked by it", Verdict::Failure),
            KeyUse::Waiting(_) => ("DKIM: a key that signs soon", Verdict::Warning),
            KeyUse::Retired => ("DKIM: a key that signed, for mail on its way", Verdict::Ok),
        };
        all.push(record(name, "TXT", public, why, Wants::Dkim(missing)));
    }
    let asked = row.policy("dmarc").unwrap_or("none");
    all.push(record(
        format!("_dmarc.{domain}"),
        "TXT",
        format!("v=DMARC1; p={asked}; rua=mailto:postmaster@{domain}"),
        "DMARC: what others do with mail that pretends to be its",
        Wants::Dmarc,
    ));
    all.extend(
        sts(domain, row, publishing)
            .into_iter()
            .map(|(name, kind, value, why, wants)| record(name, kind, value, why, wants)),
    );
    // RFC 8460 §3: where others report how TLS went.
    all.push(record(
        format!("_smtp._tls.{domain}"),
        "TXT",
        format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}"),
        "TLS-RPT: where others report that TLS failed",
        Wants::TlsRpt,
    ));
    // RFC 6186 §3: mail programs find their services by SRV records.
    for (service, port) in &publishing.services {
        all.push(record(
            format!("{service}._tcp.{domain}"),
            "SRV",
            format!("0 1 {port} {host}."),
            "mail programs find the server by it",
            Wants::Srv(*port),
        ));
    }
    Ok(all)
}

fn spf(publishing: &Publishing) -> String {
    let mut text = "v=spf1 mx".to_owned();
    for (address, _) in &publishing.egresses {
        let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
        text.push_str(&format!(" {kind}:{address}"));
    }
    text.push_str(" -all");
    text
}

type Part = (String, &'static str, String, &'static str, Wants);

/// MTA-STS (RFC 8461): a record, a host and a file; nothing if the domain has none.
fn sts(domain: &Domain, row: &DomainRow, publishing: &Publishing) -> Vec<Part> {
    let mode = row.policy("mta-sts").and_then(StsMode::parse).unwrap_or_default();
    if mode == StsMode::None {
        return Vec::new();
    }
    let policy = StsPolicy { mode, hosts: vec![publishing.host.clone()] };
    let host = format!("mta-sts.{domain}");
    vec![
        (
            format!("_mta-sts.{domain}"),
            "TXT",
            policy.record(),
            "MTA-STS: others learn by it that they must use TLS",
            Wants::Sts,
        ),
        (
            host.clone(),
            "CNAME",
            format!("{}.", publishing.host),
            "MTA-STS: where the policy is; the listener `https` serves it",
            Wants::StsHost,
        ),
        (
            host,
            "POLICY",
            policy.text().split_whitespace().collect::<Vec<_>>().join(" "),
            "MTA-STS: at https://…/.well-known/mta-sts.txt, with a certificate for this name",
            Wants::Policy(policy.text()),
        ),
    ]
}
