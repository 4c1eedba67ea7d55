//! This process, its ancestors, and other processes of the machine.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
#[cfg(all(unix, not(miri)))]
use std::sync::atomic::{AtomicU32, Ordering};

/// An ancestor of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ancestor {
    pub(crate) pid: u32,
    /// In the kernel's ticks since boot. Together with the pid it identifies a process until the next boot.
    pub(crate) started: u64,
    /// The kernel's name for it, at most 15 bytes.
    pub(crate) name: String,
    pub(crate) exe: Option<PathBuf>,
}

/// The number of generations to search for a runner: some wrapper scripts, `rustdoc`, `cargo`.
const GENERATIONS: usize = 8;

/// Returns this process's number. It is needed for every lock, so it is cached until a fork.
#[cfg(all(unix, not(miri)))]
pub(crate) fn id() -> u32 {
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    extern "C" fn forget() {
        KNOWN.store(0, Ordering::Relaxed);
    }
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            #[expect(clippy::disallowed_methods, reason = "this is the shim")]
            let id = std::process::id();
            #[expect(unsafe_code, reason = "std has no fork handlers")]
            // SAFETY: both are valid until the process ends, and do nothing that a fork forbids: one atomic change each.
            // A child registers them once more, which does no harm.
            let are_called = unsafe { libc::pthread_atfork(None, None, Some(forget)) } == 0;
            if are_called {
                KNOWN.store(id, Ordering::Relaxed);
            }
            id
        }
        known => known,
    }
}

/// See the Unix version.
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn id() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::process::id()
}

/// Returns the effective user of this process.
#[cfg(unix)]
pub(crate) fn user() -> u32 {
    #[cfg(not(miri))]
    #[expect(unsafe_code, reason = "std has no users")]
    // SAFETY: it takes nothing, touches nothing and cannot fail.
    unsafe {
        libc::geteuid()
    }
    #[cfg(miri)]
    0
}

/// Returns the arguments, without those that are not Unicode.
pub(crate) fn args() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::args_os()
        .filter_map(|arg| arg.into_string().ok())
        .collect()
}

pub(crate) fn exe() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::env::current_exe().ok()
}

/// Returns the process that started this one.
#[cfg(all(unix, not(miri)))]
pub(crate) fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// See the Unix version.
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn parent() -> u32 {
    0
}

/// Returns the start time of this process in the kernel's ticks; 0 where the system does not report it.
pub(crate) fn started() -> u64 {
    stat(id()).map_or(0, |stat| stat.started)
}

/// Returns the ancestors of this process, nearest first, up to the first whose name matches. Empty without `/proc`.
///
/// Every test process calls this once, and each generation costs some microseconds.
pub(crate) fn ancestors(is_last: fn(&str) -> bool) -> Vec<Ancestor> {
    let mut found: Vec<Ancestor> = Vec::new();
    let mut pid = parent();
    // In a container the runner may be process 1.
    while pid > 0 && found.len() < GENERATIONS && !found.last().is_some_and(|above| is_last(&above.name)) {
        let Some(stat) = stat(pid) else { break };
        found.push(Ancestor {
            pid,
            started: stat.started,
            name: stat.name,
            exe: std::fs::read_link(proc_folder(pid).join("exe")).ok(),
        });
        pid = stat.parent;
    }
    found
}

/// Returns whether the process is running, as opposed to a zombie or a later process with the same number.
pub(crate) fn is_alive(pid: u32, started: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.started == started && !matches!(stat.state, 'Z' | 'X'))
}

/// Returns whether a process of this number is running, for callers that know that the number was not reused.
#[cfg(feature = "fixtures")]
pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// The space in which a process number is unique: one boot of one machine, and one pid namespace. Containers have
/// namespaces of their own and may share a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PidSpace {
    /// Empty where the system does not report it; then no number is known to be unique.
    pub(crate) boot: String,
    /// 0 where the system does not report it.
    pub(crate) namespace: u64,
}

impl PidSpace {
    /// Returns the space of this process.
    pub(crate) fn own() -> Self {
        let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let link = link.to_string_lossy();
        Self {
            boot: read_once(Path::new("/proc/sys/kernel/random/boot_id"))
                .map(|id| id.trim().to_owned())
                .unwrap_or_default(),
            // `pid:[4026531836]`
            namespace: link
                .strip_prefix("pid:[")
                .and_then(|rest| rest.strip_suffix(']')?.parse().ok())
                .unwrap_or(0),
        }
    }

    /// Returns whether the other space is known to be this one.
    pub(crate) fn is(&self, boot: &str, namespace: u64) -> bool {
        !self.boot.is_empty() && (self.boot.as_str(), self.namespace) == (boot, namespace)
    }
}

/// Returns a command whose process leads its own group on Unix.
#[cfg(feature = "fixtures")]
pub(crate) fn command(program: &std::ffi::OsStr) -> std::process::Command {
    let mut command = command_in_our_group(program);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// Returns a command whose process stays in this process's group.
#[cfg(any(feature = "fixtures", all(feature = "macros", unix)))]
pub(crate) fn command_in_our_group(program: &std::ffi::OsStr) -> std::process::Command {
    #[expect(clippy::disallowed_methods, reason = "this is the shim")]
    std::process::Command::new(program)
}

/// Returns the resident memory in bytes; `None` where the system does not report it.
pub(crate) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

pub(super) struct Stat {
    name: String,
    pub(super) state: char,
    pub(super) parent: u32,
    #[cfg_attr(
        not(all(feature = "fixtures", target_os = "linux", not(miri))),
        expect(dead_code, reason = "only the processes of fixtures are found by their group")
    )]
    pub(super) group: u32,
    pub(super) started: u64,
}

pub(super) fn proc_folder(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&read_once(&proc_folder(pid).join("stat"))?)
}

/// Reads a short file of the kernel with one call. Its length is unknown, so reading to the end would take six calls.
fn read_once(path: &Path) -> Option<String> {
    let mut text = [0; 1024];
    let length = File::open(path).and_then(|mut file| file.read(&mut text)).ok()?;
    Some(String::from_utf8_lossy(&text[..length]).into_owned())
}

/// Parses `pid (name) state ppid … starttime …`. The name may contain spaces and parentheses, so the last `)` ends it.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Stat {
        name,
        state,
        parent,
        group,
        started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_spaces_and_parentheses() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 91413 3133440 373";
        let stat = parse_stat(text).unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.state, stat.parent, stat.started),
            ("a) b (c", 'S', 7, 91413)
        );
    }

    #[test]
    fn a_truncated_stat_is_no_process() {
        for text in ["", "42", "42 (name", "42 (name) S", "42 (name) S 7 1 1"] {
            assert!(parse_stat(text).is_none(), "{text:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_alive_and_its_number_with_another_start_is_not() {
        assert!(is_alive(id(), started()));
        assert!(!is_alive(id(), started() + 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_nearest_ancestor_is_the_parent() {
        let parent = Some(std::os::unix::process::parent_id());
        let all = ancestors(|_| false);
        assert_eq!(all.first().map(|above| above.pid), parent);
        assert!(all.len() <= GENERATIONS);
        // The parent matches, so the search ends there.
        let nearest = ancestors(|_| true);
        assert_eq!(nearest[..], all[..1]);
    }
}
