//! Adds uses that were observed from outside to the tables, as a journal would have.

use super::Evidence;
use crate::tables::{Alone, Claim, Execution, Lane, Numbered, Owner, ProcessFacts, State};
use cofferdam::{Access, Resource};

/// A use of a resource that was observed from outside, in a suite that records nothing itself.
///
/// No worker is known then. Tests of one process may run at the same time in some schedule, so each counts as a worker of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<'a> {
    /// The unique name of the run.
    pub run: &'a str,
    /// The program of the test.
    pub binary: &'a str,
    /// The process that the runner started.
    pub pid: u32,
    /// The start of the process, in any unit, since process IDs are reused.
    pub started: u64,
    /// Whether the run's programs follow one another, as under `cargo test`: their tests cannot run at the same time then, but
    /// find what earlier ones left behind.
    pub in_turn: bool,
    /// The test.
    pub test: &'a str,
    /// 1, or more for a retry.
    pub attempt: u64,
    /// The resource.
    pub resource: Resource,
    /// The way to use it.
    pub access: Access,
    /// The locks that it held, by any names that are equal for the same lock.
    pub guards: &'a [String],
    /// The source place (`file:line`), or an empty text.
    pub place: &'a str,
    /// The first and the last moment, in microseconds since 1970.
    pub window: (u64, u64),
}

impl Evidence {
    /// Adds a use that was observed from outside. Adding it again changes nothing.
    ///
    /// Costs about a microsecond.
    ///
    /// ```
    /// use cofferdam::{Access, Resource};
    /// use cofferdam_conflicts::{Evidence, Observed};
    /// let mut evidence = Evidence::new();
    /// for (test, access) in [("writes", Access::Write), ("reads", Access::Read)] {
    ///     evidence.observe(&Observed {
    ///         run: "r1", binary: "shop", pid: 7, started: 0, in_turn: true, test, attempt: 1,
    ///         resource: Resource::file("/shop/report.csv"), access, guards: &[], place: "tests/shop.rs:7", window: (1, 2),
    ///     });
    /// }
    /// assert_eq!(evidence.conflicts().len(), 1);
    /// ```
    pub fn observe(&mut self, observed: &Observed<'_>) {
        let state = &mut self.state;
        let (begin, end) = observed.window;
        let execution = execution_of(state, observed);
        let row = state.executions.get_mut(execution);
        row.begin = row.begin.min(begin);
        row.end = row.end.max(end);
        let claim = Claim {
            owner: Owner::Execution(execution),
            execution,
            resource: state.resource(observed.resource.clone()),
            access: observed.access,
            guards: state.guards(observed.guards),
            place: state.place(observed.place),
            begin,
            open: 0,
            released: 0,
        };
        let index = state.claim(claim);
        let claim = state.claims.get_mut(index);
        claim.open = 0;
        claim.released = claim.released.max(end);
    }

    /// Sets the maximum number of uses that a conflict lists. The default is 8.
    pub fn list_up_to(&mut self, uses: usize) {
        // A conflict is between two uses.
        self.state.listed = Some(uses.max(2));
    }
}

fn execution_of(state: &mut State, observed: &Observed<'_>) -> u32 {
    let (begin, end) = observed.window;
    let process = state.process(&ProcessFacts {
        run: observed.run,
        pid: observed.pid,
        started: observed.started,
        boot: "",
        binary: observed.binary,
        at: begin,
    });
    let row = state.processes.get_mut(process);
    row.in_turn = observed.in_turn;
    let (run, binary) = (row.run, row.binary);
    state.heard_of(run, end);
    let test = state.names.name(observed.test);
    let lane = Lane {
        run,
        worker: state.names.name(""),
        alone: Some(Alone::Test { binary, test }),
    };
    let lane = state.lanes.row(lane, || lane);
    let attempt = observed.attempt;
    state
        .executions
        .row((process, Numbered::Observed { test, attempt }), || Execution {
            process,
            lane,
            test: Some(test),
            attempt,
            begin,
            end,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::{Conflict, Kind};

    const FILE: &str = "/shop/report.csv";

    struct Seen(Evidence);

    impl Seen {
        fn new() -> Self {
            Self(Evidence::new())
        }

        fn use_of(&mut self, test: &str, pid: u32, resource: Resource, access: Access, guards: &[String]) {
            self.0.observe(&Observed {
                run: "r",
                binary: if pid == 1 { "shop" } else { "desk" },
                pid,
                started: 0,
                in_turn: true,
                test,
                attempt: 1,
                resource,
                access,
                guards,
                place: "",
                window: (u64::from(pid), 100),
            });
        }

        fn writes(&mut self, test: &str, pid: u32) -> &mut Self {
            self.use_of(test, pid, Resource::file(FILE), Access::Write, &[]);
            self
        }

        fn conflicts(&self) -> Vec<Conflict> {
            self.0.conflicts()
        }
    }

    #[test]
    fn two_tests_of_a_process_conflict_and_no_worker_is_mentioned() {
        let mut seen = Seen::new();
        let found = seen.writes("a", 1).writes("b", 1).conflicts();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, Kind::SharedResource);
        assert!(
            found[0].message.contains("used by a (write) and b (write) "),
            "{}",
            found[0].message
        );
    }

    #[test]
    fn a_test_does_not_conflict_with_itself() {
        let mut seen = Seen::new();
        assert_eq!(seen.writes("a", 1).writes("a", 1).conflicts(), []);
    }

    #[test]
    fn a_common_lock_guards() {
        let mut seen = Seen::new();
        for test in ["a", "b"] {
            seen.use_of(test, 1, Resource::file(FILE), Access::Write, &["lock".to_owned()]);
        }
        assert_eq!(seen.conflicts(), []);
    }

    #[test]
    fn programs_that_run_in_sequence_share_files_and_nothing_else() {
        let mut seen = Seen::new();
        let found = seen.writes("a", 1).writes("b", 2).conflicts();
        let kinds: Vec<_> = found.iter().map(|one| (one.kind, one.overlapped)).collect();
        assert_eq!(kinds, [(Kind::OrderLeak, false)]);

        let mut seen = Seen::new();
        for (test, pid) in [("a", 1), ("b", 2)] {
            seen.use_of(test, pid, Resource::port(5432), Access::Write, &[]);
            seen.use_of(test, pid, Resource::cwd(), Access::Write, &[]);
            seen.use_of(test, pid, Resource::umask(), Access::Write, &[]);
        }
        assert_eq!(seen.conflicts(), []);
    }

    #[test]
    fn a_conflict_lists_up_to_the_requested_number_of_uses() {
        let mut seen = Seen::new();
        for number in 0..20 {
            seen.writes(&format!("t{number}"), 1);
        }
        assert_eq!(seen.conflicts()[0].tests.len(), 8);
        seen.0.list_up_to(usize::MAX);
        assert_eq!(seen.conflicts()[0].tests.len(), 20);
    }
}
