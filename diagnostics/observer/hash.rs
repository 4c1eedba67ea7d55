//! A hash of 64 bits, wide enough that no two of a suite's million accesses collide.

pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 ^= self.0 >> 32;
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.word(word.try_into().map_or(0, u64::from_ne_bytes));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.word(u64::from_ne_bytes(last));
        self.word(bytes.len() as u64);
    }

    /// Returns the hash, which is never 0: that is a free place in a table.
    pub(crate) fn end(mut self) -> u64 {
        self.word(0x51_7c_c1);
        self.0 | 1
    }
}

/// Returns the hash of a text.
pub(crate) fn of(text: &[u8]) -> u64 {
    let mut hash = Hash::new(1);
    hash.bytes(text);
    hash.end()
}

/// Returns a number for a secret text. It can only be compared with others from this process.
pub(crate) fn of_secret(text: &[u8]) -> u32 {
    static PLACE: u8 = 0;
    // The program's address in memory is random.
    let mut hash = Hash::new((&raw const PLACE).addr() as u64);
    hash.bytes(text);
    hash.end() as u32
}
