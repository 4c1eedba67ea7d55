//! What was noted already: a test that reads one file a thousand times is one record.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::{hold, thread};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Two megabytes, of which only what is used is ever in memory.
static SEEN: [AtomicU64; 1 << 18] = [const { AtomicU64::new(0) }; 1 << 18];
/// As many places are looked at. When all are taken by others, things are noted more than once.
const PROBES: u64 = 16;

/// What stands for the test's doing this from there; `None` where each time counts.
pub(crate) fn key_of(entry: &Entry<'_>, stack: u32) -> Option<u64> {
    if hold::is_asked_for() {
        // Then the last access counts as well as the first.
        return None;
    }
    Some(key(entry, u64::from(stack) << 8, entry.value))
}

fn key(entry: &Entry<'_>, place: u64, value: u64) -> u64 {
    let thread = thread::current();
    let mut hash = Hash(0x9e37_79b9_7f4a_7c15);
    hash.word(u64::from(entry.kind as u8) << 8 | u64::from(entry.flags) | place << 16);
    hash.word(u64::from(thread.test.load(Relaxed)) | u64::from(log::pid()) << 32);
    hash.word(thread.held.load(Relaxed));
    hash.word(value);
    // A variable does not depend on the folder, and an absolute path says 0.
    hash.word(u64::from(entry.folder));
    if entry.kind != Kind::GetFolder {
        for part in entry.text.iter().chain(&entry.second) {
            hash.bytes(part);
        }
    }
    hash.end()
}

/// How many accesses that differ only in this are told apart for each test.
fn limit(kind: Kind) -> Option<u64> {
    match kind {
        // A second value says all there is to say.
        Kind::SetVariable => Some(4),
        // Each is asked from where it comes, which takes time.
        Kind::GetFolder => Some(32),
        _ => None,
    }
}

/// Whether a test has done this often enough, with whatever value or from wherever.
pub(crate) fn is_enough(entry: &Entry<'_>) -> bool {
    limit(entry.kind).is_some_and(|limit| has(key(entry, limit, 0)))
}

/// Counts one that is new.
pub(crate) fn count(entry: &Entry<'_>) {
    let limit = limit(entry.kind).unwrap_or(0);
    (1..=limit).any(|place| insert(key(entry, place, 0)));
}

/// Whether `hash` is there.
pub(crate) fn has(hash: u64) -> bool {
    for probe in 0..PROBES {
        match SEEN.get((hash.wrapping_add(probe) % SEEN.len() as u64) as usize) {
            Some(place) => match place.load(Relaxed) {
                0 => return false,
                known if known == hash => return true,
                _ => {}
            },
            None => return false,
        }
    }
    false
}

/// Whether `hash` was not there; it is now, if there is room.
pub(crate) fn insert(hash: u64) -> bool {
    for probe in 0..PROBES {
        let Some(place) = SEEN.get((hash.wrapping_add(probe) % SEEN.len() as u64) as usize) else {
            return true;
        };
        let known = place.load(Relaxed);
        if known == hash {
            return false;
        }
        if known == 0 {
            match place.compare_exchange(0, hash, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(theirs) if theirs == hash => return false,
                Err(_) => {}
            }
        }
    }
    true
}

/// Of 64 bits, so that no two of a suite's million accesses are taken for one.
struct Hash(u64);

impl Hash {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 ^= self.0 >> 32;
    }

    fn bytes(&mut self, bytes: &[u8]) {
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

    fn end(mut self) -> u64 {
        self.word(0x51_7c_c1);
        // 0 stands for a free place.
        self.0 | 1
    }
}

/// A number for a text that is nobody else's to know: it means something within this process only.
pub(crate) fn mark_of(text: &[u8]) -> u32 {
    // Where this program lies in memory is chance.
    let mut hash = Hash((&raw const SEEN).addr() as u64);
    hash.bytes(text);
    hash.end() as u32
}

/// A name for a text.
pub(crate) fn hash_of(text: &[u8]) -> u64 {
    let mut hash = Hash(1);
    hash.bytes(text);
    hash.end()
}
