//! The cost of a lock between tests, compared with the kernel's, fslock and serial_test, uncontended and contended.
//!
//! Under contention each process does the same number of laps, and the result is the longest wait of any process.

mod harness;
#[path = "harness/race.rs"]
mod race;

use harness::{Series, Table};
use race::Work;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 101;
/// At most a millisecond, so that some slices are undisturbed on a busy machine.
const CALLS: u64 = 200;
const PROCESSES: usize = 8;
const CONTESTS: usize = 9;
const LAPS: u32 = 1_000;

#[expect(
    clippy::disallowed_methods,
    reason = "the bare lock is what ours is compared with"
)]
fn flock(path: &Path) -> File {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .expect("a lock file");
    file.lock().expect("a lock");
    file
}

fn fs_lock(path: &Path) -> fslock::LockFile {
    let mut file = fslock::LockFile::open(path).expect("a lock file");
    file.lock().expect("a lock");
    file
}

/// Returns the nanoseconds of lock and unlock without contention.
fn alone(base: &Path) -> [Series; 5] {
    let (bare, other) = (base.join("bare.lock"), base.join("fslock.lock"));
    let serial = base.join("serial.lock").display().to_string();
    let repeat = |work: &dyn Fn(), calls: u64| (0..calls).for_each(|_| work());
    let works: [Work<'_>; 5] = [
        &|calls| repeat(&|| drop(flock(&bare)), calls),
        &|calls| repeat(&|| flock(&bare).unlock().expect("it was locked"), calls),
        &|calls| repeat(&|| drop(cofferdam::lock("bench alone")), calls),
        &|calls| repeat(&|| drop(fs_lock(&other)), calls),
        &|calls| {
            repeat(
                &|| serial_test::fs_serial_core(vec!["bench"], Some(&serial), || {}),
                calls,
            )
        },
    ];
    let mut times = race::run(1, ROUNDS, CALLS, &works).into_iter();
    std::array::from_fn(|_| times.next().unwrap_or(Series(Vec::new())))
}

/// The same for one thread, or for two at once with different locks: the bare lock and cofferdam's.
fn beside(threads: usize, base: &Path) -> [Series; 2] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NAME: String = format!("bench {}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let bare: Work<'_> = &|calls| {
        let path = NAME.with(|name| base.join(name));
        (0..calls).for_each(|_| drop(flock(&path)));
    };
    let ours: Work<'_> = &|calls| NAME.with(|name| (0..calls).for_each(|_| drop(cofferdam::lock(name))));
    let mut times = race::run(threads, ROUNDS, CALLS, &[bare, ours]).into_iter();
    std::array::from_fn(|_| times.next().unwrap_or(Series(Vec::new())))
}

/// A process that takes the same lock repeatedly and prints its longest wait.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#[expect(clippy::print_stdout, reason = "a contender talks to who started it")]
fn contend(how: &str, base: &Path) -> Duration {
    let path = base.join(format!("{how}.lock"));
    let mut longest = Duration::ZERO;
    // All begin together.
    println!("ready");
    let _ = std::io::stdin().read_line(&mut String::new());
    for _ in 0..LAPS {
        let begun = Instant::now();
        match how {
            "cofferdam" => {
                let _held = cofferdam::lock("bench contended");
                longest = longest.max(begun.elapsed());
            }
            "fslock" => {
                let _held = fs_lock(&path);
                longest = longest.max(begun.elapsed());
            }
            _ => {
                let _held = flock(&path);
                longest = longest.max(begun.elapsed());
            }
        }
    }
    longest
}

#[expect(clippy::disallowed_methods, reason = "contenders are processes")]
fn contest(how: &str, base: &Path) -> f64 {
    let start = || {
        let own = std::env::current_exe().expect("a benchmark has an executable");
        let mut child = Command::new(own);
        child.args(["--contend", how]).env("COFFERDAM_DIR", base);
        child
            .env("COFFERDAM_RUN_ID", "bench")
            .env_remove("COFFERDAM_RECORD");
        child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().expect("a contender");
        let mut reader = BufReader::new(child.stdout.take().expect("it is piped"));
        reader
            .read_line(&mut String::new())
            .expect("it says that it is ready");
        (child, reader)
    };
    let mut contenders: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for (child, _) in &mut contenders {
        drop(child.stdin.take());
    }
    let longest = contenders.into_iter().map(|(mut child, mut reader)| {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("it tells its wait");
        child.wait().expect("it ends");
        text.trim().parse::<f64>().expect("a number")
    });
    longest.fold(0.0, f64::max)
}

#[expect(clippy::print_stdout, reason = "a contender tells its wait to who started it")]
#[expect(
    clippy::disallowed_methods,
    reason = "a contender gets its role by its arguments"
)]
fn main() {
    let mut arguments = std::env::args()
        .skip_while(|argument| argument != "--contend")
        .skip(1);
    if let Some(how) = arguments.next() {
        let base = cofferdam::diagnostics::base_dir(None).expect("the benchmark sets it");
        println!("{}", contend(&how, &base).as_secs_f64() * 1e3);
        return;
    }
    if !harness::is_wanted() {
        return;
    }
    let base = cofferdam::diagnostics::base_dir(None)
        .expect("a workspace")
        .join("bench");
    std::fs::create_dir_all(&base).expect("a folder for locks");

    let [bare, unlocked, ours, other, serial] = alone(&base);
    let mut table = Table::new("Lock and unlock, nobody else wants it");
    table.row("open and flock", " ns", &bare, ..);
    // The minimum of a correct lock: closing the file is not enough, because a child that is being started keeps it
    // open.
    table.row("open, flock and unlock", " ns", &unlocked, ..);
    table.row("cofferdam::lock, with its owner's record", " ns", &ours, ..);
    table.row("fslock", " ns", &other, ..);
    table.row("serial_test's file_serial", " ns", &serial, ..);
    table.row("cofferdam ÷ open and flock", "×", &ours.over(&bare), ..=2.0);
    table.row(
        "cofferdam ÷ open, flock and unlock",
        "×",
        &ours.over(&unlocked),
        ..,
    );
    table.row("cofferdam ÷ file_serial", "×", &ours.over(&serial), ..=0.65);
    table.print();

    let ([bare, ours], [bare_beside, ours_beside]) = (beside(1, &base), beside(2, &base));
    let mut table = Table::new("Two threads at once, each its own lock");
    table.row("open and flock, two ÷ one", "×", &bare_beside.over(&bare), ..);
    table.row(
        "cofferdam::lock, two ÷ one",
        "×",
        &ours_beside.over(&ours),
        ..=1.23,
    );
    table.print();

    let mut table = Table::new("Eight processes, one lock, the longest wait");
    let mut waits = [(); 3].map(|()| Series(Vec::new()));
    for _ in 0..CONTESTS {
        for (how, waits) in ["flock", "cofferdam", "fslock"].iter().zip(&mut waits) {
            waits.0.push(contest(how, &base));
        }
    }
    let [bare, ours, other] = waits;
    table.row("open and flock", " ms", &bare, ..);
    table.row("cofferdam::lock", " ms", &ours, ..);
    table.row("fslock", " ms", &other, ..);
    table.print();
}
