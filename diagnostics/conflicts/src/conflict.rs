//! A conflict between tests: one type from detection to reports, files and baselines.

use cofferdam::{Access, Resource};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Two tests that interfere, or something that soon will.
///
/// Its [`Display`](fmt::Display) is the one-sentence message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The kind.
    pub kind: Kind,
    /// The resource, where there is one.
    #[serde(with = "resource")]
    pub resource: Option<Resource>,
    /// The service, where there is one.
    pub service: Option<String>,
    /// The most severe of its pairs' grades. Where no pair was run again, [`Grade::Potential`] if it is not known whether the
    /// tests held a common lock, or else `None`.
    pub grade: Option<Grade>,
    /// Whether the tests used it at the same time. If not, another schedule may cause that.
    pub overlapped: bool,
    /// Whether the first two tests belong to different runs.
    pub between_runs: bool,
    /// The problem, in one sentence.
    pub message: String,
    /// The change that ends it.
    pub help: String,
    /// The last lines of the output of a command that failed.
    pub output: Option<String>,
    /// The parts of a temporary name: "the process ID and a clock".
    pub name_parts: Option<String>,
    /// Facts about the static, where the resource is one.
    #[serde(default)]
    pub static_facts: Option<StaticFacts>,
    /// The tests: the first two interfere, if any two do, then others that are involved.
    pub tests: Vec<Test>,
    /// The number of uses that are involved, also those that are not listed.
    pub use_count: u64,
    /// The pairs that were run again, the most severe grade first.
    pub pairs: Vec<Pair>,
    /// The number of pairs of its tests that could be run again.
    pub pair_count: u64,
}

/// A static that tests share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticFacts {
    /// The line of its declaration (`FILE:LINE`), where it is known.
    pub declared: Option<String>,
    /// The name of its type without a path; empty where it is not known.
    pub type_name: String,
    /// The paths of statics, one of which is the cause; empty if this one is.
    pub one_of: Vec<String>,
    /// Whether a test fails after another one that shares the static. A lock cannot prevent that.
    pub in_order: bool,
    /// The resources that its initializer read and a test changes: the first test to use it decides its value for all.
    pub captured: Vec<String>,
}

/// The part of a message that reruns may refute: a lock that the observer does not see may keep the tests apart.
pub const NO_COMMON_LOCK: &str = ", with no lock in common";

/// Declares enums whose variants have words in reports, JSON and baselines.
macro_rules! words {
    ($($(#[$meta:meta])+ $name:ident { $($(#[$doc:meta])+ $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$meta])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns its word in reports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )+};
}

words! {
    /// The kind of a [`Conflict`], the most severe first.
    Kind {
        /// One instance is used by two workers and is not declared as shared.
        SharedInstance = "shared-instance",
        /// Two workers use one resource, one of them writes, and they have no lock in common.
        SharedResource = "shared-resource",
        /// One worker ID is active in two processes of a run.
        WorkerTwice = "worker-twice",
        /// A lazy proxy is used by another worker than the one whose instance it holds.
        ForeignUse = "foreign-use",
        /// A command of a fixture's teardown failed, so what it removes may still be there.
        TeardownFailed = "teardown-failed",
        /// Instances of one service from two epochs are held at the same time.
        TwoEpochs = "two-epochs",
        /// Tests of programs that run one after the other use one file: a later program finds the leftovers of an earlier one.
        OrderLeak = "order-leak",
        /// An instance is still held after its test, locator or process.
        Leaked = "leaked",
        /// Services are evicted and rebuilt repeatedly.
        Thrashing = "thrashing",
        /// A test ended while threads that it had started were still running.
        Quarantined = "quarantined",
        /// A service is built many times in one run, at a cost: a candidate for a fixture.
        Rebuilt = "rebuilt",
    }

    /// The severity of a [`Conflict`].
    Severity {
        /// Tests interfere: a check fails.
        Conflict = "conflict",
        /// Worth a look. A check passes.
        Warning = "warning",
        /// Could be better.
        Note = "note",
    }

    /// The certainty that two tests interfere. The more severe is the greater.
    Grade {
        /// In reruns with a pause at the resource their uses never overlapped: something separates them.
        Guarded = "guarded",
        /// One of them fails alone and passes when the other runs: it needs the other to run first.
        OrderDependent = "order-dependent",
        /// Not rerun, or reruns without a result.
        Potential = "potential",
        /// In reruns with a pause at the resource their uses overlapped.
        Unguarded = "unguarded",
        /// One of them fails beside or after the other, and more rarely alone.
        Reproduced = "reproduced",
    }
}

impl Kind {
    /// Returns the severity, before any reruns.
    pub fn severity(self) -> Severity {
        match self {
            Self::SharedInstance
            | Self::SharedResource
            | Self::WorkerTwice
            | Self::ForeignUse
            | Self::TeardownFailed => Severity::Conflict,
            Self::TwoEpochs | Self::OrderLeak | Self::Leaked | Self::Thrashing | Self::Quarantined => {
                Severity::Warning
            }
            Self::Rebuilt => Severity::Note,
        }
    }
}

/// A test in a [`Conflict`], as one execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The run.
    pub run: String,
    /// The worker, unique in the run; empty where the test was observed from outside.
    pub worker: String,
    /// The process.
    pub pid: u32,
    /// The program, as people call it; under nextest its binary ID.
    pub binary: String,
    /// The folder of its package, which is where both runners start it; empty if it was not seen.
    pub package: String,
    /// The runner that started it, where that is known.
    pub runner: Option<Runner>,
    /// The name; a snapshot does not hold it.
    pub name: Option<String>,
    /// 1, or more for a retry.
    pub attempt: u64,
    /// The most severe grade of its pairs in this conflict; `None` where no pair was run again.
    pub grade: Option<Grade>,
    /// Whether it failed when it was started by its name alone.
    pub fails_alone: bool,
    /// Its uses of the resource.
    pub uses: Vec<Use>,
}

/// A use of a resource by a [`Test`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The way to use the resource, where there is one.
    #[serde(with = "access")]
    pub access: Option<Access>,
    /// The service that uses it for the test, if the test does not do so itself.
    pub service: Option<String>,
    /// The innermost line of the user's code (`FILE:LINE`, possibly `:COLUMN`), where it is known.
    pub place: Option<String>,
    /// The line of the test itself, where it is known.
    pub test_place: Option<String>,
    /// The first moment, in microseconds since 1970.
    pub from: u64,
    /// The last moment, in microseconds since 1970.
    pub to: u64,
}

/// The runner of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runner {
    /// The tests of a program are its threads.
    CargoTest,
    /// Each test is a process.
    Nextest,
}

