//! Finds the statics that are more than a counter.

use crate::observe::format::Kind;
use crate::observe::log::{Log, Record};
use crate::observe::site_table::COUNT;
use std::collections::HashMap;

/// The statics that tests use, by process and path. Two programs may have statics of one path.
#[derive(Debug, Default)]
pub(crate) struct UsedStatics {
    all: HashMap<(u32, Vec<u8>), UsedStatic>,
}

#[derive(Debug)]
struct UsedStatic {
    /// Set if it is read or set.
    is_more_than_counted: bool,
}

impl UsedStatics {
    /// Notes the use of a static.
    pub(crate) fn add(&mut self, log: &Log, record: &Record<'_>) {
        let one = self
            .all
            .entry((log.pid(), record.text.to_vec()))
            .or_insert_with(|| UsedStatic {
                is_more_than_counted: false,
            });
        one.is_more_than_counted |= record.value != u32::from(COUNT);
    }

    /// Returns whether the record is a use of a static to which numbers are added and that is never read or set: no test can
    /// depend on it.
    pub(crate) fn is_only_counted(&self, log: &Log, record: &Record<'_>) -> bool {
        record.kind == Kind::UseStatic
            && record.value == u32::from(COUNT)
            && self
                .get(log.pid(), record.text)
                .is_none_or(|one| !one.is_more_than_counted)
    }

    fn get(&self, pid: u32, name: &[u8]) -> Option<&UsedStatic> {
        self.all.get(&(pid, name.to_vec()))
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
    }
}
