//! The reports on small recordings, word for word.

use super::script::{Lane, used};
use crate::conflict::{Kind, Severity};
use crate::evidence::Evidence;
use cofferdam::format::{Event, Why};
use cofferdam::{Access, Resource};
use std::fmt::Write as _;
use std::path::Path;

fn evidence(lanes: &[&Lane]) -> Evidence {
    let mut evidence = Evidence::new();
    for (number, lane) in lanes.iter().enumerate() {
        let name = format!("{number}.ndjson");
        evidence.take_in(Path::new(&name), lane.text.as_bytes());
    }
    assert!(evidence.problems().is_empty(), "{:?}", evidence.problems());
    evidence
}

/// Returns the severity, kind, tests, message and help of each conflict.
fn report(lanes: &[&Lane]) -> String {
    let mut text = String::new();
    for conflict in evidence(lanes).conflicts() {
        let (severity, kind) = (conflict.severity(), conflict.kind);
        let tests: Vec<String> = conflict.uses().map(|(test, _)| test.to_string()).collect();
        writeln!(
            text,
            "{severity} {kind} [{}] of {}",
            tests.join(", "),
            conflict.use_count
        )
        .unwrap();
        writeln!(text, "  {conflict}\n  {}", conflict.help).unwrap();
    }
    text
}

fn file() -> Resource {
    Resource::file("/shop/report.csv")
}

#[test]
fn a_file_that_two_workers_write_is_a_conflict() {
    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 7));
    w0.test(1, 1, "a").claim(2, 1, 0, file(), Access::Write).end(9, 1);
    w1.test(3, 2, "b").claim(4, 2, 0, file(), Access::Read).end(8, 2);
    assert_eq!(
        report(&[&w0, &w1]),
        "\
conflict shared-resource [a, b] of 2
  file /shop/report.csv is used by a on w0 (write) and b on w1 (read) at the same time, with no lock in common
  give each test its own file: `let dir = cofferdam::lease::dir()?;` and `dir.join(\"report.csv\")` instead of the fixed path; where they have to share it, `#[cofferdam::serial(report_csv)]` on the tests that change it and `#[cofferdam::parallel(report_csv)]` on those that only read it (feature `macros`)
"
    );
}

#[test]
fn uses_in_sequence_are_a_conflict_in_another_schedule() {
    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 8));
    w0.test(1, 1, "a")
        .claim(2, 1, 0, Resource::port(80), Access::Write)
        .end(3, 1);
    w1.test(4, 1, "b")
        .claim(5, 1, 0, Resource::port(80), Access::Write)
        .end(6, 1);
    assert_eq!(
        report(&[&w0, &w1]),
        "\
conflict shared-resource [a, b] of 2
  port 80 is used by a on w0 (write) and b on w1 (write) one after the other, with no lock in common
  let the system choose: `TcpListener::bind((\"127.0.0.1\", 0))`, and pass on the port that `local_addr()` returns, or `cofferdam::lease::port()?` where the number is needed before the server starts; where the number has to be this one, `#[cofferdam::serial(port_80)]` on the tests that change it and `#[cofferdam::parallel(port_80)]` on those that only read it (feature `macros`)
"
    );
}

#[test]
fn readers_one_worker_a_common_lock_and_a_retry_are_no_conflict() {
    let claims = |access, guards: [&[&str]; 2]| {
        let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 7));
        w0.test(1, 1, "a")
            .guarded(2, 1, 0, file(), access, guards[0])
            .end(9, 1);
        w1.test(3, 2, "b")
            .guarded(4, 2, 0, file(), access, guards[1])
            .end(8, 2);
        report(&[&w0, &w1])
    };
    assert_eq!(claims(Access::Read, [&[], &[]]), "");
    assert_eq!(claims(Access::Write, [&["x", "report"], &["report"]]), "");
    assert_ne!(claims(Access::Write, [&["x"], &["report"]]), "");

    let mut lane = Lane::new("r", "w0", 7);
    for execution in 1..4 {
        let at = execution * 10;
        lane.test(at, execution, "a")
            .claim(at + 1, execution, 0, file(), Access::Write)
            .end(at + 2, execution);
    }
    assert_eq!(report(&[&lane]), "");

    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 8));
    w0.test(1, 1, "a").claim(2, 1, 0, file(), Access::Write);
    w1.attempt(4, 1, "a", 2)
        .claim(5, 1, 0, file(), Access::Write)
        .end(6, 1);
    assert_eq!(report(&[&w0, &w1]), "");
}

