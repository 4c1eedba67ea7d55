//! The cost of a session's records compared with one bare row in SQLite, and the waiting times of sixteen
//! simultaneous sessions and of readers.

#[path = "../../benches/harness/mod.rs"]
mod harness;

use cofferdam_batch::ledger::{
    AdmissionError, JobEnd, JobState, Ledger, NewJob, NewSession, Reader, SessionWriter, Status, Trigger,
    WaitPolicy,
};
use harness::{Series, Table};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

const ROUNDS: usize = 15;
const JOBS: u64 = 10_000;
const PROCESSES: usize = 16;
const ATTEMPTS: usize = 100;
const CONTESTS: usize = 5;
const LOOKS: usize = 2_000;

/// Returns the duration in microseconds; `None` if the kernel preempted this thread. Waits for locks and disks count.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn micros(work: impl FnOnce()) -> Option<f64> {
    let interrupted = interruptions();
    let begun = Instant::now();
    work();
    let took = begun.elapsed().as_secs_f64() * 1e6;
    (interruptions() == interrupted).then_some(took)
}

/// Returns the number of times that this thread was preempted; 0 if the system does not report it.
fn interruptions() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

fn new(namespace: &str) -> NewSession {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    #[expect(clippy::disallowed_methods, reason = "contenders are processes")]
    let pid = std::process::id();
    NewSession {
        name: format!("{pid}-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        namespace: namespace.to_owned(),
        scope: "bench".to_owned(),
        takes_jobs: true,
        trigger: Trigger::Program,
        concurrent: false,
        resume: false,
        revision: None,
    }
}

fn create_dir(base: &Path, below: &Path) -> std::io::Result<PathBuf> {
    let dir = base.join(below);
    std::fs::create_dir_all(&dir).map(|()| dir)
}

fn start(base: &Path) -> SessionWriter {
    let ledger = Ledger::open(base, create_dir).expect("a ledger");
    let started = ledger.start_session(&new("bench"), WaitPolicy::Never, |_| {});
    started.expect("nobody else is there")
}

fn end(job: u64) -> JobEnd {
    JobEnd {
        job,
        attempt: 1,
        state: JobState::Completed,
        retried: false,
        exit_code: Some(0),
        signal: None,
        reason: None,
        started: 1_700_000_000_000_000,
        ended: 1_700_000_002_000_000,
        memory: Some(1 << 20),
        log: Some(PathBuf::from(format!("sessions/bench/{job}.log"))),
    }
}

/// A database with the same settings as the ledger's, and one table.
fn bare(file: &Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(file).expect("a database");
    conn.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         PRAGMA wal_autocheckpoint = 3600;
         CREATE TABLE rows (number INTEGER PRIMARY KEY, name TEXT, state TEXT, started INTEGER, ended INTEGER);",
    )
    .expect("a table");
    conn
}

/// Returns the microseconds of a bare row, of the beginning and of the end of a job, and the maximum length of the
/// log.
fn recording(base: &Path) -> ([Series; 3], u64) {
    let mut session = start(base);
    let conn = bare(&base.join("bare.sqlite3"));
    let names = vec![
        NewJob {
            command: "true",
            name: "a job",
            group: None
        };
        JOBS as usize
    ];
    session.add_jobs(&names).1.expect("they are recorded");
    let mut series = [(); 3].map(|()| Series(Vec::new()));
    let mut log = 0;
    let each = JOBS / ROUNDS as u64;
    for round in 0..ROUNDS as u64 {
        let mut times = [(); 3].map(|()| Vec::new());
        for number in round * each + 1..=(round + 1) * each {
            times[0].extend(micros(|| {
                let row = conn.prepare_cached("INSERT INTO rows VALUES (?, ?, ?, ?, ?)");
                let row = row
                    .and_then(|mut row| row.execute(rusqlite::params![number, "a job", "completed", 1, 2]));
                row.expect("a row");
            }));
            times[1].extend(micros(|| {
                session.job_started(number, 1, 1).expect("it is recorded")
            }));
            times[2].extend(micros(|| {
                session.job_finished(&end(number)).expect("it is recorded")
            }));
        }
        for (series, times) in series.iter_mut().zip(&times) {
            series.0.push(mean(times));
        }
        let known = std::fs::metadata(base.join("ledger.sqlite3-wal"));
        log = known.map_or(0, |known| known.len()).max(log);
    }
    session.finish(Status::Passed, &[]).expect("the end is recorded");
    (series, log)
}

