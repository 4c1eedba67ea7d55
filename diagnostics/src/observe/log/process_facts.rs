//! The facts a log holds about its process: the program, its threads and their names, and the processes it started.

use crate::observe::format::Kind;
use crate::observe::log::Log;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

/// The length in bytes to which the kernel truncates thread names.
const SHORT: usize = 15;

/// The record of a child process's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildStart {
    pub(crate) log: usize,
    /// The call stack of the start; zero if there is none.
    pub(crate) stack: u32,
    pub(crate) at: u64,
    pub(crate) test: u32,
}

/// The facts a log holds about its process and threads.
#[derive(Debug, Default)]
pub(crate) struct ProcessFacts {
    pub(crate) program: PathBuf,
    pub(crate) named: Option<(String, String)>,
    /// Set if the harness read libtest's variables before the first test.
    pub(crate) is_libtest: bool,
    pub(crate) threads: Vec<(u32, TestThread)>,
    /// By process ID.
    pub(crate) children: Vec<(u32, ChildStart)>,
    pub(crate) last: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TestThread {
    pub(crate) long: String,
    pub(crate) short: Option<String>,
    pub(crate) began: u64,
    pub(crate) over: Option<u64>,
    /// Of a test that a harness of its own began: the number that its thread had before.
    pub(crate) within: Option<u32>,
}

impl TestThread {
    /// Returns whether this may be the thread of the test `name`.
    pub(crate) fn may_be(&self, name: &str) -> bool {
        self.long == name
            || self
                .short
                .as_deref()
                .is_some_and(|short| is_short_for(short, name))
    }
}

impl ProcessFacts {
    pub(crate) fn of(log: &Log) -> Self {
        let mut facts = Self::default();
        let mut places: HashMap<u32, usize> = HashMap::new();
        for record in log.records() {
            facts.last = facts.last.max(record.at);
            match record.kind {
                Kind::Program => facts.program = PathBuf::from(&*record.words()),
                Kind::Named => {
                    let binary = String::from_utf8_lossy(record.second).into_owned();
                    facts.named = Some((record.words().into_owned(), binary));
                }
                Kind::GetVariable if record.test == 0 => {
                    facts.is_libtest |= record.text.starts_with(b"RUST_TEST_");
                }
                Kind::Test => {
                    places.insert(record.value, facts.threads.len());
                    let thread = TestThread {
                        long: record.words().into_owned(),
                        within: record.number().map(|number| number as u32),
                        began: record.at,
                        ..TestThread::default()
                    };
                    facts.threads.push((record.value, thread));
                }
                Kind::ShortName | Kind::TestOver => {
                    let Some((_, thread)) = places
                        .get(&record.test)
                        .and_then(|place| facts.threads.get_mut(*place))
                    else {
                        continue;
                    };
                    if record.kind == Kind::ShortName {
                        thread.short = Some(record.words().into_owned());
                    } else {
                        thread.over = Some(record.at);
                    }
                }
                Kind::Child => {
                    let child = ChildStart {
                        log: 0,
                        stack: record.stack,
                        at: record.at,
                        test: record.test,
                    };
                    facts.children.push((record.value, child));
                }
                _ => {}
            }
        }
        facts
    }

    /// Returns whether the tests are those that the harness began, and not its threads. In a program of libtest, which has
    /// this list of tests, a test may begin others, which are parts of it.
    pub(crate) fn begins_tests(&self, list: Option<&BTreeSet<String>>) -> bool {
        let is_of_harness = |within: u32| {
            let thread = self.threads.iter().find(|(number, _)| *number == within);
            let name = thread.map(|(_, thread)| name_of(thread, list));
            list.is_none() || !matches!(name, Some(ThreadName::Known(_)))
        };
        let mut begun = self.threads.iter().filter_map(|(_, thread)| thread.within);
        !self.is_libtest && begun.any(is_of_harness)
    }