#[test]
fn environment_and_working_directory_conflict_within_one_process_only() {
    for resource in [Resource::env("MODE"), Resource::cwd()] {
        let both = |pid| {
            let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", pid));
            w0.test(1, 1, "a")
                .claim(2, 1, 0, resource.clone(), Access::Write)
                .end(9, 1);
            w1.test(3, 2, "b")
                .claim(4, 2, 0, resource.clone(), Access::Write)
                .end(8, 2);
            report(&[&w0, &w1])
        };
        assert_eq!(both(8), "");
        assert!(both(7).contains("`#[cofferdam::isolated]`"), "{}", both(7));
    }
}

#[test]
fn two_runs_at_one_time_on_one_machine_conflict_also_over_the_same_test() {
    let of = |run: &str, boot: &str, begin: u64| {
        let mut lane = Lane::on(run, "w0", 7, boot);
        lane.text.clear();
        let header = Lane::on(run, "w0", 7, boot)
            .text
            .replace("\"at\":0", &format!("\"at\":{begin}"));
        lane.text.push_str(&header);
        lane.test(begin, 1, "a")
            .claim(begin + 1, 1, 0, Resource::name("queue orders"), Access::Write)
            .end(begin + 9, 1);
        lane
    };
    let (one, two) = (of("r1", "m", 0), of("r2", "m", 5));
    assert_eq!(
        report(&[&one, &two]),
        "\
conflict shared-resource [a, a] of 2
  name queue orders is used by a on w0 of run r1 (write) and a on w0 of run r2 (write) at the same time, with no lock in common
  let the name hold the run too: `Worker::current().run()` and `.id()`; where it has to be one, `#[cofferdam::serial(queue_orders)]` on the tests that change it and `#[cofferdam::parallel(queue_orders)]` on those that only read it (feature `macros`)
"
    );
    assert!(evidence(&[&one, &two]).conflicts()[0].between_runs);
    // One after the other they never met, and no schedule of tests makes them.
    assert_eq!(report(&[&one, &of("r2", "m", 50)]), "");
}

#[test]
fn a_file_on_another_machine_is_another_file() {
    let on = |run: &str, boot: &str| {
        let mut lane = Lane::on(run, "w0", 7, boot);
        lane.test(1, 1, "a")
            .claim(2, 1, 0, file(), Access::Write)
            .end(9, 1);
        lane
    };
    assert_eq!(report(&[&on("r1", "m1"), &on("r2", "m2")]), "");
    assert_ne!(report(&[&on("r1", "m1"), &on("r2", "m1")]), "");
}

#[test]
fn shards_of_several_machines_conflict_as_if_they_were_one_run() {
    let shard = |run: &str, test: &str, guards: &[&str], at: u64| {
        let mut lane = Lane::on(run, "w0", 7, run);
        lane.test(at, 1, test)
            .guarded(at, 1, 0, file(), Access::Write, guards)
            .end(at + 9, 1);
        lane
    };
    let together = |lanes: &[&Lane]| {
        let mut evidence = Evidence::of_shards();
        for lane in lanes {
            evidence.take_in(Path::new("j.ndjson"), lane.text.as_bytes());
        }
        evidence
    };
    let (one, two) = (shard("r1", "a", &[], 0), shard("r2", "b", &[], 50));
    assert_eq!(report(&[&one, &two]), "");
    let evidence = together(&[&one, &two]);
    let [conflict] = &evidence.conflicts()[..] else {
        panic!()
    };
    assert!(!conflict.between_runs && !conflict.overlapped);
    let workers: Vec<_> = conflict
        .tests
        .iter()
        .map(|test| (test.name(), &*test.worker))
        .collect();
    assert_eq!(workers, [("a", "r1/w0"), ("b", "r2/w0")]);
    assert_eq!((evidence.watched().runs, evidence.watched().workers), (1, 2));
    // A lock that both take would exclude them, and a test does not conflict with itself.
    let guarded = [shard("r1", "a", &["db"], 0), shard("r2", "b", &["db"], 50)];
    assert_eq!(together(&guarded.each_ref()).conflicts(), []);
    let again = [shard("r1", "a", &[], 0), shard("r2", "a", &[], 50)];
    assert_eq!(together(&again.each_ref()).conflicts(), []);
}

#[test]
fn a_lock_on_another_machine_is_another_lock() {
    let on = |run: &str, boot: &str| {
        let mut lane = Lane::on(run, "w0", 7, boot);
        let db = Resource::name("staging db");
        lane.test(1, 1, "a")
            .guarded(2, 1, 0, db, Access::Write, &["staging"])
            .end(9, 1);
        lane
    };
    assert_eq!(report(&[&on("r1", "m1"), &on("r2", "m1")]), "");
    assert_ne!(report(&[&on("r1", "m1"), &on("r2", "m2")]), "");
}

