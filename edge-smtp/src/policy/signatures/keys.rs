//! Public keys, asked for before mail-auth wants them: it never asks DNS itself.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use futures_util::future::join_all;
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::{DnsError, Error, ResolverCache, Txt};
use net::dns::DnsFault;

use crate::policy::lookups::Lookups;

/// What DNS said of each name.
pub(super) struct Keys(HashMap<Box<str>, Txt>);

impl Keys {
    /// Asks for all of them at once.
    pub(super) async fn ask(lookups: &Lookups<'_>, names: BTreeSet<String>) -> Self {
        let asked = names.into_iter().map(|name| async move {
            let answer = key(lookups.txt(&name).await);
            (name.into_boxed_str(), answer)
        });
        Self(join_all(asked).await.into_iter().collect())
    }
}

fn key(answer: Result<Vec<String>, DnsFault>) -> Txt {
    match answer {
        Ok(texts) => {
            let parsed = texts.iter().map(|text| DomainKey::parse(text.as_bytes()));
            let mut last = Error::Dns(DnsError::InvalidRecordType);
            for one in parsed {
                match one {
                    Ok(key) => return Txt::DomainKey(Arc::new(key)),
                    Err(error) => last = error,
                }
            }
            Txt::Error(last)
        }
        Err(fault) if fault.is_temporary() => {
            Txt::Error(Error::Dns(DnsError::Resolver(fault.to_string())))
        }
        Err(_) => not_there(),
    }
}

const fn not_there() -> Txt {
    Txt::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)))
}

impl ResolverCache<Box<str>, Txt> for Keys {
    /// What was not asked for (reports, other signers) is not there.
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(self.0.get(name).cloned().unwrap_or_else(not_there))
    }

    fn remove<Q>(&self, _name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _name: Box<str>, _value: Txt, _until: std::time::Instant) {}
}
