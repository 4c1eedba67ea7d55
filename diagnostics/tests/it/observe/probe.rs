//! Completeness: compares the accesses that the observer recorded with those that strace saw, for a program that does
//! everything a test may do to files. strace is slow and does not see the environment, but is complete.

use crate::recording::CommandOutput;
use crate::run::variable;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// Performs every operation in a separate directory.
#[test]
#[ignore = "a role, played for the test below"]
fn role() {
    let Some(dir) = variable("ROLE") else { return };
    let dir = PathBuf::from(dir);
    let at = |name: &str| dir.join(name);
    std_s(&at);
    sockets(&at);
    children(&at);
    rustix_s(&dir);
    tokio_s(&at);
    tempfile_s(&dir);
    sqlite_s(&dir);
}

fn std_s(at: &dyn Fn(&str) -> PathBuf) {
    fs::write(at("write"), "1").unwrap();
    fs::read(at("write")).unwrap();
    fs::read(at("absent")).unwrap_err();
    File::create_new(at("new")).unwrap();
    File::create_new(at("new")).unwrap_err();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(at("append"))
        .unwrap();
    OpenOptions::new()
        .write(true)
        .open(at("absent-to-write"))
        .unwrap_err();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(at("both"))
        .unwrap();
    fs::copy(at("write"), at("copy")).unwrap();
    fs::rename(at("copy"), at("renamed")).unwrap();
    fs::rename(at("absent"), at("renamed-in-vain")).unwrap_err();
    fs::hard_link(at("write"), at("hard")).unwrap();
    symlink("write", at("soft")).unwrap();
    fs::read_link(at("soft")).unwrap();
    fs::symlink_metadata(at("soft")).unwrap();
    fs::metadata(at("looked-at")).unwrap_err();
    assert!(at("exists").try_exists().is_ok_and(|exists| !exists));
    fs::canonicalize(at("write")).unwrap();
    fs::set_permissions(at("both"), fs::Permissions::from_mode(0o644)).unwrap();
    let file = File::options().write(true).open(at("both")).unwrap();
    file.set_len(9).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    file.set_times(fs::FileTimes::new()).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::create_dir_all(at("deep/deeper/deepest")).unwrap();
    fs::write(at("deep/deeper/file"), "").unwrap();
    assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 0);
    fs::remove_dir(at("folder")).unwrap();
    fs::remove_dir(at("no-folder")).unwrap_err();
    fs::remove_dir_all(at("deep")).unwrap();
    fs::remove_file(at("hard")).unwrap();
    fs::remove_file(at("gone")).unwrap_err();
    std::os::unix::fs::chown(at("both"), None, None).unwrap();
}

fn sockets(at: &dyn Fn(&str) -> PathBuf) {
    let listener = UnixListener::bind(at("socket")).unwrap();
    UnixStream::connect(at("socket")).unwrap();
    UnixStream::connect(at("no-socket")).unwrap_err();
    drop(listener);
    UnixDatagram::bind(at("datagrams")).unwrap();
}

fn children(at: &dyn Fn(&str) -> PathBuf) {
    let shell = |script: String| {
        #[expect(clippy::disallowed_methods, reason = "children are observed, too")]
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(script);
        shell
    };
    let by_child = at("by-child");
    assert!(
        shell(format!("echo 1 > {}", by_child.display()))
            .status()
            .unwrap()
            .success()
    );
    let moved = format!("mv {} {}", by_child.display(), at("moved").display());
    assert!(
        shell(moved)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .status()
            .unwrap()
            .success()
    );
    // A working directory makes std fork.
    assert!(
        shell("touch here".to_owned())
            .current_dir(at(""))
            .status()
            .unwrap()
            .success()
    );
}

