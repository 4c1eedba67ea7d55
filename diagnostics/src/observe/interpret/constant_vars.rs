//! State of a process that every test sets to the same value, or resets, before it reads it: no schedule changes the value
//! that a test reads.

use crate::observe::format::Kind;
use crate::observe::log::Record;
use cofferdam::format::ResourceKind;
use std::collections::{HashMap, HashSet};

/// The mark of an unset variable and of a default disposition: no value has mark 0.
const UNSET: u32 = 0;

/// The accesses to one state of one process: a variable, a disposition, the working directory, the umask or the locale.
#[derive(Debug, Default)]
struct Variable {
    /// The mark of the first value it was given, or [`UNSET`].
    value: Option<u32>,
    set_by: HashSet<u32>,
    /// Set if a test could read another value, or none.
    varies: bool,
}

/// The state of all processes, by process, kind and name.
#[derive(Debug, Default)]
pub(crate) struct ConstantVars {
    variables: HashMap<(u32, ResourceKind), HashMap<String, Variable>>,
    /// The tests that removed all variables, by process.
    cleared_by: HashMap<u32, HashSet<u32>>,
}

impl ConstantVars {
    /// Notes an access by a test. Call it in the order of the records. `directory` is the mark of the directory to which the
    /// record changes.
    pub(crate) fn add(&mut self, record: &Record<'_>, directory: u32, pid: u32, test: u32) {
        if record.kind == Kind::ClearVariables {
            self.cleared_by.entry(pid).or_default().insert(test);
        }
        let mut access = |kind, name: &str, value| self.access((pid, kind), name, test, value);
        let is_path = record.folder != 0 && record.kind.is_access();
        match record.kind {
            Kind::GetVariable => access(ResourceKind::Env, &record.words(), None),
            Kind::GetSignal => access(ResourceKind::Signal, &record.words(), None),
            Kind::GetLocale => access(ResourceKind::Locale, "", None),
            Kind::GetFolder => access(ResourceKind::Cwd, "", None),
            Kind::ChangeFolder => {
                // The record of `fchdir`, which depends on no other directory, has a dot.
                if record.failed() || is_path && record.text != b"." {
                    access(ResourceKind::Cwd, "", None);
                }
                if !record.failed() {
                    access(ResourceKind::Cwd, "", Some(directory));
                }
            }
            Kind::Mask => access(ResourceKind::Umask, "", Some(record.value)),
            Kind::SetLocale => access(ResourceKind::Locale, "", Some(record.value)),
            _ if record.failed() => {}
            Kind::SetVariable => access(ResourceKind::Env, &record.words(), Some(record.value)),
            Kind::UnsetVariable => access(ResourceKind::Env, &record.words(), Some(UNSET)),
            Kind::SetSignal => access(ResourceKind::Signal, &record.words(), Some(record.value)),
            _ => {}
        }
        if is_path && !matches!(record.kind, Kind::ChangeFolder | Kind::Execute) {
            access(ResourceKind::Cwd, "", None);
        }
    }

    /// Notes that a test created a file or a directory, whose mode depends on the umask.
    pub(crate) fn add_creation(&mut self, pid: u32, test: u32) {
        self.access((pid, ResourceKind::Umask), "", test, None);
    }

    /// Notes that a test set the state to a value, or read it.
    fn access(&mut self, of: (u32, ResourceKind), name: &str, test: u32, value: Option<u32>) {
        let has_cleared = || {
            let cleared_by = self.cleared_by.get(&of.0);
            of.1 == ResourceKind::Env && cleared_by.is_some_and(|tests| tests.contains(&test))
        };
        let variables = self.variables.entry(of).or_default();
        if !variables.contains_key(name) {
            variables.insert(name.to_owned(), Variable::default());
        }
        let Some(variable) = variables.get_mut(name) else {
            return;
        };
        if let Some(value) = value {
            variable.varies |= *variable.value.get_or_insert(value) != value;
            variable.set_by.insert(test);
        } else {
            // A test that reads before it sets may find what another test left.
            variable.varies |= !variable.set_by.contains(&test) && !has_cleared();
        }
    }