/// A process that begins sessions while others do: prints the duration of each attempt, successful or not.
#[expect(
    clippy::print_stdout,
    reason = "a contender tells its times to who started it"
)]
fn contend(base: &Path) {
    let mut times = Vec::new();
    for _ in 0..ATTEMPTS {
        let ledger = Ledger::open(base, create_dir).expect("a ledger");
        let new = new("bench");
        let mut started = None;
        times.extend(micros(|| {
            started = Some(ledger.start_session(&new, WaitPolicy::Never, |_| {}))
        }));
        match started {
            Some(Ok(session)) => _ = session.finish(Status::Passed, &[]).expect("the end is recorded"),
            Some(Err(AdmissionError::Blocked(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    for time in times {
        println!("{time}");
    }
}

fn start_contender(base: &Path, how: &str) -> Child {
    #[expect(clippy::disallowed_methods, reason = "contenders are processes")]
    let mut command = Command::new(std::env::current_exe().expect("a benchmark has an executable"));
    command
        .arg(how)
        .arg(base)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("a contender")
}

fn contest(base: &Path) -> Vec<f64> {
    let children: Vec<Child> = (0..PROCESSES)
        .map(|_| start_contender(base, "--contend"))
        .collect();
    let ended = children
        .into_iter()
        .map(|child| child.wait_with_output().expect("a contender ends"));
    let mut times = Vec::new();
    for ended in ended {
        assert!(ended.status.success(), "a contender failed");
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        times.extend(text.lines().map(|line| line.parse::<f64>().expect("a time")));
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Records jobs until its standard input ends.
fn write(base: &Path) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
            done.store(true, Ordering::Relaxed);
        });
        let mut session = start(base);
        let names = [NewJob {
            command: "true",
            name: "a job",
            group: None,
        }; 1_000];
        session.add_jobs(&names).1.expect("they are recorded");
        for number in (1..=1_000).cycle() {
            if done.load(Ordering::Relaxed) {
                break;
            }
            session.job_finished(&end(number)).expect("it is recorded");
        }
        session.finish(Status::Passed, &[]).expect("the end is recorded");
    });
}

/// Returns the sorted durations of reads beside a process that writes without a pause.
fn looking(base: &Path) -> Vec<f64> {
    let mut writer = start_contender(base, "--write");
    let reader = loop {
        if let Ok(Some(reader)) = Reader::open(base)
            && reader
                .active()
                .is_ok_and(|active| active.iter().any(|session| session.jobs.ended() > 0))
        {
            break reader;
        }
        std::thread::yield_now();
    };
    let look = |_| {
        micros(|| {
            let active = reader.active().expect("readers are never refused");
            reader
                .jobs(active[0].id, Some(JobState::Running))
                .expect("readers are never refused");
        })
    };
    let mut times: Vec<f64> = (0..LOOKS).filter_map(look).collect();
    drop(writer.stdin.take());
    assert!(writer.wait().expect("the writer ends").success());
    times.sort_by(f64::total_cmp);
    times
}

fn main() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a contender gets its role by its arguments"
    )]
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--contend"), Some(base)) => return contend(Path::new(&base)),
        (Some("--write"), Some(base)) => return write(Path::new(&base)),
        _ if !harness::is_wanted() => return,
        _ => {}
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let of = |sorted: &[f64], part: usize| sorted[(sorted.len() - 1) * part / 100];

    let ([row, begun, ended], log) = recording(&dir.path().join("recording"));
    let mut table = Table::new("Recording a job, one transaction each");
    table.row("one row in a bare SQLite table", " µs", &row, ..);
    table.row("a job begins", " µs", &begun, ..);
    table.row("a job ends", " µs", &ended, ..=100.0);
    table.row("a job ends ÷ one row", "×", &ended.over(&row), ..);
    let log = Series(vec![log as f64 / 1e6]);
    table.row("the log, at its longest in 10,000 jobs", " MB", &log, ..=4.0);
    table.print();

    let mut table = Table::new("16 processes begin 100 sessions each at once, in one namespace");
    let (mut middle, mut late) = (Series(Vec::new()), Series(Vec::new()));
    for contest_number in 0..CONTESTS {
        let times = contest(&dir.path().join(format!("contest-{contest_number}")));
        middle.0.push(of(&times, 50));
        late.0.push(of(&times, 99));
    }
    table.row("p50", " µs", &middle, ..=200.0);
    table.row("p99", " µs", &late, ..);
    table.print();

    let mut table = Table::new("Looking at the session beside one who writes without a pause");
    let (mut middle, mut late) = (Series(Vec::new()), Series(Vec::new()));
    for round in 0..CONTESTS {
        let times = looking(&dir.path().join(format!("looking-{round}")));
        middle.0.push(of(&times, 50));
        late.0.push(of(&times, 99));
    }
    table.row("p50", " µs", &middle, ..);
    table.row("p99", " µs", &late, ..=1_000.0);
    table.print();
}