/// Performs operations without libc's functions.
fn rustix_s(dir: &Path) {
    use rustix::fs::{self as raw, AtFlags, Mode, OFlags};
    let folder = raw::open(dir, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    let create = OFlags::CREATE | OFlags::WRONLY;
    let file = raw::openat(&folder, "raw", create, Mode::RUSR | Mode::WUSR).unwrap();
    raw::ftruncate(&file, 3).unwrap();
    raw::flock(&file, raw::FlockOperation::LockExclusive).unwrap();
    raw::openat(&folder, "raw-absent", OFlags::RDONLY, Mode::empty()).unwrap_err();
    raw::mkdirat(&folder, "raw-folder", Mode::RWXU).unwrap();
    raw::renameat(&folder, "raw", &folder, "raw-renamed").unwrap();
    raw::linkat(&folder, "raw-renamed", &folder, "raw-linked", AtFlags::empty()).unwrap();
    raw::symlinkat("raw-renamed", &folder, "raw-soft").unwrap();
    raw::readlinkat(&folder, "raw-soft", Vec::new()).unwrap();
    raw::statat(&folder, "raw-renamed", AtFlags::empty()).unwrap();
    raw::statat(&folder, "raw-looked-at", AtFlags::SYMLINK_NOFOLLOW).unwrap_err();
    raw::unlinkat(&folder, "raw-linked", AtFlags::empty()).unwrap();
    raw::unlinkat(&folder, "raw-folder", AtFlags::REMOVEDIR).unwrap();
    raw::chmodat(&folder, "raw-renamed", Mode::RUSR, AtFlags::empty()).unwrap();
    // An open directory has another path after a rename, and its descriptor is soon that of another directory.
    let open_in = |name: &str| {
        raw::mkdirat(&folder, name, Mode::RWXU).unwrap();
        raw::openat(&folder, name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap()
    };
    let make = |folder: &_, name: &str| drop(raw::openat(folder, name, create, Mode::RUSR).unwrap());
    let renamed = open_in("raw-before");
    make(&renamed, "before");
    raw::renameat(&folder, "raw-before", &folder, "raw-after").unwrap();
    make(&renamed, "after");
    drop(renamed);
    make(&open_in("raw-other"), "other");
    raw::access(dir.join("raw-accessed"), raw::Access::EXISTS).unwrap_err();
}

fn tokio_s(at: &dyn Fn(&str) -> PathBuf) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::fs::write(at("tokio"), "1").await.unwrap();
        tokio::fs::read(at("tokio-absent")).await.unwrap_err();
        tokio::fs::rename(at("tokio"), at("tokio-renamed")).await.unwrap();
        let listener = tokio::net::UnixListener::bind(at("tokio-socket")).unwrap();
        tokio::net::UnixStream::connect(at("tokio-socket")).await.unwrap();
        drop(listener);
        let child = tokio::process::Command::new("touch")
            .arg(at("tokio-by-child"))
            .status();
        assert!(child.await.unwrap().success());
    });
}

fn tempfile_s(dir: &Path) {
    let mut file = tempfile::Builder::new()
        .prefix("named")
        .rand_bytes(0)
        .tempfile_in(dir)
        .unwrap();
    file.write_all(b"1").unwrap();
    file.persist(dir.join("persisted")).unwrap();
    let folder = tempfile::Builder::new()
        .prefix("temporary")
        .rand_bytes(0)
        .tempdir_in(dir)
        .unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
}

fn sqlite_s(dir: &Path) {
    let base = rusqlite::Connection::open(dir.join("base.sqlite3")).unwrap();
    base.execute_batch("CREATE TABLE orders (number); INSERT INTO orders VALUES (1)")
        .unwrap();
    base.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO orders VALUES (2)")
        .unwrap();
    rusqlite::Connection::open(dir.join("absent/base.sqlite3")).unwrap_err();
}

/// The accesses to each file: whether it was ever changed.
type Seen = BTreeMap<String, bool>;

fn exe() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the role is a test of this binary")]
    std::env::current_exe().unwrap()
}

const ROLE: [&str; 4] = ["--exact", "observe::probe::role", "--ignored", "--quiet"];

fn observed(dir: &Path) -> Seen {
    let accesses = tempfile::NamedTempFile::new().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut observe = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    // Started as cargo starts a test program.
    let script = "exec $CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER \"$@\"";
    observe
        .args(["observe", "--accesses"])
        .arg(accesses.path())
        .args(["--", "sh", "-c", script, "sh"]);
    let output: CommandOutput = observe
        .arg(exe())
        .args(ROLE)
        .env("ROLE", dir)
        .output()
        .unwrap()
        .into();
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let mut seen = Seen::new();
    for line in fs::read_to_string(accesses.path()).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if (line["kind"] == "file" || line["kind"] == "unix-socket")
            && let Ok(name) = Path::new(line["name"].as_str().unwrap()).strip_prefix(dir)
        {
            *seen.entry(name.display().to_string()).or_default() |= line["access"] == "write";
        }
    }
    seen
}

fn traced(dir: &Path) -> Option<Seen> {
    let out = tempfile::NamedTempFile::new().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the oracle")]
    let mut strace = Command::new("strace");
    let calls = "trace=%file,%desc,bind,connect";
    strace
        .args([
            "-f",
            "-y",
            "-qq",
            "-s",
            "4096",
            "-e",
            calls,
            "-e",
            "signal=none",
            "-o",
        ])
        .arg(out.path());
    let output = strace.arg(exe()).args(ROLE).env("ROLE", dir).output().ok()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut seen = Seen::new();
    for line in whole_calls(&fs::read_to_string(out.path()).unwrap()) {
        for (path, writes) in uses(&line) {
            if let Ok(name) = path.strip_prefix(dir) {
                *seen.entry(name.display().to_string()).or_default() |= writes;
            }
        }
    }
    Some(seen)
}

