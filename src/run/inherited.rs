//! The facts that the process of an isolated test inherits from the test process that started it.
//!
//! It continues the execution of its parent: same run, same worker, same locks. A variable passes these facts, and they count
//! only for the process that was started with them, not for those that it starts.

use super::{Run, Runner, facts};
use crate::json_value::Value;
use crate::sys::{env, process};
use once_cell::sync::OnceCell;

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
        let lock = |lock: &InheritedLock| {
            Value::List(vec![
                lock.key.as_str().into(),
                lock.label.as_str().into(),
                lock.shared.into(),
            ])
        };
        let run = Value::List(vec![
            self.run.id.as_str().into(),
            self.run.runner.as_str().into(),
            self.run.anchor.0.into(),
            self.run.anchor.1.into(),
        ]);
        // Descriptors are not negative.
        let descriptor = |number: i32| Value::from(u64::from(number.unsigned_abs()));
        Value::object(vec![
            ("parent", self.parent.into()),
            ("depth", self.depth.into()),
            ("run", run),
            ("execution", self.execution.into()),
            ("recorded_as", self.recorded_as.into()),
            ("worker", self.worker.as_str().into()),
            ("index", self.index.into()),
            ("test", self.test.as_str().into()),
            ("attempt", self.attempt.into()),
            ("locks", Value::List(self.locks.iter().map(lock).collect())),
            ("report", descriptor(self.report)),
            ("output", descriptor(self.output)),
        ])
        .to_line()
    }

    fn decode(text: &str) -> Option<Self> {
        let all = Value::read(text)?;
        let number = |value: &Value| u32::try_from(value.as_number()?).ok();
        let text = |value: &Value| value.as_text().map(str::to_owned);
        let descriptor = |value: &Value| i32::try_from(value.as_number()?).ok();
        let lock = |lock: &Value| {
            Some(InheritedLock {
                key: text(lock.at(0))?,
                label: text(lock.at(1))?,
                shared: lock.at(2).as_bool()?,
            })
        };
        let run = all.get("run");
        Some(Self {
            parent: number(all.get("parent"))?,
            depth: all.get("depth").as_number()?,
            run: Run {
                id: text(run.at(0))?,
                runner: Runner::named(run.at(1).as_text()?)?,
                anchor: (number(run.at(2))?, run.at(3).as_number()?),
            },
            execution: all.get("execution").as_number()?,
            recorded_as: number(all.get("recorded_as"))?,
            worker: text(all.get("worker"))?,
            index: number(all.get("index")),
            test: text(all.get("test"))?,
            attempt: all.get("attempt").as_number()?,
            locks: all
                .get("locks")
                .as_list()?
                .iter()
                .map(lock)
                .collect::<Option<_>>()?,
            report: descriptor(all.get("report"))?,
            output: descriptor(all.get("output"))?,
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
