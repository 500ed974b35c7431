//! A connection to a destination through one egress: its way, its hosts, one after the other.

use net::send::{Call, Channel, Fault, From, Stage};

use super::Shared;
use crate::egress::Egress;
use crate::routes::{NoWay, Target};

/// Who is at both ends of a connection.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// Number of the egress.
    pub(super) egress: usize,
    /// The host at the other end.
    pub(super) host: String,
}

/// An open connection.
pub(super) struct Line {
    pub(super) ends: Ends,
    pub(super) channel: Box<dyn Channel>,
    /// Messages offered over it so far.
    pub(super) messages: u32,
}

/// Why there is none.
pub(super) enum NoLine {
    /// The domain takes no mail.
    Never(mail::Reply),
    /// Nobody answered, or there is no way now.
    Unreachable(String),
    /// Somebody answered, and refused us before any message.
    Refused { host: String, stage: Stage, reply: mail::Reply },
    /// Our own side of the egress: says nothing of the destination [g′].
    Egress(String),
}

impl Shared {
    /// Connects through `egress` to the first host that answers. `told`: how TLS goes is counted
    /// for reports.
    pub(super) async fn dial(
        &self,
        destination: &str,
        number: usize,
        egress: &Egress,
        told: bool,
    ) -> Result<Line, NoLine> {
        let random = &*self.store.engines().random;
        let targets = match self.outside.routes.way(destination, random).await {
            Ok(targets) => targets,
            Err(NoWay::Never(reply)) => return Err(NoLine::Never(reply)),
            Err(NoWay::Later(why)) => return Err(NoLine::Unreachable(why)),
        };
        let (mut refused, mut why, mut ours) = (None, String::new(), None);
        for target in targets {
            if !fits(egress, &target) {
                continue;
            }
            let called = self.call(egress, &target).await;
            if told {
                super::tls::count(&self.store, destination, egress, &target, &called);
            }
            match called {
                Ok(channel) => {
                    let ends = Ends { egress: number, host: target.host };
                    return Ok(Line { ends, channel, messages: 0 });
                }
                Err(fault) if fault.stage == Stage::Egress => ours = Some(fault.to_string()),
                Err(Fault { stage, reply: Some(reply), .. }) => {
                    // The next host may answer otherwise; the first refusal tells.
                    refused = refused.or(Some((target.host, stage, reply)));
                }
                Err(fault) => why = format!("{}: {fault}", target.host),
            }
        }
        match (refused, ours) {
            (Some((host, stage, reply)), _) => Err(NoLine::Refused { host, stage, reply }),
            (None, Some(ours)) if why.is_empty() => Err(NoLine::Egress(ours)),
            _ if why.is_empty() => {
                Err(NoLine::Egress("no host has an address of this egress's family".to_owned()))
            }
            _ => Err(NoLine::Unreachable(why)),
        }
    }

    async fn call(&self, egress: &Egress, target: &Target) -> Result<Box<dyn Channel>, Fault> {
        let call = Call {
            from: From { source: egress.source, hello: egress.hello.clone() },
            host: target.host.clone(),
            address: target.address,
            reach: target.reach.clone(),
            security: target.security.clone(),
            login: target.login.clone(),
            limits: self.options.limits.clone(),
        };
        self.outside.dialer.call(call).await
    }
}

/// An IPv4 source reaches IPv4 hosts only.
fn fits(egress: &Egress, target: &Target) -> bool {
    egress.source.is_none_or(|source| source.is_ipv6() == target.address.is_ipv6())
}
