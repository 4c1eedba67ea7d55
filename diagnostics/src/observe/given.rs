//! Ports that the kernel chose for a test: they are its own, whatever it does with them afterwards.

use super::format::Kind;
use super::log::Record;
use std::collections::HashMap;

/// Since when who has which port: UDP ports are 65536 more.
#[derive(Debug, Default)]
pub(super) struct Given {
    since: HashMap<(Owner, u32), u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Test(usize),
    Process(u32),
}

impl Given {
    /// Takes in what happened, and which test did it, if one is known.
    pub(super) fn look(&mut self, record: &Record<'_>, test: Option<usize>) {
        if record.kind != Kind::GivenPort {
            return;
        }
        for owner in [Some(Owner::Process(record.pid)), test.map(Owner::Test)] {
            let Some(owner) = owner else { continue };
            let since = self.since.entry((owner, record.value)).or_insert(record.at);
            *since = record.at.min(*since);
        }
    }

    /// Whether what the test did was about a port that it had by then. The number can be another test's before and
    /// afterwards, which is no meeting. Who finds a port taken that its process was given did not choose that number
    /// either: somebody told it, as one who serves several tests.
    pub(super) fn is(&self, record: &Record<'_>, test: usize) -> bool {
        let port = match record.kind {
            Kind::BindTcp | Kind::ConnectTcp | Kind::TakenPort => record.value,
            Kind::BindUdp => record.value | 1 << 16,
            _ => return false,
        };
        let has = |owner| {
            let since = self.since.get(&(owner, port));
            since.is_some_and(|since| *since <= record.at)
        };
        has(Owner::Test(test)) || record.kind == Kind::TakenPort && has(Owner::Process(record.pid))
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
            (Kind::TakenPort, 80),
            (Kind::TakenPort, 81),
        ]) {
            made.record(at, 1, kind, value, "", b"");
        }
        let log = made.log();
        let mut given = Given::default();
        for record in log.records() {
            given.look(&record, Some(3));
        }
        let own: Vec<bool> = log.records().map(|record| given.is(&record, 3)).collect();
        assert_eq!(
            own,
            [
                false, false, true, true, false, false, true, false, false, true, false
            ]
        );

        // Another test of the same process knows that the port is taken, and may yet be in the way.
        let others: Vec<_> = log.records().filter(|record| given.is(record, 4)).collect();
        assert!(matches!(others[..], [ref one] if (one.kind, one.value) == (Kind::TakenPort, 80)));
    }
}
