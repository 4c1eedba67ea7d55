//! The command: started with our variables and without those that are cargo's, waited for, and told of signals.
//!
//! Its input and output are its own. A signal that somebody sends to us is passed on to it, and we still report
//! when it has ended; Ctrl-C reaches it without us, for it shares our terminal.

use crate::exit_code::Ended;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fmt, io};

/// The command could not be started or waited for.
#[derive(Debug)]
pub(crate) struct ChildError {
    tried: &'static str,
    program: OsString,
    source: io::Error,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {:?}: {}", self.tried, self.program, self.source)?;
        if self.source.kind() == io::ErrorKind::NotFound {
            f.write_str(
                ". It is started without a shell: is it installed and in PATH, and its name spelt as it is?",
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for ChildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Runs `command` to its end with these variables set.
pub(crate) fn run(command: &[OsString], variables: &[(&str, &OsStr)]) -> Result<Ended, ChildError> {
    let (program, args) = command
        .split_first()
        .map_or((OsStr::new(""), command), |(program, args)| (program, args));
    let failed = |tried, source| ChildError {
        tried,
        program: program.to_owned(),
        source,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where a process is started"
    )]
    let mut child = Command::new(program);
    child.args(args).envs(variables.iter().copied());
    for (name, value) in inherited_from_cargo() {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    // Before the start, so that no signal falls between.
    let signals = signals::Passed::on().map_err(|source| failed("prepare for", source))?;
    let child = child.spawn().map_err(|source| failed("start", source))?;
    let status = signals.wait(child).map_err(|source| failed("wait for", source))?;
    Ok(ended(status))
}

fn ended(status: ExitStatus) -> Ended {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = match (status.code(), signal) {
        (Some(0), _) => return Ended::Passed,
        // What does not fit (a Windows status) is a failure all the same.
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        // As a shell tells it.
        (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        (None, None) => u8::MAX,
    };
    Ended::Failed { code, signal }
}

/// What `cargo run` hands down that would mislead a command: what to remove, and what to set instead.
fn inherited_from_cargo() -> Vec<(OsString, Option<OsString>)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what the command inherits is decided here"
    )]
    let variables: Vec<_> = env::vars_os().collect();
    let exe = own_exe();
    let mut changed = Vec::new();
    let from_cargo = variables.iter().any(|(name, _)| name == "CARGO_MANIFEST_DIR");
    for (name, value) in variables {
        let Some(text) = name.to_str() else { continue };
        if is_cargo_s(text) {
            changed.push((name, None));
        } else if from_cargo && LIBRARY_PATHS.contains(&text) {
            let paths: Vec<PathBuf> = env::split_paths(&value)
                .filter(|path| !is_build_path(path, &exe))
                .collect();
            let joined = env::join_paths(&paths).ok().filter(|_| !paths.is_empty());
            changed.push((name, joined));
        }
    }
    changed
}

/// Where cargo adds the folders of what it has built.
const LIBRARY_PATHS: [&str; 3] = [
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
];

fn is_cargo_s(name: &str) -> bool {
    name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_BIN_")
        || matches!(
            name,
            "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR" | "RUST_RECURSION_COUNT"
        )
}

/// Whether cargo added this folder: that of our own executable, or of the toolchain.
fn is_build_path(path: &Path, exe: &Path) -> bool {
    let built = exe.parent();
    built.is_some_and(|built| path.starts_with(built))
        || path.ends_with("lib") && path.to_string_lossy().contains("rustlib")
}

fn own_exe() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "cargo's folders are known by it")]
    env::current_exe().unwrap_or_default()
}

#[cfg(unix)]
mod signals {
    //! Signals that are passed on.

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator::exfiltrator::origin::WithOrigin;
    use signal_hook::iterator::{Handle, SignalsInfo};
    use signal_hook::low_level::siginfo::Cause;
    use std::io;
    use std::process::{Child, ExitStatus};
    use std::thread;

    /// From its making to its drop signals do not end us.
    pub(super) struct Passed {
        signals: SignalsInfo<WithOrigin>,
    }

    impl Passed {
        pub(super) fn on() -> io::Result<Self> {
            let signals = SignalsInfo::<WithOrigin>::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
            Ok(Self { signals })
        }

        /// Waits for the child to end, and hands on what comes meanwhile.
        pub(super) fn wait(self, mut child: Child) -> io::Result<ExitStatus> {
            let Self { mut signals } = self;
            let handle: Handle = signals.handle();
            let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
                return child.wait();
            };
            thread::scope(|scope| {
                scope.spawn(move || {
                    for origin in signals.forever() {
                        // The terminal's own signals reach the child as they reach us; once more would be twice.
                        let from_terminal = matches!(origin.cause, Cause::Kernel);
                        if !from_terminal && let Some(signal) = Signal::from_named_raw(origin.signal) {
                            let _ = kill_process(pid, signal);
                        }
                    }
                });
                // Until the child is waited for below, its number is nobody else's.
                let ended = loop {
                    match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                        Err(rustix::io::Errno::INTR) => {}
                        ended => break ended,
                    }
                };
                handle.close();
                ended
            })?;
            child.wait()
        }
    }
}

#[cfg(not(unix))]
mod signals {
    //! Ctrl-C ends the command and us: there is nothing to pass on.

    use std::io;
    use std::process::{Child, ExitStatus};

    pub(super) struct Passed;

    impl Passed {
        pub(super) fn on() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn wait(self, mut child: Child) -> io::Result<ExitStatus> {
            child.wait()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_s_variables_are_known_and_ours_and_the_user_s_are_not() {
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "RUST_RECURSION_COUNT",
            "CARGO_BIN_NAME",
        ] {
            assert!(is_cargo_s(name), "{name}");
        }
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_TERM_COLOR",
            "COFFERDAM_DIR",
            "RUST_LOG",
        ] {
            assert!(!is_cargo_s(name), "{name}");
        }
    }

    #[test]
    fn only_cargo_s_folders_leave_the_library_path() {
        let exe = Path::new("/w/target/debug/cargo-cofferdam");
        for path in [
            "/w/target/debug",
            "/w/target/debug/deps",
            "/r/lib/rustlib/x86_64-unknown-linux-gnu/lib",
        ] {
            assert!(is_build_path(Path::new(path), exe), "{path}");
        }
        for path in ["/usr/lib", "/w/lib", "/opt/x/lib"] {
            assert!(!is_build_path(Path::new(path), exe), "{path}");
        }
    }
}
