//! Ports that belong to one test: those the kernel assigned to it, and leased ports.

use crate::observe::format::Kind;
use crate::observe::log::Record;
use std::collections::HashMap;

/// The time from which each owner has each assigned port. 65,536 is added to the numbers of UDP ports.
#[derive(Debug, Default)]
pub(crate) struct EphemeralPorts {
    since: HashMap<(PortOwner, u32), u64>,
    /// The time from which each TCP port is leased.
    leased: HashMap<u32, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PortOwner {
    Test(usize),
    Process(u32),
}

impl EphemeralPorts {
    /// Notes a port that was assigned or leased.
    pub(crate) fn add(&mut self, record: &Record<'_>, test: Option<usize>) {
        if record.kind == Kind::LeasedPort {
            let since = self.leased.entry(record.value).or_insert(record.at);
            *since = record.at.min(*since);
        }
        if record.kind != Kind::GivenPort {
            return;
        }
        for owner in [Some(PortOwner::Process(record.pid)), test.map(PortOwner::Test)] {
            let Some(owner) = owner else { continue };
            let since = self.since.entry((owner, record.value)).or_insert(record.at);
            *since = record.at.min(*since);
        }
    }

    /// Returns whether the access is to a port that the test had been assigned by then, or that was leased. Another test may
    /// be assigned the same number earlier or later, which is no conflict. A test that finds a port in use that was assigned
    /// to its process did not choose the number either: a server shared by several tests passed it on.
    pub(crate) fn belongs_to(&self, record: &Record<'_>, test: usize) -> bool {
        let number = record.value & u32::from(u16::MAX);
        let port = match record.kind {
            Kind::BindTcp | Kind::ConnectTcp => number,
            Kind::BindUdp => number | 1 << 16,
            _ => return false,
        };
        let by_then = |since: Option<&u64>| since.is_some_and(|since| *since <= record.at);
        let has = |owner| by_then(self.since.get(&(owner, port)));
        has(PortOwner::Test(test))
            || record.taken() && has(PortOwner::Process(record.pid))
            || by_then(self.leased.get(&port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::{FAILED, TAKEN};
    use crate::observe::log::test_log::LogBuilder;

    #[test]
    fn a_port_belongs_to_a_test_once_the_kernel_has_assigned_it() {
        let mut made = LogBuilder::new(1, 1, true);
        let taken = FAILED | TAKEN;
        for (at, (kind, flags, value)) in (1..).zip([
            (Kind::BindTcp, 0, 80),
            (Kind::GivenPort, 0, 80),
            (Kind::BindTcp, 0, 80),
            (Kind::ConnectTcp, 0, 80),
            (Kind::BindUdp, 0, 80),
            (Kind::GivenPort, 0, 80 | 1 << 16),
            (Kind::BindUdp, 0, 80),
            (Kind::BindTcp, 0, 81),
            (Kind::Look, 0, 80),
            (Kind::BindTcp, taken, 80),
            (Kind::BindTcp, taken, 81),
        ]) {
            made.flagged(at, 1, kind, flags, value, b"", b"");
        }
        let log = made.log();
        let mut ports = EphemeralPorts::default();
        for record in log.records() {
            ports.add(&record, Some(3));
        }
        let own: Vec<bool> = log.records().map(|record| ports.belongs_to(&record, 3)).collect();
        assert_eq!(
            own,
            [
                false, false, true, true, false, false, true, false, false, true, false
            ]
        );

        // Another test of the same process knows that the port is taken, and may yet be in the way.
        let others: Vec<_> = log
            .records()
            .filter(|record| ports.belongs_to(record, 4))
            .collect();
        assert!(matches!(others[..], [ref one] if one.taken() && one.value == 80));
    }

    #[test]
    fn a_leased_port_belongs_to_each_test_that_uses_it() {
        let mut made = LogBuilder::new(1, 1, true);
        for (at, (kind, value)) in (1..).zip([
            (Kind::BindTcp, 80),
            (Kind::LeasedPort, 80),
            (Kind::BindTcp, 80),
            (Kind::ConnectTcp, 80),
            (Kind::BindTcp, 81),
            (Kind::BindUdp, 80),
        ]) {
            made.record(at, 1, kind, value, "", b"");
        }
        let log = made.log();
        let mut ports = EphemeralPorts::default();
        for record in log.records() {
            ports.add(&record, None);
        }
        for test in [3, 4] {
            let own: Vec<bool> = log
                .records()
                .map(|record| ports.belongs_to(&record, test))
                .collect();
            assert_eq!(own, [false, false, true, true, false, false]);
        }
    }
}
