//! DNS blocklists (RFC 5782): who lists a client, asked once per connection.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use engine::Clock;
use futures_util::future::join_all;
use mail::Verdicts;
use net::Network;
use net::dns::Dns;
use proto::smtp::Reply;

use crate::replies;

/// Lists that are asked.
const LISTS_MAX: usize = 16;

/// What is done with mail of who is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAction {
    /// It is refused.
    Reject,
    /// It goes to Junk.
    Junk,
}

/// A list.
#[derive(Clone, Debug)]
pub struct Blocklist {
    /// Its name, for verdicts and metrics.
    pub name: String,
    /// Where it is asked: `<reversed address>.<zone>`.
    pub zone: String,
    /// What it is good for.
    pub action: ListAction,
}

/// The lists of a process.
pub struct Blocklists {
    lists: Vec<Blocklist>,
    dns: Arc<dyn Dns>,
    clock: Arc<dyn Clock>,
    /// Never asked about.
    trusted: Vec<Network>,
    /// A list that does not answer by then lists nobody.
    deadline: Duration,
}

impl std::fmt::Debug for Blocklists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocklists").field("lists", &self.lists).finish_non_exhaustive()
    }
}

/// Which lists have a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    client: Option<IpAddr>,
    lists: Vec<Blocklist>,
}

impl Blocklists {
    /// The first 16 of these lists; clients of `trusted` networks are never asked about.
    #[must_use]
    pub fn new(
        mut lists: Vec<Blocklist>,
        dns: Arc<dyn Dns>,
        clock: Arc<dyn Clock>,
        trusted: Vec<Network>,
    ) -> Self {
        lists.truncate(LISTS_MAX);
        Self { lists, dns, clock, trusted, deadline: Duration::from_secs(5) }
    }

    /// Asks all of them at once. Trouble with a list is no reason to refuse anybody.
    pub(crate) async fn check(&self, client: IpAddr) -> Listed {
        let client = client.to_canonical();
        if client.is_loopback() || self.trusted.iter().any(|network| network.contains(client)) {
            return Listed::default();
        }
        let until = self.clock.instant().after(self.deadline);
        let asked = self.lists.iter().map(|list| async move {
            let name = format!("{}.{}", reversed(client), list.zone);
            let listed = match self.clock.by(until, self.dns.listed(&name)).await {
                Ok(Ok(answer)) => answer.records.iter().any(|code| is_listing(*code)),
                Ok(Err(fault)) if fault.is_temporary() => {
                    tracing::warn!(list = list.name, %fault, "a blocklist does not answer");
                    false
                }
                _ => false,
            };
            listed.then(|| list.clone())
        });
        let lists: Vec<Blocklist> = join_all(asked).await.into_iter().flatten().collect();
        if !lists.is_empty() {
            metrics::counter!("postroad_smtp_listed_clients_total").increment(1);
        }
        Listed { client: Some(client), lists }
    }
}

impl Listed {
    /// The refusal of who is on a list whose word is final.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let list = self.lists.iter().find(|list| list.action == ListAction::Reject)?;
        Some(replies::listed(self.client?, &list.zone))
    }

    /// Tells it to those who keep the message.
    pub(crate) fn tell(&self, verdicts: &mut Verdicts) {
        for list in &self.lists {
            verdicts.listed.push(list.name.clone());
            verdicts.junk(format!("its sender's address is listed by {}", list.zone));
        }
    }
}

/// RFC 5782 §2.1; of 127.255.255.0/24 lists say that they would not answer.
fn is_listing(code: Ipv4Addr) -> bool {
    let [first, second, third, _] = code.octets();
    first == 127 && !(second == 255 && third == 255)
}

/// The address as it is asked for (RFC 5782 §2.1, §2.4).
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev();
            nibbles
                .map(|byte| format!("{:x}.{:x}", byte & 0xf, byte >> 4))
                .collect::<Vec<_>>()
                .join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::memory::World;

    use super::*;
    use crate::policy::tests::zone::{Rr, Zone};

    fn lists() -> Blocklists {
        let zone = Zone::default()
            .address("9.113.0.203.zen.test", "127.0.0.2")
            .address("8.113.0.203.zen.test", "127.255.255.254")
            .address("7.113.0.203.zen.test", "192.0.2.1")
            .with("6.113.0.203.zen.test", Rr::Timeout)
            .address("9.113.0.203.soft.test", "127.0.0.10")
            .address(
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.soft.test",
                "127.0.0.2",
            )
            .address("1.2.0.192.zen.test", "127.0.0.2");
        let list = |name: &str, action| Blocklist {
            name: name.into(),
            zone: format!("{name}.test"),
            action,
        };
        let lists = vec![list("soft", ListAction::Junk), list("zen", ListAction::Reject)];
        let clock = World::default().process("edge").clock;
        let trusted = vec!["192.0.2.0/24".parse().unwrap()];
        Blocklists::new(lists, Arc::new(zone), clock, trusted)
    }

    // RFC 5782 §2.1, §2.4.
    #[tokio::test(start_paused = true)]
    async fn who_is_listed_is_known_and_trouble_lists_nobody() {
        let lists = lists();
        let listed = lists.check("203.0.113.9".parse().unwrap()).await;
        let refusal = format!("{:?}", listed.refusal().unwrap());
        assert!(refusal.contains("203.0.113.9 is listed by zen.test"), "{refusal}");
        for fine in ["203.0.113.8", "203.0.113.7", "203.0.113.6", "192.0.2.1", "127.0.0.1"] {
            let listed = lists.check(fine.parse().unwrap()).await;
            assert!(listed.refusal().is_none() && listed.lists.is_empty(), "{fine}");
        }
        let soft = lists.check("2001:db8::1".parse().unwrap()).await;
        assert!(soft.refusal().is_none());
        let mut verdicts = Verdicts::default();
        soft.tell(&mut verdicts);
        assert!(verdicts.junk && verdicts.listed == ["soft"]);
    }
}