    /// Returns the tests that the harness began, or the threads that may be tests.
    pub(crate) fn tests(&self, begun: bool) -> impl Iterator<Item = (u32, &TestThread)> {
        let threads = self.threads.iter().map(|(number, thread)| (*number, thread));
        threads.filter(move |(_, thread)| thread.within.is_some() == begun)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ThreadName {
    Known(String),
    /// A test whose name could not be determined.
    Ambiguous,
    /// Not a test.
    NotATest,
}

pub(crate) fn name_of(thread: &TestThread, list: Option<&BTreeSet<String>>) -> ThreadName {
    let short = thread.short.as_deref().unwrap_or_default();
    let agrees = match &thread.short {
        // A short-lived thread may end before it sets its name.
        None => true,
        Some(short) => {
            thread.long.as_bytes().starts_with(short.as_bytes())
                && (short.len() >= SHORT - 3 || *short == thread.long)
        }
    };
    if !thread.long.is_empty() && agrees {
        return match list {
            Some(list) if !list.contains(&thread.long) => ThreadName::NotATest,
            _ => ThreadName::Known(thread.long.clone()),
        };
    }
    if short.is_empty() {
        return ThreadName::NotATest;
    }
    let Some(list) = list else {
        // Short enough not to be truncated.
        return if short.len() < SHORT - 3 {
            ThreadName::Known(short.to_owned())
        } else {
            ThreadName::Ambiguous
        };
    };
    let mut alike = list.iter().filter(|name| is_short_for(short, name));
    match (alike.next(), alike.next()) {
        (Some(only), None) => ThreadName::Known(only.clone()),
        (Some(_), Some(_)) => ThreadName::Ambiguous,
        (None, _) => ThreadName::NotATest,
    }
}

/// Returns whether `short` is `name` as the kernel truncates it: 15 bytes, which may end within a character.
fn is_short_for(short: &str, name: &str) -> bool {
    if name.len() <= SHORT {
        return short == name;
    }
    let kept = String::from_utf8_lossy(&name.as_bytes()[..SHORT]);
    short == kept || kept.starts_with(short) && short.len() >= SHORT - 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn name(long: &str, short: Option<&str>, tests: Option<&[&str]>) -> ThreadName {
        let thread = TestThread {
            long: long.to_owned(),
            short: short.map(str::to_owned),
            ..TestThread::default()
        };
        name_of(&thread, tests.map(list).as_ref())
    }

    #[test]
    fn a_name_counts_when_the_thread_and_the_program_confirm_it() {
        let known = |name: &str| ThreadName::Known(name.to_owned());
        let both = Some(&["orders::a_long_name", "orders::a_long_other", "b"][..]);
        for (long, short, tests, found) in [
            (
                "orders::a_long_name",
                Some("orders::a_long_"),
                both,
                known("orders::a_long_name"),
            ),
            ("orders::a_long_name", None, both, known("orders::a_long_name")),
            (
                "orders::a_long_name",
                Some("orders::a_long_"),
                None,
                known("orders::a_long_name"),
            ),
            // Not a test, but a thread that the program began before its tests.
            ("watchdog", Some("watchdog"), both, ThreadName::NotATest),
            // Something in memory that is not its name.
            ("b", Some("orders::a_long_"), both, ThreadName::Ambiguous),
            // Only the short name is known.
            ("", Some("b"), both, known("b")),
            ("", Some("orders::a_long_"), both, ThreadName::Ambiguous),
            (
                "",
                Some("orders::a_long_"),
                Some(&["orders::a_long_name"][..]),
                known("orders::a_long_name"),
            ),
            ("", Some("watchdog"), both, ThreadName::NotATest),
            ("", None, both, ThreadName::NotATest),
            ("", Some("orders::a_long_"), None, ThreadName::Ambiguous),
            ("", Some("b"), None, known("b")),
        ] {
            assert_eq!(name(long, short, tests), found, "{long:?} {short:?} {tests:?}");
        }
    }

    #[test]
    fn a_letter_that_the_kernel_cut_in_two_is_still_the_same_name() {
        let long = "tests::größenänderung_des_fensters";
        let cut = String::from_utf8_lossy(&long.as_bytes()[..SHORT]).into_owned();
        assert_eq!(
            name("", Some(&cut), Some(&[long])),
            ThreadName::Known(long.to_owned())
        );
    }
}
