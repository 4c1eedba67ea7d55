//! Which run this is, and where its folders are.
//!
//! A run is one invocation of a runner, with all its test processes. What names it differs: nextest hands its
//! processes an ID; `cargo test` hands them nothing, so its process number and start time do; a program that no
//! runner started is a run of its own. [`run_of`] decides from facts alone; the rest of the file makes folders.

use crate::error::Error;
use crate::sys::process::Ancestor;
use crate::sys::{clock, env, file_lock, process, stderr};
use once_cell::sync::OnceCell;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What is known about this process, gathered once.
pub(crate) struct Facts {
    pub(crate) pid: u32,
    pub(crate) started: u64,
    pub(crate) boot: String,
    pub(crate) args: Vec<String>,
    pub(crate) exe: Option<PathBuf>,
    /// Nearest first; empty where the system does not tell.
    pub(crate) ancestors: Vec<Ancestor>,
    pub(crate) env: fn(&str) -> Option<String>,
}

impl Facts {
    fn gather() -> Self {
        Self {
            pid: process::id(),
            started: process::started(),
            boot: process::boot(),
            args: process::args(),
            exe: process::exe(),
            ancestors: process::ancestors(),
            env: env::var,
        }
    }
}

/// Who started this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// nextest, for exactly this process's test.
    Nextest,
    /// A process that a nextest test started: the variables are inherited, the slot is its parent's.
    UnderNextest,
    /// `cargo test`, `cargo bench` or `cargo run`, or something below them: doctests, children of tests.
    Cargo,
    /// Named by `COFFERDAM_RUN_ID`.
    Named,
    /// Nobody known: a binary started by hand, by a script, by Bazel.
    Alone,
}

impl Runner {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nextest => "nextest",
            Self::UnderNextest => "under nextest",
            Self::Cargo => "cargo",
            Self::Named => "named",
            Self::Alone => "alone",
        }
    }

    /// Whether other processes of the same run may be alive at the same time.
    pub(crate) fn may_overlap(self) -> bool {
        self != Self::Alone
    }
}

/// A run, and what its end can be told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) runner: Runner,
    /// Process number and start of what the run ends with.
    pub(crate) anchor: (u32, u64),
}

/// The run that a process with these facts belongs to.
pub(crate) fn run_of(facts: &Facts) -> Run {
    let own = (facts.pid, facts.started);
    if let Some(id) = (facts.env)("COFFERDAM_RUN_ID") {
        return Run {
            id: file_name(&id),
            runner: Runner::Named,
            anchor: anchor(facts).unwrap_or(own),
        };
    }
    let above = nearest_runner(&facts.ancestors);
    let nextest = ((facts.env)("NEXTEST_EXECUTION_MODE").as_deref() == Some("process-per-test"))
        .then(|| (facts.env)("NEXTEST_RUN_ID"))
        .flatten();
    match (nextest, above) {
        // Inherited from a test further up that runs a cargo of its own.
        (Some(_), Some((_, above))) if above.name != "cargo-nextest" => {}
        (Some(id), above) => {
            let between = above.map_or(&[][..], |(index, _)| &facts.ancestors[..index]);
            let runner = if is_the_test(facts, between) {
                Runner::Nextest
            } else {
                Runner::UnderNextest
            };
            let anchor = above.map_or(own, |(_, above)| (above.pid, above.started));
            return Run {
                id: file_name(&id),
                runner,
                anchor,
            };
        }
        (None, _) => {}
    }
    let boot = facts.boot.get(..8).unwrap_or("0");
    match above {
        Some((_, above)) => Run {
            id: format!(
                "{}-{boot}-{}-{}",
                file_name(&above.name),
                above.pid,
                above.started
            ),
            runner: Runner::Cargo,
            anchor: (above.pid, above.started),
        },
        None => Run {
            id: format!("process-{boot}-{}-{}", facts.pid, facts.started),
            runner: Runner::Alone,
            anchor: own,
        },
    }
}

fn anchor(facts: &Facts) -> Option<(u32, u64)> {
    nearest_runner(&facts.ancestors).map(|(_, above)| (above.pid, above.started))
}

