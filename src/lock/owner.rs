//! Who holds a lock, as it stands in the lock's file for others to read.
//!
//! A record has a fixed size and is written with one call over what stood there: a file that is cut to length first
//! costs fifty times as much. When the lock is given back its first word alone is written again, so a holder that was
//! killed can be told from one that let go.

use crate::sys::file_lock::{self, Locked};
use crate::sys::process::PidSpace;
use crate::sys::{clock, process};
use std::fmt;
use std::io::{self, Read as _};
use std::ops::Range;

const SIZE: usize = 512;
const VERSION: &str = "2";
const HELD: &str = "held";
const FREE: &str = "free";
/// Where in a record it stands since when.
const SINCE: Range<usize> = 7..23;

/// Whoever held a lock last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Whether it did not say that it let go.
    pub(crate) holds: bool,
    /// Whether others may have held it at the same time.
    pub(crate) shared: bool,
    pub(crate) pid: u32,
    pub(crate) started: u64,
    /// Microseconds since 1970.
    pub(crate) since: u64,
    pub(crate) space: PidSpace,
    pub(crate) lock: String,
    pub(crate) run: String,
    pub(crate) worker: String,
    pub(crate) test: String,
}

impl Owner {
    /// Fields between tabs; the rest of the record is spaces, and a newline ends it.
    pub(super) fn encode(&self) -> Record {
        let first = if self.holds { HELD } else { FREE };
        let access = if self.shared { "shared" } else { "exclusive" };
        let (pid, started, since) = (self.pid, self.started, self.since);
        let (boot, lock) = (clip(&self.space.boot, 36), clip(&self.lock, 96));
        let namespace = self.space.namespace;
        let (run, worker) = (clip(&self.run, 64), clip(&self.worker, 64));
        let test = clip(&self.test, 150);
        let text = format!(
            "{first}\t{VERSION}\t{since:016x}\t{access}\t{pid}\t{started}\t{boot}\t{namespace:x}\t{lock}\t{run}\t{worker}\t{test}\t"
        );
        let mut record = [b' '; SIZE];
        record[SIZE - 1] = b'\n';
        let length = text.len().min(SIZE - 1);
        record[..length].copy_from_slice(&text.as_bytes()[..length]);
        Record(record)
    }
}

/// At most so many bytes, without tabs and newlines; of a long text the end is kept: it says more of a path.
fn clip(text: &str, most: usize) -> String {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].replace(char::is_control, " ")
}

/// An owner as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record([u8; SIZE]);

impl Record {
    /// The same owner, who has the lock since another moment: a test that takes its lock a thousand times is written
    /// out once.
    pub(super) fn since(&self, micros: u64) -> Self {
        let digits: [u8; SINCE.end - SINCE.start] = std::array::from_fn(|index| {
            let digit = (micros >> (60 - 4 * index)) as u8 & 0xf;
            digit + if digit < 10 { b'0' } else { b'a' - 10 }
        });
        let mut bytes = self.0;
        bytes[SINCE].copy_from_slice(&digits);
        Self(bytes)
    }

    pub(super) fn write(&self, file: &Locked) -> io::Result<()> {
        file.put(&self.0)
    }

    /// The lock is given back. Of several readers only the one that came last stands in the file, and only it may
    /// say so.
    pub(super) fn release_shared(&self, file: &Locked) -> io::Result<()> {
        let mut known = [0; SIZE];
        if !matches!(file.look(&mut known), Ok(SIZE) if known == self.0) {
            return Ok(());
        }
        release(file)
    }
}

/// The lock is given back by who had it alone.
pub(super) fn release(file: &Locked) -> io::Result<()> {
    file.put(FREE.as_bytes())
}

impl Owner {
    /// What a record says; nothing if it was not written by this version, or not whole.
    fn decode(record: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(record).ok()?;
        if text.len() != SIZE || !text.ends_with('\n') {
            return None;
        }
        let mut fields = text.split('\t');
        let holds = match fields.next()? {
            HELD => true,
            FREE => false,
            _ => return None,
        };
        if fields.next()? != VERSION {
            return None;
        }
        let since = u64::from_str_radix(fields.next()?, 16).ok()?;
        let shared = fields.next()? == "shared";
        let pid = fields.next()?.parse().ok()?;
        let started = fields.next()?.parse().ok()?;
        let boot = fields.next()?.to_owned();
        let namespace = u64::from_str_radix(fields.next()?, 16).ok()?;
        let mut word = || fields.next().map(str::to_owned);
        let (lock, run, worker, test) = (word()?, word()?, word()?, word()?);
        // What stands behind the last tab is padding: without it the record was cut off.
        word()?;
        Some(Self {
            holds,
            shared,
            pid,
            started,
            since,
            space: PidSpace { boot, namespace },
            lock,
            run,
            worker,
            test,
        })
    }

