//! A map keyed by packet identifiers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A hash map from packet identifiers. They are small and dense, and a peer
/// can gain nothing by choosing them: one multiplication is hash enough.
pub type IdMap<T> = HashMap<u16, T, BuildHasherDefault<IdHasher>>;

/// The hasher of [`IdMap`].
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u16(u16::from(byte));
        }
    }

    fn write_u16(&mut self, id: u16) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
