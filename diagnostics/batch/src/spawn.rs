//! The only module that starts users' commands: with the session's variables, without those of cargo.
//!
//! Waiting for a command and stopping it is the executor's task.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fmt, io};

/// The way a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Passed,
    Failed {
        code: u8,
        /// The signal that ended it, if there was one.
        signal: Option<i32>,
    },
}

impl Ended {
    /// Interprets the exit code of a process, or the signal that ended it.
    pub fn new(code: Option<i32>, signal: Option<i32>) -> Self {
        let code = match (code, signal) {
            (Some(0), _) => return Self::Passed,
            // Windows has codes beyond a byte; they are failures all the same.
            (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
            // The convention of shells.
            (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            (None, None) => u8::MAX,
        };
        Self::Failed { code, signal }
    }

    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed { code, .. } => code,
        }
    }
}

/// A command that could not be started.
#[derive(Debug)]
pub struct ChildError {
    program: OsString,
    cwd: Option<PathBuf>,
    pub source: io::Error,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not start {:?}", self.program)?;
        if let Some(cwd) = &self.cwd {
            write!(f, " in {}", cwd.display())?;
        }
        write!(f, ": {}", self.source)?;
        if self.source.kind() == io::ErrorKind::NotFound {
            if self.cwd.as_ref().is_some_and(|cwd| !cwd.is_dir()) {
                return f.write_str("; the directory does not exist");
            }
            f.write_str(
                "; commands are started without a shell: check that the program is installed, in PATH, and spelled \
                 correctly",
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

/// The standard streams of a command.
pub enum Streams<'a> {
    /// Inherits the streams and the process group of this process: the terminal's keys reach both.
    Inherited,
    /// Reads nothing, writes both output streams to a file, and leads a process group of its own.
    Log(&'a File),
}

/// Starts commands with the inherited environment, except for cargo's variables.
#[derive(Debug)]
pub struct Starter {
    /// Variables to remove, or to set to another value.
    changed: Vec<(OsString, Option<OsString>)>,
    /// Variables that every command receives.
    variables: Vec<(OsString, OsString)>,
}

impl Starter {
    pub fn new(variables: Vec<(OsString, OsString)>) -> Self {
        Self {
            changed: inherited_from_cargo(),
            variables,
        }
    }

    /// Starts `command` with additional variables. The caller waits for the child.
    pub fn start<'a>(
        &self,
        command: &[OsString],
        variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
        cwd: Option<&Path>,
        streams: &Streams<'_>,
    ) -> Result<Child, ChildError> {
        let (program, args) = command
            .split_first()
            .map_or((OsStr::new(""), command), |(program, args)| (program, args));
        let failed = |source| ChildError {
            program: program.to_owned(),
            cwd: cwd.map(Path::to_owned),
            source,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the only place where a job's process is started"
        )]
        let mut child = Command::new(program);
        child.args(args);
        for (name, value) in &self.changed {
            match value {
                Some(value) => child.env(name, value),
                None => child.env_remove(name),
            };
        }
        // Its report would be one of several in the same place.
        child.env("COFFERDAM_GITHUB", "never");
        child.envs(self.variables.iter().map(|(name, value)| (name, value)));
        child.envs(variables);
        if let Some(cwd) = cwd {
            child.current_dir(cwd);
        }
        if let Streams::Log(log) = streams {
            child
                .stdin(Stdio::null())
                .stdout(log.try_clone().map_err(failed)?)
                .stderr(log.try_clone().map_err(failed)?);
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut child, 0);
        }
        child.spawn().map_err(failed)
    }
}

/// Returns the changes to variables that `cargo run` sets and that would mislead a command.
fn inherited_from_cargo() -> Vec<(OsString, Option<OsString>)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this function decides what commands inherit"
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

/// The variables to which cargo adds its build folders.
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

/// Returns whether cargo added this folder: the one of this executable, or one of the toolchain.
fn is_build_path(path: &Path, exe: &Path) -> bool {
    let built = exe.parent();
    built.is_some_and(|built| path.starts_with(built))
        || path.ends_with("lib") && path.to_string_lossy().contains("rustlib")
}

/// Returns the path of this executable.
pub fn own_exe() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "it identifies cargo's directories, and the guard is this program"
    )]
    env::current_exe().unwrap_or_default()
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
