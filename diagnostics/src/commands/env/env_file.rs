//! A file with variables for other programs, which no repository may take in: they may contain passwords.

use super::super::Refused;
use crate::fixtures::Exports;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file that may be written.
#[derive(Debug)]
pub(super) struct EnvFile {
    folder: PathBuf,
    path: PathBuf,
}

impl EnvFile {
    /// Checks that no Git repository tracks the file, or would with the next `git add`.
    pub(super) fn check(file: &Path) -> Result<Self, Refused> {
        let unusable = |reason: &dyn std::fmt::Display| {
            Refused::new(&format!(
                "the variables cannot be written to {}: {reason}",
                file.display()
            ))
        };
        let name = file.file_name().ok_or_else(|| unusable(&"it names no file"))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|error| unusable(&error))?;
        let path = folder.join(name);
        if path.is_dir() {
            return Err(unusable(&"it is a directory"));
        }
        let checked = Self { folder, path };
        match checked.in_repository() {
            Ok(None) => Ok(checked),
            Ok(Some(reason)) | Err(reason) => Err(unusable(&reason)),
        }
    }

    /// Returns the reason that a repository would take in the file; `None` if none does. An error if that is not known.
    fn in_repository(&self) -> Result<Option<String>, String> {
        let root = match self.git(&["rev-parse", "--show-toplevel"]) {
            Ok(output) if output.status.success() => path_in(&output),
            // No repository, or one that Git does not want to read.
            answer if self.folder.ancestors().any(|above| above.join(".git").exists()) => {
                return Err(format!(
                    "Git does not say whether it tracks the file: {}",
                    failure(answer)
                ));
            }
            _ => return Ok(None),
        };
        let file = self.path.to_string_lossy();
        let is = |args: &[&str]| match self.git(args) {
            Ok(output) if output.status.success() => Ok(true),
            Ok(output) if output.status.code() == Some(1) => Ok(false),
            answer => Err(format!(
                "Git does not say whether it tracks the file: {}",
                failure(answer)
            )),
        };
        if is(&["ls-files", "--error-unmatch", "--", &file])? {
            return Ok(Some(format!(
                "Git tracks it, and the values would be in the next commit. Run `git rm --cached -- {file}` first"
            )));
        }
        if is(&["check-ignore", "--quiet", "--", &file])? {
            return Ok(None);
        }
        let below = self.path.strip_prefix(&root).unwrap_or(&self.path);
        Ok(Some(format!(
            "Git would add it, with its values, to a commit. Add this line to {}: /{}",
            root.join(".gitignore").display(),
            pattern(&below.to_string_lossy())
        )))
    }

    fn git(&self, args: &[&str]) -> io::Result<Output> {
        #[expect(clippy::disallowed_methods, reason = "a short-lived tool that starts no test")]
        let mut git = Command::new("git");
        // A hook's variables are about another repository.
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            git.env_remove(variable);
        }
        git.args(args)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
    }

    /// Replaces the file at once, readable by its owner only.
    pub(super) fn write(&self, exports: &Exports) -> Result<(), Box<dyn Error>> {
        let failed = |error: io::Error| format!("could not write {}: {error}", self.path.display());
        let mut text = String::new();
        for (name, value) in exports {
            let value = quoted(value).ok_or_else(|| {
                format!(
                    "the value of {name} has a line break or a single quote, which not all readers of {} would understand",
                    self.path.display()
                )
            })?;
            text.push_str(&format!("{name}={value}\n"));
        }
        let mut file = tempfile::Builder::new()
            .prefix(".cofferdam-env-")
            .tempfile_in(&self.folder)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// Returns the value as shells and readers of such files understand it alike; `None` if there is no such form.
fn quoted(value: &str) -> Option<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+,=".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        Some(value.to_owned())
    } else {
        (!value.contains(['\'', '\n', '\r', '\0'])).then(|| format!("'{value}'"))
    }
}

/// Returns the path as a pattern of a `.gitignore` that matches it alone.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for letter in path.chars() {
        if "*?[\\ ".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

fn path_in(output: &Output) -> PathBuf {
    String::from_utf8_lossy(&output.stdout)
        .trim_end_matches('\n')
        .into()
}

fn failure(answer: io::Result<Output>) -> String {
    match answer {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_so_that_shells_and_other_readers_agree() {
        for (value, written) in [
            ("redis://127.0.0.1:6379", Some("redis://127.0.0.1:6379")),
            ("a b", Some("'a b'")),
            ("$HOME \"x\" #y", Some("'$HOME \"x\" #y'")),
            ("", Some("''")),
            ("it's", None),
            ("two\nlines", None),
        ] {
            assert_eq!(quoted(value).as_deref(), written, "{value:?}");
        }
    }

    #[test]
    fn a_pattern_matches_only_its_path() {
        assert_eq!(pattern("a/.env"), "a/.env");
        assert_eq!(pattern("a*/[b] c?\\"), "a\\*/\\[b]\\ c\\?\\\\");
    }
}