#[test]
fn a_service_s_claim_counts_for_every_test_that_uses_the_service() {
    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 7));
    w0.test(1, 1, "a")
        .built(2, 1, "Report", 1)
        .claim(3, 1, 1, file(), Access::Write)
        .end(4, 1);
    w0.test(10, 2, "c").at(11, used(2, 1)).end(20, 2);
    w1.test(10, 3, "b")
        .built(11, 3, "Report", 2)
        .claim(12, 3, 2, file(), Access::Write)
        .end(20, 3);
    assert_eq!(
        report(&[&w0, &w1]),
        "\
conflict shared-resource [c, b, a] of 3
  file /shop/report.csv is used by c on w0 (write) and b on w1 (write) at the same time, with no lock in common
  give each worker its own file: `cx.dir()?.join(\"report.csv\")` instead of the fixed path; where they have to share it, `#[cofferdam::serial(report_csv)]` on the tests that change it and `#[cofferdam::parallel(report_csv)]` on those that only read it (feature `macros`)
"
    );
}

#[test]
fn a_service_declared_as_shared_does_not_conflict_with_itself() {
    let of = |shared| {
        let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 7));
        w0.test(1, 1, "a").built_in(2, 1, "Server", 1, 0, shared).claim(
            3,
            1,
            1,
            Resource::port(80),
            Access::Write,
        );
        w0.end(9, 1);
        w1.test(4, 2, "b").at(5, used(2, 1)).end(8, 2);
        report(&[&w1, &w0])
    };
    assert_eq!(of(true), "");
    assert_eq!(
        of(false),
        "\
conflict shared-instance [a, b] of 2
  one instance of Server is in the caches of a on w0 and b on w1, and it is not declared as shared
  build it inside the factory, not outside of it, so that each worker gets its own; if it is meant for all of them, say so with `register_shared`
"
    );
}

#[test]
fn using_a_service_uses_its_parts_in_any_order_of_journals() {
    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 7));
    let (mut own, mut other) = (Lane::new("r", "w2", 7), Lane::new("r", "w3", 7));
    // A service that all share, made of a part that writes a file.
    w0.test(1, 1, "a")
        .built_in(2, 1, "Part", 1, 0, true)
        .claim(3, 1, 1, file(), Access::Write);
    w1.test(1, 2, "b").built_of(4, 2, "Whole", 2, &[1]).end(5, 2);
    other.test(6, 3, "c").at(7, used(3, 2)).end(9, 3);
    own.test(6, 4, "d").claim(7, 4, 0, file(), Access::Read).end(9, 4);
    w0.end(4, 1);
    let forth = report(&[&w0, &w1, &own, &other]);
    assert!(forth.starts_with("conflict shared-resource [c, d, "), "{forth}");
    assert_eq!(report(&[&other, &own, &w1, &w0]), forth);
}

#[test]
fn the_same_number_in_two_processes_is_two_instances() {
    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 8));
    w0.test(1, 1, "a").built(2, 1, "Db", 1).end(9, 1);
    w1.test(1, 1, "b").built(2, 1, "Db", 1).end(9, 1);
    assert_eq!(report(&[&w0, &w1]), "");
}

#[test]
fn a_worker_in_two_processes_at_one_time_is_a_conflict_and_in_sequence_is_not() {
    let of = |begin| {
        let (mut one, mut two) = (Lane::new("r", "w0", 7), Lane::new("r", "w0", 8));
        one.test(1, 1, "a").end(9, 1);
        two.test(begin, 1, "b").end(begin + 5, 1);
        report(&[&one, &two])
    };
    assert_eq!(of(9), "");
    assert_eq!(
        of(8),
        "\
conflict worker-twice [a, b] of 2
  worker w0 of run r was alive in two processes at the same time: a in process 7 and b in process 8
  leave COFFERDAM_WORKER unset for a test suite and for what its tests start: it pins a whole process. If it is not set, two runs share one COFFERDAM_RUN_ID, which has to be unique
"
    );
}

#[test]
fn a_foreign_use_is_reported_as_such_and_not_as_a_shared_instance() {
    let (mut w0, mut w1) = (Lane::new("r", "w0", 7), Lane::new("r", "w1", 7));
    w0.test(1, 1, "a").built(2, 1, "Db", 1).end(9, 1);
    let foreign = Event::Foreign {
        execution: 2,
        service: "Db".to_owned(),
        instance: 1,
        owner: "w0".to_owned(),
        place: "src/shop.rs:5".to_owned(),
    };
    w1.test(3, 2, "b").at(4, used(2, 1)).at(4, foreign).end(8, 2);
    assert_eq!(
        report(&[&w0, &w1]),
        "\
conflict foreign-use [b] of 1
  b on w1 used the Db of w0 through a lazy proxy that was made at src/shop.rs:5
  make the proxy in the test that uses it (`locator.lazy()`), instead of keeping it where tests of other workers find it
"
    );
}

