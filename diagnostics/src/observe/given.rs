//! Ports that the kernel chose for a test: they are its own, whatever it does with them afterwards.

use super::format::Kind;
use super::log::Record;
use std::collections::HashMap;

/// Since when a test has which port: UDP ports are 65536 more.
#[derive(Debug, Default)]
pub(super) struct Given {
    since: HashMap<(usize, u32), u64>,
}

impl Given {
    /// Takes in what a test did.
    pub(super) fn look(&mut self, record: &Record<'_>, test: usize) {
        if record.kind == Kind::GivenPort {
            let since = self.since.entry((test, record.value)).or_insert(record.at);
            *since = record.at.min(*since);
        }
    }

    /// Whether what the test did was about a port that it had by then. The number can be another test's before and
    /// afterwards, which is no meeting.
    pub(super) fn is(&self, record: &Record<'_>, test: usize) -> bool {
        let port = match record.kind {
            Kind::BindTcp | Kind::ConnectTcp => record.value,
            Kind::BindUdp => record.value | 1 << 16,
            _ => return false,
        };
        let since = self.since.get(&(test, port));
        since.is_some_and(|since| *since <= record.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::made::Made;
    use super::*;

    #[test]
    fn a_port_is_a_test_s_own_once_the_kernel_gave_it() {
        let mut made = Made::new(1, 1, true);
        for (at, (kind, value)) in (1..).zip([
            (Kind::BindTcp, 80),
            (Kind::GivenPort, 80),
            (Kind::BindTcp, 80),
            (Kind::ConnectTcp, 80),
            (Kind::BindUdp, 80),
            (Kind::GivenPort, 80 | 1 << 16),
            (Kind::BindUdp, 80),
            (Kind::BindTcp, 81),
            (Kind::Look, 80),
        ]) {
            made.record(at, 1, kind, value, "", b"");
        }
        let log = made.log();
        let mut given = Given::default();
        for record in log.records() {
            given.look(&record, 3);
        }
        let own: Vec<bool> = log.records().map(|record| given.is(&record, 3)).collect();
        assert_eq!(own, [false, false, true, true, false, false, true, false, false]);
        assert!(log.records().all(|record| !given.is(&record, 4)));
    }
}
