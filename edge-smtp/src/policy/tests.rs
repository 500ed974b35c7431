//! Checks against a zone in memory.

mod judging;
mod suite;
pub(crate) mod zone;

use std::sync::Arc;

use engine::memory::World;

use super::{Judge, PolicyOptions};
use zone::Zone;

fn judge(options: PolicyOptions, zone: Zone) -> Judge {
    let clock = World::default().process("edge").clock;
    Judge::new(options, Arc::new(zone), clock).unwrap()
}

/// That a message has a signature which the published half of this key verifies.
pub(crate) async fn assert_signed(message: &str, name: &str, key: &mail::dkim::SigningKey) {
    let zone = Zone::default().txt(name, &key.record().unwrap());
    let options = PolicyOptions { dmarc: super::Action::Note, ..PolicyOptions::default() };
    let arrival = super::Arrival {
        peer: "192.0.2.1".parse().unwrap(),
        helo: "x",
        sender: None,
        host: &mail::Domain::parse("mx.test").unwrap(),
        at: mail::Timestamp(0),
        message: message.as_bytes(),
    };
    let dkim = judge(options, zone).judge(&arrival).await.verdicts.dkim.unwrap();
    assert!(dkim.len() == 1 && dkim[0].found == mail::verdicts::Found::Pass, "{dkim:?}");
}