/// The nearest `cargo` or `cargo-nextest` above, by its whole name: `cargo-watch` runs runs, it is none.
fn nearest_runner(ancestors: &[Ancestor]) -> Option<(usize, &Ancestor)> {
    ancestors
        .iter()
        .enumerate()
        .find(|(_, above)| matches!(above.name.as_str(), "cargo" | "cargo-nextest"))
}

/// Whether nextest started this very process for its test, and not a test that handed its variables on.
///
/// nextest passes `--exact NAME`; a test that runs itself again may pass the same, but then one of the processes
/// between has our executable. (A wrapper script between has the arguments too, yet another executable.)
fn is_the_test(facts: &Facts, between: &[Ancestor]) -> bool {
    let itself_again = facts.exe.is_some() && between.iter().any(|above| above.exe == facts.exe);
    match (facts.env)("NEXTEST_TEST_NAME") {
        Some(name) => {
            facts.args.iter().any(|arg| arg == "--exact") && facts.args.contains(&name) && !itself_again
        }
        // Before 0.9.116 the test was not named: the parent decides.
        None => between.is_empty(),
    }
}

/// This process's facts, gathered at the first call.
pub(crate) fn facts() -> &'static Facts {
    static FACTS: OnceCell<Facts> = OnceCell::new();
    FACTS.get_or_init(Facts::gather)
}

/// The run this process belongs to.
pub(crate) fn run() -> &'static Run {
    static RUN: OnceCell<Run> = OnceCell::new();
    RUN.get_or_init(|| {
        let run = run_of(facts());
        let is_test = facts()
            .args
            .iter()
            .any(|arg| arg == "--exact" || arg == "--test-threads");
        if run.runner == Runner::Alone && is_test {
            stderr::line(
                "no runner is known to have started this test process, so it counts as a run of its own; \
                 COFFERDAM_RUN_ID, the same for all processes of a run, says otherwise",
            );
        }
        run
    })
}

/// The folder under which everything of cofferdam lies, for a process that works in `dir`.
///
/// `COFFERDAM_DIR` if set; else the target folder of the Cargo workspace (`NEXTEST_WORKSPACE_ROOT`, or found upward
/// from `CARGO_MANIFEST_DIR`, or from `dir`), plus `cofferdam`; else beside the executable's own target folder.
///
/// # Errors
/// When none of these is there.
pub fn base_dir(dir: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(base) = env::path("COFFERDAM_DIR") {
        return std::path::absolute(&base).map_err(|source| Error::io("make absolute", &base, source));
    }
    let root = match dir {
        Some(dir) => workspace_root(dir),
        None => {
            env::path("NEXTEST_WORKSPACE_ROOT").or_else(|| workspace_root(&env::path("CARGO_MANIFEST_DIR")?))
        }
    };
    if let Some(root) = root {
        let target =
            env::path("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
        return Ok(target.join("cofferdam"));
    }
    let exe = process::exe().ok_or_else(Error::no_place)?;
    let target = exe.ancestors().find(|above| above.join("CACHEDIR.TAG").exists());
    target
        .map(|target| target.join("cofferdam"))
        .ok_or_else(Error::no_place)
}

/// The outermost manifest with a `[workspace]` table at or above `dir`, else the nearest manifest.
fn workspace_root(dir: &Path) -> Option<PathBuf> {
    let mut nearest = None;
    for above in dir.ancestors() {
        let Ok(manifest) = std::fs::read_to_string(above.join("Cargo.toml")) else {
            continue;
        };
        if manifest
            .lines()
            .any(|line| line.trim_start().starts_with("[workspace"))
        {
            return Some(above.to_owned());
        }
        nearest = nearest.or_else(|| Some(above.to_owned()));
    }
    nearest
}

/// This run's own folder, made at the first call.
///
/// # Errors
/// When it cannot be made; asked again, it is tried again.
pub(crate) fn run_dir() -> Result<&'static Path, Error> {
    static DIR: OnceCell<PathBuf> = OnceCell::new();
    DIR.get_or_try_init(|| {
        let runs = base_dir(None)?.join("runs");
        let dir = runs.join(&run().id);
        std::fs::create_dir_all(&runs).map_err(|source| Error::io("create", &runs, source))?;
        match std::fs::create_dir(&dir) {
            Ok(()) => {
                describe(&dir, run());
                sweep(&runs, &dir);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io("create", &dir, source)),
        }
        Ok(dir)
    })
    .map(PathBuf::as_path)
}

