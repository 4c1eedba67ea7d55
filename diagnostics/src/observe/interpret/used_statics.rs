//! Statics: which of them are more than a counter, and where each is declared.

use crate::observe::format::Kind;
use crate::observe::log::{Log, Record};
use crate::observe::site_table::COUNT;
use std::collections::{HashMap, HashSet};

/// The statics that tests use, by process and path.
#[derive(Debug, Default)]
pub(crate) struct UsedStatics {
    /// Those that are read or set.
    used: HashSet<(u32, Vec<u8>)>,
    lines: HashMap<String, String>,
}

impl UsedStatics {
    /// Notes the use of a static.
    pub(crate) fn add(&mut self, log: &Log, record: &Record<'_>) {
        if record.value != u32::from(COUNT) {
            self.used.insert((log.pid(), record.text.to_vec()));
        }
        let line = String::from_utf8_lossy(record.second);
        self.lines
            .entry(record.words().into_owned())
            .or_insert(line.into_owned());
    }

    /// Returns whether the record is a use of a static to which numbers are added and that is never read or set: no test can
    /// depend on it.
    pub(crate) fn is_only_counted(&self, log: &Log, record: &Record<'_>) -> bool {
        record.kind == Kind::UseStatic
            && record.value == u32::from(COUNT)
            && !self.used.contains(&(log.pid(), record.text.to_vec()))
    }

    /// Returns the line where a static is declared: its file's absolute path and a number.
    pub(crate) fn line(&self, name: &str) -> Option<&str> {
        self.lines.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::test_log::LogBuilder;
    use crate::observe::site_table::{READ, WRITE};

    #[test]
    fn no_test_depends_on_a_static_that_is_only_counted() {
        let mut made = LogBuilder::new(7, 1, true);
        for (name, how) in [
            ("a::ONLY", COUNT),
            ("a::READ", COUNT),
            ("a::READ", READ),
            ("a::SET", WRITE),
            ("a::SET", COUNT),
        ] {
            made.record(1, 1, Kind::UseStatic, how.into(), name, b"/w/a.rs:3");
        }
        let log = made.log();
        let mut statics = UsedStatics::default();
        log.records().for_each(|record| statics.add(&log, &record));
        let left: Vec<_> = log
            .records()
            .filter(|record| !statics.is_only_counted(&log, record))
            .map(|record| record.words().into_owned())
            .collect();
        assert_eq!(left, ["a::READ", "a::READ", "a::SET", "a::SET"]);
        assert_eq!(statics.line("a::ONLY"), Some("/w/a.rs:3"));
        assert_eq!(statics.line("a::OTHER"), None);
    }
}
