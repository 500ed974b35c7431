//! What a process can know of the others of its store: whether the holder of a lease is dead, so
//! that its lease need not be waited out.

use crate::Random;

/// Says that a holder's first bytes are the name of a process.
const NAMED: [u8; 4] = *b"proc";

/// The processes of a store, as far as the engine knows them.
pub trait Peers: Send + Sync {
    /// This process's name among them, never used again; `None`: this engine knows nobody.
    fn own(&self) -> Option<[u8; 8]>;

    /// Whether the process of this name is dead for certain: nothing of it runs any more. `false`
    /// where that is not known. May look at a file.
    fn is_dead(&self, process: [u8; 8]) -> bool;
}

/// Of an engine that knows nobody: every lease is waited out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strangers;

impl Peers for Strangers {
    fn own(&self) -> Option<[u8; 8]> {
        None
    }

    fn is_dead(&self, _process: [u8; 8]) -> bool {
        false
    }
}

impl dyn Peers {
    /// A fresh name for a holder of leases in this process: the process's name, if there is one,
    /// and random bytes.
    #[must_use]
    pub fn holder(&self, random: &(dyn Random + 'static)) -> [u8; 16] {
        let mut holder: [u8; 16] = random.bytes();
        if let Some(own) = self.own() {
            holder[..8].copy_from_slice(&own);
            holder[8..12].copy_from_slice(&NAMED);
        }
        holder
    }

    /// Whether the process that made this holder's name is dead for certain.
    #[must_use]
    pub fn is_dead_holder(&self, holder: &[u8; 16]) -> bool {
        let (process, rest) = holder.split_at(8);
        match process.try_into() {
            Ok(process) if rest.starts_with(&NAMED) => self.is_dead(process),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dead;

    impl Peers for Dead {
        fn own(&self) -> Option<[u8; 8]> {
            Some([7; 8])
        }

        fn is_dead(&self, process: [u8; 8]) -> bool {
            process == [7; 8]
        }
    }

    #[test]
    fn only_who_is_named_by_a_process_can_be_known_to_be_dead() {
        let random = crate::system::SystemRandom;
        let random: &(dyn Random + 'static) = &random;
        let (dead, strangers): (&dyn Peers, &dyn Peers) = (&Dead, &Strangers);
        let (one, two) = (dead.holder(random), dead.holder(random));
        assert_ne!(one, two);
        assert!(dead.is_dead_holder(&one) && dead.is_dead_holder(&two));
        assert!(!strangers.is_dead_holder(&one));
        assert!(!dead.is_dead_holder(&strangers.holder(random)));
        assert!(!dead.is_dead_holder(&[7; 16]));
    }
}
