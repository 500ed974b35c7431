//! Flags between the protocol and the store.

use mail::flags::{FlagSet, Keyword, SystemFlags};
use proto::imap::command::Flag;

use crate::replies::Refusal;

const SYSTEM: [(SystemFlags, Flag); 5] = [
    (SystemFlags::ANSWERED, Flag::Answered),
    (SystemFlags::FLAGGED, Flag::Flagged),
    (SystemFlags::DELETED, Flag::Deleted),
    (SystemFlags::SEEN, Flag::Seen),
    (SystemFlags::DRAFT, Flag::Draft),
];

/// All flags that every mailbox has (RFC 9051 §2.3.2).
pub(crate) fn system() -> Vec<Flag> {
    SYSTEM.map(|(_, flag)| flag).to_vec()
}

/// A keyword as the protocol writes it.
pub(crate) fn keyword(keyword: &Keyword) -> Flag {
    Flag::Keyword(keyword.as_str().to_owned())
}

/// A message's flags as the protocol writes them.
pub(crate) fn shown(flags: &FlagSet) -> Vec<Flag> {
    let system = SYSTEM.iter().filter(|(bit, _)| flags.system.contains(*bit));
    let keywords = flags.keywords().iter().map(keyword);
    system.map(|(_, flag)| flag.clone()).chain(keywords).collect()
}

/// The flags of a command as the store keeps them.
pub(crate) fn taken(flags: &[Flag]) -> Result<FlagSet, Refusal> {
    let mut system = SystemFlags::NONE;
    let mut keywords = Vec::new();
    for flag in flags {
        match flag {
            Flag::Keyword(name) => {
                let keyword = Keyword::parse(name)
                    .map_err(|_| Refusal::Limit("a keyword has at most 100 characters"))?;
                keywords.push(keyword);
            }
            flag => {
                let bits = SYSTEM.iter().filter(|(_, known)| known == flag);
                system = bits.fold(system, |all, (bit, _)| all.with(*bit));
            }
        }
    }
    Ok(FlagSet::new(system, keywords))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9051 §2.3.2.
    #[test]
    fn flags_go_into_the_store_and_come_back() {
        let given = [
            Flag::Seen,
            Flag::Keyword("$Forwarded".into()),
            Flag::Draft,
            Flag::Keyword("a".into()),
        ];
        let set = taken(&given).unwrap();
        assert_eq!(set.to_string(), "(\\Seen \\Draft $Forwarded a)");
        assert_eq!(shown(&set).len(), 4);
        assert_eq!(taken(&shown(&set)), Ok(set));
        assert!(taken(&[Flag::Keyword("x".repeat(101))]).is_err());
    }
}