/// Joins calls that strace printed in two parts.
fn whole_calls(text: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, start.to_owned());
        } else if let Some((_, rest)) = call
            .strip_prefix("<... ")
            .and_then(|call| call.split_once(" resumed>"))
        {
            calls.push(begun.remove(pid).unwrap_or_default() + rest);
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// Returns the paths in a line of strace, and whether the call changed them, or tried to and failed because they
/// existed or did not.
fn uses(line: &str) -> Vec<(PathBuf, bool)> {
    let Some((name, rest)) = line.split_once('(') else {
        return Vec::new();
    };
    let Some((arguments, result)) = rest.rsplit_once(" = ") else {
        return Vec::new();
    };
    let failed = result.starts_with('-');
    let is_one_of = |errors: &[&str]| errors.iter().any(|error| result.contains(error));
    let taken = is_one_of(&["EEXIST", "EADDRINUSE", "ENOTEMPTY", "EBUSY"]);
    let (made, removed) = (!failed || taken, !failed || taken || is_one_of(&["ENOENT"]));
    let paths = paths(arguments);
    let first = |writes: bool| {
        let paths = paths.iter().take(1);
        paths.map(|path| (path.clone(), writes)).collect()
    };
    let both = |one: bool, two: bool| paths.iter().cloned().zip([one, two]).collect();
    match name {
        "open" | "openat" | "openat2" | "creat" => {
            let changes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
            let has_to_be_new = arguments.contains("O_EXCL");
            let writes = changes.iter().any(|flag| arguments.contains(flag));
            first(writes && if has_to_be_new { made } else { !failed })
        }
        "mkdir" | "mkdirat" | "stat" | "lstat" | "newfstatat" | "statx" | "access" | "faccessat"
        | "faccessat2" | "readlink" | "readlinkat" | "connect" => first(false),
        "unlink" | "unlinkat" | "rmdir" => first(removed),
        "truncate" | "chmod" | "fchmodat" | "chown" | "fchownat" | "lchown" | "utimensat" => first(!failed),
        "bind" => first(made),
        "rename" | "renameat" | "renameat2" => both(removed, removed),
        "link" | "linkat" => both(false, made),
        "symlink" | "symlinkat" => paths
            .get(1)
            .map(|path| (path.clone(), made))
            .into_iter()
            .collect(),
        "ftruncate" | "fchmod" | "fchown" => descriptor(arguments)
            .map(|path| (path, !failed))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// `3</w/file>`
fn descriptor(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    Some(PathBuf::from(rest.split_once('>')?.0))
}

/// Returns the paths among the arguments: each quoted text, relative to the directory descriptor before it.
fn paths(arguments: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folder = None;
    let mut rest = arguments;
    while let Some(quote) = rest.find('"') {
        let before = &rest[..quote];
        folder = before
            .rfind('<')
            .and_then(|at| descriptor(&before[at..]))
            .or(folder);
        let Some((text, behind)) = rest[quote + 1..].split_once('"') else {
            break;
        };
        found.push(match &folder {
            Some(folder) => tidy(&folder.join(text)),
            None => tidy(Path::new(text)),
        });
        rest = behind;
    }
    // Without a path the call is about the descriptor itself.
    if found.is_empty() || found == [PathBuf::new()] {
        found = descriptor(arguments).into_iter().collect();
    }
    found
}

fn tidy(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

#[test]
fn nothing_is_missed_that_strace_sees() {
    let place = || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    };
    let (_dir, path) = place();
    let Some(oracle) = traced(&path) else {
        crate::suites::has(false, "strace");
        return;
    };
    let (_dir, path) = place();
    let observed = observed(&path);
    let missed: Vec<_> = oracle
        .iter()
        .filter(|(name, writes)| observed.get(*name).is_none_or(|seen| **writes && !seen))
        .collect();
    assert!(missed.is_empty(), "{missed:?} of {oracle:#?}\n{observed:#?}");
    let made_up: Vec<_> = observed
        .iter()
        .filter(|(name, writes)| oracle.get(*name).is_none_or(|seen| **writes && !seen))
        .collect();
    assert!(made_up.is_empty(), "{made_up:?} of {observed:#?}\n{oracle:#?}");
    assert!(oracle.len() > 40, "{oracle:#?}");
}
