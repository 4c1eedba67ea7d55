//! A hash for the tables of a suite's accesses, which are looked up a million times. Their keys come from the user's own
//! tests, so no key is chosen to collide.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type FastHash = BuildHasherDefault<FastHasher>;

/// Takes eight bytes at a time.
#[derive(Debug, Default)]
pub(crate) struct FastHasher(u64);

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.write_u64(word.try_into().map_or(0, u64::from_ne_bytes));
        }
        let rest = words.remainder();
        let rest = rest.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.write_u64(rest ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 ^= self.0 >> 32;
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher as _;

    #[test]
    fn paths_that_differ_in_one_number_have_different_hashes() {
        let hashes: HashSet<u64> = (0..100_000)
            .map(|number| FastHash::default().hash_one(format!("/tmp/watched-{number}/7")))
            .collect();
        assert_eq!(hashes.len(), 100_000);
    }
}