    /// Returns whether every test of the process reads only the value it set itself.
    pub(crate) fn is_constant(&self, pid: u32, kind: ResourceKind, name: &str) -> bool {
        let variable = self.variables.get(&(pid, kind)).and_then(|all| all.get(name));
        variable.is_some_and(|variable| {
            let is_unset = variable.value.is_none_or(|value| value == UNSET);
            let is_cleared = kind == ResourceKind::Env && self.cleared_by.contains_key(&pid);
            !variable.varies && (is_unset || !is_cleared)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::FAILED;
    use crate::observe::log::test_log::LogBuilder;
    use Kind as K;

    fn is_constant_after(records: &[(u32, Kind, u64)]) -> bool {
        let mut made = LogBuilder::new(7, 1, true);
        for (test, kind, value) in records {
            made.record(1, *test, *kind, *value, "MODE", b"");
        }
        let log = made.log();
        let mut vars = ConstantVars::default();
        for record in log.records() {
            vars.add(&record, 0, 7, record.test);
        }
        let is_constant = |pid, name| vars.is_constant(pid, ResourceKind::Env, name);
        assert!(!is_constant(8, "MODE") && !is_constant(7, "OTHER"));
        let is_signal = vars.is_constant(7, ResourceKind::Signal, "MODE");
        is_constant(7, "MODE") || is_signal
    }

    #[test]
    fn a_variable_is_constant_if_each_test_sets_the_same_value_before_it_reads() {
        let (a, b) = ((1, K::SetVariable, 5), (2, K::SetVariable, 5));
        assert!(is_constant_after(&[a, b]));
        assert!(is_constant_after(&[
            a,
            (1, K::GetVariable, 0),
            b,
            (2, K::GetVariable, 0)
        ]));
        for another in [
            (2, K::SetVariable, 6),
            (2, K::UnsetVariable, 0),
            (2, K::GetVariable, 0),
            (3, K::GetVariable, 0),
            (2, K::ClearVariables, 0),
        ] {
            assert!(!is_constant_after(&[a, another, b]), "{another:?}");
        }
    }

    #[test]
    fn a_variable_that_each_test_unsets_is_constant() {
        let (a, b) = ((1, K::UnsetVariable, 0), (2, K::UnsetVariable, 0));
        let (asked_by_a, asked_by_b) = ((1, K::GetVariable, 0), (2, K::GetVariable, 0));
        assert!(is_constant_after(&[a, asked_by_a, b, asked_by_b]));
        assert!(is_constant_after(&[a, (2, K::ClearVariables, 0), asked_by_b]));
        // Who does not unset it may find it set, and who sets it leaves it so.
        assert!(!is_constant_after(&[a, asked_by_b, b]));
        assert!(!is_constant_after(&[a, b, (3, K::SetVariable, 5)]));
    }

    #[test]
    fn a_handler_that_every_test_installs_before_it_sends_the_signal_is_one_value() {
        let (a, b) = ((1, K::SetSignal, 5), (2, K::SetSignal, 5));
        let (sent_by_a, sent_by_b) = ((1, K::GetSignal, 0), (2, K::GetSignal, 0));
        assert!(is_constant_after(&[a, sent_by_a, b, sent_by_b]));
        assert!(is_constant_after(&[a, b, (3, K::ClearVariables, 0)]));
        assert!(!is_constant_after(&[a, b, (3, K::GetSignal, 0)]));
        // The default is a value too.
        assert!(!is_constant_after(&[a, b, (1, K::SetSignal, 0)]));
    }

    #[test]
    fn a_working_directory_that_each_test_sets_before_it_needs_one_is_constant() {
        const RELATIVE: u64 = 1 << 32;
        let is_constant_after = |records: &[(u32, Kind, u8, u64, &str)]| {
            let mut made = LogBuilder::new(7, 1, true);
            for (test, kind, flags, value, text) in records {
                made.flagged(1, *test, *kind, *flags, *value, text.as_bytes(), b"");
            }
            let log = made.log();
            let mut vars = ConstantVars::default();
            for record in log.records() {
                vars.add(&record, u32::from(record.text == b"/b"), 7, record.test);
            }
            vars.is_constant(7, ResourceKind::Cwd, "")
        };
        let sets = |test| (test, K::ChangeFolder, 0, 0, "/a");
        let opens = |test| (test, K::Open, 0, RELATIVE, "file");
        let asks = |test| (test, K::GetFolder, 0, 0, "");
        assert!(is_constant_after(&[
            sets(1),
            opens(1),
            sets(2),
            opens(2),
            asks(2)
        ]));
        let by_descriptor = (2, K::ChangeFolder, 0, RELATIVE, ".");
        assert!(is_constant_after(&[sets(1), by_descriptor, opens(2)]));
        assert!(is_constant_after(&[
            sets(1),
            (3, K::Open, 0, 0, "/file"),
            sets(2)
        ]));
        for another in [
            opens(2),
            asks(2),
            opens(3),
            (2, K::ChangeFolder, 0, 0, "/b"),
            (2, K::ChangeFolder, 0, RELATIVE, "a"),
            (2, K::ChangeFolder, FAILED, 0, "/c"),
        ] {
            assert!(!is_constant_after(&[sets(1), another, sets(2)]), "{another:?}");
        }
    }

    #[test]
    fn an_umask_that_each_test_sets_before_it_creates_a_file_is_constant() {
        for (creates_before, is_constant) in [(false, true), (true, false)] {
            let mut vars = ConstantVars::default();
            for test in [1, 2] {
                if test == 2 && creates_before {
                    vars.add_creation(7, test);
                }
                vars.access((7, ResourceKind::Umask), "", test, Some(0o27));
                vars.add_creation(7, test);
            }
            assert_eq!(vars.is_constant(7, ResourceKind::Umask, ""), is_constant);
        }
    }
}
