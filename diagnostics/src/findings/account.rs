//! The one account of what was started and of what it recorded, from which exit codes, last lines and JSON are derived.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// What was started with recording on, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Programs that were started.
    pub(crate) started: u64,
    /// Those with records that can be read.
    pub(crate) recorded: u64,
    /// Those that ended by themselves, with every record.
    pub(crate) complete: u64,
    /// Those that were killed, or still run: they recorded what they did until then.
    pub(crate) incomplete: u64,
    /// Those that recorded nothing, or could not go on: the exit code is 3.
    pub(crate) lost: Vec<Entry>,
    /// What cannot be recorded. It changes the exit code only with `--strict`.
    pub(crate) out_of_reach: Vec<Entry>,
    /// The programs among them that cargo or nextest started as tests.
    #[serde(skip)]
    pub(crate) tests_out_of_reach: Vec<Entry>,
    /// The processes of both, as far as they are known.
    #[serde(skip)]
    pub(crate) unseen: Vec<UnseenProcess>,
}

/// A process with accesses that were not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnseenProcess {
    /// 0 if it is not known.
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// Programs of one name that have one thing in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

impl Account {
    pub(crate) fn lose(&mut self, name: &str, reason: &str, count: u64) {
        add(&mut self.lost, name, reason, count);
    }

    pub(crate) fn leave_out(&mut self, name: &str, reason: &str, count: u64) {
        add(&mut self.out_of_reach, name, reason, count);
    }

    /// Notes that a program out of reach is a test program.
    pub(crate) fn leave_out_test(&mut self, name: &str, reason: &str) {
        add(&mut self.tests_out_of_reach, name, reason, 1);
    }

    /// Notes a process with accesses that were not recorded.
    pub(crate) fn add_unseen(&mut self, pid: u32, name: &str, reason: &str) {
        self.unseen.push(UnseenProcess {
            pid,
            name: name.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The number of lost programs.
    pub(crate) fn lost_count(&self) -> u64 {
        self.lost.iter().map(|entry| entry.count).sum()
    }
}

fn add(entries: &mut Vec<Entry>, name: &str, reason: &str, count: u64) {
    let known = entries
        .iter_mut()
        .find(|entry| entry.name == name && entry.reason == reason);
    match known {
        Some(entry) => entry.count += count,
        None => entries.push(Entry {
            name: name.to_owned(),
            reason: reason.to_owned(),
            count,
        }),
    }
}

/// Returns the name of a test binary without cargo's hash: `orders` for `orders-0123456789abcdef`.
pub(crate) fn binary_of(program: &Path) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => stem.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_as_its_source_is() {
        for (path, binary) in [
            ("/t/deps/orders-0123456789abcdef", "orders"),
            ("/t/deps/back-office-0123456789abcdef", "back-office"),
            ("/t/deps/order-desk", "order-desk"),
        ] {
            assert_eq!(binary_of(Path::new(path)), binary);
        }
    }
}