/// Two tests that were run again, by their positions in [`Conflict::tests`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The positions.
    pub tests: [usize; 2],
    /// The grade.
    pub grade: Grade,
    /// The number of runs with both tests.
    pub tries: u32,
    /// The result of these runs, in a sentence.
    pub reason: String,
}

impl Conflict {
    /// Returns the severity. A test that failed after another is more than a warning, whichever way it came to that; a
    /// conflict that runs could not decide is a warning, and so is a test that needs another to run first.
    pub fn severity(&self) -> Severity {
        let severity = self.kind.severity();
        match self.grade {
            Some(Grade::Reproduced) => Severity::Conflict,
            Some(Grade::OrderDependent) => severity.max(Severity::Warning),
            _ if self.is_undecided() => severity.max(Severity::Warning),
            _ => severity,
        }
    }

    /// Returns whether runs could show nothing about this resource.
    pub fn is_undecided(&self) -> bool {
        self.grade == Some(Grade::Potential) && self.kind == Kind::SharedResource
    }

    /// Returns whether the tests may interfere, as far as runs have shown.
    pub fn may_happen(&self) -> bool {
        self.grade.is_none_or(|grade| grade >= Grade::Potential)
    }

    /// Returns the names of the tests that failed when they were started by their names alone.
    pub fn failing_alone(&self) -> impl Iterator<Item = &str> {
        let failing = self.tests.iter().filter(|test| test.fails_alone);
        failing.map(Test::name)
    }

    /// Returns every listed use with its test.
    pub fn uses(&self) -> impl Iterator<Item = (&Test, &Use)> {
        self.tests
            .iter()
            .flat_map(|test| test.uses.iter().map(move |used| (test, used)))
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Test {
    /// Returns the name, or nothing where it is not known.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Returns whether it writes.
    pub fn writes(&self) -> bool {
        self.uses.iter().any(|used| used.access == Some(Access::Write))
    }

    /// Returns whether it may interfere with another test of its conflict, as far as runs have shown.
    pub fn may_interfere(&self) -> bool {
        self.grade.is_none_or(|grade| grade >= Grade::Potential)
    }

    /// Returns whether both are the same execution.
    pub(crate) fn is_execution(&self, other: &Self) -> bool {
        self.pid == other.pid
            && self.attempt == other.attempt
            && self.name == other.name
            && self.worker == other.worker
            && self.binary == other.binary
            && self.run == other.run
    }
}

impl fmt::Display for Test {
    /// The name, or what is known of the test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name)?,
            None => write!(f, "a test of {}", self.binary)?,
        }
        if self.attempt > 1 {
            write!(f, " (attempt {})", self.attempt)?;
        }
        Ok(())
    }
}

/// A resource in JSON: `{"kind": KEY, "name": NAME}`.
mod resource {
    use cofferdam::Resource;
    use cofferdam::format::ResourceKind;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    struct Json<K, N> {
        kind: K,
        name: N,
    }

    pub(super) fn serialize<S: Serializer>(
        resource: &Option<Resource>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let json = resource.as_ref().map(|resource| Json {
            kind: resource.kind().key(),
            name: resource.as_str(),
        });
        json.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Resource>, D::Error> {
        let Some(Json { kind, name }) = Option::<Json<String, String>>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let kind = ResourceKind::from_key(&kind)
            .ok_or_else(|| de::Error::custom(format!("{kind:?} is not a kind of resource")))?;
        Ok(Some(Resource::new(kind, name)))
    }
}

/// A way to use a resource in JSON: its word.
mod access {
    use cofferdam::Access;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        access: &Option<Access>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        access.map(Access::as_str).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Access>, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        word.map(|word| {
            Access::from_word(&word)
                .ok_or_else(|| de::Error::custom(format!("{word:?} is not a way to use a resource")))
        })
        .transpose()
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