/// What the run folder's `run.json` says: enough to know, later and elsewhere, whether the run is over.
fn describe(dir: &Path, run: &Run) {
    let text = json!({
        "version": 1,
        "run": run.id,
        "runner": run.runner.as_str(),
        "anchor": { "pid": run.anchor.0, "started": run.anchor.1 },
        "boot": facts().boot,
        "session": session(),
        "at": clock::micros(),
    });
    // Without it the folder is merely kept.
    let _ = std::fs::write(dir.join("run.json"), text.to_string());
}

/// The session that wants to be told what happens; `None` when nothing is recorded.
pub(crate) fn session() -> Option<String> {
    env::var("COFFERDAM_RECORD")
}

/// How many old runs one new run looks at.
const SWEPT_AT_ONCE: usize = 16;

/// Removes folders of runs that are over and that nobody recorded, so that plain `cargo test` leaves nothing behind.
///
/// Recorded runs are `cargo cofferdam`'s to remove. A folder of another boot or machine is not ours to judge.
fn sweep(runs: &Path, own: &Path) {
    let Ok(folders) = std::fs::read_dir(runs) else {
        return;
    };
    for folder in folders
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path != own)
        .take(SWEPT_AT_ONCE)
    {
        let Ok(text) = std::fs::read_to_string(folder.join("run.json")) else {
            continue;
        };
        let Ok(told) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        if is_over(&told, &facts().boot, process::is_alive) && nobody_is_in(&folder) {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

fn is_over(told: &Value, boot: &str, is_alive: fn(u32, u64) -> bool) -> bool {
    let anchor = |field: &str| told["anchor"][field].as_u64();
    let (Some(pid), Some(started)) = (anchor("pid"), anchor("started")) else {
        return false;
    };
    let here = !boot.is_empty() && told["boot"] == boot;
    here && told["session"].is_null() && u32::try_from(pid).is_ok_and(|pid| !is_alive(pid, started))
}

/// Tests may outlive a killed runner: their lanes are still locked then.
fn nobody_is_in(folder: &Path) -> bool {
    let Ok(lanes) = std::fs::read_dir(folder.join("lanes")) else {
        return true;
    };
    lanes
        .flatten()
        .all(|lane| matches!(file_lock::try_exclusive(&lane.path()), Ok(Some(_))))
}

/// The folder of one worker of this run, made if need be.
pub(crate) fn worker_dir(worker: &str) -> Result<PathBuf, Error> {
    let dir = run_dir()?.join("workers").join(file_name(worker));
    std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
    Ok(dir)
}

/// The file whose lock is a leased lane.
pub(crate) fn lane_file(lane: &str) -> Result<PathBuf, Error> {
    let dir = run_dir()?.join("lanes");
    std::fs::create_dir_all(&dir).map_err(|source| Error::io("create", &dir, source))?;
    Ok(dir.join(file_name(lane)))
}

/// The longest name that is kept as it is; file systems allow 255 bytes, sockets' whole paths 108.
const LONGEST: usize = 64;

/// A name for one file or folder out of any text: never a path, never `.` or `..`, different for different texts.
///
/// What is neither letter, digit, `-`, `_` nor an inner `.` becomes `%` and two digits; a long name is cut and
/// ends in `%` and a hash of the whole.
pub(crate) fn file_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte as char),
            b'.' if index > 0 => name.push('.'),
            other => _ = write!(name, "%{other:02x}"),
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > LONGEST {
        let hash = fnv(text.as_bytes());
        name.truncate(LONGEST - 17);
        _ = write!(name, "%{hash:016x}");
    }
    name
}

/// FNV-1a: the same on every machine and in every build.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