    /// Who stands in the file.
    pub(crate) fn read(path: &std::path::Path) -> Option<Self> {
        // Never more than a record, whatever somebody made of the file.
        let mut known = Vec::with_capacity(SIZE);
        let file = file_lock::read(path).ok()?;
        file.take(SIZE as u64).read_to_end(&mut known).ok()?;
        Self::decode(&known)
    }

    /// Whether it is known to be gone. A process of another container or machine cannot be seen from here.
    pub(crate) fn is_gone(&self, space: &PidSpace) -> bool {
        space.is(&self.space.boot, self.space.namespace) && !process::is_alive(self.pid, self.started)
    }

    /// For how long, in whole seconds; a clock that was set back says 0.
    pub(crate) fn seconds(&self) -> u64 {
        clock::micros().saturating_sub(self.since) / 1_000_000
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "test {} (worker {}, pid {}, run {})",
            self.test, self.worker, self.pid, self.run
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner() -> Owner {
        Owner {
            holds: true,
            shared: false,
            pid: 4711,
            started: 90,
            since: 1_700_000_000_000_000,
            space: PidSpace {
                boot: "93c24768-9b0c-4c43-8d0e-b9d31d6f9a53".to_owned(),
                namespace: 4_026_531_836,
            },
            lock: "schema".to_owned(),
            run: "cargo-93c24768-4700-88".to_owned(),
            worker: "w1".to_owned(),
            test: "orders::migrates".to_owned(),
        }
    }

    #[test]
    fn a_record_that_is_not_whole_names_nobody() {
        let whole = owner().encode().0;
        assert_eq!(Owner::decode(&whole), Some(owner()));
        for length in [0, 4, 100, SIZE - 1] {
            assert_eq!(Owner::decode(&whole[..length]), None, "{length}");
        }
        let mut cut = whole;
        cut[60..SIZE - 1].fill(b' ');
        assert_eq!(Owner::decode(&cut), None);
        assert_eq!(Owner::decode(&[0xff; SIZE]), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_holder_in_another_container_is_not_known_to_be_gone() {
        let here = PidSpace {
            boot: "boot".to_owned(),
            namespace: 1,
        };
        let there = PidSpace {
            namespace: 2,
            ..here.clone()
        };
        // No process has that number and start here.
        let holder = Owner {
            pid: u32::MAX,
            space: there.clone(),
            ..owner()
        };
        assert!(!holder.is_gone(&here) && holder.is_gone(&there));
        let nobody_knows = PidSpace::default();
        let holder = Owner {
            space: nobody_knows.clone(),
            ..holder
        };
        assert!(!holder.is_gone(&nobody_knows));
    }

    #[test]
    fn the_longest_of_all_records_has_room() {
        let long = "x".repeat(SIZE);
        let most = u64::MAX;
        let owner = Owner {
            pid: u32::MAX,
            started: most,
            since: most,
            space: PidSpace {
                boot: long.clone(),
                namespace: most,
            },
            lock: long.clone(),
            run: long.clone(),
            worker: long.clone(),
            test: long.clone(),
            holds: true,
            shared: false,
        };
        let read = Owner::decode(&owner.encode().0).unwrap();
        assert_eq!((read.since, read.test.len()), (most, 150));
    }

    #[test]
    fn a_record_since_another_moment_differs_in_nothing_else() {
        let later = Owner {
            since: owner().since + 77,
            ..owner()
        };
        assert_eq!(owner().encode().since(later.since), later.encode());
    }

    proptest! {
        #[test]
        fn whatever_a_test_is_called_its_record_has_one_size_and_can_be_read(
            test in any::<String>(), lock in any::<String>(), run in "[a-z]{0,200}", pid: u32, since: u64,
        ) {
            let owner = Owner { test, lock, run, pid, since, ..owner() };
            let read = Owner::decode(&owner.encode().0).unwrap();
            prop_assert_eq!((read.pid, read.since), (pid, since));
            prop_assert!(owner.run.ends_with(&read.run));
            prop_assert!(!read.test.contains(char::is_control) && !read.lock.contains(char::is_control));
        }
    }
}