#[test]
fn warnings_and_notes_are_reported_after_conflicts() {
    let mut w0 = Lane::new("r", "w0", 7);
    w0.test(1, 1, "a")
        .built(2, 1, "Db", 1)
        .dropped(3, "Db", 1, Why::Cleared, 2);
    w0.built_in(4, 1, "Db", 2, 1, false)
        .dropped(5, "Db", 2, Why::TestOver, 1)
        .end(6, 1);
    w0.at(
        7,
        Event::Quarantined {
            execution: 1,
            children: 2,
        },
    );
    for round in 0..3 {
        let (execution, at) = (round + 10, round * 10 + 10);
        w0.test(at, execution, &format!("t{round}"))
            .built(at + 1, execution, "Big", execution);
        w0.dropped(at + 2, "Big", execution, Why::Evicted, 0)
            .built(at + 3, execution, "Big", execution + 50);
        w0.end(at + 4, execution);
    }
    w0.at(
        60,
        Event::Counters {
            locator: "services".to_owned(),
            hits: 1,
            misses: 2,
            builds: 8,
            evictions: 3,
            capacity: 1,
        },
    );
    assert_eq!(
        report(&[&w0]),
        "\
warning two-epochs [a] of 1
  Db of locator `services` was built anew after it was cleared or overridden, while the old instance was still held: two existed together, once
  drop references obtained before clearing or overriding, or `get` Db again instead of keeping it
warning leaked [a] of 1
  Db of locator `services` was still held when its test was over, once
  find the clone that is kept beyond the test (in a static, a thread, a cycle of `Arc`s): keep a `Weak` there, or `join` the thread before the test ends
warning thrashing [t0, t1, t2] of 3
  the cache of locator `services` of capacity 1 evicted services that were asked for again: 3 rebuilds, 120.0 ms in all, most often Big
  `.capacity(2)` where the locator is built holds all 2 services that its tests asked for
warning quarantined [a] of 1
  a ended while threads that it had started still worked for w0: the worker ID was retired
  `join` the threads of `Worker::spawn` and `wrap` before the test ends
note rebuilt [t0, t1, t2] of 3
  Big of locator `services` was built in 3 tests of run r, 240.0 ms in all: a candidate for a fixture
  if its tests can share it, `register_shared` builds it once per process; what takes long outside the process (a server, a filled database) is better started once per run, by a `Fixture` (feature `fixtures`)
"
    );
    let conflicts = evidence(&[&w0]).conflicts();
    assert!(
        conflicts
            .iter()
            .all(|conflict| conflict.severity() != Severity::Conflict)
    );
}

#[test]
fn the_order_of_reading_does_not_change_the_report() {
    let mut lanes = Vec::new();
    for worker in 0..4u64 {
        let mut lane = Lane::new("r", &format!("w{worker}"), 7);
        let execution = worker + 1;
        lane.test(worker, execution, &format!("t{worker}"));
        lane.claim(worker, execution, 0, file(), Access::Write);
        lane.claim(worker, execution, 0, Resource::port(80), Access::Write);
        lane.built(worker, execution, "Db", 9).end(20, execution);
        lanes.push(lane);
    }
    let forth = report(&lanes.iter().collect::<Vec<_>>());
    let back = report(&lanes.iter().rev().collect::<Vec<_>>());
    assert_eq!(forth, back);
    let kinds: Vec<Kind> = evidence(&[&lanes[0], &lanes[1]])
        .conflicts()
        .iter()
        .map(|conflict| conflict.kind)
        .collect();
    assert_eq!(
        kinds,
        [Kind::SharedInstance, Kind::SharedResource, Kind::SharedResource]
    );
}

#[test]
fn an_end_without_a_beginning_is_an_error_with_its_line() {
    let mut lane = Lane::new("r", "w0", 7);
    lane.end(1, 5);
    lane.text
        .push_str("{\"at\":1,\"pid\":9,\"event\":\"end\",\"execution\":1}\n");
    let mut evidence = Evidence::new();
    evidence.take_in(Path::new("j.ndjson"), lane.text.as_bytes());
    let problems: Vec<String> = evidence.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "j.ndjson:2: no `test` line of execution 5 of process 7 is above this one",
            "j.ndjson:3: no `process` line of process 9 is above this one",
        ]
    );
}

#[test]
fn problems_are_counted_and_only_the_first_are_kept() {
    let mut evidence = Evidence::new();
    evidence.take_in(Path::new("j.ndjson"), "garbage\n".repeat(10_000).as_bytes());
    assert_eq!(
        (evidence.problems().len(), evidence.problem_count()),
        (50, 10_000)
    );
}
