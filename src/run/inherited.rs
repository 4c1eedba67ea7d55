//! What the process of an isolated test inherits from the test process that started it.
//!
//! It continues the execution of its parent: same run, same worker, same locks. A variable passes these facts, and they count
//! only for the process that was started with them, not for those that it starts.

use super::{Run, Runner, facts};
use crate::sys::{env, process};
use once_cell::sync::OnceCell;
use serde_json::Value;
#[cfg(any(test, all(feature = "macros", unix, not(miri))))]
use serde_json::json;

/// The variable with the facts.
pub(crate) const VARIABLE: &str = "COFFERDAM_ISOLATED";

/// A lock that the parent holds for the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InheritedLock {
    /// Its identity in a process.
    pub(crate) key: String,
    /// Its name in reports.
    pub(crate) label: String,
    pub(crate) shared: bool,
}

/// The facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// The process that started this one.
    pub(crate) parent: u32,
    /// The number of isolated processes above, including this one.
    pub(crate) depth: u64,
    pub(crate) run: Run,
    /// The number of the execution in the parent.
    pub(crate) execution: u64,
    /// The process that the execution's events belong to.
    pub(crate) recorded_as: u32,
    pub(crate) worker: String,
    pub(crate) index: Option<u32>,
    pub(crate) test: String,
    pub(crate) attempt: u64,
    pub(crate) locks: Vec<InheritedLock>,
    /// The descriptor for the report.
    pub(crate) report: i32,
    /// The descriptor for the test's standard output.
    pub(crate) output: i32,
}

/// Returns the facts if this is the process of an isolated test.
pub(crate) fn inherited() -> Option<&'static Inherited> {
    static INHERITED: OnceCell<Option<Inherited>> = OnceCell::new();
    let read = || variable().filter(|inherited| inherited.parent == process::parent());
    INHERITED.get_or_init(read).as_ref()
}

/// Returns the number of isolated processes above this one, also if it is not one itself.
#[cfg(all(feature = "macros", unix, not(miri)))]
pub(crate) fn depth() -> u64 {
    variable().map_or(0, |inherited| inherited.depth)
}

/// Returns the process whose execution this one belongs to in records.
pub(crate) fn recorded_as() -> u32 {
    inherited().map_or(facts().pid, |inherited| inherited.recorded_as)
}

fn variable() -> Option<Inherited> {
    Inherited::decode(&env::var(VARIABLE)?)
}

impl Inherited {
    #[cfg(any(test, all(feature = "macros", unix, not(miri))))]
    pub(crate) fn encode(&self) -> String {
        let locks: Vec<_> = self
            .locks
            .iter()
            .map(|lock| json!([lock.key, lock.label, lock.shared]))
            .collect();
        json!({
            "parent": self.parent,
            "depth": self.depth,
            "run": [self.run.id, self.run.runner.as_str(), self.run.anchor.0, self.run.anchor.1],
            "execution": self.execution,
            "recorded_as": self.recorded_as,
            "worker": self.worker,
            "index": self.index,
            "test": self.test,
            "attempt": self.attempt,
            "locks": locks,
            "report": self.report,
            "output": self.output,
        })
        .to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(text).ok()?;
        let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let descriptor = |value: &Value| i32::try_from(value.as_u64()?).ok();
        let lock = |lock: &Value| {
            Some(InheritedLock {
                key: text(&lock[0])?,
                label: text(&lock[1])?,
                shared: lock[2].as_bool()?,
            })
        };
        let run = &all["run"];
        Some(Self {
            parent: number(&all["parent"])?,
            depth: all["depth"].as_u64()?,
            run: Run {
                id: text(&run[0])?,
                runner: Runner::named(run[1].as_str()?)?,
                anchor: (number(&run[2])?, run[3].as_u64()?),
            },
            execution: all["execution"].as_u64()?,
            recorded_as: number(&all["recorded_as"])?,
            worker: text(&all["worker"])?,
            index: number(&all["index"]),
            test: text(&all["test"])?,
            attempt: all["attempt"].as_u64()?,
            locks: all["locks"].as_array()?.iter().map(lock).collect::<Option<_>>()?,
            report: descriptor(&all["report"])?,
            output: descriptor(&all["output"])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_read_as_they_were_written() {
        let facts = Inherited {
            parent: 7,
            depth: 1,
            run: Run {
                id: "cargo-1".to_owned(),
                runner: Runner::Cargo,
                anchor: (3, 99),
            },
            execution: 12,
            recorded_as: 7,
            worker: "j2.w0".to_owned(),
            index: None,
            test: "a::\"b\"".to_owned(),
            attempt: 1,
            locks: vec![InheritedLock {
                key: "machine/x.lock".to_owned(),
                label: "x (machine)".to_owned(),
                shared: true,
            }],
            report: 5,
            output: 6,
        };
        assert_eq!(Inherited::decode(&facts.encode()), Some(facts));
        for broken in ["", "{}", "no JSON"] {
            assert_eq!(Inherited::decode(broken), None, "{broken}");
        }
    }
}
