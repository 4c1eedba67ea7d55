//! What an observation found. It holds names and places, and neither values nor arguments.
//!
//! `file` keeps it for other commands, `resource` is how a resource stands in that file, `folded` replaces the parts of a
//! name that differ in every run, `account` knows what of the command was seen at all.

mod account;
mod file;
mod folded;
mod resource;

pub(crate) use account::{Account, Entry};
pub(crate) use file::VERSION;
pub(crate) use folded::{Fold, folded};
#[cfg(has_observer)]
pub(crate) use folded::{is_random_name, numbers};
pub(crate) use resource::to_json as resource_json;

use cofferdam::Resource;
use cofferdam_conflicts::Party;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much an observation saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) tests: u64,
    /// Theirs.
    pub(crate) programs: u64,
    /// What was done to files, ports and the like, each once for a test.
    pub(crate) accesses: u64,
    /// Those of them whose test is not known.
    pub(crate) of_no_test: u64,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) version: u64,
    pub(crate) session: String,
    /// Where the command was started: relative places start from there.
    pub(crate) dir: String,
    /// Whether the pairs were run once more.
    pub(crate) confirmed: bool,
    /// How many tests were seen.
    pub(crate) tests: u64,
    /// The command's own exit code.
    #[serde(default)]
    pub(crate) command: u8,
    /// What was started, and what of it was recorded.
    #[serde(default)]
    pub(crate) account: Account,
    /// The gravest first.
    pub(crate) findings: Vec<Finding>,
    /// What tests would meet on without the locks that they held.
    #[serde(default)]
    pub(crate) locked: Vec<Finding>,
    /// The tests that ran, by their programs.
    #[serde(default)]
    pub(crate) ran: Vec<Program>,
}

/// A test program, and what of it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// As in [`Test`].
    pub(crate) binary: String,
    pub(crate) package: String,
    /// The names of the tests.
    pub(crate) tests: Vec<String>,
}

/// One resource, and the tests that meet on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    #[serde(with = "resource")]
    pub(crate) resource: Resource,
    /// The gravest of its pairs' grades.
    pub(crate) grade: Grade,
    /// Whether the tests ran at one time when they were first seen.
    pub(crate) overlapped: bool,
    /// For a family of temporary names, the parts that they are made from: "the process ID and a clock".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    pub(crate) tests: Vec<Test>,
    /// The pairs that were run once more; without `--confirm` none.
    pub(crate) pairs: Vec<Pair>,
    /// How many pairs could have been.
    pub(crate) pairs_in_all: u64,
    /// What would end it, in words.
    pub(crate) help: String,
}

/// How the tests meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// They may run at one time.
    SharedResource,
    /// Their programs follow one another: what the first leaves, the next finds.
    OrderLeak,
}

/// A test that uses the resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Test {
    pub(crate) name: String,
    /// As a person calls its program; under nextest its binary ID.
    pub(crate) binary: String,
    /// The folder of its package, which is where both runners start it; empty if it was not seen.
    pub(crate) package: String,
    pub(crate) runner: Runner,
    /// The gravest of the grades of its pairs on this resource.
    pub(crate) grade: Grade,
    /// How it uses the resource: the first of each sort.
    pub(crate) uses: Vec<Use>,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runner {
    /// A program's tests are its threads.
    CargoTest,
    /// Each test is a process.
    Nextest,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Use {
    pub(crate) access: Access,
    /// The innermost line of the user's code, `FILE:LINE`, from `dir` on where it is below; nothing if it is not known.
    pub(crate) place: Option<String>,
    /// The line of the test itself, likewise.
    pub(crate) test_place: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Access {
    /// The names in a directory were listed, of which it is one.
    List,
    Read,
    Write,
}

/// Two tests that were run once more, by their positions in [`Finding::tests`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) tests: [usize; 2],
    pub(crate) grade: Grade,
    /// How often the two were run together.
    pub(crate) tries: u32,
    /// What the runs showed, in a sentence.
    pub(crate) why: String,
}

/// How sure it is that two tests are in each other's way. The graver is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grade {
    /// Run once more with a pause at the resource, and they never met: something keeps them apart.
    Guarded,
    /// One of them fails alone and passes when the other runs: it needs the other to run first.
    OrderDependent,
    /// Seen in one run; not tried again, or without a result.
    Potential,
    /// Run once more with a pause at the resource, and they met there.
    Unguarded,
    /// One of them fails beside or after the other, and more rarely alone.
    Reproduced,
}

impl Finding {
    /// Returns the use that a party of the conflict stands for, if it is the first of its sort.
    pub(crate) fn used(&self, party: &Party) -> Option<&Use> {
        let is_it = |test: &&Test| party.test.as_ref() == Some(&test.name) && party.binary == test.binary;
        let writes = party.access == Some(cofferdam::Access::Write);
        let mut uses = self.tests.iter().find(is_it)?.uses.iter();
        uses.find(|one| (one.access == Access::Write) == writes && one.place == party.place)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
        })
    }
}

impl Grade {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::OrderDependent => "order-dependent",
            Self::Potential => "potential",
            Self::Unguarded => "unguarded",
            Self::Reproduced => "reproduced",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Grade;

    #[test]
    fn grades_are_in_order() {
        assert!(Grade::Reproduced > Grade::Unguarded);
        assert!(Grade::Unguarded > Grade::Potential);
        assert!(Grade::Potential > Grade::OrderDependent);
        assert!(Grade::OrderDependent > Grade::Guarded);
    }
}
